"""Imports, and the pages that an export reads."""
