"""Storage of imported files, and paged queries for exports."""
