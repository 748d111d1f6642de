"""A place in a long list, as an operator types it: the number of a row, a share of the list, or a trajectory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

_FORM = re.compile(r"(?P<mark>#?)\s*(?P<number>\d[\d,_ ]*(?:\.\d+)?)\s*(?P<percent>%?)")

HINT = "250,000 · 50% · #88213"


class NoSuchPlace(ValueError):
    """What was typed is no place in the list; the message says why, for the operator."""


@dataclass(frozen=True, slots=True)
class Place:
    """`position` counts rows from 0; with `trajectory` it is that id which is wanted, wherever it stands."""

    position: int = 0
    trajectory: int | None = None


def read_place(typed: str, total: int, newest: int, *, counted: bool = True) -> Place:
    """The place that was typed.

    Args:
        typed: a row counted from 1 (`250,000`), a share of the list (`50%`), or an id (`#88213`).
        total: rows of the list.
        newest: the highest id in it.
        counted: whether `total` is all of it, and not only what is known while it is counted.

    Raises:
        NoSuchPlace: when it is none of these, or lies outside the list.
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
