"""The colour themes: dark, light, high contrast. Every state also has a glyph and a label, so colour is optional."""

from __future__ import annotations

from textual.theme import Theme

THEMES = (
    Theme(
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
    ),
    Theme(
        name="reflectevo-light",
        primary="#005faf",
        secondary="#5f5f87",
        accent="#875f00",
        success="#006b1f",
        warning="#9a4a00",
        error="#b00020",
        foreground="#1c1c1c",
        background="#fafafa",
        surface="#fafafa",
        panel="#e6e6e6",
        dark=False,
        variables={"quiet": "#5f5f5f", "rule": "#b8b8b8"},
    ),
    Theme(
        name="reflectevo-contrast",
        primary="#00d7ff",
        secondary="#ffffff",
        accent="#ffff00",
        success="#00ff5f",
        warning="#ffaf00",
        error="#ff5f5f",
        foreground="#ffffff",
        background="#000000",
        surface="#000000",
        panel="#1c1c1c",
        dark=True,
        variables={"quiet": "#d0d0d0", "rule": "#a8a8a8"},
    ),
)
"""The themes, with the default first."""
