"""What the terminal asks of the engine: start, directives, preflight checks, following a run."""
