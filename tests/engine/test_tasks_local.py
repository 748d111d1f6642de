"""Tests of tasks read from local files: tolerance of broken rows, no contamination, verdicts on choice and math
answers.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import TaskError
from engine.tasks import load_tasks, task_type
from engine.tasks.answers.option_letter import single_letter
from engine.tasks.base import Loaded, Row
from engine.tasks.loading.files import read_rows
from store.settings import RunSettings
from store.settings.tasks import ChoiceTask, MathTask

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"


def write(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def choice(path: Path, **changes: Any) -> Loaded:
    task = ChoiceTask.model_validate({"kind": "choice", "name": "quiz", "path": path.name, **changes})
    return task_type("choice").load(task, path.parent, 7)


def numbered(count: int, offset: int = 0) -> list[dict[str, str]]:
    return [{"question": f"Question {n + offset}?\nA. yes\nB. no", "answer": "AbB"[n % 3]} for n in range(count)]


def test_torn_and_broken_rows_are_named_and_the_others_load(tmp_path: Path) -> None:
    """Trap 11: a truncated last line must not prevent loading."""
    path = tmp_path / "rows.jsonl"
    good = [json.dumps(row).encode() for row in numbered(4)]
    lines = [good[0], b"\xff\xfe{}", good[1], b"[1]", b"", b'{"question": "x"}', good[2], good[3], good[3][:20]]
    path.write_bytes(b"\n".join(lines))
    loaded = choice(path, train=10, test=0)
    assert len(loaded.train) == 4
    reasons = {row.line: row.reason for row in loaded.skipped}
    assert set(reasons) == {2, 4, 6, 9}
    assert "UTF-8" in reasons[2]
    assert "a list" in reasons[4]
    assert "'answer'" in reasons[6]
    assert "'question'" in reasons[6]
    assert "torn" in reasons[9]
    assert "4 training questions instead of 10" in loaded.notes[0]


def test_line_separators_inside_json_are_no_row_ends(tmp_path: Path) -> None:
    """U+2028 occurs unescaped in real data."""
    path = tmp_path / "rows.jsonl"
    path.write_text('\ufeff{"question": "a\u2028b", "answer": "A"}\r\n', encoding="utf-8")
    (row,) = read_rows(path)
    assert isinstance(row, Row)
    assert row.values["question"] == "a\u2028b"


@pytest.mark.parametrize(
    ("content", "words"), [(None, "no such file"), (b"", "empty"), (b"\n\n", "empty"), (b"\xff\xfea\x00", "not UTF-8")]
)
def test_unusable_files_are_task_errors(tmp_path: Path, content: bytes | None, words: str) -> None:
    """The message names the problem and the file's path."""
    path = tmp_path / "rows.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TaskError, match=words) as caught:
        choice(path)
    assert str(path) in str(caught.value)


def test_missing_field_is_named_with_the_fields_there_are(tmp_path: Path) -> None:
    """A wrong field name is the most common error in a settings file."""
    path = write(tmp_path / "rows.jsonl", [{"prompt": "x", "answer": "A"}])
    with pytest.raises(TaskError, match="no field 'question'; the row has 'prompt', 'answer'"):
        choice(path)


@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 40),
    train=st.integers(1, 30),
    test=st.integers(0, 30),
    few_shot=st.integers(0, 5),
    repeats=st.integers(0, 10),
)
def test_splits_never_share_a_question(
    tmp_path_factory: pytest.TempPathFactory, rows: int, train: int, test: int, few_shot: int, repeats: int
) -> None:
    """Trap 4: few-shot examples and training questions never come from the held-out questions."""
    body = numbered(rows) + [{**row, "question": row["question"].upper() + " "} for row in numbered(min(repeats, rows))]
    path = write(tmp_path_factory.mktemp("split") / "rows.jsonl", body)
    try:
        loaded = choice(path, train=train, test=test, few_shot=few_shot)
    except TaskError:
        assert rows <= few_shot
        return
    parts = [
        {question.wording for question in loaded.train},
        {question.wording for question in loaded.test},
        {example.wording for example in loaded.few_shot},
    ]
    assert sum(map(len, parts)) == len(set.union(*parts))
    assert 1 <= len(loaded.train) <= train
    assert len(loaded.test) <= test
    assert {question.split for question in loaded.test} <= {"test"}
    assert loaded == choice(path, train=train, test=test, few_shot=few_shot)


