"""Prompts: pure, versioned functions, and what a prompt must not state."""
