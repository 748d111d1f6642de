"""SQL of the trajectory list by lift: its filters, and its pages and anchors in the order of the lift.

A list in the order of the lift has two parts: the rows with a known lift, read through a partial index, and after them
in both directions the rows without one, by id. Rows with equal lifts follow each other by id, so that one id is enough
to continue a page. Only reads.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass

from store.records import LiftOrder

LIFT_FILTERS = ("helped", "no difference", "hurt", "unknown")
"""Filters by the sign of the lift; a threshold such as `>= 0.25` is another one."""

_SIGNS = {
    "helped": "t.lift > 0",
    "no difference": "t.lift = 0",
    "hurt": "t.lift < 0",
    "unknown": "t.lift IS NULL",
}
_THRESHOLD = re.compile(r"\s*(?:>=|≥)\s*([+\-−]?\d*\.?\d+)\s*")

Conditions = tuple[str, str, list[object]]
"""FROM clause, WHERE clause and parameters of a filter."""


def lift_threshold(wanted: str) -> float | None:
    """Return the least lift that a filter such as `>= 0.25` admits; None for any other filter."""
    found = _THRESHOLD.fullmatch(wanted)
    return float(found[1].replace("−", "-")) if found else None


def lift_clause(wanted: str) -> tuple[str, list[object]]:
    """Return the condition of a filter by lift and its parameters; an unknown filter matches no row."""
    least = lift_threshold(wanted)
    if least is not None:
        return "t.lift >= ?", [least]
    # No lift is above 1. A constant condition would exclude the indexes that the list is read through.
    return _SIGNS.get(wanted, "t.lift > 1"), []


@dataclass(frozen=True, slots=True)
class ListPart:
    """A part of a list: FROM, WHERE and ORDER BY clauses and parameters."""

    source: str
    where: str
    values: tuple[object, ...]
    order: str


@dataclass(frozen=True, slots=True)
class OrderedList:
    """A list in the order of the lift.

    `conditions` are its filter, whose source is the table `trajectories t` alone; `iteration` and `lift` are those that
    the filter is restricted to, if any: they decide which index and which part is read.
    """

    conditions: Conditions
    order: LiftOrder
    iteration: int | None = None
    lift: str | None = None


def ordered_parts(
    connection: sqlite3.Connection, wanted: OrderedList, *, after: int = 0, backwards: bool = False
) -> list[ListPart]:
    """Return the parts of an ordered list that follow the row `after`, or with `backwards` precede it.

    Args:
        connection: a reader.
        wanted: the list.
        after: an id, exclusive; 0 means from the start, or with `backwards` from the end.
        backwards: read towards the start: parts and rows are in reverse order.

    Returns:
        The parts in the order in which they are read; none if there is no row with the id `after`.
    """
    source, where, values = wanted.conditions
    index = "trajectories_lift" if wanted.iteration is None else "trajectories_iteration_lift"
    sign, word = ("<", "DESC") if (wanted.order == "highest lift") is not backwards else (">", "ASC")
    known, known_values = f"{where} AND t.lift IS NOT NULL", list(values)
    unknown, unknown_values = f"{where} AND t.lift IS NULL", list(values)
    read = {"known": wanted.lift != "unknown", "unknown": wanted.lift in (None, "unknown")}
    if after:
        row = connection.execute("SELECT lift FROM trajectories WHERE id = ?", (after,)).fetchone()
        if row is None:
            return []
        if row[0] is None:
            unknown += f" AND t.id {'<' if backwards else '>'} ?"
            unknown_values.append(after)
            read["known"] &= backwards
        else:
            known += f" AND (t.lift, t.id) {sign} (?, ?)"
            known_values += [row[0], after]
            read["unknown"] &= not backwards
    parts = {
        "known": ListPart(
            f"trajectories t INDEXED BY {index}", known, tuple(known_values), f"t.lift {word}, t.id {word}"
        ),
        "unknown": ListPart(source, unknown, tuple(unknown_values), f"t.id {'DESC' if backwards else 'ASC'}"),
    }
    return [part for name, part in sorted(parts.items(), reverse=backwards) if read[name]]


def ordered_anchors(connection: sqlite3.Connection, wanted: OrderedList, step: int) -> tuple[tuple[int, ...], int]:
    """Return every `step`-th id of an ordered list, after a leading 0, and the number of its rows."""
    kept, total = [0], 0
    for part in ordered_parts(connection, wanted):
        counted = connection.execute(f"SELECT count(*) FROM {part.source} WHERE {part.where}", part.values)
        # Counted by SQLite: fetching a row per trajectory would block all other threads of the terminal meanwhile.
        kept += [
            row[0]
            for row in connection.execute(
                f"SELECT id FROM (SELECT t.id AS id, row_number() OVER (ORDER BY {part.order}) AS n FROM {part.source}"
                f" WHERE {part.where}) WHERE (n + ?) % ? = 0 ORDER BY n",
                (*part.values, total, step),
            )
        ]
        total += counted.fetchone()[0]
    return tuple(kept), total
