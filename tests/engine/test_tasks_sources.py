"""Tests of question sources: every file format, hub datasets, and unusable rows."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.errors import TaskError
from engine.tasks import load_tasks, task_type
from engine.tasks.base import Loaded, SkippedRow
from engine.tasks.loading.fields import RowRefused, asked, field, text_field
from store.settings import RunSettings
from store.settings.tasks import ChoiceTask, FreeTextTask, MathTask

ROWS: list[dict[str, Any]] = [
    {"id": n, "text": f"Riddle {n}?", "choices": {"text": ["yes", "no"], "label": ["1", "2"]}, "key": str(1 + n % 2)}
    for n in range(12)
]


def choice(base: Path, **changes: Any) -> Loaded:
    fields = {"question_field": "text", "options_field": "choices", "answer_field": "key", "train": 8, "test": 4}
    task = ChoiceTask.model_validate({"kind": "choice", "name": "quiz", **fields, **changes})
    return task_type("choice").load(task, base, 7)


def test_every_kind_of_file_gives_the_same_questions(tmp_path: Path) -> None:
    """An operator's file needs no conversion."""
    import pyarrow
    import pyarrow.parquet

    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    (tmp_path / "rows.json").write_text(json.dumps(ROWS, indent=2))
    (tmp_path / "wrapped.json").write_text(json.dumps({"version": 1, "data": ROWS}))
    (tmp_path / "lines.json").write_text("\n".join(json.dumps(row) for row in ROWS))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "rows.parquet")
    expected = choice(tmp_path, path="rows.jsonl")
    assert len(expected.train) == 8
    for name in ("rows.json", "wrapped.json", "lines.json", "rows.parquet"):
        assert choice(tmp_path, path=name) == expected, name


