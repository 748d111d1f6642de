"""Number formats of reports and tables: percent with intervals, percentage points, tokens, durations.

A missing measurement is shown as such, never as 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from store.evaluation import number_format
from store.evaluation.floors import FLOOR, floor_value
from store.evaluation.intervals import p_words
from store.evaluation.number_format import signed

NOT_MEASURED = "not measured"

Measured = Mapping[str, float | None]
"""A stored metric: `value`, `low`, `high`, `n`."""


@dataclass(frozen=True, slots=True)
class Number:
    """A formatted number: the value, and in `aside` its interval and sample size; `aside` can be empty."""

    value: str
    aside: str = ""

    def __str__(self) -> str:
        return f"{self.value} {self.aside}".rstrip()


MISSING = Number(NOT_MEASURED)

METRIC_NAMES: Mapping[str, str] = {
    "acc_t1": "Acc@t1",
    "acc_t2": "Acc@t2",
    FLOOR: "Floor of Acc@t2",
    "delta": "Δ(t1,t2)",
    "i_to_c": "i→c",
    "c_to_i": "c→i",
    "unreadable_t1": "no readable answer@t1",
    "unreadable_t2": "no readable answer@t2",
    "acc_retry": "Acc, retry",
    "retry_i_to_c": "retry i→c",
    "acc_retry_budget": "Acc, retry at equal tokens",
    "acc_retry_vote_budget": "Acc, retries voted",
    "acc_vote": "Acc, vote",
    "acc_vote_budget": "Acc, vote at equal tokens",
    "acc_vote_rounds": "Acc, vote over rounds",
    "em_t1": "EM@t1",
    "em_t2": "EM@t2",
    "f1_t1": "F1@t1",
    "f1_t2": "F1@t2",
    "f1_improved": "F1 improved",
    "tokens_attempt": "attempt",
    "tokens_reflection": "reflection",
    "tokens_correction": "correction",
    "tokens_retry": "retry",
    "tokens_retry_budget": "retry at equal tokens",
    "tokens_retry_vote_budget": "retries voted",
    "tokens_vote": "vote",
    "tokens_vote_budget": "vote at equal tokens",
}
"""Display name of each stored metric; `acc_t3` and later turns are named by `metric_name`."""

_DIFFERENCES = frozenset({"delta"})


def metric_name(name: str) -> str:
    """Return the display name of a stored metric."""
    if name.startswith("acc_t") and name[5:].isdecimal():
        return f"Acc@t{name[5:]}"
    return METRIC_NAMES.get(name.removeprefix("prompt_"), name)


def metric(name: str, measured: Measured | None) -> Number:
    """Format a stored metric by its kind: a share in percent, a difference in percentage points, or tokens."""
    if name.startswith(("tokens_", "prompt_tokens_")):
        return tokens(measured)
    if name == FLOOR:
        return Number(floor_value(measured))
    return points(measured) if name in _DIFFERENCES else percent(measured)


def _parts(measured: Measured | None) -> tuple[float, float | None, float | None, int | None] | None:
    value = None if measured is None else measured.get("value")
    if measured is None or value is None:
        return None
    n = measured.get("n")
    return value, measured.get("low"), measured.get("high"), None if n is None else int(n)


def percent(measured: Measured | None) -> Number:
    """Format a share, e.g. `38.3 %` with `30.1–47.2, n 120`."""
    parts = _parts(measured)
    if parts is None:
        return MISSING
    value, low, high, n = parts
    interval = "" if low is None or high is None else f"{100 * low:.1f}–{100 * high:.1f}"
    return Number(number_format.percent(value), _aside(interval, n))


def points(measured: Measured | None) -> Number:
    """Format a difference of shares in percentage points, e.g. `+3.3` with `−4.2 to +10.8, n 120`."""
    parts = _parts(measured)
    if parts is None:
        return MISSING
    value, low, high, n = parts
    interval = "" if low is None or high is None else f"{signed(100 * low)} to {signed(100 * high)}"
    return Number(signed(100 * value), _aside(interval, n))


def tokens(measured: Measured | None) -> Number:
    """Format tokens per question, e.g. `61.5` with `58.0–65.1, n 120`."""
    parts = _parts(measured)
    if parts is None:
        return MISSING
    value, low, high, n = parts
    interval = "" if low is None or high is None else f"{low:.1f}–{high:.1f}"
    return Number(f"{value:.1f}", _aside(interval, n))


def _aside(interval: str, n: int | None) -> str:
    parts = [part for part in (interval, "" if n is None else f"n {number_format.count(n)}") if part]
    return f"({', '.join(parts)})" if parts else ""


def p_value(p: float | None) -> str:
    """Format a p value, e.g. `0.54` or `< 0.001`."""
    return NOT_MEASURED if p is None else p_words(p).removeprefix("= ")


def duration(seconds: float | None) -> str:
    """Format a duration in seconds; `not measured` for None."""
    return NOT_MEASURED if seconds is None else number_format.duration(seconds)


def count(number: int | None) -> str:
    """Format an integer; `not measured` for None."""
    return NOT_MEASURED if number is None else number_format.count(number)


def ratio(part: int, whole: int) -> str:
    """Format `part / whole` in percent; `not measured` when `whole` is 0."""
    return number_format.share_of(part, whole, missing=NOT_MEASURED)


def figure(value: float) -> str:
    """Format a loss or another plain number with four significant digits."""
    return f"{value:.4g}"
