"""Converts records to typed columns, as Parquet requires, and back.

Values that do not fit a column (a field that only some records have, a number where others have a text) are stored as
JSON in the column `other`, so that `from_columns(to_columns(row)) == row`. Pure: independent of Parquet itself.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engine.exchange.formats import Format
from engine.exchange.unmapped_fields import Json, remainder, restored
from store.database.connection import storable

OTHER = "other"

Columns = Mapping[str, str]
"""Column types by name: `text`, `texts`, `number`, `truth`, `messages` or `trials`."""

TRIAL_COLUMNS: Columns = {
    "generated_answer": "text",
    "reflections": "texts",
    "reasoning": "text",
    "is_correct": "truth",
    "test_list": "text",
    "trial": "number",
    "reasoning_source": "text",
    "reflection_source": "text",
}
_FIRST: Columns = {
    "id": "number",
    "question": "text",
    "answer": "text",
    "first_trial_reasoning": "text",
    "first_trial_answer": "text",
}
_PAIR: Columns = {
    **_FIRST,
    "second_trial_reasoning_chosen": "text",
    "second_trial_answer_chosen": "text",
    "reflection_chosen": "text",
    "second_trial_reasoning_rejected": "text",
    "second_trial_answer_rejected": "text",
    "reflection_rejected": "text",
    "reason_prompt": "text",
    "reflection_prompt": "text",
}
PUBLISHED_COLUMNS: Mapping[Format, Columns] = {
    "raw": {"question": "text", "answer": "text", "id": "number", "output": "trials"},
    "d-plus": {
        **_FIRST,
        "second_trial_reasoning": "text",
        "second_trial_answer": "text",
        "reflections": "text",
        "reason_prompt": "texts",
        "reflect_prompt": "text",
    },
    "d-pm": _PAIR,
    "d-pref": _PAIR,
}
_COMPLETION: Columns = {"prompt": "messages", "completion": "messages"}
TRAINER_COLUMNS: Mapping[str, Columns] = {
    "trl-sft": _COMPLETION,
    "trl-dpo": {"prompt": "messages", "chosen": "messages", "rejected": "messages"},
    "trl-kto": {**_COMPLETION, "label": "truth"},
}
"""Columns of the rows for TRL by format; such a row has these values only."""


def to_columns(row: Mapping[str, Any], columns: Columns) -> Json:
    """Return a row with these columns and `other`, which stores the values that do not fit their column."""
    made: Json = {}
    for name, kind in columns.items():
        value = row.get(name)
        made[name] = value if _fits(value, kind) else None
    left = remainder(row, made)
    if columns.get("output") == "trials" and isinstance(row.get("output"), list):
        trials = row["output"]
        if all(isinstance(trial, dict) for trial in trials):
            made["output"] = [to_columns(trial, TRIAL_COLUMNS) for trial in trials]
            left = remainder({**row, "output": made["output"]}, made)
    made[OTHER] = json.dumps(left, ensure_ascii=True, separators=(",", ":")) if left else None
    return made


def from_columns(row: Mapping[str, Any]) -> Json:
    """Return the row that `to_columns` converted."""
    made = {name: value for name, value in row.items() if name != OTHER}
    if isinstance(made.get("output"), list) and all(isinstance(one, dict) and OTHER in one for one in made["output"]):
        made["output"] = [from_columns(trial) for trial in made["output"]]
    return restored(made, json.loads(row[OTHER]) if row.get(OTHER) else {})


def _fits(value: object, kind: str) -> bool:
    if kind == "text":
        return isinstance(value, str) and storable(value) == value
    if kind == "texts":
        return isinstance(value, list) and all(_fits(one, "text") for one in value)
    if kind == "number":
        return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    return isinstance(value, bool)
