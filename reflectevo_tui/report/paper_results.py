"""Main table of the paper (ReflectEvo, Findings of ACL 2025, arXiv 2505.16475), for comparison with a run's results.

Percentages as published, of other models on other splits: a report marks them as the paper's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from store.evaluation.floors import options_floor

TASKS = ("LogiQA", "MATH", "MBPP", "BIG-bench")
"""The columns of the table."""

_KINDS = {"LogiQA": "choice", "MATH": "math", "MBPP": "code"}
_WRITTEN = re.compile(r"[^a-z0-9]")


OPTIONS: Mapping[str, int] = {"LogiQA": 4}
"""Options of every question in a column, from which the floor of Acc@t2 follows; those of BIG-bench differ."""

Percentages = tuple[float | None, ...]
"""Numbers in the order of `TASKS`; None where the paper reports none."""


@dataclass(frozen=True, slots=True)
class PaperRow:
    """One row of the table. A row without Acc@t2 was measured at turn 1 only."""

    model: str
    setting: str
    acc_t1: Percentages
    acc_t2: Percentages


@dataclass(frozen=True, slots=True)
class Published:
    """A row of the table in one column, in percent. `floor` is known where the number of options is."""

    model: str
    setting: str
    acc_t1: float | None
    acc_t2: float | None
    floor: float | None


_NONE = (None, None, None, None)
_LLAMA, _LLAMA_LARGE, _MISTRAL, _MISTRAL_LARGE = "Llama-3-8B", "Llama-3-70B", "Mistral-7B", "Mistral-Small-22B"
_WITHOUT, _WITH = "prompt only, second try without reflection", "prompt only, with reflection"
_QA = "sft-qa on question-answer pairs, turn 1 only"
_LLAMA_T1, _MISTRAL_T1 = (30.2, 14.4, 28.4, 38.2), (28.8, 9.2, 20.4, 36.6)
_LLAMA_LARGE_T1, _MISTRAL_LARGE_T1 = (42.4, 40.8, 66.2, 48.0), (46.4, 47.4, 63.0, 54.4)


def _trained(model: str, setting: str, base: Percentages, acc_t2: Percentages) -> PaperRow:
    """Return the row of a trained reflector: its first answers are those of the base policy, as in the paper."""
    first = tuple(None if second is None else one for one, second in zip(base, acc_t2, strict=True))
    return PaperRow(model, setting, first, acc_t2)


ROWS: tuple[PaperRow, ...] = (
    PaperRow(_LLAMA, _WITHOUT, _LLAMA_T1, (38.8, 15.0, 44.0, 52.4)),
    PaperRow(_LLAMA, _WITH, _LLAMA_T1, (36.2, 16.0, 45.8, 51.0)),
    PaperRow(_LLAMA, _QA, (46.6, 10.0, 31.2, 61.6), _NONE),
    _trained(_LLAMA, "sft-one-stage on D+", _LLAMA_T1, (43.8, 23.6, 29.6, 71.2)),
    _trained(_LLAMA, "sft-two-stage on D+", _LLAMA_T1, (49.4, 14.5, 42.4, 45.4)),
    _trained(_LLAMA, "dpo-verdict on D±", _LLAMA_T1, (41.8, 15.2, 48.8, 63.0)),
    _trained(_LLAMA, "dpo-judge on Dpref", _LLAMA_T1, (39.2, 14.8, 47.4, 59.6)),
    PaperRow(_LLAMA_LARGE, _WITHOUT, _LLAMA_LARGE_T1, (64.4, 49.6, 71.0, 67.0)),
    PaperRow(_LLAMA_LARGE, _WITH, _LLAMA_LARGE_T1, (56.8, 48.6, 73.0, 64.4)),
    PaperRow(_MISTRAL, _WITHOUT, _MISTRAL_T1, (31.2, 10.6, 23.0, 43.8)),
    PaperRow(_MISTRAL, _WITH, _MISTRAL_T1, (34.2, 10.2, 23.6, 44.4)),
    PaperRow(_MISTRAL, _QA, (28.8, 7.6, 17.0, 37.8), _NONE),
    _trained(_MISTRAL, "sft-one-stage on D+", _MISTRAL_T1, (38.4, None, 24.0, 51.6)),
    _trained(_MISTRAL, "sft-two-stage on D+", _MISTRAL_T1, (48.8, None, 20.8, 71.1)),
    _trained(_MISTRAL, "dpo-verdict on D±", _MISTRAL_T1, (39.2, None, 23.2, 50.2)),
    _trained(_MISTRAL, "dpo-judge on Dpref", _MISTRAL_T1, (38.0, None, 22.6, 48.4)),
    PaperRow(_MISTRAL_LARGE, _WITHOUT, _MISTRAL_LARGE_T1, (62.8, 56.2, 68.0, 67.2)),
    PaperRow(_MISTRAL_LARGE, _WITH, _MISTRAL_LARGE_T1, (62.0, 52.8, 68.0, 68.0)),
)
"""Rows of the table, by model."""


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


def published(task: str) -> list[Published]:
    """Return every row with a number of its own in the task's column."""
    column = TASKS.index(task)
    found = []
    for row in ROWS:
        first, second = row.acc_t1[column], row.acc_t2[column]
        if first is None and second is None:
            continue
        known = first is not None and second is not None and task in OPTIONS
        floor = 100 * options_floor(first / 100, OPTIONS[task]) if known and first is not None else None
        found.append(Published(row.model, row.setting, first, second, floor))
    return found
