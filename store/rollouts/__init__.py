"""Attempts, reflections, corrections and the trajectories they form."""
