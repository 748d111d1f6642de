"""Rollouts: the plan of attempts, reflections and corrections, and the runner that executes it."""
