"""Formats the results of controls for screens, reports and the command line. Pure: stored JSON values in, text out.

A number that was not measured is shown as missing, never as 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.evaluation.control_arms import ARMS, SHUFFLED
from store.evaluation.number_format import NOTHING, counted, interval, percent, signed, signed_interval

TITLE = "Does the reflection help?"

_DRAWS = "the reflection on another wrong answer"


@dataclass(frozen=True, slots=True)
class ControlRow:
    """One arm, or the floor: what stands in place of the reflection, the share right, and `own` minus this share."""

    arm: str
    stands: str
    share: str
    n: str
    difference: str


def _mean(mean: Mapping[str, Any] | None) -> tuple[float | None, float | None, float | None, int]:
    found = mean or {}
    return found.get("value"), found.get("low"), found.get("high"), int(found.get("n") or 0)


def control_rows(results: Mapping[str, Any]) -> list[ControlRow]:
    """Return a row for each measured arm and for the floor; the draws of `shuffled` are one row, their mean."""
    analysis = results["analysis"]
    against = {**analysis["secondary"], **analysis["primary"]}
    order = {arm: place for place, arm in enumerate(ARMS)}
    rows = []
    # `shuffled` has the place of its draws, whose mean it is.
    for arm in sorted(analysis["arms"], key=lambda arm: order.get(arm, order[SHUFFLED[0]])):
        share = analysis["arms"][arm]
        if arm in SHUFFLED:
            continue
        value, low, high, n = _mean(share["overall"])
        stands = _DRAWS if arm == "shuffled" else ARMS[arm].title if arm in ARMS else arm
        rows.append(ControlRow(arm, stands, interval(value, low, high), f"{n:,}", _difference(against.get(arm))))
    value, _, _, n = _mean(analysis["floor"])
    rows.append(ControlRow("floor", "guessing another answer", percent(value), f"{n:,}", _difference(against["floor"])))
    return rows


def _difference(one: Mapping[str, Any] | None) -> str:
    value, low, high, _ = _mean((one or {}).get("overall"))
    if value is None:
        return NOTHING
    return signed(100 * value) if low is None or high is None else signed_interval(value, low, high)


def short_line(results: Mapping[str, Any]) -> str:
    """Return the shares in one line: `own 56.1 · none 52.6 · shuffled 55.3 · told 28.1 · floor 33.3`."""
    parts = [f"{row.arm} {row.share.partition(' %')[0]}" for row in control_rows(results) if row.arm != "own-repeat"]
    return " · ".join(parts)


def dependence_line(results: Mapping[str, Any]) -> str:
    """Return how often the answer depends on which reflection is shown, beside its repeat noise."""
    found = results["analysis"]["dependence"]
    return (
        f"answers differ: own and shuffled {percent(found['differs_shuffled'])}, "
        f"own and own-repeat {percent(found['differs_repeat'])}"
    )


def judgement_lines(results: Mapping[str, Any]) -> list[str]:
    """Return the lines on the policy's own judgement; empty if it was not asked."""
    found = results.get("judgement")
    if not isinstance(found, Mapping):
        return []
    accuracy = found["accuracy"]
    auroc, error = found["auroc"], found["calibration_error"]
    lines = [
        f"own judgement right {interval(accuracy['value'], accuracy['low'], accuracy['high'])}, "
        f"AUROC {NOTHING if auroc is None else f'{auroc:.2f}'}, calibration error {percent(error)}, n = {found['n']:,}"
    ]
    at = found["accuracy_at_threshold"]
    if at["value"] is not None:
        lines.append(
            f"without an oracle, reflecting below a confidence of {found['threshold']:.2f} (chosen on dev): "
            f"{interval(at['value'], at['low'], at['high'])}; keeping every answer: {percent(found['right']['value'])}"
        )
    return [*lines, *found["notes"]]


def remarks(results: Mapping[str, Any]) -> list[str]:
    """Return why arms are missing, what could not be computed, and what to know about the texts."""
    missing = [f"not measured: {arm.partition('-1')[0]} ({why})" for arm, why in sorted(results["unavailable"].items())]
    known = set(results["unavailable"].values())
    return [*missing, *(note for note in results["analysis"]["notes"] if note not in known), *results["remarks"]]


def control_table(policy: str, results: Mapping[str, Any]) -> list[str]:
    """Return the results as lines of text for the command line."""
    whose = "its own" if results["first_answers"] == "own" else "the base policy's"
    head = f"{TITLE} {policy}: {results['analysis']['sentence']}"
    rows: Sequence[tuple[str, ...]] = [
        ("arm", "right", "n", "own − this (points)", ""),
        *((row.arm, row.share, row.n, row.difference, row.stands) for row in control_rows(results)),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    table = [
        f"{row[0]:<{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:>{widths[2]}}  {row[3]:>{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    ]
    about = f"{counted(results['wrong'], 'wrong first answer')} ({whose}) of {results['answered']:,} answered"
    return ["", head, about, "", *table, "", dependence_line(results), *judgement_lines(results), *remarks(results)]
