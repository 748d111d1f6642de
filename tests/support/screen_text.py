"""Reads the text shown on a screen of the terminal application."""

from __future__ import annotations

from textual.app import App


def screen_text(app: App[None]) -> str:
    """Return the text on the screen, without styles."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip) for strip in lines)
