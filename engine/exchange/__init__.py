"""Import and export of the published formats, and of what trainers elsewhere read."""
