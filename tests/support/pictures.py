"""Takes the pictures of the documentation: every screen of a workspace, as SVG.

`python -m tests.support.pictures WORKSPACE docs` writes one file a screen. Take them from a real run.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from pathlib import Path

from reflectevo_tui.app import ReflectEvoApp
from store.workspace import Workspace

KEYS = {
    "monitor": ("f1",),
    "trajectories": ("f2", "slash", *"count", "enter", "down", "down"),
    "review": ("f3", "space", "3"),
    "datasets": ("f4",),
    "lineage": ("f5", "home", "space", "end", "space"),
    "instructions": ("f6", "right", "down"),
    "launch": ("f7",),
    "logs": ("f8", "tab", "tab"),
}
"""Keys to press for each picture."""

SIZE = (140, 44)


async def take(workspace: Workspace, directory: Path) -> None:
    """Take all pictures."""
    app = ReflectEvoApp(workspace)
    async with app.run_test(size=SIZE) as pilot:
        while app.snapshot is None:
            await pilot.pause(0.1)
        for name, keys in KEYS.items():
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.4)
            await pilot.pause(1.5)
            (directory / f"{name}.svg").write_text(app.export_screenshot(title="reflectevo"), encoding="utf-8")


if __name__ == "__main__":
    # The pictures must not show the name of the machine they were taken on.
    socket.gethostname = lambda: "gpu-box"
    asyncio.run(take(Workspace(Path(sys.argv[1]).resolve()), Path(sys.argv[2])))
