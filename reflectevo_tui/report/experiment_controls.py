"""The controls of an experiment: the base policy, the end of each series, and the seeds of a series together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reflectevo_tui.experiment.plan import Known, Series, base_policy, held_after
from reflectevo_tui.report.control_blocks import analysis_blocks
from reflectevo_tui.report.document import Block, Cell, Paragraph, Section, Table
from reflectevo_tui.text.control_words import TITLE, control_rows
from store.evaluation.control_analysis import PRIMARY, analyse_seeds
from store.evaluation.control_measurement import measurement_from_json
from store.evaluation.number_format import NOTHING, counted
from store.records import Policy
from store.rollouts.control_results import MEASUREMENT, ControlResults


@dataclass(frozen=True, slots=True)
class SeriesControls:
    """Controls of the end of a series, of its seeds together, or of the base policy."""

    label: str
    policies: tuple[str, ...]
    results: Mapping[str, Any] | None
    """In the form of the stored results of one policy; None if they can't be combined or were not measured."""
    reason: str = ""
    """Why there are no results."""

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON values, without the corrections of each question."""
        shown = {key: value for key, value in (self.results or {}).items() if key != MEASUREMENT}
        return {"label": self.label, "policies": list(self.policies), "reason": self.reason, "results": shown or None}


def controls_of_series(
    series: Sequence[Series], known: Known, measured: Sequence[ControlResults]
) -> tuple[SeriesControls, ...]:
    """Return the controls of an experiment's policies on the test questions; empty if none were measured.

    The seeds of a series are analysed together, with its seeds crossed with the questions, if all of them were measured
    on wrong answers of the same kind.

    Args:
        series: the planned series.
        known: the run's iterations and policies.
        measured: the stored results of the run's controls, oldest first.
    """
    newest = {one.policy_id: one for one in measured if one.results.get("split") == "test"}
    if not newest:
        return ()
    base, found = base_policy(known), []
    if base is not None and base.id in newest:
        found.append(SeriesControls("base", (base.name,), newest[base.id].results))
    by_name: dict[str, list[tuple[Series, Policy]]] = {}
    for one in series:
        end = held_after(one, one.iterations, known)
        if end is not None:
            by_name.setdefault(one.name, []).append((one, end))
    for name, ends in by_name.items():
        for one, policy in ends:
            stored = newest.get(policy.id)
            reason = "" if stored else f"the controls of {policy.name} were not measured"
            found.append(SeriesControls(one.title, (policy.name,), stored.results if stored else None, reason))
        if len(ends) > 1:
            found.append(_together(name, ends, newest))
    return tuple(found)


def _together(name: str, ends: Sequence[tuple[Series, Policy]], newest: Mapping[int, ControlResults]) -> SeriesControls:
    label, policies = f"{name}, {len(ends)} seeds", tuple(policy.name for _, policy in ends)
    missing = [policy.name for _, policy in ends if policy.id not in newest]
    if missing:
        return SeriesControls(label, policies, None, f"the controls of {', '.join(missing)} were not measured")
    several = [newest[policy.id] for _, policy in ends]
    earlier = [one.policy for one in several if MEASUREMENT not in one.results]
    if earlier:
        words = f"the controls of {', '.join(earlier)} were measured by an earlier version; measure them again"
        return SeriesControls(label, policies, None, words)
    if len({one.first_answers for one in several}) > 1:
        return SeriesControls(label, policies, None, "the seeds corrected wrong answers of different policies")
    analysis = analyse_seeds(
        [
            measurement_from_json(one.results[MEASUREMENT], one.results["unavailable"], f"seed {run.seed}")
            for one, (run, _) in zip(several, ends, strict=True)
        ]
    )
    results = {
        "split": "test",
        "first_answers": several[0].first_answers,
        "answered": sum(one.results["answered"] for one in several),
        "wrong": sum(one.results["wrong"] for one in several),
        "unavailable": {},
        "remarks": [],
        "analysis": analysis.as_json(),
        "judgement": None,
    }
    return SeriesControls(label, policies, results)


_ARMS = ("own", "none", "shuffled", "told", "floor")


def controls_compared(found: Sequence[SeriesControls]) -> Section | None:
    """Return the section: all series in one table, then the arms of each series over its seeds; None without controls.

    The report has a section with the arms of each single policy, too.
    """
    if not found:
        return None
    rows: list[tuple[Cell, ...]] = []
    for one in found:
        name = ", ".join(one.policies)
        if one.results is None:
            rows.append((one.label, name, NOTHING, *(NOTHING for _ in _ARMS), *(NOTHING for _ in PRIMARY), one.reason))
            continue
        arms = {row.arm: row for row in control_rows(one.results)}
        rows.append(
            (
                one.label,
                name,
                f"{one.results['wrong']:,}",
                *(arms[arm].share.partition(" (")[0] if arm in arms else NOTHING for arm in _ARMS),
                *(arms[arm].difference if arm in arms else NOTHING for arm in PRIMARY),
                str(one.results["analysis"]["sentence"]),
            )
        )
    head = ("Series", "Policy", "Wrong answers", *_ARMS, *(f"own − {name}" for name in PRIMARY), "In words")
    blocks: list[Block] = [Table(head, tuple(rows), labels=2, title="Right corrections, and differences in points")]
    for one in found:
        if one.results is not None and len(one.policies) > 1:
            wrong = counted(one.results["wrong"], "wrong first answer")
            blocks += analysis_blocks(one.label, f"{one.label}, test questions, {wrong}", one.results)
    note = (
        "Over several seeds, seeds are crossed with questions: an interval covers another seed, too, and its p value, "
        "sentence and smallest difference belong to all seeds together. A question counts with the seeds that answered "
        "it wrong at first."
    )
    return Section(f"{TITLE} All series", (*blocks, Paragraph(note, "note")))
