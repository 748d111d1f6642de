"""Runs the engine's preflight check of a run and formats its findings as text. Starts and writes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reflectevo_tui.engine_client.process import ask_engine
from reflectevo_tui.text.display import visible
from store.evaluation.number_format import counted
from store.workspace import Workspace

_CHECK_SECONDS = 1800.0
"""Timeout of the complete check in seconds; datasets may have to be downloaded from a hub."""

_GLYPHS = {"ok": "✓", "warning": "!", "error": "✗"}


def findings(settings: Path, workspace: Workspace, *, quick: bool) -> list[dict[str, Any]]:
    """Return the findings of the engine: dictionaries with `level`, `where`, `what` and `fix`.

    Args:
        settings: the settings file.
        workspace: the workspace of the run; it need not exist yet.
        quick: run only the checks that take about a second: no task is read and no model is looked for.

    Raises:
        EngineUnavailable: when the engine process can't be run.
    """
    arguments = ["check", "--settings", str(settings.expanduser().resolve())]
    if workspace.database.exists():
        arguments += ["-w", str(workspace.root)]
    if quick:
        arguments.append("--quick")
    answer = ask_engine(*arguments, seconds=_CHECK_SECONDS)
    return list(answer)


def failed(found: list[dict[str, Any]]) -> bool:
    """Check whether any finding is an error that would stop the run."""
    return any(finding["level"] == "error" for finding in found)


def described(found: list[dict[str, Any]]) -> str:
    """Format the findings as lines of text, each with its fix, and a summary."""
    lines = []
    for finding in found:
        lines.append(f"{_GLYPHS[finding['level']]} {finding['where']}: {finding['what']}")
        if finding["fix"] and finding["level"] != "ok":
            lines.append(f"    → {finding['fix']}")
    errors = sum(finding["level"] == "error" for finding in found)
    warnings = sum(finding["level"] == "warning" for finding in found)
    end = f"{counted(errors, 'error')}, {counted(warnings, 'warning')}" + ("" if errors else ": the run can start")
    return visible("\n".join([*lines, "", end]))


def described_level(found: list[dict[str, Any]], level: str) -> str:
    """Format the findings of one level as lines of text, each with its fix."""
    chosen = [one for one in found if one["level"] == level]
    return visible("\n".join(f"{one['what']}\n    → {one['fix']}" if one["fix"] else one["what"] for one in chosen))
