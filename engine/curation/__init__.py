"""Curation: selects the reflections that become training data and records a reason for every exclusion."""
