"""Entry type of the lists of replies to mathematics questions."""

from __future__ import annotations

Pair = tuple[str, str, bool]
"""A reply, its reference, and whether a careful teacher would call it right."""
