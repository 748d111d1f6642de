"""Follows an iteration on the command line: rich progress on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from reflectevo_tui.engine_client.status import (
    beside_acc_t2,
    collect_status,
    gate_commands,
    share,
    training_status,
    transfer_line,
)
from reflectevo_tui.text.display import visible
from store.evaluation.number_format import counted
from store.workspace import Workspace

COMPLETED, FAILED, WAITING, INTERRUPTED, ENGINE_GONE = 0, 3, 4, 5, 6
"""Exit codes: complete; a stage failed; waiting at a gate; stopped or paused; the engine is gone."""

_POLL_SECONDS = 0.5
_LINE_SECONDS = 15.0


def follow(workspace: Workspace, console: Console) -> int:
    """Show progress until the iteration ends or waits; return the exit code.

    A training iteration may be followed by an evaluation of its policies on the test questions; both are summarised.
    """
    first = collect_status(workspace)["iteration"]
    status = watch(workspace, console)
    last = status["iteration"]
    followed = first is not None and first["kind"] == "training" and last["kind"] == "evaluation"
    return _outcome(status, console, training_status(workspace) if followed else None)


def watch(workspace: Workspace, console: Console) -> dict[str, Any]:
    """Show progress until the iteration ends or waits; return the final status without printing it."""
    show = _with_bars if console.is_terminal else _with_lines
    return show(workspace, console, collect_status(workspace))


def _over(status: dict[str, Any]) -> bool:
    iteration = status["iteration"]
    if iteration is None or status["engine"]["state"] == "stopped":
        return True
    return iteration["state"] in ("done", "failed", "waiting", "paused", "stopped")


def _with_bars(workspace: Workspace, console: Console, status: dict[str, Any]) -> dict[str, Any]:
    columns = (
        TextColumn("{task.description:<9}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=console, refresh_per_second=4) as progress:
        bars: dict[str, TaskID] = {}
        shown = None
        while True:
            iteration = status["iteration"]
            if iteration is not None:
                if iteration["id"] != shown:
                    shown = iteration["id"]
                    for bar in bars.values():
                        progress.remove_task(bar)
                    bars = {
                        stage["name"]: progress.add_task(stage["name"], start=False, total=None, note="")
                        for stage in iteration["stages"]
                        if stage["state"] != "skipped"
                    }
                for stage in iteration["stages"]:
                    if stage["name"] not in bars:
                        continue
                    bar = bars[stage["name"]]
                    if stage["state"] == "running":
                        progress.start_task(bar)
                    elif stage["state"] == "done":
                        progress.stop_task(bar)
                    note = visible(stage["note"] or ("" if stage["state"] == "done" else stage["state"]))
                    progress.update(bar, completed=stage["done"], total=stage["total"] or None, note=note)
            if _over(status):
                return status
            time.sleep(_POLL_SECONDS)
            status = collect_status(workspace)


def _with_lines(workspace: Workspace, console: Console, status: dict[str, Any]) -> dict[str, Any]:
    shown: dict[str, tuple[str, str]] = {}
    last = time.monotonic()
    while True:
        iteration = status["iteration"]
        if iteration is not None:
            due = time.monotonic() - last >= _LINE_SECONDS
            for stage in iteration["stages"]:
                key = f"{iteration['id']} {stage['name']}"
                if stage["state"] == "skipped":
                    continue
                counts = f"{stage['done']}/{stage['total']}" if stage["total"] else ""
                words = f"{stage['name']:<9} {stage['state']:<8} {counts:>11}  {stage['note']}"
                line = f"{iteration['title']}  {words}".rstrip()
                state, printed = shown.get(key, ("pending", ""))
                # A line repeats nothing: without a change there is none, however long a stage takes.
                if line != printed and (state != stage["state"] or (due and stage["state"] == "running")):
                    console.print(visible(line), markup=False, highlight=False, soft_wrap=True)
                    shown[key] = (stage["state"], line)
            if due:
                last = time.monotonic()
        if _over(status):
            return status
        time.sleep(_POLL_SECONDS)
        status = collect_status(workspace)


def _outcome(status: dict[str, Any], console: Console, training: dict[str, Any] | None = None) -> int:
    """Print how the iteration ended and what to do next; return the exit code.

    Args:
        status: of the workspace.
        console: where to print.
        training: the training iteration that the current evaluation follows.
    """

    def say(line: str) -> None:
        console.print(visible(line), markup=False, highlight=False, soft_wrap=True)

    iteration, workspace = status["iteration"], status["workspace"]
    if iteration is None:
        say("there is no iteration yet; start one with: reflectevo run")
        return FAILED
    title = iteration["title"]
    if training is not None:
        _summary(training, say)
    if iteration["state"] == "done":
        _summary(iteration, say)
        if iteration["kind"] == "training" or training is not None:
            say(f"\nto open it:              reflectevo -w {workspace}")
            say(f"to run the next one:     reflectevo -w {workspace} run")
            say(f"to stop the idle engine: reflectevo -w {workspace} shutdown")
        if iteration["complete"]:
            return COMPLETED
        return INTERRUPTED if any(stage["state"] == "skipped" for stage in iteration["stages"]) else FAILED
    if iteration["state"] == "failed":
        say(f"\n{title} failed: {iteration['reason']}")
        again = "run" if iteration["kind"] == "training" else "resume"
        say(f"finished work is kept; to retry: reflectevo -w {workspace} {again}")
        return FAILED
    if iteration["state"] == "waiting":
        say(f"\n{title} waits at gate {iteration['gate']}: {iteration['reason']}")
        for words in gate_commands(iteration["gate"], f"reflectevo -w {workspace}"):
            say(f"to continue: {words}")
        return WAITING
    if iteration["state"] in ("paused", "stopped"):
        say(f"\n{title} is {iteration['state']}; to continue: reflectevo -w {workspace} resume")
        return INTERRUPTED
    say(f"\nthe engine ended while {title} was {iteration['state']}; nothing is lost.")
    say(f"to continue: reflectevo -w {workspace} run   (log: {workspace}/logs/engine.log)")
    return ENGINE_GONE


def _summary(iteration: dict[str, Any], say: Any) -> None:
    parent, child, counts = iteration["parent"], iteration["child"], iteration["counts"]
    title = iteration["title"].capitalize()
    say(f"\n{title} is complete." if iteration["complete"] else f"\n{title} ended early: {iteration['reason']}")
    if iteration["kind"] == "evaluation":
        say(f"  {iteration['reason']}")
        if child:
            say("  no promotion is decided on these questions")
        if iteration["gain"]:
            say(f"  {iteration['gain']['sentence']}")
        return
    say(
        f"  {counted(counts['attempts'], 'attempt')}, {counted(counts['reflections'], 'reflection')}, "
        f"{counted(counts['corrections'], 'correction')}; "
        f"D+ {counts['d_plus']}, D± {counts['d_pm']}"
    )
    sampled = [(counts["attempt_samples"], "attempt"), (counts["correction_samples"], "correction")]
    if any(n for n, _ in sampled):
        words = " and ".join(counted(n, f"further sampled {what}") for n, what in sampled if n)
        say(f"  beside them {words}, which belong to no trajectory")
    if parent and child:
        say(f"  measured on {iteration['split']} questions:")
        say(f"  before  {parent['name']:<5} Acc@t1 {share(parent['acc_t1']):<18} Acc@t2 {share(parent['acc_t2'])}")
        for words in (*beside_acc_t2(parent), *transfer_line(parent)):
            say(f"                {words}")
        say(f"  after   {child['name']:<5} Acc@t1 {share(child['acc_t1']):<18} Acc@t2 {share(child['acc_t2'])}")
        for words in (*beside_acc_t2(child), *transfer_line(child)):
            say(f"                {words}")
        if iteration["gain"]:
            say(f"  {iteration['gain']['sentence']}")
        say(f"  {child['name']} is {child['state']}: {child['reason']}")
        say(f"  the policy is in {child['path']}")