def test_csv_with_a_field_an_option(tmp_path: Path) -> None:
    """Quotes, line breaks inside cells, a byte order mark, and rows with a missing cell."""
    lines = ["text,one,two,key", '"Which, and\nwhy?",yes,no,0', "Other?,yes,no,1", "Short?,yes", 'Torn?,yes,"no']
    (tmp_path / "rows.csv").write_text("\ufeff" + "\r\n".join(lines), encoding="utf-8", newline="")
    changes = {"options_field": ["one", "two"], "answer_is": "index0", "train": 2, "test": 0}
    loaded = choice(tmp_path, path="rows.csv", **changes)
    found = {question.text: question.reference for question in loaded.train}
    assert found == {"Which, and\nwhy?": "A", "Other?": "B"}
    assert {question.options for question in loaded.train} == {("yes", "no")}
    reasons = {row.line: row.reason for row in loaded.skipped}
    assert reasons[5] == "2 cells for 4 columns"
    assert "torn" in reasons[6]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.json", b'[{"text": ', "perhaps torn"),
        ("rows.json", b'"text"', "instead of a list"),
        ("rows.json", b"\xff\xfe", "not UTF-8"),
        ("rows.json", b"[]", "the source is empty"),
        ("rows.csv", b"text,key\n\xff\xfe,1\n", "not UTF-8"),
        ("rows.csv", b"", "the source is empty"),
        ("rows.parquet", b"PAR1 nothing", "not a whole Parquet file"),
    ],
)
def test_a_file_that_is_broken_as_a_whole_is_one_error(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    """The message names the file and the problem."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(TaskError, match=words) as caught:
        choice(tmp_path, path=name)
    assert str(tmp_path / name) in str(caught.value)


def test_rows_that_can_not_be_used_are_counted_with_their_reason(tmp_path: Path) -> None:
    """Missing fields, duplicate ids, no correct option, empty answers: each excludes only its own row."""
    good = {"id": 1, "text": "Good?", "choices": ["yes", "no"], "key": "A"}
    bad = {
        "no field 'choices'": {"id": 2, "text": "No options?", "key": "A"},
        "the same id '1' as row 1": {**good, "text": "Other?"},
        "not one option's letter": {**good, "id": 3, "text": "No such option?", "key": "E"},
        "is empty: the row names no right option": {**good, "id": 4, "text": "Empty?", "key": " "},
        "null": {**good, "id": 5, "text": None},
        "the same question as row 1": {**good, "id": 6, "text": " GOOD? "},
        "marks 2 options as right": {**good, "id": 7, "text": "Two?", "key": [1, 1]},
        "marks 0 options as right": {**good, "id": 8, "text": "None?", "key": [0, 0]},
        "set answer_is to index0 or index1": {**good, "id": 9, "text": "Index?", "key": 1},
        "holds 1 options": {**good, "id": 10, "text": "One?", "choices": ["yes"]},
        "holds an empty option": {**good, "id": 11, "text": "Blank?", "choices": ["yes", ""]},
        "is not a list of texts": {**good, "id": 12, "text": "Object?", "choices": {"yes": 1}},
        "holds 2 answers, not one": {**good, "id": 13, "text": "Both?", "key": ["A", "B"]},
        "no field 'id'": {"text": "No id?", "choices": ["yes", "no"], "key": "A"},
    }
    (tmp_path / "rows.json").write_text(json.dumps([good, *bad.values()]))
    loaded = choice(tmp_path, path="rows.json", id_field="id", test=0, train=1)
    assert [question.text for question in loaded.train] == ["Good?"]
    assert len(loaded.skipped) == len(bad)
    for number, (row, words) in enumerate(zip(loaded.skipped, bad, strict=True), start=2):
        assert words in row.reason, row
        assert row.place == f"{tmp_path / 'rows.json'}, row {number}"
    with pytest.raises(TaskError, match="no row can be used; row 1: no field 'key'.*and 1 more for the same reason"):
        (tmp_path / "rows.json").write_text(json.dumps([{"text": "a"}, {"text": "b"}]))
        choice(tmp_path, path="rows.json", options_field=None)


@pytest.mark.parametrize(
    ("answer", "way", "letter"),
    [
        ("B", "auto", "B"),
        ("(b)", "letter", "B"),
        ("blue", "auto", "B"),
        ("blue", "text", "B"),
        (1, "index0", "B"),
        ("1", "index0", "B"),
        (1.0, "index0", "B"),
        (2, "index1", "B"),
        ([0, 1, 0], "auto", "B"),
        (["blue"], "auto", "B"),
        (0, "index1", None),
        (3, "index0", None),
        (-1, "index0", None),
        ("B", "text", None),
        ("blue", "letter", None),
        (True, "index0", None),
        (float("nan"), "index0", None),
    ],
)
def test_how_the_right_option_is_named(tmp_path: Path, answer: object, way: str, letter: str | None) -> None:
    """A misread label convention would silently train on wrong answers."""
    row = {"text": "Colour?", "options": ["red", "blue", "green"], "key": answer}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row))
    changes = {"options_field": "options", "answer_is": way, "test": 0}
    if letter is None:
        with pytest.raises(TaskError, match="no row can be used"):
            choice(tmp_path, path="rows.jsonl", **changes)
    else:
        assert choice(tmp_path, path="rows.jsonl", **changes).train[0].reference == letter


def test_fields_are_paths_and_templates_join_them() -> None:
    """A name with dots that is itself a key of the row takes precedence."""
    row = {"a": {"b": ["x", {"c": "y"}]}, "a.d": "z", "list": ["one", ["two"]], "empty": "", "q": "why?"}
    assert text_field(row, "a.b.1.c") == "y"
    assert field(row, "a.b.0") == "x"
    assert text_field(row, "a.d") == "z"
    for missing in ("a.b.7", "a.x", "q.x"):
        with pytest.raises(RowRefused, match="no field"):
            field(row, missing)
    task = MathTask.model_validate(
        {"kind": "math", "name": "m", "path": "p", "question_template": "{list}\n\n{q} {a.d}"}
    )
    assert asked(task, row) == "one two\n\nwhy? z"
    with pytest.raises(RowRefused, match="'empty' is empty"):
        asked(task.model_copy(update={"question_template": "{empty} {q}"}), row)
    with pytest.raises(ValueError, match="names no"):
        MathTask.model_validate({"kind": "math", "name": "m", "path": "p", "question_template": "question"})


def test_free_text_takes_the_answers_of_any_shape(tmp_path: Path) -> None:
    """SQuAD's object, TriviaQA's aliases, a list, a number; the first is the reference, all are accepted."""
    shapes: list[object] = [
        {"text": ["Rome", "rome", "Rome"]},
        {"value": "Rome", "aliases": ["Roma"]},
        ["Rome", "Roma"],
        "Rome",
        1870,
        [{"nothing": 1}],
        [],
        " ",
        None,
    ]
    rows = [{"question": f"City {n}?", "answer": shape} for n, shape in enumerate(shapes)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = FreeTextTask(kind="free_text", name="t", path="rows.jsonl", threshold=0.5, train=9, test=0)
    loaded = task_type("free_text").load(task, tmp_path, 0)
    found = {question.text: question for question in loaded.train}
    assert found["City 0?"].payload["references"] == ["Rome", "rome"]
    assert found["City 1?"].payload["references"] == ["Rome", "Roma"]
    assert found["City 4?"].reference == "1870"
    assert [row.line for row in loaded.skipped] == [6, 7, 8, 9]
    assert all("holds no answer" in row.reason for row in loaded.skipped)
    assert all(question.payload["threshold"] == 0.5 for question in loaded.train)
    assert all(question.payload["worked"] == f"Answer: {question.reference}" for question in loaded.train)


def test_a_dataset_saved_to_a_directory_is_read_by_split(tmp_path: Path) -> None:
    """Without a connection: download elsewhere, copy the directory."""
    datasets = pytest.importorskip("datasets")
    splits = {"train": datasets.Dataset.from_list(ROWS[:8]), "validation": datasets.Dataset.from_list(ROWS[6:])}
    datasets.DatasetDict(splits).save_to_disk(str(tmp_path / "saved"))
    loaded = choice(tmp_path, hub="saved", test_split="validation", id_field="id")
    assert len(loaded.test) == 4
    assert {question.text for question in loaded.train} == {f"Riddle {n}?" for n in range(6)}
    assert {row.unit for row in loaded.skipped} == {"row"}
    assert "saved, split train" in loaded.skipped[0].place
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    assert len(choice(tmp_path, hub="files", preset=None).train) == 8
    with pytest.raises(TaskError, match="no split 'dev'.*train, validation"):
        choice(tmp_path, hub="saved", split="dev")


def test_hub_errors_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection, no such dataset, a loading script: each has a different remedy."""
    datasets = pytest.importorskip("datasets")
    calls: list[tuple[object, ...]] = []

    def failing(error: Exception) -> None:
        def load(*arguments: object, **named: object) -> object:
            calls.append((*arguments, named))
            raise error

        monkeypatch.setattr(datasets, "load_dataset", load)

    for error, words in (
        (ConnectionError("Couldn't reach 'some/quiz' on the Hub"), "hub isn't reached. Download the dataset.*as path"),
        (RuntimeError("Dataset scripts are no longer supported, but found quiz.py"), "refs/convert/parquet"),
        (
            datasets.exceptions.DatasetNotFoundError("Dataset 'some/quiz' doesn't exist"),
            "doesn't exist. Check hub and revision",
        ),
        (ValueError("BuilderConfig 'x' not found. Available: ['main']"), "Available: \\['main'\\]"),
    ):
        failing(error)
        with pytest.raises(TaskError, match=words) as caught:
            choice(tmp_path, hub="some/quiz", config="main", revision="abc", split="train")
        assert "task 'quiz': the dataset some/quiz (main), split train can't be loaded" in str(caught.value)
    assert calls[0] == ("some/quiz", "main", {"revision": "abc", "split": "train"})
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(TaskError, match=r"pip install 'reflectevo\[engine\]'"):
        choice(tmp_path, hub="some/quiz")


def test_all_tasks_that_fail_are_named_at_once(tmp_path: Path) -> None:
    """`--dry-run` finds every error in one pass."""
    (tmp_path / "good.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    tasks = [
        {"kind": "choice", "name": "first", "path": "none.jsonl"},
        {"kind": "choice", "name": "good", "path": "good.jsonl", "question_field": "text", "options_field": "choices",
         "answer_field": "key", "train": 4, "test": 2},
        {"kind": "math", "name": "third", "path": "good.jsonl"},
    ]  # fmt: skip
    with pytest.raises(TaskError) as caught:
        load_tasks(RunSettings.model_validate({"model": "m", "tasks": tasks}), tmp_path)
    title, first, third = str(caught.value).split("\n")
    assert title == "2 tasks can't be loaded:"
    assert first.startswith("task 'first': ")
    assert "no such file" in first
    assert third.startswith("task 'third': ")
    assert "no field 'solution'" in third
    with pytest.raises(TaskError, match="^task 'first': .*no such file"):
        load_tasks(RunSettings.model_validate({"model": "m", "tasks": tasks[:2]}), tmp_path)


@pytest.mark.parametrize(("test", "dev"), [(4, 3), (0, 3), (4, 0), (40, 40)])
def test_questions_for_tuning_are_a_part_of_their_own(tmp_path: Path, test: int, dev: int) -> None:
    """Tuning on held-out or training questions gives no information."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    loaded = choice(tmp_path, path="rows.jsonl", train=4, dev=dev, test=test, few_shot=1)
    parts = [[question.text for question in part] for part in (loaded.train, loaded.dev, loaded.test)]
    shown = [example.question.partition("\n")[0] for example in loaded.few_shot]
    together = [text for part in (*parts, shown) for text in part]
    assert len(together) == len(set(together))
    assert {question.split for question in loaded.dev} <= {"dev"}
    assert all(parts[0])
    if test + dev < 8:
        assert list(map(len, parts)) == [4, dev, test]
    else:
        assert min(map(len, parts)) >= 1
        assert any("for tuning" in note for note in loaded.notes)


def test_an_operator_reads_the_first_rows_that_were_left_out_and_the_number_of_the_others() -> None:
    """A wrong field in a file of 100,000 rows must not flood the log."""
    rows = [SkippedRow("f", n, "no field 'a'" if n % 2 else "torn") for n in range(1, 101)]
    lines = Loaded(train=(), test=(), skipped=tuple(rows), notes=("a note",)).remarks("quiz")
    assert len(lines) == 23
    assert lines.pop() == "a note"
    assert lines[0] == "f, line 1 was left out: no field 'a'"
    assert sorted(lines[20:]) == [
        "task quiz: 40 more rows were left out: no field 'a'",
        "task quiz: 40 more rows were left out: torn",
    ]
