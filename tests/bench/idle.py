"""Idle time of the generator between the phases of an iteration, relative to an iteration of half an hour.

A short iteration runs for real: engine, vLLM, training, the child policy's answers. All of its time in which neither a
text was generated nor an optimizer step computed is idle: starting processes, imports, loading both policies, curation,
writing and merging the child policy, hand-overs. Nearly all of that takes as long in a longer iteration, which only
generates and trains for longer. Training itself is not idle time: it needs the device that the generator would use.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path

from rich.console import Console

from engine.commands.init import init_workspace
from reflectevo_tui.engine_client.directives import issue_and_wait
from reflectevo_tui.engine_client.follow import follow
from reflectevo_tui.engine_client.launch import start_or_continue
from store.database.connection import open_reader
from store.runs.iterations import current_iteration
from store.workspace import Workspace
from tests.bench.activity import idleness, iteration_activity
from tests.bench.measure import Row

HALF_AN_HOUR = 1800.0

SETTINGS = """
name = "bench"
model = "smollm2-135m-instruct"
seed = 11

[[tasks]]
kind = "procedural"
name = "letter_counting"
dataset = "letter_counting"
options = { min_words = 3, max_words = 5 }
train = 16
test = 8

[generation]
concurrency = 64
max_model_len = 1024
memory_gib = 1

[attempt]
max_tokens = 24

[reflection]
instructions = "random:1"
samples = 1
max_tokens = 48

[correction]
max_tokens = 24

[training]
setting = "sft-qa"                   # trains on the questions: there is something to train on whatever the model says
min_examples = 1
batch_size = 4
max_length = 512

[evaluation]
undecided = "promote"
"""


def measure() -> list[Row]:
    """Return the idle time of a real iteration, as a share of one of half an hour."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "bench.toml"
        file.write_text(SETTINGS, encoding="utf-8")
        workspace = Workspace(Path(directory) / "workspace")
        init_workspace(workspace, "demo-cpu", None, replace=False)
        start_or_continue(workspace, file, [])
        try:
            code = follow(workspace, Console(stderr=True, quiet=True))
        finally:
            issue_and_wait(workspace, "shut_down", {}, start=False)
        if code:
            raise RuntimeError(f"the iteration ended with exit code {code}; the engine's log: {_log(workspace)}")
        with closing(open_reader(workspace.database)) as connection:
            iteration = current_iteration(connection)
            assert iteration is not None
            found = idleness(iteration_activity(connection, iteration.id))
    words = f"{found.without_generator:.0f} s of a real iteration of {found.whole:.0f} s"
    what = "idle between phases, of an iteration of half an hour (model)"
    return [Row(what, words, f"{HALF_AN_HOUR:.0f} s", found.share_of(HALF_AN_HOUR), 0.10, False)]


def _log(workspace: Workspace) -> str:
    return "\n".join(workspace.engine_log.read_text(errors="replace").splitlines()[-10:])
