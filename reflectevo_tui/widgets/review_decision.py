"""Formats the decision in effect and the error kind and note of the next one. Pure functions."""

from __future__ import annotations

import time
from collections.abc import Mapping

from textual.content import Content

from reflectevo_tui.state.review_session import Draft
from reflectevo_tui.text import display
from reflectevo_tui.text.display import Part
from reflectevo_tui.text.lift_words import order_label
from store.curation.review_queue import ReviewQueue
from store.curation.reviews import ERROR_KINDS, Decision, Review
from store.records import LiftOrder

DECISIONS: Mapping[Decision, tuple[str, str]] = {
    "accept": ("✓ accepted", "bold $success"),
    "reject": ("✗ rejected", "bold $error"),
    "flag": ("⚑ flagged", "bold $warning"),
}

EARLY = " · key ignored: the reflection was not shown yet"


def kinds_line(chosen: int | None) -> Content:
    """Format the error kinds of the number keys; the selected one is highlighted and bracketed."""
    parts: list[Part] = [(" error kind  ", "$quiet")]
    for number, word in enumerate(ERROR_KINDS, start=1):
        mark = number == chosen
        parts += [
            (f"{number} ", "bold $accent"),
            (f"[{word}]" if mark else word, "bold reverse" if mark else "$quiet"),
            "  ",
        ]
    return display.line(*parts)


def place_words(queue: ReviewQueue, order: LiftOrder | None, trajectory_id: int) -> str:
    """Return the place of a reflection in the sample, such as `3 of 200` or `3 of 200, highest lift first`."""
    ids = [item.trajectory_id for item in queue.items]
    words = f"{ids.index(trajectory_id) + 1} of {len(ids)}" if trajectory_id in ids else "sibling, not in the sample"
    return words if order is None else f"{words}, {order_label(order)}"


def decision_line(review: Review | None, draft: Draft, place: str, early: bool) -> Content:
    """Format the decision in effect, its reviewer, the next draft, and whether a premature key was ignored."""
    parts: list[Part] = [(f" {place}  ", "$quiet")]
    if review is None:
        parts.append(("○ not reviewed", "bold"))
    else:
        words, style = DECISIONS[review.decision]
        when = time.strftime("%d %b %H:%M", time.localtime(review.created))
        parts += [(words, style), (f" by {display.one_line(review.reviewer)[:40]}, {when}", "$quiet")]
    if draft.kind is not None:
        parts += [(" · error kind ", "$quiet"), (f"{draft.kind} {ERROR_KINDS[draft.kind - 1]}", "bold")]
    if draft.note:
        parts += [(" · note ", "$quiet"), display.one_line(draft.note)]
    if review is None and (draft.kind is not None or draft.note):
        parts.append((" · a, r or f decides", "$quiet"))
    if early:
        parts.append((EARLY, "$warning"))
    return display.line(*parts)
