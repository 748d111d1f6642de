"""`reflectevo demo-data`: a synthetic workspace for trying the application."""
