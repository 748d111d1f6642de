"""Terminal integration: environment, repaints, throttling, garbage collection while idle."""
