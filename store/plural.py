"""A number with its noun, in the form that English wants. Every message that counts something uses it."""

from __future__ import annotations


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """`1 worked example`, `1,176 worked examples`.

    Args:
        number: how many; thousands are separated.
        noun: the singular.
        plural: where it is not the singular with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