def test_training_rows_that_stand_in_the_test_file_are_left_out(tmp_path: Path) -> None:
    """Also those of the test file that this run doesn't use."""
    path = write(tmp_path / "train.jsonl", numbered(10))
    write(tmp_path / "test.jsonl", numbered(5, offset=7))
    loaded = choice(path, test_path="test.jsonl", train=10, test=1)
    assert len(loaded.train) == 7
    assert len(loaded.test) == 1
    assert [row.line for row in loaded.skipped] == [8, 9, 10]
    with pytest.raises(TaskError, match="held out in"):
        choice(path, test_path="train.jsonl")


def test_tasks_of_a_run_share_no_held_out_question(tmp_path: Path) -> None:
    """Two tasks that read the same file don't train on each other's held-out questions."""
    write(tmp_path / "rows.jsonl", numbered(20))
    tasks = [
        {"kind": "choice", "name": name, "path": "rows.jsonl", "train": 10, "test": 5, "few_shot": 2} for name in "ab"
    ]
    loaded = load_tasks(RunSettings.model_validate({"model": "m", "tasks": tasks}), tmp_path)
    held = {question.wording for one in loaded.values() for question in one.test}
    for one in loaded.values():
        assert held.isdisjoint(question.wording for question in one.train)
        assert held.isdisjoint(example.wording for example in one.few_shot)
    assert any("identical" in note for one in loaded.values() for note in one.notes)


def test_content_hash_depends_on_content_alone(tmp_path: Path) -> None:
    """The hash identifies a question across loads; the split is not part of it."""
    path = write(tmp_path / "rows.jsonl", numbered(6))
    everything = {question.text: question.content_hash for question in choice(path, train=6, test=0).train}
    assert len(set(everything.values())) == 6
    for question in choice(path, train=3, test=3).test:
        assert everything[question.text] == question.content_hash


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B", "B"),
        ("b", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("B. red", "B"),
        ("B) red", "B"),
        ("Option B", "B"),
        ("red", "B"),
        ("RED.", "B"),
        ("B because A is wrong", "B"),
        ("B and C", None),
        ("A or B", None),
        ("B/C", None),
        ("A man", None),
        ("a man", None),
        ("not B", None),
        ("neither", None),
        ("", None),
    ],
)
def test_a_choice_is_one_letter(answer: str, letter: str | None) -> None:
    """Hedging between two options, or an article `A`, is no choice."""
    assert single_letter(answer, {"A": "blue", "B": "red", "C": "green"}) == letter


def test_choice_verdicts(tmp_path: Path) -> None:
    """The reference is a letter in any case; a letter without an option is no answer."""
    path = write(tmp_path / "rows.jsonl", [{"question": "Colour?", "answer": "b", "options": ["A. blue", "B. red"]}])
    (question,) = choice(path, options_field="options", test=0).train
    assert question.options == ("blue", "red")
    assert question.reference == "B"
    judge = task_type("choice").verify
    assert judge("Answer: b", question.reference, question.payload).verdict == "correct"
    assert judge("Answer: red", question.reference, question.payload).verdict == "correct"
    assert judge("Answer: A", question.reference, question.payload).verdict == "incorrect"
    assert judge("Answer: D", question.reference, question.payload).verdict == "incorrect"
    nothing = judge("It is red, I think", question.reference, question.payload)
    assert (nothing.verdict, nothing.answer, nothing.rule) == ("incorrect", None, "")


