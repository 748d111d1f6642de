"""Checks the terminal and configures Textual for use over SSH, before Textual is imported.

Must not import Textual, directly or indirectly, since Textual reads these settings once on import.
"""

from __future__ import annotations

import os
import signal
import sys

from store.errors import OperatorError

SSH_SETTINGS = {"TEXTUAL_FPS": "15", "TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0"}
"""Textual settings that limit a screen to a few hundred bytes per second; values set by the operator take priority."""


class TerminalRefused(OperatorError):
    """Raised when the terminal can't show the application; the message gives the reason and an alternative."""


def prepare_environment() -> None:
    """Set the environment variables for Textual; call this before anything imports it.

    Raises:
        TerminalRefused: without a terminal, or on one that can't move its cursor.
    """
    if "textual" in sys.modules:
        raise RuntimeError("prepare_environment() was called after textual was imported; its settings would be ignored")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise TerminalRefused("this is not a terminal; for scripts use: reflectevo status --json, or reflectevo run")
    term = os.environ.get("TERM", "")
    if term in ("", "dumb", "unknown"):
        raise TerminalRefused(
            f"the terminal type is {term or 'not set'!s} (TERM), which can't show full screens; "
            "set TERM, e.g. TERM=xterm-256color, or use: reflectevo status"
        )
    if os.environ.get("SSH_CONNECTION"):
        for name, value in SSH_SETTINGS.items():
            os.environ.setdefault(name, value)
    # Exported sizes take precedence over the terminal's own and would block resizing.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    # A parent such as nohup can leave SIGHUP ignored; Textual would then spin on a closed terminal.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
