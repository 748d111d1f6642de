"""Prompts as pure, versioned functions, and the check that a prompt does not leak its target."""
