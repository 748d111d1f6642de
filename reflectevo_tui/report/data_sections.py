"""The sections about the data behind a policy: instructions, curation, single trajectories, and reviews."""

from __future__ import annotations

import json

from reflectevo_tui.report.document import Bars, Block, Facts, Folded, Heat, Paragraph, Section, Table, Verbatim
from reflectevo_tui.report.formatting import percent, ratio
from reflectevo_tui.report.report_contents import RunReport
from store.curation.reflection_measures import HEAD, cells
from store.curation.reviews import ERROR_KINDS
from store.curation.training_settings import SET_TITLES
from store.runs.summaries import ExampleTrajectory

_ALL = "all"


def instructions(report: RunReport) -> Section | None:
    """Return the section on the share of reflections that led to a correct answer, by instruction and task."""
    if not report.yields:
        return None
    cells = dict(report.yields)
    by_instruction = {(instruction, task): outcome for (task, instruction), outcome in cells.items()}
    rows = sorted({instruction for _, instruction in cells})
    columns = sorted({task for task, _ in cells})
    for row in rows:
        by_instruction[(row, _ALL)] = _total(by_instruction, [(row, task) for task in columns])
    for column in (*columns, _ALL):
        by_instruction[(_ALL, column)] = _total(by_instruction, [(row, column) for row in rows])
    note = (
        "Share of reflections on wrong training answers whose correction was right (i→c), of all iterations. Keys are "
        "verify-locate-plan, as in the pool of 2 × 8 × 2."
    )
    shown = (*columns, _ALL) if len(columns) > 1 else tuple(columns)
    heat = Heat("Instruction", (*rows, _ALL), shown, by_instruction)
    return Section("Yield of the reflection instructions", (Paragraph(note, "note"), heat))


def _total(cells: dict[tuple[str, str], tuple[int, int]], keys: list[tuple[str, str]]) -> tuple[int, int]:
    known = [cells[key] for key in keys if key in cells]
    return sum(good for good, _ in known), sum(tried for _, tried in known)


def curation(report: RunReport) -> Section | None:
    """Return the section on curation, from candidates to training examples, with all exclusion reasons."""
    blocks: list[Block] = []
    for one in report.curated:
        for key, name in SET_TITLES.items():
            reasons = one.sets.get(key)
            if not reasons:
                continue
            left_out = sorted(
                ((reason, n) for reason, n in reasons.items() if reason != "included"),
                key=lambda row: (-row[1], row[0]),
            )
            rows = (("included", reasons.get("included", 0)), *left_out)
            blocks.append(Bars(f"Iteration {one.iteration}, {name}", sum(reasons.values()), rows))
    return Section("Curation: what was trained on, and what was left out", tuple(blocks)) if blocks else None


def reflections(report: RunReport) -> Section | None:
    """Return the section on diversity, grounding and novelty of the reflections, by iteration."""
    if not report.reflections:
        return None
    note = (
        "Of up to 200 reflections per iteration: mean similarity of their pairs, share of distinct word 3-grams, share "
        "that name something specific to their question or attempt (grounded), and share that differ from the previous "
        "iteration's and the worked examples' (novel; novelty is the mean difference from the nearest of these). A "
        "fixed sentence is grounded for at most about 10 % of the questions."
    )
    rows = tuple((str(number), *cells(one)) for number, one in report.reflections.items())
    return Section("What the reflections say", (Table(("Iteration", *HEAD), rows), Paragraph(note, "note")))


def examples(report: RunReport) -> Section | None:
    """Return the section that shows a few complete trajectories."""
    blocks: list[Block] = []
    for title, chosen in (
        ("Reflections that led to a right answer (i→c)", report.worked),
        ("Reflections that did not help (i→i)", report.failed),
    ):
        if chosen:
            blocks.append(Paragraph(f"{title}:"))
            blocks.extend(_example(one) for one in chosen)
    if not blocks:
        return None
    note = (
        "The first of each task in the newest iteration, without flags; not chosen by hand. Texts are the model's own, "
        "control characters made visible."
    )
    return Section("Reflections in full", (Paragraph(note, "note"), *blocks))


def _example(one: ExampleTrajectory) -> Folded:
    options = json.loads(one.options) if one.options else []
    lines = [one.question, *(f"{chr(65 + position)}. {option}" for position, option in enumerate(options))]
    title = f"{one.task} · instruction {one.instruction} · iteration {one.iteration} · trajectory {one.id}"
    return Folded(
        title,
        (
            Verbatim("Question", "\n".join(lines)),
            Verbatim("Reference answer", one.reference),
            Verbatim("Attempt 1", one.attempt),
            Verbatim("Reflection", one.reflection),
            Verbatim("Correction", one.correction),
        ),
    )


def reviews(report: RunReport) -> Section | None:
    """Return the section on operators' review decisions."""
    found = report.reviews
    if found is None and not report.preferences:
        return None
    rows: list[tuple[str, str]] = []
    if found is not None:
        decided = found.accepted + found.rejected
        share = {
            "value": found.accepted / decided if decided else None,
            "low": found.good.low,
            "high": found.good.high,
            "n": float(decided),
        }
        rows = [
            ("Reviewed", f"{decided + found.flagged} reflections; reviewers: {found.reviewers}"),
            ("Decisions", f"{found.accepted} accepted, {found.rejected} rejected, {found.flagged} flagged"),
            ("Accepted, of those accepted or rejected", str(percent(share))),
            ("Agreement with the verifier", f"{ratio(found.agreed, found.judged)} of {found.judged}"),
        ]
        if found.error_kinds:
            kinds = (f"{ERROR_KINDS[kind - 1]} {n}" for kind, n in found.error_kinds.items())
            rows.append(("Kinds of error", ", ".join(kinds)))
    if report.preferences:
        rows.append(("Preferences", ", ".join(f"{n} by {source}" for source, n in report.preferences.items())))
    return Section("Reviews", (Facts(tuple(rows)),))
