"""The stages as worker processes: each reads from the store, computes, and writes its results back."""
