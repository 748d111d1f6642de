"""Fields of imported records that rows do not store, kept so that no data is lost.

`remainder` returns the difference between a record and the record rebuilt from its rows; `restored` merges both. For
every record, `restored(rebuilt, remainder(record, rebuilt)) == record`.

Prompts repeat the question, the attempt and the reflection within a wording that thousands of records share: they are
stored as a reference to that wording (`condensed`).

Pure: independent of formats and databases.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

_SHORTEST_PART = 16
"""Shortest replaced text, in characters. Shorter ones occur by chance and would make each wording unique."""
_OPEN, _CLOSE = "\ue000", "\ue001"

Json = dict[str, Any]


def same(one: object, other: object) -> bool:
    """Check for equality as JSON: `1`, `1.0` and `true` are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, str):
        return one == other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other or (one != one and other != other)


def remainder(record: Mapping[str, Any], rebuilt: Mapping[str, Any]) -> Json:
    """Return the fields that differ from the rebuilt record (`set`), and the rebuilt fields it lacks (`absent`)."""
    changed = {
        key: value
        for key, value in record.items()
        # Identity is checked first, because comparing the texts of 460,000 records takes too long.
        if key not in rebuilt or not (value is rebuilt[key] or same(value, rebuilt[key]))
    }
    absent = [key for key in rebuilt if key not in record]
    left: Json = {}
    if changed:
        left["set"] = changed
    if absent:
        left["absent"] = absent
    return left


def restored(rebuilt: Mapping[str, Any], left: Mapping[str, Any]) -> Json:
    """Return the record: the rebuilt fields, in their order, merged with the remainder."""
    absent = left.get("absent", ())
    return {key: value for key, value in {**rebuilt, **left.get("set", {})}.items() if key not in absent}


def condensed(text: str, parts: Sequence[str]) -> str | None:
    """Return the wording of a prompt: its text with each part replaced by a number; None if that is irreversible."""
    if _OPEN in text:
        return None
    wording = text
    for mark, part in sorted(_marked(parts), key=lambda item: -len(item[1])):
        if len(part) >= _SHORTEST_PART:
            wording = wording.replace(part, mark)
    return wording if expanded(wording, parts) == text else None


def expanded(wording: str, parts: Sequence[str]) -> str:
    """Return the prompt that `condensed` reduced to this wording, given the same parts."""
    if _OPEN in wording:
        for mark, part in _marked(parts):
            wording = wording.replace(mark, part)
    return wording


def _marked(parts: Sequence[str]) -> list[tuple[str, str]]:
    """Return each part, as it is and stripped, with the mark that replaces it."""
    marked = []
    for number, part in enumerate(parts):
        marked.append((f"{_OPEN}{number}{_CLOSE}", part))
        if (bare := part.strip()) != part:
            marked.append((f"{_OPEN}{number} bare{_CLOSE}", bare))
    return marked


@lru_cache(maxsize=256)
def digest(text: str) -> str:
    """Return the key of a wording: 128 bits of its SHA-256, in hex."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
