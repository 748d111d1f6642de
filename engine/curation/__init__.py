"""Curation: which reflections become training data, and the reason for everything left out."""
