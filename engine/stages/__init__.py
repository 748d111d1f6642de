"""What each child process does for its stage: read from the store, compute, write back."""
