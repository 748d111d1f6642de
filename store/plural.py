"""Formats a count with its noun in the singular or plural; used by every message that states a count."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun: `1 worked example`, `1,176 worked examples`.

    Args:
        number: the count; thousands are separated by commas.
        noun: the singular.
        plural: the plural, unless it is the singular with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
