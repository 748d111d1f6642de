"""Held-out evaluation: which answers are asked for, and the metrics of those that are stored."""
