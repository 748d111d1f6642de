"""What the terminal must be before textual is imported: refuses one that can't show the application, and
sets textual up for use over SSH. Must not import textual, directly or not: textual reads these settings once.
"""

from __future__ import annotations

import os
import signal
import sys

from store.errors import OperatorError

SSH_SETTINGS = {"TEXTUAL_FPS": "15", "TEXTUAL_ANIMATIONS": "none", "TEXTUAL_SMOOTH_SCROLL": "0"}
"""What keeps a screen within a few hundred bytes a second; kept as the operator set it, where they did."""


class TerminalRefused(OperatorError):
    """This terminal can't show the application; the text says why and what to do instead."""


def prepare_environment() -> None:
    """Set the environment up for textual; call before anything imports it.

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
    # Exported sizes win over the terminal's own and would block resizing.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    # A parent such as nohup may have had hang-ups ignored; then textual would spin on a dead terminal.
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
