"""`reflectevo demo-data`: a synthetic workspace to look around in."""
