"""Models on disk: resolving names, weights, remote code, precision and policy directories."""
