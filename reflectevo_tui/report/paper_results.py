"""Main table of the paper (ReflectEvo, Findings of ACL 2025, arXiv 2505.16475), for comparison with a run's results.

Percentages as published, of other models on other splits: a report marks them as the paper's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

TASKS = ("LogiQA", "MATH", "MBPP", "BIG-bench")
"""The columns of the table."""

_KINDS = {"LogiQA": "choice", "MATH": "math", "MBPP": "code"}
_WRITTEN = re.compile(r"[^a-z0-9]")


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One row of the table. A number is None where the paper reports none."""

    model: str
    setting: str
    acc_t1: tuple[float | None, ...]
    acc_t2: tuple[float | None, ...]


_NONE = (None, None, None, None)
_LLAMA, _LLAMA_LARGE, _MISTRAL = "Llama-3-8B", "Llama-3-70B", "Mistral-7B"
_WITHOUT, _WITH = "prompt only, second try without reflection", "prompt only, with reflection"

ROWS: tuple[PaperRow, ...] = (
    PaperRow(_LLAMA, _WITHOUT, (30.2, 14.4, 28.4, 38.2), (38.8, 15.0, 44.0, 52.4)),
    PaperRow(_LLAMA, _WITH, (30.2, 14.4, 28.4, 38.2), (36.2, 16.0, 45.8, 51.0)),
    PaperRow(_LLAMA, "sft-one-stage on D+", _NONE, (43.8, 23.6, 29.6, 71.2)),
    PaperRow(_LLAMA, "sft-two-stage on D+", _NONE, (49.4, 14.5, 42.4, 45.4)),
    PaperRow(_LLAMA, "dpo-verdict on D±", _NONE, (41.8, 15.2, 48.8, 63.0)),
    PaperRow(_LLAMA, "dpo-judge on Dpref", _NONE, (39.2, 14.8, 47.4, 59.6)),
    PaperRow(_LLAMA_LARGE, _WITHOUT, (42.4, 40.8, 66.2, 48.0), (64.4, 49.6, 71.0, 67.0)),
    PaperRow(_LLAMA_LARGE, _WITH, (42.4, 40.8, 66.2, 48.0), (56.8, 48.6, 73.0, 64.4)),
    PaperRow(_MISTRAL, _WITHOUT, (28.8, 9.2, 20.4, 36.6), (31.2, 10.6, 23.0, 43.8)),
    PaperRow(_MISTRAL, _WITH, (28.8, 9.2, 20.4, 36.6), (34.2, 10.2, 23.6, 44.4)),
    PaperRow(_MISTRAL, "sft-one-stage on D+", _NONE, (38.4, None, 24.0, 51.6)),
    PaperRow(_MISTRAL, "sft-two-stage on D+", _NONE, (48.8, None, 20.8, 71.1)),
    PaperRow(_MISTRAL, "dpo-verdict on D±", _NONE, (39.2, None, 23.2, 50.2)),
    PaperRow(_MISTRAL, "dpo-judge on Dpref", _NONE, (38.0, None, 22.6, 48.4)),
)
"""Rows of the table in the paper's order."""


def paper_task(task: Mapping[str, object]) -> str | None:
    """Return the paper's column for a task of a run, by its preset, else by its name; None when there is none."""
    preset = task.get("preset")
    written = _WRITTEN.sub("", str(preset or task.get("name") or "").lower())
    if written.startswith("bigbench"):
        return "BIG-bench"
    for name, kind in _KINDS.items():
        if written == name.lower() and (preset or task.get("kind") == kind):
            return name
    return None


def published(task: str) -> list[tuple[str, str, float | None, float]]:
    """Return model, setting, Acc@t1 and Acc@t2 (percent) of every row with a number in the task's column."""
    column = TASKS.index(task)
    return [
        (row.model, row.setting, row.acc_t1[column], second)
        for row in ROWS
        if (second := row.acc_t2[column]) is not None
    ]
