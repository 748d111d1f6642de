"""Intervals, comparisons of policies, and the held-out answers they are computed from."""
