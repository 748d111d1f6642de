"""Promise 8: hostile strings through every screen; the output on a real pty contains only allowed bytes.

Each round writes a batch of strings into every source that the screens read (questions, texts, notes, events, reasons,
instructions, settings, logs), opens the program on a large pty, and visits all registered screens and the dialogs they
open. A mark before each string shows in the output that the string was visible. A screen on which no mark is ever seen
fails the promise: it needs a feed in `FEEDS`.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from reflectevo_tui.screens.registry import SCREENS
from store.control import telemetry
from store.curation.reviews import add_review
from store.database.connection import storable, write
from store.records import LiveText
from store.runs import iterations
from tests.faults.allowed_bytes import findings
from tests.faults.hostile_text import broken_bytes, long_lines, strings
from tests.faults.results import Result
from tests.faults.terminals import Terminal, terminal
from tests.support.built_workspaces import SETTINGS, Built, build_workspace

BATCH = 250
COLUMNS, ROWS = 240, 140

_KEYS = {
    "monitor": ("l", "\x1b", "c", "\x1b"),
    "trajectories": ("j", "l", "\t", "\x1b[6~", "]", "v", "\x1b"),
    "review": ("]", "j", "n", "\x1b", "y", "\x1b", "p", "\x1b"),
    "datasets": ("r", "\x1b[B", "\r", "\x1b", "c"),
    "lineage": (" ", "\x1b[A", " ", "\t"),
    "instructions": ("\x1b[C", "\t"),
    "launch": ("t", "\x1b"),
    "logs": ("\x1b[5~", "/"),
}
"""Keys that open further views on a screen; a new screen is at least opened itself."""


def run(n: int, seed: int) -> Result:
    """Run `n` strings."""
    every = strings(n, seed)
    seen: dict[str, set[int]] = defaultdict(set)
    troubles: list[str] = []
    clean = 0
    for start in range(0, n, BATCH):
        batch = dict(enumerate(every[start : start + BATCH], start))
        trouble = _round(batch, seed + start, seen)
        troubles += trouble
        clean += 0 if trouble else len(batch)
    blind = [tab.title for tab in SCREENS.values() if not seen[tab.mode]]
    in_view = len(set().union(*seen.values()))
    shown = ", ".join(f"{tab.title} {len(seen[tab.mode]):,}" for tab in SCREENS.values())
    words = [f"Seen in the bytes: {in_view:,} of the strings ({shown})"]
    words += [f"no string was seen on {', '.join(blind)}"] if blind else []
    words += [f"first finding: {troubles[0]}"] if troubles else []
    return Result(8, "hostile strings through every screen", n, clean, clean == n and not blind, "; ".join(words) + ".")


def _round(batch: dict[int, str], seed: int, seen: dict[str, set[int]]) -> list[str]:
    """Run one batch through all screens, and return the disallowed bytes."""
    marked = [f"Q{number}Q {text}" for number, text in batch.items()]
    with tempfile.TemporaryDirectory(prefix="reflectevo-faults-") as directory:
        built = build_workspace(Path(directory) / "workspace", 0)
        for feed in FEEDS:
            feed(built, marked, seed)
        os.environ["XDG_CONFIG_HOME"] = directory
        with terminal(built.workspace.root, COLUMNS, ROWS) as one:
            with suppress(TimeoutError):
                one.read_until(b"Monitor")
            one.read(0.8)
            for tab in SCREENS.values():
                received = _visit(one, tab.key, _KEYS.get(tab.mode, ()))
                seen[tab.mode] |= {int(mark) for mark in re.findall(rb"Q(\d+)Q", received)} & batch.keys()
            trouble = findings(bytes(one.received))
            if not one.alive():
                trouble.append(f"the program ended: {bytes(one.received[-300:])!r}")
        built.writer.close()
    return trouble


def _visit(one: Terminal, key: str, opens: tuple[str, ...]) -> bytes:
    """Open a screen by its function key, and its views by the given keys; return the output."""
    received = bytearray()
    function = {"1": "\x1bOP", "2": "\x1bOQ", "3": "\x1bOR", "4": "\x1bOS", "5": "\x1b[15~"}
    function |= {"6": "\x1b[17~", "7": "\x1b[18~", "8": "\x1b[19~", "9": "\x1b[20~"}
    # The last escape closes any open dialog, so that the next screen's key arrives.
    for typed in (function[key], *opens, "\x1b"):
        with suppress(OSError):
            one.type(typed)
        # A screen always repaints, however long its texts take; the keys on it may have no effect.
        received += one._one(20.0 if typed == function[key] else 0.4)
        received += one.read_quiet(0.2, 5.0)
    return bytes(received)


def _texts(built: Built, marked: list[str], seed: int) -> None:
    """Write questions, attempts, reflections and corrections.

    Every fourth round contains a line of 200,000 characters; broken UTF-8 is in every round.
    """
    body = storable("\n".join(marked))
    long = long_lines(seed)
    if (seed // BATCH) % 4 == 0:
        built.add_trajectories(2, text=long[(seed // BATCH // 4) % len(long)], start=1)
    built.add_trajectories(2, text=body, start=20)
    built.add_trajectories(2, text="broken", start=40)
    with write(built.writer):
        for table, column in (("reflections", "text"), ("attempts", "reasoning"), ("questions", "text")):
            built.writer.execute(
                f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE {column} = 'broken' OR {column} LIKE '% 41?'",
                (broken_bytes(seed),),
            )
    built.add_trajectories(3, text=body, start=60)
    built.curate()
    reflection = built.writer.execute("SELECT max(id) FROM reflections").fetchone()[0]
    add_review(built.writer, reflection, "flag", error_kind=2, note=storable(marked[0]), reviewer=storable(marked[1]))
    with write(built.writer):
        for number, (row,) in enumerate(built.writer.execute("SELECT id FROM curated WHERE NOT included").fetchall()):
            reason = storable(marked[number % len(marked)])
            built.writer.execute("UPDATE curated SET reason = ? WHERE id = ?", (reason, row))


def _telemetry(built: Built, marked: list[str], seed: int) -> None:
    """Write events, growing texts, notes and reasons."""
    built.run_flow()
    built.beat(gpus=True)
    now = time.time()
    live = [
        LiveText(slot, storable(one)[:20], slot, storable(one), storable(one)[:20], storable("\n".join(marked)), now)
        for slot, one in enumerate(marked[:2])
    ]
    with write(built.writer):
        telemetry.put_live_text(built.writer, live)
        for one in marked[:60]:
            telemetry.add_event(built.writer, "info", storable(one)[:12], storable(one))
        iterations.set_note(built.writer, built.iteration, "attempt", storable(marked[0]))
        iterations.set_stage(built.writer, built.iteration, "train", "failed", storable(marked[1]))
        iterations.update_iteration(built.writer, built.iteration, reason=storable(marked[2]), state="failed")


def _lineage(built: Built, marked: list[str], seed: int) -> None:
    """Write policies, their settings, names and reasons."""
    built.add_child()
    with write(built.writer):
        for number, (row,) in enumerate(built.writer.execute("SELECT id FROM policies").fetchall()):
            built.writer.execute(
                "UPDATE policies SET reason = ?, setting = ?, base_model = ? WHERE id = ?",
                (*(storable(marked[(number + shift) % len(marked)]) for shift in range(3)), row),
            )


def _instructions(built: Built, marked: list[str], seed: int) -> None:
    """Write the wording of the instruction pool."""
    wording = [storable(one) for one in marked]
    pool = {"verify": wording[:2], "locate": wording[2:10], "plan": wording[10:12]}
    with write(built.writer):
        telemetry.put_capability(built.writer, "instructions", pool)


def _settings(built: Built, marked: list[str], seed: int) -> None:
    """Write the settings file: hostile values, written with escapes as TOML allows, and comments."""
    value = json.dumps(storable(marked[0]), ensure_ascii=False).replace("\x7f", "")
    text = SETTINGS.replace('"HuggingFaceTB/SmolLM2-135M-Instruct"', value)
    comments = ["".join(c for c in storable(one) if ord(c) >= 0x20 and ord(c) != 0x7F) for one in marked[:30]]
    built.workspace.settings_file.write_text(text + "".join(f"# {one}\n" for one in comments), encoding="utf-8")


def _logs(built: Built, marked: list[str], seed: int) -> None:
    """Write the engine's log, as bytes: unescaped surrogates and broken sequences."""
    body = "\n".join(marked).encode("utf-8", "surrogatepass")
    built.workspace.engine_log.write_bytes(b"x" * 200_000 + b"\n" + broken_bytes(seed) + b"\n" + body + b"\n")


FEEDS: tuple[Callable[[Built, list[str], int], None], ...] = (
    _texts,
    _telemetry,
    _lineage,
    _instructions,
    _settings,
    _logs,
)
"""Functions that write strings to the sources of the screens; a new screen with another source needs another one."""
