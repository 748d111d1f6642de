"""End-to-end test of an operator's own files: truncated rows are reported, the others run through every stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.engines import EngineHarness

Make = Callable[[str], EngineHarness]

SETTINGS = """
name = "local"
model = "none"
seed = 3

[[tasks]]
kind = "choice"
name = "quiz"
path = "data/quiz.jsonl"
train = 8
dev = 1
test = 3
few_shot = 1

[[tasks]]
kind = "math"
name = "sums"
path = "data/sums.jsonl"
train = 6
test = 3

[generation]
generator = "scripted"
concurrency = 8

[reflection]
instructions = "random:3"
samples = 3

[training]
min_examples = 1

[evaluation]
split = "test"
promote = "always"
"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Two JSONL files, each with one truncated row."""
    data = tmp_path / "engine0" / "data"
    data.mkdir(parents=True)
    quiz = [json.dumps({"question": f"Is {n} even?\nA. yes\nB. no", "answer": "AB"[n % 2]}) for n in range(14)]
    # The scripted generator answers with a number from 0 to 4, so that some of its corrections are right.
    sums = [
        json.dumps({"problem": f"What is left of {n} in fives?", "solution": f"It is $\\boxed{{{n % 5}}}$."})
        for n in range(12)
    ]
    quiz[4] = quiz[4][:17]
    (data / "quiz.jsonl").write_text("\n".join(quiz) + "\n")
    (data / "sums.jsonl").write_bytes("\n".join(sums).encode() + b'\n{"problem": "What is \xff')
    return data


def test_local_files_run_through_and_torn_rows_are_named(files: Path, tmp_path: Path) -> None:
    """Trap 11: a truncated row is skipped, reported by file and line, and affects nothing else."""
    pytest.importorskip("math_verify")
    one = EngineHarness(tmp_path / "engine0", SETTINGS)
    try:
        one.start()
        one.run()
        status = one.wait_state("done")
        assert status["iteration"]["complete"]
        warnings = [row[0] for row in one.rows("SELECT text FROM events WHERE level = 'warning' ORDER BY id")]
        assert any(f"{files / 'quiz.jsonl'}, line 5 was left out: not JSON" in text for text in warnings)
        assert any(f"{files / 'sums.jsonl'}, line 13 was left out: not UTF-8" in text for text in warnings)
        assert len(warnings) == 2
        chosen = one.rows("SELECT task, split, count(*) FROM questions GROUP BY 1, 2 ORDER BY 1, 2")
        assert chosen == [
            ("quiz", "dev", 1),
            ("quiz", "test", 3),
            ("quiz", "train", 8),
            ("sums", "test", 3),
            ("sums", "train", 6),
        ]
        tuned = one.rows("SELECT count(*) FROM attempts a JOIN questions q ON q.id = a.question_id WHERE split = 'dev'")
        assert tuned == [(0,)], "questions for tuning are neither trained on nor part of the held-out results"
        judged = one.rows("SELECT DISTINCT q.task, a.verdict FROM attempts a JOIN questions q ON q.id = a.question_id")
        assert {task for task, _ in judged} == {"quiz", "sums"}
        assert {verdict for _, verdict in judged} <= {"correct", "incorrect"}
        measured = one.rows("SELECT DISTINCT task FROM evaluations ORDER BY task")
        assert measured == [("",), ("quiz",), ("sums",)]
    finally:
        one.shut_down()
