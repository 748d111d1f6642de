"""The colours. Terminals without colour lose nothing: every state has a glyph and a word."""

from __future__ import annotations

from textual.theme import Theme

THEME = Theme(
    name="reflectevo",
    primary="#5fafff",
    secondary="#87afd7",
    accent="#ffd787",
    success="#87d787",
    warning="#ffaf5f",
    error="#ff6f6f",
    foreground="#d0d0d0",
    background="#141414",
    surface="#141414",
    panel="#262626",
    dark=True,
    variables={"quiet": "#8c8c8c", "rule": "#3c3c3c"},
)
