"""Counts the rows that an iteration would train on, before its training starts. Reads the store only."""

from __future__ import annotations

import sqlite3

from engine.training.validation import describe_few_examples
from store.curation.curated import curation_counts
from store.curation.training_settings import TRAINING_SETTINGS
from store.records import Iteration
from store.runs.runs import run_questions
from store.settings import RunSettings


def count_rows(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> tuple[int, int]:
    """Return the number of rows to train on, and the number of rows of the set that are left out.

    A setting without a curated set trains on the training questions.
    """
    set_name = TRAINING_SETTINGS[settings.training.setting].set_name
    if set_name is None:
        return len(run_questions(connection, iteration.run_id, "train")), 0
    counts = curation_counts(connection, iteration.id).get(set_name, {})
    kept = counts.get("included", 0)
    return kept, sum(counts.values()) - kept


def refuse_few_rows(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> str | None:
    """Return why an iteration can't train on so few rows, and what to do; None if there may be enough.

    The training itself counts again, because rows can be dropped for their length in tokens.
    """
    kept, _ = count_rows(connection, iteration, settings)
    return describe_few_examples(kept, settings.training)
