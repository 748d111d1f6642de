"""Runs and follows an import: starts the engine process, and shows its output as a progress bar, plain lines or JSON.

The process belongs to this terminal and ends with it; no data is lost, since a repeated import resumes.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from typing import Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from reflectevo_tui.engine_client.process import EngineUnavailable, engine_command
from reflectevo_tui.text.display import visible

INTERRUPTED = 130

_NAMED_SKIPS = 20
_LINE_SECONDS = 5.0


class _View(Protocol):
    """Displays the events of an import."""

    def progress(self, event: dict[str, Any]) -> None: ...

    def say(self, line: str) -> None: ...


def follow_import(arguments: list[str], *, as_json: bool = False) -> int:
    """Import a file and show its progress; return the exit code.

    Args:
        arguments: arguments of the engine's `import` command.
        as_json: print the events, one JSON object per line.

    Raises:
        EngineUnavailable: with the engine's error message when it refuses or fails.
    """
    process = subprocess.Popen(
        engine_command("import", *arguments),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    console = Console()
    try:
        if as_json:
            for event in _events(process):
                print(json.dumps(event, ensure_ascii=True), flush=True)
        elif console.is_terminal:
            _with_bar(process, console)
        else:
            _show(process, _Lines(console))
    except KeyboardInterrupt:
        # The same key interrupted the process; its committed rows are kept.
        process.wait()
        console.print("\nstopped; import the same file again to continue", markup=False, highlight=False)
        return INTERRUPTED
    finally:
        if process.poll() is None:
            process.terminate()
        words = process.stderr.read().strip() if process.stderr else ""
        process.wait()
    if process.returncode:
        raise EngineUnavailable(
            words or f"the import ended with exit code {process.returncode}; import again to continue"
        )
    return 0


def _events(process: subprocess.Popen[str]) -> Iterator[dict[str, Any]]:
    """Yield the events that the process prints, until it ends."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip():
            yield json.loads(line)
    process.wait()


class _Lines:
    """Plain lines, rate-limited."""

    def __init__(self, console: Console) -> None:
        self._console, self._last = console, time.monotonic()

    def progress(self, event: dict[str, Any]) -> None:
        if time.monotonic() - self._last >= _LINE_SECONDS:
            self._last = time.monotonic()
            share = 100 * event["position"] / max(event["size"], 1)
            self.say(f"{share:5.1f} %  {event['records']:,} records  {_counts(event)}".rstrip())

    def say(self, line: str) -> None:
        self._console.print(visible(line), markup=False, highlight=False, soft_wrap=True)


class _Bar(_Lines):
    """A progress bar over the file."""

    def __init__(self, console: Console, progress: Progress) -> None:
        super().__init__(console)
        self._progress = progress
        self._task = progress.add_task("import", total=None, note="")

    def progress(self, event: dict[str, Any]) -> None:
        note = f"{event['records']:,} records  {_counts(event)}"
        self._progress.update(self._task, completed=event["position"], total=event["size"], note=note)


def _with_bar(process: subprocess.Popen[str], console: Console) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        _show(process, _Bar(console, progress))


def _show(process: subprocess.Popen[str], view: _View) -> None:
    skipped = 0
    for event in _events(process):
        if event["event"] == "progress":
            view.progress(event)
        elif event["event"] == "skipped":
            skipped += 1
            if skipped <= _NAMED_SKIPS:
                view.say(f"skipped    record {event['record']} ({event['place']}): {event['reason']}")
            elif skipped == _NAMED_SKIPS + 1:
                view.say("skipped    more; all are counted at the end")
        else:
            _summary(event, view)


def _counts(event: dict[str, Any]) -> str:
    parts = [f"{event['rate']:,.0f}/s"] if event.get("rate") else []
    parts += [f"{event['skipped']:,} skipped"] if event["skipped"] else []
    parts += [f"{event['leaking']:,} leaks"] if event["leaking"] else []
    return "  ".join(parts)


def _summary(event: dict[str, Any], view: _View) -> None:
    if event["already"]:
        view.say(f"imported   already, as run {event['run']}; nothing was changed")
    view.say(f"run        {event['run']} ({event['format']}, from {event['path']})")
    view.say(f"records    {event['records']:,}")
    for reason, n in event["reasons"].items():
        view.say(f"skipped    {n:,}: {reason}")
    if event["leaking"]:
        where = event["leaks"]
        view.say(
            f"leaks      {event['leaking']:,} records: the prompt contains the target in {where.get('prompt', 0):,}, "
            f"the reflection states the answer in {where.get('reflection', 0):,}; flagged `leak`"
        )
    if event["replaced"]:
        view.say(f"characters {event['replaced']:,} records hold bytes that are not UTF-8, shown as U+FFFD")
    view.say("browse     reflectevo, then Trajectories")
