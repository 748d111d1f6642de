"""Tests `repair`: a damaged database is read without being changed, and every readable row is saved."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest

from store.database.connection import SCHEMA_VERSION, open_reader, open_writer, write
from store.database.repair import SALVAGED, look
from store.errors import NotOurDatabase, StorageRefused
from store.runs.progress import integrity
from tests.support.built_workspaces import Built, build_workspace

PAGE = 4096


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Build a workspace whose rows fill many pages, written and closed."""
    built = build_workspace(tmp_path / "workspace", 0)
    built.add_trajectories(120, text="some words of a model " * 40)
    built.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    return built


def fingerprints(directory: Path) -> dict[str, str]:
    """Return hashes of the database's files, without the index of the WAL, which readers share."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.glob("reflectevo.db*")
        if not path.name.endswith("-shm")
    }


def rows(database: Path, table: str) -> list[tuple[object, ...]]:
    with closing(open_reader(database)) as connection:
        return [tuple(row) for row in connection.execute(f"SELECT * FROM {table}")]


def _overwrite(file: BinaryIO, page: int, content: bytes) -> None:
    file.seek((page - 1) * PAGE)
    file.write(content)
    file.flush()


def _lists_its_tables(database: Path) -> bool:
    """Check whether the schema can still be read, without which nothing can be saved."""
    try:
        with closing(sqlite3.connect(f"file:{database}?immutable=1", uri=True)) as connection:
            return len(connection.execute("SELECT sql FROM sqlite_master").fetchall()) > 30
    except sqlite3.DatabaseError:
        return False


def test_a_sound_database_is_called_sound_and_nothing_is_left(built: Built, tmp_path: Path) -> None:
    before = fingerprints(built.workspace.root)
    found = look(built.workspace.database, tmp_path / "saved")
    assert found.sound and found.directory is None
    assert not (tmp_path / "saved").exists()
    assert fingerprints(built.workspace.root) == before


def test_everything_of_a_sound_database_can_be_saved_with_its_wal(built: Built, tmp_path: Path) -> None:
    """Rows that are only in the WAL count, although the original isn't opened as a database."""
    built.add_trajectories(5, text="only in the WAL", start=500)
    found = look(built.workspace.database, tmp_path / "saved", always=True)
    assert found.directory is not None
    for table in (
        "questions",
        "attempts",
        "reflections",
        "trajectories",
        "runs",
        "policies",
        "stages",
        "run_questions",
    ):
        assert rows(found.directory / SALVAGED, table) == rows(built.workspace.database, table), table
        lines = (found.directory / f"{table}.jsonl").read_text().splitlines()
        assert len(lines) == len(rows(built.workspace.database, table))
    assert "only in the WAL" in (found.directory / "attempts.jsonl").read_text()
    with closing(open_reader(found.directory / SALVAGED)) as connection:
        query = "SELECT count(*) FROM trajectory_search WHERE trajectory_search MATCH 'WAL'"
        assert connection.execute(query).fetchone()[0] == 5
    assert {path.stat().st_mode & 0o777 for path in found.directory.iterdir()} == {0o600}
    assert found.directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("seed", range(4))
def test_of_a_damaged_database_every_readable_row_is_saved(built: Built, tmp_path: Path, seed: int) -> None:
    """Pages of garbage lose their own rows; the rest is in a sound database and in JSON lines, without dangling
    references.
    """
    database = built.workspace.database
    whole = {table: rows(database, table) for table in ("questions", "attempts", "reflections", "trajectories")}
    built.writer.close()
    with closing(sqlite3.connect(database)) as connection:
        root, pages = (
            connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'attempts'").fetchone()[0],
            connection.execute("PRAGMA page_count").fetchone()[0],
        )
    damaged = list(range(root + 5 + seed, pages, 9 + seed))[:40]
    with database.open("r+b") as file:
        for page in damaged:
            file.seek((page - 1) * PAGE)
            kept = file.read(PAGE)
            _overwrite(file, page, bytes([0xA5 + seed]) * PAGE)
            if not _lists_its_tables(database):
                _overwrite(file, page, kept)
    before = fingerprints(built.workspace.root)
    found = look(database, tmp_path / "saved")
    assert fingerprints(built.workspace.root) == before
    assert not found.sound and found.directory is not None
    saved = found.directory / SALVAGED
    with closing(open_reader(saved)) as connection:
        assert integrity(connection) == "ok"
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    total = 0
    for table, were in whole.items():
        are = rows(saved, table)
        assert set(are) <= set(were), f"{table} has rows that never were"
        read = [json.loads(line) for line in (found.directory / f"{table}.jsonl").read_text().splitlines()]
        assert len(read) >= len(are)
        assert {row["id"] for row in read} <= {row[0] for row in were}
        total += len(read)
    assert 0 < total < sum(len(were) for were in whole.values()), "some rows were lost, and most were not"
    assert total > 0.3 * sum(len(were) for were in whole.values())


@pytest.mark.parametrize("kind", ["foreign", "newer", "rubbish", "first page", "empty"])
def test_what_is_not_ours_or_gone_is_named_and_left_as_it_is(built: Built, tmp_path: Path, kind: str) -> None:
    database = built.workspace.database
    with closing(open_writer(database)) as connection:
        if kind == "newer":
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        elif kind == "foreign":
            connection.execute("PRAGMA application_id = 7")
    built.writer.close()
    if kind == "rubbish":
        database.write_bytes(b"no database " * 1000)
    elif kind == "empty":
        database.write_bytes(b"")
    elif kind == "first page":
        with database.open("r+b") as file:
            file.write(b"\0" * PAGE)
    before = fingerprints(built.workspace.root)
    with pytest.raises(NotOurDatabase, match=r"not changed"):
        look(database, tmp_path / "saved", always=True)
    assert fingerprints(built.workspace.root) == before
    assert not (tmp_path / "saved").exists()


def test_too_little_room_is_said_before_anything_is_copied(
    built: Built, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr("store.database.repair.shutil.disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(StorageRefused, match="--to"):
        look(built.workspace.database, tmp_path / "saved", always=True)
    assert not (tmp_path / "saved").exists()


def test_a_run_goes_on_from_the_saved_database(built: Built, tmp_path: Path) -> None:
    """The new database is complete: it accepts further rows, and new ids follow the old ones."""
    found = look(built.workspace.database, tmp_path / "saved", always=True)
    assert found.directory is not None
    writer = open_writer(found.directory / SALVAGED)
    highest = writer.execute("SELECT max(id) FROM attempts").fetchone()[0]
    moved = Built(built.workspace, writer, built.run, built.iteration, built.policy)
    moved.add_trajectories(3, start=900)
    with write(writer):
        assert writer.execute("SELECT max(id) FROM attempts").fetchone()[0] > highest
    writer.close()
