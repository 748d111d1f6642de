"""Asks the engine what would stop a run, and says it for people. Nothing is started and nothing is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reflectevo_tui.engine_client.process import ask_engine
from reflectevo_tui.text.display import visible
from store.errors import StoreError
from store.workspace import Workspace

_CHECK_SECONDS = 1800.0
"""Datasets of a hub may have to be downloaded to be looked at."""

_GLYPHS = {"ok": "✓", "warning": "!", "error": "✗"}


class RunRefused(StoreError):
    """A run with these settings can't succeed here; the text says everything that stands in its way."""


def findings(settings: Path, workspace: Workspace, *, quick: bool) -> list[dict[str, Any]]:
    """What the engine finds: dictionaries with `level`, `where`, `what` and `fix`.

    Args:
        settings: the settings file.
        workspace: where the run would be; it need not be there yet.
        quick: only what takes about a second: no task is read, no model looked for.

    Raises:
        EngineUnavailable: when the engine can't be asked.
    """
    arguments = ["check", "--settings", str(settings.expanduser().resolve())]
    if workspace.database.exists():
        arguments += ["-w", str(workspace.root)]
    if quick:
        arguments.append("--quick")
    answer = ask_engine(*arguments, seconds=_CHECK_SECONDS)
    return list(answer)


def failed(found: list[dict[str, Any]]) -> bool:
    """Whether anything would stop the run."""
    return any(finding["level"] == "error" for finding in found)


def described(found: list[dict[str, Any]]) -> str:
    """The findings as lines of text, each with its fix, and a summary."""
    lines = []
    for finding in found:
        lines.append(f"{_GLYPHS[finding['level']]} {finding['where']}: {finding['what']}")
        if finding["fix"] and finding["level"] != "ok":
            lines.append(f"    → {finding['fix']}")
    errors = sum(finding["level"] == "error" for finding in found)
    warnings = sum(finding["level"] == "warning" for finding in found)
    end = f"{_several(errors, 'error')}, {_several(warnings, 'warning')}" + ("" if errors else ": the run can start")
    return visible("\n".join([*lines, "", end]))


def _several(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def require_possible(settings: Path, workspace: Workspace) -> None:
    """Look quickly whether a run can succeed.

    Raises:
        RunRefused: with every error, each with what to do.
        EngineUnavailable: when the engine can't be asked.
    """
    found = findings(settings, workspace, quick=True)
    if failed(found):
        errors = [finding for finding in found if finding["level"] == "error"]
        lines = [f"{one['what']}\n    → {one['fix']}" if one["fix"] else one["what"] for one in errors]
        raise RunRefused(visible("\n".join(lines)))