@pytest.mark.parametrize("answer", ["C", "blue or red", 1, None, ["A", "B"]])
def test_a_reference_that_is_no_option_is_refused(tmp_path: Path, answer: object) -> None:
    """A row whose reference can't be matched would count every reply as wrong."""
    path = write(tmp_path / "rows.jsonl", [{"question": "Colour?\nA. blue\nB. red", "answer": answer}])
    with pytest.raises(TaskError, match="line 1"):
        choice(path)


@pytest.mark.parametrize(
    ("reference", "answer", "verdict"),
    [
        ("1000", "1,000", "correct"),
        ("5", "5.0", "correct"),
        ("5", "$5$", "correct"),
        ("12", "\\$12.00", "correct"),
        ("5", "x = 5", "correct"),
        ("5", "2 + 3 = 5", "correct"),
        ("\\frac14", "1/4", "correct"),
        ("\\frac{1}{4}", "0.25", "correct"),
        ("x^2+1", "1 + x^2", "correct"),
        ("\\text{Dana}", "dana", "correct"),
        ("300000", "3 \\times 10^5", "correct"),
        ("5", "2 + 3", "incorrect"),
        ("3", "1, 2, 3", "incorrect"),
        ("-5", "5", "incorrect"),
        ("33", "3333", "incorrect"),
        ("16", "sixteen", "correct"),
        ("5", "", "incorrect"),
        ("\\left(", "5", "unverified"),
    ],
)
def test_math_is_judged_by_meaning(reference: str, answer: str, verdict: str) -> None:
    """Trap 10: `1,000` is `1000`, `5` is `5.0`, `$5$` is `5`; restating the question is no answer."""
    pytest.importorskip("math_verify")
    assert task_type("math").verify(f"So.\nAnswer: {answer}", reference, {}).verdict == verdict


def test_math_is_judged_in_a_thread() -> None:
    """math-verify's signals fail outside the main thread; its time limits are off, and the caller isolates it
    instead.
    """
    pytest.importorskip("math_verify")
    verdicts: list[str] = []
    thread = threading.Thread(
        target=lambda: verdicts.append(task_type("math").verify("\\boxed{\\frac{2}{4}}", "\\frac12", {}).verdict)
    )
    thread.start()
    thread.join()
    assert verdicts == ["correct"]
    assert task_type("math").isolated


def test_real_logiqa_rows() -> None:
    """Every published row becomes a question whose own answer is verified as correct."""
    if not DATA.is_dir():
        pytest.skip(f"no sample data at {DATA}")
    task = ChoiceTask(kind="choice", name="logiqa", path="logiqa_sample.jsonl", train=80, test=18, few_shot=2)
    loaded = task_type("choice").load(task, DATA, 0)
    assert (len(loaded.train), len(loaded.test), len(loaded.few_shot), loaded.skipped) == (80, 18, 2, ())
    judge = task_type("choice").verify
    for question in loaded.train + loaded.test:
        assert judge(f"Answer: {question.reference.lower()}", question.reference, question.payload).verdict == "correct"


def test_real_math_rows() -> None:
    """The reference is the solution's last box, and math-verify can parse it."""
    pytest.importorskip("math_verify")
    if not DATA.is_dir():
        pytest.skip(f"no sample data at {DATA}")
    task = MathTask(kind="math", name="math", path="math_sample.jsonl", train=80, test=18, few_shot=2)
    loaded = task_type("math").load(task, DATA, 0)
    assert (len(loaded.train), len(loaded.test), loaded.skipped) == (80, 18, ())
    assert all(example.answer.rpartition("\n")[2].startswith("Answer: ") for example in loaded.few_shot)
    judge = task_type("math").verify
    for question in loaded.train[:40]:
        assert "boxed" not in question.reference
        assert judge(f"It is \\boxed{{{question.reference}}}.", question.reference, {}).verdict == "correct"
        assert judge("Answer: 987654321", question.reference, {}).verdict == "incorrect"
