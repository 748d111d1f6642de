"""The engine: how the next policy comes about."""
