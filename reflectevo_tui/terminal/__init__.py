"""The terminal itself: environment, repaints, throttling, garbage collection while idle."""
