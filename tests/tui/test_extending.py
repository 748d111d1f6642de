"""Tests that a screen is one registry entry: the example of docs/extending.md opens by its key, and is listed
everywhere.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from textual.widgets import Digits

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.app.app import palette_commands
from reflectevo_tui.screens.dialogs.help import HelpDialog
from reflectevo_tui.screens.registry import SCREENS, ScreenEntry, register_screen
from reflectevo_tui.widgets.screen_tabs import ScreenTabs

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"


@pytest.fixture
def wall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Return the screen of the page, registered from a module outside the packages."""
    (found,) = re.findall(r"^```python\n# wall\.py\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    (tmp_path / "wall.py").write_text(found, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield importlib.import_module("wall")
    SCREENS.unregister("wall")
    sys.modules.pop("wall")


async def test_a_registered_screen_opens_with_its_key(wall, build, until, screen_text) -> None:
    app = ReflectEvoApp(build(12).workspace)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: app.snapshot)
        assert "Wall" in [command.title for command in palette_commands(app)]
        await pilot.press("9")
        await until(pilot, lambda: app.current_mode == "wall" and app.screen.query(Digits))
        assert isinstance(app.screen, wall.WallScreen)
        (done,) = (stage.done for stage in app.snapshot.stages if stage.name == "correct")
        await until(pilot, lambda: app.screen.query_one(Digits).value == str(done))
        assert "9 Wall" in app.screen.query_one(ScreenTabs).lines[0].plain
        await pilot.press("1")
        await until(pilot, lambda: app.current_mode == "monitor")
        await pilot.press("f9")
        await until(pilot, lambda: app.current_mode == "wall")
        await pilot.press("question_mark")
        await until(pilot, lambda: isinstance(app.screen, HelpDialog) and "Wall" in screen_text(app))


def test_a_key_opens_one_screen(wall) -> None:
    with pytest.raises(ValueError, match="key 9 opens screen 'wall' already"):
        register_screen(ScreenEntry("9", "other", "Other", "Other", "other", "OtherScreen"))
    with pytest.raises(ValueError, match="there is a screen 'wall' already"):
        register_screen(ScreenEntry("0", "wall", "Other", "Other", "other", "OtherScreen"))
    assert list(SCREENS)[-1] == "wall"


def test_every_screen_is_where_its_entry_says() -> None:
    for entry in SCREENS.values():
        assert entry.load().mode == entry.mode
