"""Client of the engine process: start, directives, preflight checks, following a run."""
