"""Formats the decision in effect, and what the next one records about the error. Pure functions."""

from __future__ import annotations

import time
from collections.abc import Mapping

from textual.content import Content

from reflectevo_tui.state.review_session import Draft
from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.text.lift_words import order_label
from reflectevo_tui.widgets.review_status import share_words
from store.curation.review_analysis import ErrorShares
from store.curation.review_queue import ReviewQueue, Share
from store.curation.reviews import ERROR_KINDS, NAMES_ERROR, Decision, NamesError, Review
from store.records import LiftOrder

DECISIONS: Mapping[Decision, tuple[str, str]] = {
    "accept": ("✓ accepted", "bold $success"),
    "reject": ("✗ rejected", "bold $error"),
    "flag": ("⚑ flagged", "bold $warning"),
}

NAMING_KEYS: Mapping[NamesError, str] = dict(zip(NAMES_ERROR, "edc", strict=True))
"""Keys for whether the reflection names the error: one column of the keyboard, from yes down to no."""

MOST_KINDS = 3
"""Maximum number of error kinds whose share is shown."""

EARLY = " · key ignored: the reflection was not shown yet"


def kinds_line(chosen: int | None) -> Content:
    """Format the error kinds of the number keys; the selected one is highlighted and bracketed."""
    parts: list[Part] = [(" error  ", "$quiet")]
    for number, word in enumerate(ERROR_KINDS, start=1):
        mark = number == chosen
        parts += [
            (f"{number} ", "bold $accent"),
            (f"[{word}]" if mark else word, "bold reverse" if mark else "$quiet"),
            "  ",
        ]
    return display.line(*parts)


def naming_line(chosen: NamesError | None, errors: ErrorShares, biased: bool = False) -> Content:
    """Format the keys for whether the reflection names the error, and the shares from the reviews of the sample so far.

    The shares are weighted by the size of each task × transition cell, as the others of the screen. They are left out
    where they would be `biased`, because the order of the review chose which reflections were read.
    """
    parts: list[Part] = [(" names the error  ", "$quiet")]
    for word, key in NAMING_KEYS.items():
        mark = word == chosen
        parts += [
            (f"{key} ", "bold $accent"),
            (f"[{word}]" if mark else word, "bold reverse" if mark else "$quiet"),
            "  ",
        ]
    if biased:
        return display.line(*parts)
    if errors.names:
        parts += [(" so far named ", "$quiet"), (share_words(errors.names["yes"]), "bold")]
        parts += [(" · partly ", "$quiet"), formatting.percent(errors.names["partly"].value, 0)]
        parts += [(f" · n {errors.names_n}", "$quiet")]
    for kind, share in commonest(errors):
        parts += [(f" · {ERROR_KINDS[kind - 1]} ", "$quiet"), formatting.percent(share.value, 0)]
    if errors.kinds:
        parts.append((f" · n {errors.kinds_n}", "$quiet"))
    return display.line(*parts)


def commonest(errors: ErrorShares) -> list[tuple[int, Share]]:
    """Return the error kinds with the largest shares, largest first."""
    found = [(kind, share) for kind, share in errors.kinds.items() if share.value]
    return sorted(found, key=lambda one: (-(one[1].value or 0.0), one[0]))[:MOST_KINDS]


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
    if draft.names_error is not None:
        parts += [(" · names the error ", "$quiet"), (draft.names_error, "bold")]
    if draft.note:
        parts += [(" · note ", "$quiet"), display.one_line(draft.note)]
    if review is None and draft != Draft():
        parts.append((" · a, r or f decides", "$quiet"))
    if early:
        parts.append((EARLY, "$warning"))
    return display.line(*parts)
