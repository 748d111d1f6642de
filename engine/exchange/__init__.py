"""Import and export of the published formats, and export of rows for TRL."""
