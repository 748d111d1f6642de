"""Tests the published numbers that a report shows for comparison."""

from __future__ import annotations

import pytest

from reflectevo_tui.report import paper_results as paper
from reflectevo_tui.report.paper_results import Published

WITHOUT = "prompt only, second try without reflection"


@pytest.mark.parametrize(
    ("task", "column"),
    [
        ({"name": "logiqa", "kind": "choice"}, "LogiQA"),
        ({"name": "mine", "preset": "logiqa", "kind": "choice"}, "LogiQA"),
        ({"name": "math", "kind": "math"}, "MATH"),
        ({"name": "math", "kind": "choice"}, None),
        ({"name": "math", "preset": "gsm8k", "kind": "math"}, None),
        ({"name": "mbpp", "kind": "code"}, "MBPP"),
        ({"name": "big-bench.causal", "kind": "choice"}, "BIG-bench"),
        ({"name": "letters", "kind": "procedural"}, None),
    ],
)
def test_tasks_match_by_preset_then_name(task: dict[str, object], column: str | None) -> None:
    """A task that only shares a word with a benchmark must not be shown with its numbers."""
    assert paper.paper_task(task) == column


def test_the_papers_numbers_are_the_papers() -> None:
    """A few cells compared with the published table, and its gaps; a trained row has its base's Acc@t1."""
    assert Published("Mistral-7B", "dpo-judge on Dpref", 36.6, 48.4, None) in paper.published("BIG-bench")
    assert Published("Llama-3-8B", WITHOUT, 28.4, 44.0, None) in paper.published("MBPP")
    assert [row for row in paper.published("MATH") if row.model == "Mistral-7B" and "D" in row.setting] == []
    assert [len(paper.published(task)) for task in paper.TASKS] == [18, 14, 18, 18]
    assert [row.acc_t2 for row in paper.published("LogiQA") if row.model == "Mistral-Small-22B"] == [62.8, 62.0]


def test_no_published_setting_of_the_small_models_reaches_the_floor_of_logiqa() -> None:
    """Naming any other option after a wrong one: 53.5 % for Llama-3-8B; its best setting reaches 49.4 %."""
    rows = [
        row for row in paper.published("LogiQA") if row.acc_t2 is not None and row.model in ("Llama-3-8B", "Mistral-7B")
    ]
    assert len(rows) == 12
    assert all(row.floor is not None and row.acc_t2 is not None and row.acc_t2 < row.floor for row in rows)
    assert {round(row.floor or 0, 1) for row in rows} == {53.5, 52.5}
