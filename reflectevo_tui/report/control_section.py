"""The section of a report on the controls: whether the content of the reflections helps, policy by policy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reflectevo_tui.report.control_blocks import analysis_blocks
from reflectevo_tui.report.document import Block, Folded, Paragraph, Section, Table
from reflectevo_tui.report.report_contents import RunReport
from reflectevo_tui.text.control_words import TITLE
from store.evaluation.number_format import counted, percent
from store.rollouts.control_results import ControlResults


def controls(report: RunReport) -> Section | None:
    """Return the section; None if no controls were measured."""
    if not report.controls:
        return None
    note = (
        "Every wrong first answer is corrected once per arm, greedily and with the same prompt; the arms differ in "
        "what replaces the reflection. Shares are means over tasks. The sentence follows from the intervals "
        "of own − shuffled, own − none and own − floor alone. `told` states the right answer: it shows whether "
        "the policy uses the text in its place, and none of its texts is trained on."
    )
    blocks = [block for one in report.controls for block in _of_policy(one)]
    return Section(TITLE, (Paragraph(note, "note"), *blocks))


def _of_policy(one: ControlResults) -> list[Block]:
    results = one.results
    whose = "its own" if one.first_answers == "own" else "the base policy's"
    wrong = counted(results["wrong"], "wrong first answer")
    blocks = analysis_blocks(one.policy, f"{one.policy}, {results['split']} questions, {wrong} ({whose})", results)
    judged = results.get("judgement")
    if isinstance(judged, Mapping) and judged["n"]:
        blocks.append(Folded(f"Own judgement of {one.policy}: calibration and thresholds", _judgement_tables(judged)))
    return blocks


def _judgement_tables(judged: Mapping[str, Any]) -> tuple[Table, ...]:
    bins = tuple(
        (f"{one['low']:.1f} to {one['high']:.1f}", f"{one['n']:,}", percent(one["confidence"]), percent(one["right"]))
        for one in judged["bins"]
    )
    tables = [Table(("Confidence", "Answers", "Mean confidence", "Right"), bins)]
    if judged["curve"]:
        curve = tuple(
            (f"below {one['threshold']:.2f}", percent(one["reflected"]), percent(one["accuracy"]))
            for one in judged["curve"]
        )
        tables.append(Table(("Reflect when the confidence is", "Reflected on", "Oracle-free accuracy"), curve))
    return tuple(tables)
