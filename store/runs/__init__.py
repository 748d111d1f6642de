"""Runs, iterations, stages, policies and lineage."""
