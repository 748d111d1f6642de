"""Tests the schema: the data model of the architecture, created in one transaction or not at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlite_utils import Database

from store.database import migrations
from store.database.connection import APPLICATION_ID, SCHEMA_VERSION, open_reader, open_writer
from store.database.migrations import is_current, migrate
from store.runs.runs import FewShot, few_shots

DATA_MODEL = {
    "runs": "name base_model settings base_directory origin state error created",
    "questions": "task domain split text options reference payload content_hash",
    "policies": "run_id parent_id iteration_id name setting roles path base_model state reason details created",
    "iterations": "run_id number kind parent_id child_id settings state control reason remaining created ended",
    "stages": "iteration_id position name state approved total done owed note started ended error",
    "attempts": "iteration_id question_id policy_id protocol turn reflection_id sample reasoning answer verdict detail"
    " score prompt_tokens completion_tokens finish_reason seed prompt_version prompt_hash latency reused_from"
    " error created",
    "reflections": "iteration_id attempt_id instruction sample policy_id protocol text prompt_tokens completion_tokens"
    " finish_reason seed prompt_version prompt_hash latency flags reused_from error created",
    "trajectories": "iteration_id policy_id question_id attempt_id reflection_id correction_id split task domain"
    " transition instruction review flags right_with n_with right_without n_without lift",
    "reviews": "reflection_id decision error_kind names_error note reviewer created sample_size sample_seed",
    "preferences": "chosen_id rejected_id source confidence reviewer note created",
    "judge_requests": "iteration_id first_id second_id judge prompt_version answer created",
    "instruction_parts": "run_id part position text",
    "curated": "iteration_id set_name reflection_id rejected_reflection_id correction_id included reason",
    "imports": "run_id path format identity position size records skipped leaks details created ended",
    "import_records": "import_id number attempt_id reflection_id rejected_reflection_id remainder",
    "import_texts": "digest text",
    "evaluations": "policy_id iteration_id protocol task n metrics created split",
    "baseline_outcomes": "policy_id protocol question_id baseline correct",
    "control_texts": "iteration_id policy_id author_id protocol first_answers arm sample question_id attempt_id"
    " reflection_id shown_id shown text answer answer_group verdict detail score prompt_tokens cached_tokens"
    " completion_tokens finish_reason seed prompt_version prompt_hash latency reused_from error created",
    "control_results": "policy_id protocol first_answers iteration_id request results created",
    "thoughts": "attempt_id reflection_id text tokens",
    "metrics": "iteration_id stage step name value created",
    "directives": "uuid kind arguments issued_by created claimed done accepted outcome",
    "heartbeats": "slot pid started beat state detail",
    "events": "created level source iteration_id text",
    "live_text": "slot role question_id task instruction text updated",
    "capabilities": "name value updated",
    "tallies": "iteration_id kind n",
}


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Return a writer on a new, empty file."""
    with closing(open_writer(tmp_path / "reflectevo.db")) as made:
        yield made


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _dump(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    return [tuple(row) for row in connection.execute("SELECT name, coalesce(sql, '') FROM sqlite_master ORDER BY name")]


def test_an_empty_file_becomes_the_data_model(connection: sqlite3.Connection) -> None:
    """Names of tables and columns are fixed: terminals, exports and reports depend on them."""
    assert not is_current(connection)
    migrate(connection)
    assert is_current(connection)
    assert set(DATA_MODEL) <= _tables(connection)
    for table, columns in DATA_MODEL.items():
        # table_xinfo also lists generated columns such as stages.owed.
        found = [row["name"] for row in connection.execute(f"PRAGMA table_xinfo({table})") if row["name"] != "id"]
        assert found == columns.split(), table
    assert connection.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION
    assert connection.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


def test_migrating_again_changes_nothing(connection: sqlite3.Connection) -> None:
    """Every start of the engine migrates; a current database must remain unchanged."""
    migrate(connection)
    before = _dump(connection)
    changes = connection.total_changes
    migrate(connection)
    assert _dump(connection) == before
    assert connection.total_changes == changes


def test_a_migration_that_fails_leaves_nothing_and_can_be_done_again(
    connection: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up midway must not leave a database that is neither old nor new."""
    with monkeypatch.context() as broken:
        broken.setattr(migrations, "TELEMETRY", "CREATE TABLE heartbeats (slot TEXT); CREATE TABLE runs (id);")
        with pytest.raises(sqlite3.OperationalError, match="already exists"):
            migrate(connection)
    assert not set(DATA_MODEL) & _tables(connection)
    assert not is_current(connection)
    assert not connection.in_transaction
    migrate(connection)
    assert is_current(connection)
    assert set(DATA_MODEL) <= _tables(connection)


def test_a_workspace_whose_first_migration_failed_can_be_opened_and_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The remains of a failed first migration must not be mistaken for another program's database."""
    path = tmp_path / "reflectevo.db"
    with monkeypatch.context() as broken, closing(open_writer(path)) as connection:
        broken.setattr(migrations, "ROLLOUTS", "CREATE TABLE questions (id); nonsense;")
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection)
    with closing(open_writer(path)) as connection:
        migrate(connection)
    with closing(open_reader(path)) as reader:
        assert is_current(reader)


def test_a_workspace_of_the_first_schema_keeps_its_rows(connection: sqlite3.Connection) -> None:
    """Existing workspaces contain hours of measurements; an upgrade keeps them."""
    migrations._migrations().apply(Database(connection), stop_before="0002_voted_retries")
    assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
    assert not is_current(connection)
    connection.execute("PRAGMA foreign_keys = OFF")
    old = [(1, "oracle/1", 7, "retry_budget", 1), (1, "oracle/1", 8, "vote", 0)]
    connection.executemany("INSERT INTO baseline_outcomes VALUES (?, ?, ?, ?, ?)", old)
    new = (1, "oracle/1", 7, "retry_vote_budget", 0)
    with pytest.raises(sqlite3.IntegrityError):
        connection.execute("INSERT INTO baseline_outcomes VALUES (?, ?, ?, ?, ?)", new)
    migrate(connection)
    assert is_current(connection)
    connection.execute("INSERT INTO baseline_outcomes VALUES (?, ?, ?, ?, ?)", new)
    found = connection.execute("SELECT * FROM baseline_outcomes ORDER BY question_id, baseline").fetchall()
    assert [tuple(row) for row in found] == sorted([*old, new], key=lambda row: (row[2], row[3]))
    assert "new_baseline_outcomes" not in _tables(connection)


def test_every_statement_of_a_script_is_found() -> None:
    """The splitter must not cut a statement at a semicolon inside a text or lose the last one."""
    script = "CREATE TABLE a (b TEXT DEFAULT ';');\nCREATE TABLE c (d);\n"
    assert migrations._statements(script) == ["CREATE TABLE a (b TEXT DEFAULT ';');", "CREATE TABLE c (d);"]


def test_worked_examples_of_the_second_schema_are_still_shown(connection: sqlite3.Connection) -> None:
    """Without them every prompt of a continued run would change."""
    migrations._migrations().apply(Database(connection), stop_before="0003_worked_reflections")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("INSERT INTO few_shots VALUES (1, 'quiz', 0, '1 + 1?', 'Answer: 2')")
    migrate(connection)
    assert few_shots(connection, 1) == {"quiz": [FewShot("1 + 1?", "Answer: 2")]}


def test_evaluations_of_the_third_schema_keep_their_numbers_and_get_their_split(connection: sqlite3.Connection) -> None:
    """The split follows from the settings of the iteration that measured; without one it was the test questions."""
    migrations._migrations().apply(Database(connection), stop_before="0004_splits_of_evaluations")
    connection.execute("PRAGMA foreign_keys = OFF")
    settings = {1: '{"evaluation": {"split": "dev"}}', 2: '{"evaluation": {"split": "test"}}', 3: '{"name": "old"}'}
    for number, stored in settings.items():
        connection.execute(
            "INSERT INTO iterations (id, run_id, number, settings, state, created) VALUES (?, 1, ?, ?, 'done', 0)",
            (number, number, stored),
        )
    for number in (*settings, None):
        connection.execute(
            "INSERT INTO evaluations (policy_id, iteration_id, protocol, task, n, metrics, created)"
            " VALUES (1, ?, ?, '', 90, '{\"acc_t1\": {\"value\": 0.5}}', 0)",
            (number, f"oracle/{number}"),
        )
    connection.execute("INSERT INTO run_questions (run_id, question_id, split) VALUES (1, 7, 'dev')")
    migrate(connection)
    found = connection.execute("SELECT split, n, metrics FROM evaluations ORDER BY id").fetchall()
    assert [row["split"] for row in found] == ["dev", "test", "test", "test"]
    assert {(row["n"], row["metrics"]) for row in found} == {(90, '{"acc_t1": {"value": 0.5}}')}
    assert [tuple(row) for row in connection.execute("SELECT * FROM run_questions")] == [(1, 7, "dev", 0)]
