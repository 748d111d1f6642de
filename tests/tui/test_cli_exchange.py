"""Tests import and export for an operator: on the command line, in the status, and on the screens."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from pathlib import Path

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.widgets.stage_rail import StageRail
from reflectevo_tui.widgets.trajectory_list import TrajectoryList
from store.rollouts import trajectories
from store.workspace import Workspace
from tests.support.published import Maker, write_records
from tests.tui.test_cli import PROGRAM, cli


def new_workspace(root: Path) -> Path:
    assert cli("init", "-w", root).returncode == 0
    return root


def test_import_says_what_it_took_and_asking_again_changes_nothing(tmp_path: Path) -> None:
    """The basis of a script over 17 files: exit code 0 also for a file already imported."""
    workspace = new_workspace(tmp_path / "workspace")
    maker = Maker()
    records = [maker.d_plus(n, leaking=n < 2) for n in range(5)]
    path = write_records(tmp_path / "plus.jsonl", [*records, {**records[0], "answer": ""}])
    done = cli("import", "-w", workspace, path, "--name", "published")
    assert done.returncode == 0, done.stderr
    for words in (
        "run        published (d-plus, from",
        "records    5",
        "skipped    record 6 (byte",
        "skipped    1: its field 'answer' is empty",
        "leaks      2 records: the prompt contains the target in 2",
    ):
        assert words in done.stdout
    again = cli("import", "-w", workspace, path)
    assert again.returncode == 0 and "imported   already, as run published; nothing was changed" in again.stdout
    events = [json.loads(line) for line in cli("import", "-w", workspace, path, "--json").stdout.splitlines()]
    assert events[-1]["already"] and events[-1]["records"] == 5

    status = cli("status", "-w", workspace)
    assert status.returncode == 0 and "none yet" in status.stdout
    out = tmp_path / "out"
    exported = cli(
        "export", "-w", workspace, "--run", "published", "--format", "trl-sft", "--to", out, "--as", "parquet"
    )
    assert exported.returncode == 0, exported.stderr
    assert "5 rows in train" in exported.stdout and (out / "data" / "train.parquet").exists()
    refused = cli("export", "-w", workspace, "--run", "published", "--format", "trl-sft", "--to", out)
    assert refused.returncode == 1 and "exists already" in refused.stderr and "Traceback" not in refused.stderr


def test_what_can_not_be_imported_is_one_message(tmp_path: Path) -> None:
    """No traceback, exit code 1, nothing created."""
    workspace = new_workspace(tmp_path / "workspace")
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    for arguments, words in (
        ((tmp_path / "rows.csv",), "holds no JSON record"),
        ((tmp_path / "nowhere.json",), "can't be read"),
        ((tmp_path / "rows.csv", "--format", "csv"), "formats are: raw, d-plus, d-pm, d-pref"),
    ):
        refused = cli("import", "-w", workspace, *arguments)
        assert refused.returncode == 1 and words in refused.stderr and "Traceback" not in refused.stderr
    elsewhere = cli("import", "-w", tmp_path / "none", tmp_path / "rows.csv")
    assert elsewhere.returncode == 1 and "reflectevo init" in elsewhere.stderr


def test_an_import_on_a_terminal_shows_a_bar(tmp_path: Path) -> None:
    """On a real pty the bar is drawn, and the summary stays below it."""
    workspace = new_workspace(tmp_path / "workspace")
    maker = Maker()
    path = write_records(tmp_path / "raw.json", (maker.raw(n) for n in range(300)))
    leader, follower = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "120"}
    with subprocess.Popen(
        [PROGRAM, "import", "-w", str(workspace), str(path)], stdin=follower, stdout=follower, env=environment
    ) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            if not piece:
                break
            shown += piece
    os.close(leader)
    assert process.returncode == 0
    text = shown.decode()
    assert "━" in text and "100%" in text and "records    300" in text


async def test_the_newest_in_the_monitor_are_what_was_made_here(tmp_path: Path, build, until, screen_text) -> None:
    """Imported rows have higher ids than those of the run, and must not displace its newest ones."""
    built = build(20)
    maker = Maker()
    path = write_records(tmp_path / "raw.json", [maker.raw(n) for n in range(30)])
    before = trajectories.newest(built.writer, 8)
    assert cli("import", "-w", built.workspace.root, path, "--task", "quiz").returncode == 0
    assert trajectories.newest(built.writer, 8) == before
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: "run demo" in screen_text(app))
        await pilot.pause(0.3)
        shown = screen_text(app)
        assert "iteration 1" in shown and "quiz" not in shown


async def test_an_imported_run_is_listed_while_the_monitor_waits_for_one_of_our_own(
    tmp_path: Path, until, screen_text
) -> None:
    """Trajectories shows the imported rows; the Monitor doesn't show them as run here."""
    workspace = new_workspace(tmp_path / "workspace")
    maker = Maker()
    path = write_records(tmp_path / "plus.jsonl", [maker.d_plus(n, leaking=True) for n in range(6)])
    assert cli("import", "-w", workspace, path, "--task", "quiz").returncode == 0
    app = ReflectEvoApp(Workspace(workspace))
    async with app.run_test(size=(160, 50)) as pilot:
        await until(pilot, lambda: bool(app.screen.query_one(StageRail).lines))
        await pilot.pause(0.3)
        assert "Nothing has run" in "\n".join(line.plain for line in app.screen.query_one(StageRail).lines)
        await pilot.press("2")
        await until(pilot, lambda: bool(app.screen.query(TrajectoryList)) and "quiz" in screen_text(app))
        await pilot.pause(0.3)
        shown = screen_text(app)
        for words in ("quiz", "i→c", "leak", "published-"):
            assert words in shown, words
