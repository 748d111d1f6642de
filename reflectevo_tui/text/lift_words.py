"""Formats the lift of a reflection: in a list row, in a sentence, and as a filter or an order. Pure text."""

from __future__ import annotations

from collections.abc import Mapping

from reflectevo_tui.text.display import Part
from store.evaluation.number_format import signed
from store.records import LiftOrder
from store.rollouts.lift import ReflectionLift
from store.rollouts.lift_order import lift_threshold

UNKNOWN = "·"
"""Stands in a list row for a lift that is unknown."""

ORDERS: Mapping[LiftOrder | None, LiftOrder | None] = {
    None: "highest lift",
    "highest lift": "lowest lift",
    "lowest lift": None,
}
"""For each order of a list the one that follows it; None is the order without lifts."""

NO_LIFTS = "No lift is known here: correction.samples above 1 measures the lift of each reflection."

_FILTERS = {
    "helped": "helped",
    "no difference": "made no difference",
    "hurt": "hurt",
    "unknown": "lift unknown",
}


def lift_mark(lift: float | None) -> str:
    """Format a lift such as `+0.50`, `−0.25` or `0.00`; `·` if it is unknown."""
    return UNKNOWN if lift is None else signed(lift, 2)


def lift_style(lift: float | None) -> str:
    """Return the style of a lift; its sign conveys the meaning without colour."""
    if not lift:
        return "$quiet"
    return "bold $success" if lift > 0 else "bold $error"


def lift_parts(lift: ReflectionLift) -> list[Part]:
    """Format a sentence such as `with it 3 of 4 right, without it 1 of 4: lift +0.50`."""
    shares = _share(lift.right_with, lift.n_with, " right"), _share(lift.right_without, lift.n_without, "")
    known = "unknown" if lift.lift is None else lift_mark(lift.lift)
    return [(f"with it {shares[0]}, without it {shares[1]}: lift ", "$quiet"), (known, lift_style(lift.lift))]


def _share(right: int, n: int, word: str) -> str:
    return f"{right} of {n}{word}" if n else "none verified"


def lift_filter_label(wanted: str) -> str:
    """Return the label of a filter by lift, such as `helped` or `lift ≥ +0.25`."""
    least = lift_threshold(wanted)
    return _FILTERS.get(wanted, wanted) if least is None else f"lift ≥ {lift_mark(least)}"


def order_label(order: str) -> str:
    """Return the label of an order, such as `highest lift first`."""
    return f"{order} first"
