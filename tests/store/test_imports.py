"""Tests the rows of imports and the pages that exports read: positions that advance once, ids in order."""

from __future__ import annotations

from typing import Any

from store.database.connection import write
from store.database.search_buffer import widen_search_buffer
from store.exchange import export_pages, imports
from store.exchange.import_rows import insert_records
from store.exchange.imported_records import ImportedAttempt, ImportedBranch, ImportedQuestion, ImportedRecord
from store.exchange.imports import Advance, ImportTarget
from store.runs import iterations
from tests.support.rows import Rows


def begin(rows: Rows, name: str = "published") -> ImportTarget:
    """Return an import that has begun."""
    with write(rows.connection):
        return imports.begin_import(
            rows.connection, name=name, path="/data/x.json", file_format="raw", identity=name, size=100, task="quiz"
        )


def record(asked: int, reflections: int = 1, **changes: Any) -> ImportedRecord:
    """Return a record of a question, with a wrong attempt and the given number of reflections that helped."""
    helped = ImportedAttempt("second", "A", "correct", "as published")
    values: dict[str, Any] = {
        "number": asked,
        "question": ImportedQuestion("quiz", "imported", f"question {asked}", "a", f"hash {asked}"),
        "attempt": ImportedAttempt("first", "B", "incorrect", "as published"),
        "branches": tuple(ImportedBranch(f"thought {n}", "unstated", "", helped) for n in range(reflections)),
        "set_name": None,
        "remainder": "{}",
        **changes,
    }
    return ImportedRecord(**values)


def advance(position: int, records: int) -> Advance:
    return Advance(position, records, 0, 0, {"leaks": {}}, {"attempt": records})


def test_a_position_moves_only_from_where_it_was(rows: Rows) -> None:
    """Two processes on one file: the second finds that the position has advanced, and rolls its rows back."""
    target = begin(rows)
    with write(rows.connection):
        assert imports.advance_import(rows.connection, target, 0, advance(40, 3))
    with write(rows.connection):
        assert not imports.advance_import(rows.connection, target, 0, advance(60, 5))
    stored = imports.find_import(rows.connection, "published")
    assert stored is not None and (stored.position, stored.records, stored.ended) == (40, 3, None)
    assert imports.target_of(rows.connection, stored) == target


def test_an_import_is_nobody_s_work_and_ends_with_what_it_has(rows: Rows) -> None:
    """An engine that looks for work must not select an import, finished or not."""
    target = begin(rows)
    assert iterations.get_iteration(rows.connection, target.iteration_id).state == "stopped"
    assert iterations.current_iteration(rows.connection).id == rows.iteration  # type: ignore[union-attr]
    with write(rows.connection):
        widen_search_buffer(rows.connection, imports.SEARCH_BUFFER)
        imports.advance_import(rows.connection, target, 0, advance(100, 2))
        imports.finish_import(rows.connection, target, {"attempt": "from x.json"})
    found = {stage.name: stage for stage in iterations.stages(rows.connection, target.iteration_id)}
    assert (found["attempt"].state, found["attempt"].done, found["attempt"].note) == ("done", 2, "from x.json")
    assert {found[name].state for name in ("reflect", "correct", "curate", "train", "evaluate")} == {"skipped"}
    size = rows.connection.execute("SELECT v FROM trajectory_search_config WHERE k = 'hashsize'").fetchone()[0]
    assert size == 1 << 20
    assert iterations.current_iteration(rows.connection).id == rows.iteration  # type: ignore[union-attr]


def test_a_name_that_is_taken_gets_a_number(rows: Rows) -> None:
    """A file that changed is imported beside its earlier version."""
    begin(rows)
    assert imports.free_run_name(rows.connection, "published") == "published-2"
    assert imports.free_run_name(rows.connection, "other") == "other"


def test_the_same_question_again_is_another_attempt(rows: Rows) -> None:
    """Raw files contain samples: equal ones are distinct rows, in one batch or in several."""
    target = begin(rows)
    for batch in ([record(1), record(1, number=2)], [record(1, number=3, reflections=2)]):
        with write(rows.connection):
            added = insert_records(rows.connection, target, batch)
    assert added == {"attempt": 1, "reflect": 2, "correct": 2, "curate": 0}
    query = "SELECT sample FROM attempts WHERE iteration_id = ? AND turn = 1 ORDER BY id"
    assert [row[0] for row in rows.connection.execute(query, (target.iteration_id,))] == [0, 1, 2]
    assert rows.connection.execute("SELECT count(*) FROM run_questions").fetchone()[0] == 1


def test_pages_follow_keys_and_leave_failures_out(rows: Rows) -> None:
    """An export pages by key: no row twice, none missed, no failures, and of our own runs only *the* attempt."""
    made = []
    for number in range(5):
        question = rows.question(f"q{number}")
        attempt = rows.attempt(question, error="broken" if number == 2 else None)
        rows.corrected(attempt, question)
        made.append(attempt)
    target = begin(rows)
    with write(rows.connection):
        insert_records(rows.connection, target, [record(9), record(9, number=10)])

    def walk(iteration: int, every: bool) -> list[int]:
        found: list[int] = []
        while page := export_pages.attempt_page(
            rows.connection, iteration, after=found[-1] if found else 0, limit=2, every_sample=every
        ):
            found += [one.id for one in page]
        return found

    assert walk(rows.iteration, False) == [one for one in made if one != made[2]]
    assert len(walk(target.iteration_id, False)) == 1 and len(walk(target.iteration_id, True)) == 2
    numbers = [one.number for one in export_pages.import_page(rows.connection, target.import_id, after=9, limit=5)]
    assert numbers == [10]
    reflections = export_pages.reflections_on(rows.connection, made)
    corrections = export_pages.corrections_of(
        rows.connection, (one.id for each in reflections.values() for one in each)
    )
    assert len(corrections) == 5
    found = export_pages.record_of_attempt(rows.connection, walk(target.iteration_id, True)[0])
    assert found is not None and (found[0].number, found[1]) == (9, "raw")
    assert export_pages.record_of_attempt(rows.connection, made[0]) is None
