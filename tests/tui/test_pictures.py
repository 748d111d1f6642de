"""Snapshot tests of the screens: a dozen pictures (SVG) of fixed data, compared completely.

After an intended change, regenerate a picture with REFLECTEVO_NEW_PICTURES=1 and inspect it before it is committed. A
picture that differs is written beside the test's workspace, and the message contains its path. Nothing in the pictures
depends on clock, machine or path: the clock is frozen, the host has a fixed name, and the workspace is a relative
directory.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from reflectevo_tui.app import ReflectEvoApp
from store.runs import iterations
from store.workspace import Workspace
from tests.support.built_workspaces import Built, build_workspace
from tests.support.screen_text import screen_text
from tests.tui.conftest import until

PICTURES = Path(__file__).with_name("pictures")
NOW = 1_790_000_000.0
LARGE, SMALL = (160, 50), (80, 24)
_IDENTITY = re.compile(r"terminal-\d+")

SHOWN = {
    "monitor": (LARGE, (), "Newest"),
    "trajectories": (LARGE, ("f2", "down", "down"), "{+slowly+}"),
    "review": (LARGE, ("f3",), "Reflection"),
    "datasets": (LARGE, ("f4",), "8"),
    "lineage": (LARGE, ("f5", "home", "space", "end", "space"), "p01"),
    "instructions": (LARGE, ("f6", "right", "down"), "1-"),
    "launch": (LARGE, ("f7",), "letter_counting"),
    "logs": (LARGE, ("f8",), "stage attempt"),
    "monitor-small": (SMALL, (), "Newest"),
    "trajectories-small": (SMALL, ("f2", "down"), "Question"),
    "review-small": (SMALL, ("f3",), "Reflection"),
    "gate-small": (SMALL, ("g",), "8 of 12 included"),
}
"""Size, keys and words that must appear before a picture is taken."""


@pytest.fixture
def fixed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Built]:
    """Build a workspace with a bit of everything, with a frozen clock."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setattr(socket, "gethostname", lambda: "gpu-box")
    built = build_workspace(Path("workspace"), 120)
    built.beat(gpus=True)
    built.run_flow()
    built.curate()
    built.add_child()
    built.wait_at("train")
    iterations.set_note(built.writer, built.iteration, "train", "would train sft-one-stage on 8 examples")
    log = built.workspace.logs / "engine.log"
    log.parent.mkdir(exist_ok=True)
    log.write_text("".join(f"2026-09-21 14:{n:02}:00 INFO engine: stage attempt {n} of 60\n" for n in range(60)))
    yield built
    built.writer.close()
    monkeypatch.undo()
    time.tzset()


async def _picture(app: ReflectEvoApp, pilot: Pilot[None]) -> str:
    """Return the picture of the screen once it is idle."""
    before, same = "", 0
    for _ in range(60):
        await pilot.pause(0.15)
        # A partly changed line is painted in pieces, and the boundaries depend on when its words arrived.
        shot = app.export_screenshot(title="reflectevo", simplify=True)
        now = _IDENTITY.sub("terminal", shot)
        before, same = now, same + 1 if now == before else 0
        if same == 5:
            return now
    raise AssertionError("the screen does not come to rest")


@pytest.mark.parametrize("name", SHOWN)
async def test_the_screen_looks_as_it_did(fixed: Built, name: str, tmp_path: Path) -> None:
    size, keys, words = SHOWN[name]
    app = ReflectEvoApp(Workspace(Path("workspace")))
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot)
        for key in keys:
            await pilot.press(key)
            await pilot.pause(0.3)
        await until(pilot, lambda: words in screen_text(app))
        taken = await _picture(app, pilot)
    kept = PICTURES / f"{name}.svg"
    if os.environ.get("REFLECTEVO_NEW_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        kept.write_text(taken, encoding="utf-8")
    if not kept.exists() or taken != kept.read_text(encoding="utf-8"):
        other = tmp_path / f"{name}.svg"
        other.write_text(taken, encoding="utf-8")
        pytest.fail(f"{other} differs from {kept}; look at both. Drawn anew with REFLECTEVO_NEW_PICTURES=1")


def test_there_are_at_most_a_dozen() -> None:
    """More would not be inspected; and no unused picture is left."""
    assert {picture.stem for picture in PICTURES.glob("*.svg")} == set(SHOWN) and len(SHOWN) <= 12
