"""Held-out evaluation: the answers to generate, and the metrics of the stored ones."""
