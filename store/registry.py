"""A registry: entries by name, in the order in which they were registered. Knows nothing of what it holds.

What a training setting, a generator, a task kind, a filter or a screen is stands in its entry, and everything else asks
the entry. An extension outside the packages registers its own at run time (docs/extending.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name.

    Args:
        what: what an entry is, for messages, e.g. `training setting`.
        entries: those that are there from the start.
    """

    def __init__(self, what: str, entries: Mapping[str, Entry] | None = None) -> None:
        self._what = what
        self._entries: dict[str, Entry] = dict(entries or {})

    def register(self, name: str, entry: Entry) -> None:
        """Add an entry, behind the others. Raises ValueError when the name is taken."""
        if name in self._entries:
            raise ValueError(f"there is a {self._what} {name!r} already")
        self._entries[name] = entry

    def unregister(self, name: str) -> None:
        """Remove an entry. Raises KeyError when it isn't there."""
        del self._entries[name]

    def unknown(self, name: str) -> str:
        """What to say of a name that is not registered: the nearest one, or all of them."""
        near = difflib.get_close_matches(name, self._entries, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"use {', '.join(self._entries)}"
        return f"there is no {self._what} {name!r}; {hint}"

    def __getitem__(self, name: str) -> Entry:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
