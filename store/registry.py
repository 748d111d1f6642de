"""A generic registry: entries by name, in the order of registration.

Training settings, generators, task kinds, filters and screens are described by their entries, and the rest of the
program reads the entry instead of comparing names. An extension outside the packages registers its own entries at run
time (docs/extending.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name.

    Args:
        what: noun for an entry in messages, e.g. `training setting`.
        entries: initial entries.
    """

    def __init__(self, what: str, entries: Mapping[str, Entry] | None = None) -> None:
        self._what = what
        self._entries: dict[str, Entry] = dict(entries or {})

    def register(self, name: str, entry: Entry) -> None:
        """Add an entry after the others. Raises ValueError when the name is taken."""
        if name in self._entries:
            raise ValueError(f"there is a {self._what} {name!r} already")
        self._entries[name] = entry

    def unregister(self, name: str) -> None:
        """Remove an entry. Raises KeyError for an unknown name."""
        del self._entries[name]

    def unknown(self, name: str) -> str:
        """Return an error message for an unregistered name that suggests the nearest name, or lists all of them."""
        near = difflib.get_close_matches(name, self._entries, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"use {', '.join(self._entries)}"
        return f"there is no {self._what} {name!r}; {hint}"

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
