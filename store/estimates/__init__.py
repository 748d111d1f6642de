"""Estimates of the time, tokens, memory, disk and price of a run, from settings and measured rates."""
