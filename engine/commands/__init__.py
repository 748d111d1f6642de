"""One-shot commands of `python -m engine`."""
