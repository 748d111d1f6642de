"""Tests `reflectevo demo-data`: a synthetic store, marked as such, complete, equal for equal seeds, on every screen."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

import reflectevo_tui
from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.commands.demo.synthetic_store import DemoStore
from reflectevo_tui.screens.registry import SCREENS
from store.database.connection import open_reader
from store.errors import StorageRefused
from store.runs.policies import evaluations
from store.runs.runs import list_runs
from store.settings import RunSettings
from store.workspace import Workspace

ROWS = 1500


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Build a small synthetic workspace."""
    workspace = Workspace(tmp_path_factory.mktemp("demo") / "w")
    for _ in DemoStore(workspace, ROWS, 0).make():
        pass
    return workspace


def one(reader: sqlite3.Connection, query: str) -> int:
    """Return a number from the store."""
    return int(reader.execute(query).fetchone()[0])


def test_it_is_whole_and_marked_synthetic(demo: Workspace) -> None:
    with closing(open_reader(demo.database)) as reader:
        run = list_runs(reader)[0]
        assert run.origin == "synthetic"
        RunSettings.model_validate(run.settings)
        assert reader.execute("PRAGMA foreign_key_check").fetchall() == []
        assert ROWS <= one(reader, "SELECT count(*) FROM trajectories") < ROWS + 20
        assert one(reader, "SELECT count(*) FROM trajectory_search WHERE trajectory_search MATCH 'premise'") > 0
        for table in ("policies", "iterations", "evaluations", "curated", "metrics"):
            assert one(reader, f"SELECT count(*) FROM {table}") > 2, table
        unmatched = "SELECT count(*) FROM trajectories t JOIN attempts a ON a.id = t.correction_id WHERE"
        assert one(reader, f"{unmatched} a.reflection_id IS NOT t.reflection_id") == 0
        assert one(reader, f"{unmatched} (a.verdict = 'correct') <> (t.transition LIKE '%→c')") == 0
        disagreeing = (
            "SELECT count(*) FROM reviews v JOIN trajectories t ON t.reflection_id = v.reflection_id"
            " WHERE v.decision <> t.review"
        )
        assert one(reader, disagreeing) == 0


def test_its_evaluations_have_floors(demo: Workspace) -> None:
    """Four options: a third of the wrong answers; numbers from 2 to 99: next to none."""
    with closing(open_reader(demo.database)) as reader:
        found = evaluations(reader, list_runs(reader)[0].id)
    assert len(found) == 20
    for evaluation in found:
        floor, first = evaluation.metrics["floor_t2"], evaluation.metrics["acc_t1"]["value"]
        assert floor["value"] is not None and first is not None and floor["n"] == evaluation.n
        if evaluation.task in ("logiqa", "siqa"):
            assert floor["by_options"] == 1.0 and floor["value"] == pytest.approx(first + (1 - first) / 3)
        elif evaluation.task:
            assert floor["by_options"] == 0.0 and floor["value"] < 0.3


def test_the_same_seed_makes_the_same_rows(tmp_path: Path) -> None:
    texts = []
    for number, seed in enumerate((5, 5, 6)):
        workspace = Workspace(tmp_path / f"w{number}")
        for _ in DemoStore(workspace, 200, seed).make():
            pass
        with closing(open_reader(workspace.database)) as reader:
            rows = reader.execute("SELECT text, instruction FROM reflections ORDER BY id").fetchall()
            texts.append([tuple(row) for row in rows])
    assert texts[0] == texts[1] != texts[2]


def test_an_existing_workspace_is_never_touched(demo: Workspace) -> None:
    before = demo.database.stat().st_mtime_ns
    with pytest.raises(StorageRefused, match="is already a workspace"):
        list(DemoStore(demo, 200, 0).make())
    assert demo.database.stat().st_mtime_ns == before


def test_the_command_needs_no_engine(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "sys.modules['engine'] = None\n"
        "from reflectevo_tui.cli import app\n"
        f"app(['demo-data', '-w', {str(tmp_path / 'w')!r}, '--rows', '300', '--json'])"
    )
    root = Path(reflectevo_tui.__file__).parent.parent
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    said = json.loads(ran.stdout)
    assert said["trajectories"] >= 300 and (tmp_path / "w" / "reflectevo.db").exists()


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_every_screen_shows_it(demo: Workspace, until, screen_text, size) -> None:
    app = ReflectEvoApp(demo)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot)
        for tab in SCREENS.values():
            await pilot.press(f"f{tab.key}")
            await until(pilot, lambda tab=tab: app.current_mode == tab.mode and "run synthetic" in screen_text(app))
            await pilot.pause(0.3)
            assert "can't be read" not in screen_text(app)
