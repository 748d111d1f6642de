"""Simulated operator: types on the Monitor and in the list, and recognises a repaint by its words.

Every method that times something returns seconds, one value for each repetition.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from tests.bench.pseudo_terminal import PseudoTerminal

_CURSOR_ROW = re.compile(r"▸[\x1f ]*([\d,]+)[\x1f ]")
_ROW = re.compile(r"[\x1f ]([\d,]+)[\x1f ]+[a-z_]+[\x1f ]+(?:[icu]→[icu]|[icu])[\x1f ]")
_NUMBER = re.compile(r"\d[\d,]*")

HOME, DOWN_PAGE = b"\x1b[H", b"\x1b[6~"
WORDS = (
    *("passage", "premise", "colour", "substitute", "difference", "meeting", "discount", "simplify"),
    *("neighbouring question", '"counted twice"', "sentence says", "remaining cases", "memory", "options", "line"),
    *("group before", "total taken", "wrong pair", "larger numbers", "train north"),
)
"""Searches, from words that occur in a large part of the rows to phrases."""


def _far(found: Iterable[int]) -> list[int]:
    """Return trajectories that are not near the start of the list."""
    return [one for one in found if one > 500]


def _number(text: str) -> int:
    return int(text.replace(",", "") or 0)


def cursor_ids(text: str) -> list[int]:
    """Return the trajectories under the cursor of the list, in the order in which they were painted."""
    return [_number(found) for found in _CURSOR_ROW.findall(text)]


def row_ids(text: str) -> set[int]:
    """Return the trajectories whose rows were painted."""
    return {_number(found) for found in _ROW.findall(text)}


class Hands:
    """Types on a terminal on which the application was just started."""

    def __init__(self, terminal: PseudoTerminal) -> None:
        self._terminal = terminal

    def see_monitor(self, rows: int) -> float:
        """Wait for the first full frame, and return when it was complete: the newest trajectory is painted last."""
        return self._terminal.until(lambda seen: any(_number(one) >= rows for one in _NUMBER.findall(seen)))

    def open_list(self) -> None:
        """Open Trajectories with the cursor on the first row, and wait until everything is counted."""
        self._terminal.repaint(b"2", cursor_ids)
        self._terminal.settle(0.5, 5)
        self._terminal.repaint(b"jk", cursor_ids)
        self._terminal.settle(0.5, 5)

    def keys(self, times: int = 100) -> list[float]:
        """Move down and up in the list."""
        self._home()
        taken, at = [], 1
        for n in range(times):
            step = -1 if n % 4 == 3 else 1
            at += step
            key = b"j" if step > 0 else b"k"
            taken.append(self._terminal.repaint(key, lambda seen, at=at: at in cursor_ids(seen), after=0.25))
        return taken

    def jumps(self, times: int = 10) -> list[float]:
        """Jump to the end of the list and of a filtered one, neither of which was read before."""
        taken = []
        for n in range(times):
            self._filter(1 + n % 3)
            for lift in (False, True):
                if lift:
                    self._unfilter()
                self._terminal.settle(0.4, 3)
                taken.append(self._terminal.repaint(b"G", lambda seen: _far(cursor_ids(seen))))
            self._home()
        return taken

    def jumps_anywhere(self, rows: int, times: int = 24) -> list[float]:
        """Jump to rows all over the list, none of which was read before, timed from the key that confirms the typed
        position.
        """
        taken = []
        for n in range(times):
            # Far from one another and from both ends: steps of the golden ratio cover a list evenly.
            row = int(rows * ((n + 1) * 0.618034 % 1.0))
            self._terminal.repaint(b":", lambda seen: "Go to a row" in seen)
            self._terminal.repaint(str(row).encode(), lambda seen, row=row: str(row)[-2:] in seen)
            self._terminal.settle(0.3)
            taken.append(self._terminal.repaint(b"\r", lambda seen, row=row: row in cursor_ids(seen)))
        self._home()
        return taken

    def pages(self, times: int = 60) -> list[float]:
        """Page through a filtered list."""
        self._filter(1)
        taken, last = [], 0
        for _ in range(times):
            seen_last = [last]

            def further(seen: str, seen_last: list[int] = seen_last) -> bool:
                found = [one for one in cursor_ids(seen) if one > seen_last[0]]
                if found:
                    seen_last[0] = found[-1]
                return bool(found)

            taken.append(self._terminal.repaint(DOWN_PAGE, further))
            last = seen_last[0]
        self._unfilter()
        return taken

    def filters(self, values: Sequence[int] = (1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4)) -> list[float]:
        """Show the first page of a filter, timed from the key that chooses it."""
        taken = []
        for value in values:
            taken.append(self._filter(value))
            self._unfilter()
        return taken

    def searches(self) -> list[float]:
        """Show the first page of a full-text search, timed from the key that starts it."""
        taken = []
        for words in WORDS:
            self._terminal.repaint(b"/", lambda seen: "enter searches" in seen)
            self._terminal.repaint(words.encode(), lambda seen, words=words: words[-3:] in seen)
            taken.append(self._terminal.repaint(b"\r", cursor_ids))
            self._unfilter()
        return taken

    def switches(self, times: int = 40) -> list[float]:
        """Switch between Monitor and Trajectories, both seen before."""
        taken = []
        for _ in range(times // 2):
            taken.append(self._terminal.repaint(b"1", lambda seen: "Newest" in seen))
            taken.append(self._terminal.repaint(b"2", row_ids))
        return taken

    def _home(self) -> None:
        """Move cursor and window to the first row."""
        self._terminal.repaint(b"j" + HOME, lambda seen: 1 in cursor_ids(seen))
        self._terminal.settle(0.1)

    def _filter(self, value: int) -> float:
        """Choose the value at that position of the first filter, the transitions."""
        self._terminal.repaint(b"F", lambda seen: "Filter trajectories" in seen)
        self._terminal.repaint(b"\r", lambda seen: "→" in seen)
        for _press in range(value):
            self._terminal.write(b"\x1b[B")
            self._terminal.settle()
        return self._terminal.repaint(b"\r", cursor_ids)

    def _unfilter(self) -> None:
        self._terminal.settle(0.1, 2)
        self._terminal.repaint(b"X", cursor_ids)
        self._terminal.settle(0.1, 2)
