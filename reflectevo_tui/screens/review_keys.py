"""The keys of the Review screen: decisions and what they record about the error are one key each, under one hand."""

from __future__ import annotations

from textual.binding import Binding

from reflectevo_tui.widgets.review_decision import NAMING_KEYS
from store.curation.reviews import ERROR_KINDS

REVIEW_KEYS: tuple[Binding, ...] = (
    Binding("a", "decide('accept')", "accept"),
    Binding("r", "decide('reject')", "reject"),
    Binding("f", "decide('flag')", "flag"),
    *(
        Binding(
            str(number),
            f"kind({number})",
            "kind" if number == 1 else f"error kind: {word}",
            show=number == 1,
            key_display="1–9" if number == 1 else None,
        )
        for number, word in enumerate(ERROR_KINDS, start=1)
    ),
    *(
        Binding(
            key,
            f"names_error('{word}')",
            "named" if word == "yes" else f"names the error: {word}",
            show=word == "yes",
            key_display="e/d/c" if word == "yes" else None,
        )
        for word, key in NAMING_KEYS.items()
    ),
    Binding("n", "note", "note"),
    Binding("u", "undo", "undo"),
    Binding("h", "sibling(-1)", "sibling", key_display="h/l"),
    Binding("l", "sibling(1)", "next sibling", show=False),
    Binding("space", "next", "next"),
    Binding("p", "pairs", "pairs"),
    Binding("g", "go", "screens", key_display="F1–F8"),
    Binding("backspace", "previous", "previous", show=False),
    Binding("t", "sample", "sample size and seed", show=False),
    Binding("s", "order", "order by lift", show=False),
    Binding("w", "write", "retry saving", show=False),
    Binding("j,down", "scroll_texts(1)", "scroll", show=False),
    Binding("k,up", "scroll_texts(-1)", "scroll back", show=False),
    Binding("left_square_bracket", "part(-1)", "earlier part of long texts", show=False),
    Binding("right_square_bracket", "part(1)", "later part of long texts", show=False),
    Binding("v", "prompt", "prompts as sent", show=False),
    Binding("y", "copy", "copy a text", show=False),
    Binding("o", "open", "open in Trajectories", show=False),
)
