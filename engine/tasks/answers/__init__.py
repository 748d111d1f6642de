"""Extraction and comparison of answers: LaTeX, quantities, mathematical equality, assertions about programs."""
