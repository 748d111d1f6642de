"""Progress and interim results of the spot-check: share of good reflections and agreement, overall and by task."""

from __future__ import annotations

from textual.content import Content

from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.line_panel import LinePanel
from store.curation.review_queue import ReviewEstimate, Share

WIDE = 110
"""Minimum number of columns for unabbreviated labels."""


def share_words(share: Share) -> str:
    """Format a share such as `71 % (59–81)`; `–` without a decision."""
    return formatting.interval(share.value, share.low, share.high, 0)


def status_lines(
    where: str, estimate: ReviewEstimate, total: int, seed: int, unsaved: str, width: int, *, biased: bool = False
) -> list[Content]:
    """Format the two lines above the card; `biased` if the order chose what has been reviewed so far."""
    wide = width >= WIDE
    filled, empty = formatting.bar(estimate.done / total if total else 0.0, 20 if wide else 10)
    first: list[Part] = [" "]
    if wide:
        first += [(where, "bold"), (f" · sample {total}, seed {seed}  ", "$quiet")]
    first += [(filled, "$success"), (empty, "$rule"), (f" {estimate.done}/{total} ", "bold")]
    good, agreement = share_words(estimate.good), share_words(estimate.agreement)
    first += [(" good reflections " if wide else " good ", "$quiet"), (good, "bold")]
    first += [(" · agreement with verifier " if wide else " · agree ", "$quiet"), (agreement, "bold")]
    if unsaved:
        return [display.line(*first), display.line((" ✗ NOT SAVED ", "bold reverse $error"), f" {unsaved}")]
    second: list[Part] = [(" by lift: no estimate until all are reviewed ·", "$warning")] if biased else []
    second.append((" by task ", "$quiet"))
    for position, (task, share) in enumerate(estimate.by_task.items()):
        value = share_words(share) if wide else formatting.percent(share.value, 0)
        second += [("" if not position else " · ", "$quiet"), f"{task} ", (value, "bold")]
        second.append((f" n {share.n}", "$quiet"))
    return [display.line(*first), display.line(*second)]


class ReviewStatus(LinePanel):
    """The two status lines."""

    def __init__(self) -> None:
        super().__init__(id="review-status")
