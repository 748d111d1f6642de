"""Tests of imports that are killed, repeated, refused, or run beside another writer: nothing is lost or duplicated."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.commands.init import init_workspace
from engine.exchange import import_file as importing
from engine.exchange import record_batches
from engine.exchange.import_file import ImportRefused, import_file
from reflectevo_tui.engine_client.process import engine_command
from store.database.connection import open_reader, open_writer, write
from store.exchange.imports import begin_import
from store.workspace import Workspace
from tests.engine.test_exchange_import import check_whole, count, rows_of, take
from tests.support.published import Maker, write_records
from tests.support.waiting import wait_until


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    made = Workspace(tmp_path / "workspace")
    init_workspace(made, "demo-cpu", None, replace=False)
    return made


def test_a_finished_import_says_so_and_changes_nothing(workspace: Workspace, tmp_path: Path) -> None:
    """Repeating an import is safe; a changed file is another import, under its own name."""
    maker = Maker()
    path = write_records(tmp_path / "raw.json", [maker.raw(n) for n in range(4)])
    take(workspace, path)
    before = rows_of(workspace)
    again, told = take(workspace, path)
    assert again["already"] and again["records"] == 4 and told == []
    assert rows_of(workspace) == before
    write_records(path, [maker.raw(n) for n in range(5)])
    changed, _ = take(workspace, path)
    assert not changed["already"] and changed["run"] == "raw-2" and changed["records"] == 5


@pytest.mark.parametrize("ahead", [False, True])
def test_an_import_killed_at_any_batch_goes_on_and_ends_the_same(
    ahead: bool, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGKILL of a real process in the middle: no record lost, none duplicated, no process left."""
    maker = Maker()
    path = write_records(tmp_path / "raw.json", (maker.raw(n) for n in range(5000)))
    if ahead:
        # Only large files are imported in a separate process: make this one large without more records.
        path.write_bytes(path.read_bytes() + b" " * record_batches.AHEAD_BYTES)
    arguments = engine_command("import", "-w", str(workspace.root), "--file", str(path))
    kills = 0
    while True:
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, cwd=Path.cwd())
        assert process.stdout is not None
        first = process.stdout.readline()
        if '"done"' in first or process.poll() is not None:
            break
        helpers = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        kills += 1
        wait_until(lambda helpers=helpers: not psutil.wait_procs(helpers, timeout=0)[1], describe=lambda: "it lives on")  # type: ignore[misc]
        with closing(open_reader(workspace.database)) as reader:
            row = reader.execute("SELECT position, records FROM imports").fetchone()
            assert reader.execute("SELECT count(*) FROM import_records").fetchone()[0] == row["records"]
        if kills == 2:
            done, _ = take(workspace, path)
            assert done["records"] == 5000
            break
    assert kills
    check_whole(workspace)
    whole = Workspace(tmp_path / "whole")
    init_workspace(whole, "demo-cpu", None, replace=False)
    monkeypatch.setattr(importing, "AHEAD_BYTES", 1 << 60)
    take(whole, path)
    assert rows_of(whole) == rows_of(workspace)


def test_two_imports_of_one_file_do_not_mix(workspace: Workspace, tmp_path: Path) -> None:
    """The position advances only from where a process read it; the second import reports this and stores nothing."""
    maker = Maker()
    path = write_records(tmp_path / "raw.json", [maker.raw(n) for n in range(6)])

    def meanwhile(event: dict[str, object]) -> None:
        raise AssertionError("nothing is reported before it is stored")

    original = importing.insert_records

    def overtaken(connection: sqlite3.Connection, *rest: Any) -> dict[str, int]:
        connection.execute("UPDATE imports SET position = position + 1")
        return original(connection, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(importing, "insert_records", overtaken)
        with pytest.raises(ImportRefused, match="another process is importing"):
            import_file(workspace, path, meanwhile)
    assert count(workspace, "attempts") == 0
    assert take(workspace, path)[0]["records"] == 6


def test_an_import_runs_beside_a_writer(workspace: Workspace, tmp_path: Path) -> None:
    """An engine writes between the batches: ids never collide, and neither waits for the other to finish."""
    maker = Maker()
    path = write_records(tmp_path / "raw.json", [maker.raw(n) for n in range(40)])
    inserted: list[int] = []
    with closing(open_writer(workspace.database)) as engine, pytest.MonkeyPatch.context() as patch:
        patch.setattr(record_batches, "BATCH_RECORDS", 10)
        advance = importing._Import._progress

        def between(self: Any, *arguments: Any) -> None:
            with write(engine):
                target = begin_import(
                    engine,
                    name=f"other{len(inserted)}",
                    path="x",
                    file_format="raw",
                    identity=f"x{len(inserted)}",
                    size=0,
                    task="t",
                )
                cursor = engine.execute(
                    "INSERT INTO questions (task, domain, split, text, reference, content_hash)"
                    " VALUES ('t', 'd', 'train', 'x', 'y', ?)",
                    (f"other {target.import_id}",),
                )
                inserted.append(int(cursor.lastrowid or 0))
            advance(self, *arguments)

        patch.setattr(importing._Import, "_progress", between)
        take(workspace, path)
    assert len(inserted) == 4 and count(workspace, "questions") == 44
    check_whole(workspace)


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "holds no JSON record"),
        ('{"a": 1, "b": 2}', {}, "format of .* is not recognised; its first record has: a, b"),
        ("PAR1 nonsense", {}, "no whole Parquet file"),
        ("[]", {"file_format": "csv"}, "there is no format 'csv'"),
    ],
)
def test_a_file_that_can_not_be_imported_is_refused_before_anything_is_made(
    content: str, options: dict[str, str], message: str, workspace: Workspace, tmp_path: Path
) -> None:
    """A clear message, and no empty run."""
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(ImportRefused, match=message):
        take(workspace, path, **options)
    with pytest.raises(ImportRefused, match="can't be read"):
        take(workspace, tmp_path / "nowhere")
    assert count(workspace, "runs") == 0


def test_a_name_that_is_taken_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    """An own run is never mixed with imported rows."""
    maker = Maker()
    take(workspace, write_records(tmp_path / "a.json", [maker.raw(1)]), name="mine")
    with pytest.raises(ImportRefused, match="there is a run 'mine' already"):
        take(workspace, write_records(tmp_path / "b.json", [maker.raw(2)]), name="mine")
