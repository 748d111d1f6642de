"""Parses a position in a long list typed by an operator: a row number, a share of the list, or a trajectory id."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

_FORM = re.compile(r"(?P<mark>#?)\s*(?P<number>\d[\d,_ ]*(?:\.\d+)?)\s*(?P<percent>%?)")

HINT = "250,000 · 50% · #88213"


class NoSuchPlace(ValueError):
    """Raised when the input is not a position in the list; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Place:
    """A position in a list: a row from 0, or the trajectory with an id when `trajectory` is set."""

    position: int = 0
    trajectory: int | None = None


def read_place(typed: str, total: int, newest: int, *, counted: bool = True) -> Place:
    """Parse the input.

    Args:
        typed: a row counted from 1 (`250,000`), a share of the list (`50%`), or an id (`#88213`).
        total: rows of the list.
        newest: the highest id in it.
        counted: whether `total` is final, and not the number of rows counted so far.

    Raises:
        NoSuchPlace: when the input is none of these, or outside the list.
    """
    if not total:
        raise NoSuchPlace("the list is empty")
    form = _FORM.fullmatch(typed.strip())
    if form is None or (form["mark"] and form["percent"]):
        raise NoSuchPlace("type a row (250,000), a share (50%) or a trajectory (#88213)")
    if not counted and not form["mark"]:
        raise NoSuchPlace("the list is still being counted; wait a moment, or type a trajectory (#88213)")
    number = Decimal(re.sub("[,_ ]", "", form["number"]))
    if form["percent"]:
        if number > 100:
            raise NoSuchPlace("a share is at most 100%")
        return Place(min(int(total * number / 100), total - 1))
    if number % 1:
        raise NoSuchPlace("rows and trajectories are whole numbers; for a share add %")
    last, what = (newest, "trajectory is #") if form["mark"] else (total, "row is ")
    if not 1 <= number <= last:
        raise NoSuchPlace(f"the last {what}{last:,}")
    return Place(trajectory=int(number)) if form["mark"] else Place(int(number) - 1)
