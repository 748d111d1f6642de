"""The section of a report on error kinds and localisation: what reviewers recorded about errors and reflections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict

from reflectevo_tui.report.document import Block, Cell, Folded, Paragraph, Section, Table
from reflectevo_tui.report.formatting import count, percent
from reflectevo_tui.report.report_contents import RunReport
from store.curation.review_analysis import ErrorShares, ReviewedErrors
from store.curation.reviews import ERROR_KINDS, NAMES_ERROR
from store.evaluation.number_format import counted
from store.evaluation.number_format import percent as plain_percent

TITLE = "Error kinds and localisation"

HOW = (
    "No review of this run records a kind of error, or whether a reflection names the error. To get these shares, draw "
    "a random sample on the Review screen (t, then for example 50 0 for 50 reflections with seed 0). With each "
    "decision record the kind of error (1 to 9), and whether the reflection names it (e yes, d partly, c no)."
)

_NOTE = (
    "For a reflection on a wrong attempt a reviewer records the kind of error in the attempt, and whether the "
    "reflection names that error. The newest review of each reflection counts. n is the number of reflections for "
    "which it is recorded; intervals are 95 % Wilson intervals."
)
_SAMPLED = (
    "From a random sample of each iteration, spread evenly over task × transition: each of these cells is weighted by "
    "its number of reflections, and the interval is that of the effective sample size. 'Read' is the reviewed part of "
    "the sample. The shares of a sample that is not completely read are estimates for the iteration only if its "
    "reflections were read in the order of the sample."
)
_ALL = (
    "All reviewed reflections, unweighted. These shares describe what was read. They are not the shares of the "
    "iteration where reviewers chose the reflections, or where a sample was spread evenly over the transitions."
)

Row = tuple[ReviewedErrors, ErrorShares]


def reviewed_errors(report: RunReport) -> Section | None:
    """Return the section; one sentence on how to get it without such reviews, None where nothing can be reviewed."""
    if not report.yields and not report.reviewed_errors:
        return None
    found = [one for one in report.reviewed_errors if one.reviewed.kinds_n or one.reviewed.names_n]
    if not found:
        return Section(TITLE, (Paragraph(HOW, "note"),))
    blocks: list[Block] = [Paragraph(_NOTE, "note")]
    sampled = [(one, one.sample.shares) for one in found if one.sample is not None and _recorded(one.sample.shares)]
    by_iteration = [(one, one.reviewed) for one in found if one.iteration is not None]
    everything: list[Paragraph | Table] = [Paragraph(_ALL, "note"), *_tables(by_iteration, _read)]
    several = [(one, one.reviewed) for one in found if one.iteration is None and _iterations(one.policy, found) > 1]
    if several:
        everything += _tables(several, _read)
    if sampled:
        blocks += [Paragraph(_SAMPLED, "note"), *_tables(sampled, _read_of_drawn), *_missing(sampled)]
        blocks.append(Folded("All reviewed reflections", tuple(everything)))
    else:
        blocks += everything
    left_out = sum(one.not_counted for one in report.reviewed_errors if one.iteration is not None and not one.task)
    if left_out:
        words = counted(left_out, "reviewed reflection")
        blocks.append(
            Paragraph(f"Not counted: {words} on right or unjudged attempts, which have no error to name.", "note")
        )
    return Section(TITLE, tuple(blocks))


def _recorded(shares: ErrorShares) -> bool:
    return bool(shares.kinds_n or shares.names_n)


def _iterations(policy: str, found: Sequence[ReviewedErrors]) -> int:
    return len({one.iteration for one in found if one.policy == policy and one.iteration is not None})


def _read(one: ReviewedErrors) -> str:
    return count(one.reviewed.read)


def _read_of_drawn(one: ReviewedErrors) -> str:
    assert one.sample is not None
    return f"{count(one.sample.shares.read)} of {count(one.sample.drawn)}, seed {one.sample.seed}"


def _tables(rows: Sequence[Row], read: Callable[[ReviewedErrors], str]) -> list[Table]:
    """Return the table of localisation and that of error kinds, without the kinds that no review has."""
    head = ("Iteration", "Policy", "Task", "Read")
    first = [(_labels(one, read), shares) for one, shares in rows]
    tables = []
    if any(shares.names for _, shares in first):
        cells: list[tuple[Cell, ...]] = [
            (*labels, *(percent(asdict(shares.names[word])) if shares.names else percent(None) for word in NAMES_ERROR))
            for labels, shares in first
        ]
        names = ("Names the error", "Names it partly", "Does not name it")
        tables.append(
            Table((*head, *names), tuple(cells), labels=len(head), title="Do the reflections name the error?")
        )
    used = sorted({kind for _, shares in first for kind, share in shares.kinds.items() if share.value})
    if used:
        cells = [
            (*labels, *(percent(asdict(shares.kinds[kind])) if shares.kinds else percent(None) for kind in used))
            for labels, shares in first
        ]
        kinds = (ERROR_KINDS[kind - 1].capitalize() for kind in used)
        tables.append(Table((*head, *kinds), tuple(cells), labels=len(head), title="Kinds of error in the attempts"))
    return tables


def _labels(one: ReviewedErrors, read: Callable[[ReviewedErrors], str]) -> tuple[str, ...]:
    number = "all" if one.iteration is None else str(one.iteration)
    return number, one.policy, one.task or "all tasks", read(one)


def _missing(sampled: Sequence[Row]) -> list[Paragraph]:
    """Return a remark on the iterations in whose samples task × transition cells are not read at all."""
    parts = [
        f"iteration {one.iteration} ({plain_percent(shares.covered)})"
        for one, shares in sampled
        if not one.task and shares.covered < 1
    ]
    if not parts:
        return []
    words = "No reflection of some task × transition cells is read yet; the shares cover these parts of the reflections"
    return [Paragraph(f"{words}: {', '.join(parts)}.", "note")]
