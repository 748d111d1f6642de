"""Counts the rows that an iteration would train on, before its training starts. Reads the store only."""

from __future__ import annotations

import sqlite3

from engine.training.validation import describe_few_examples
from store.curation.trained_rows import TrainedRows, count_trained_rows
from store.curation.training_settings import TRAINING_SETTINGS
from store.records import Iteration
from store.settings import RunSettings


def count_rows(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> TrainedRows:
    """Count the rows that an iteration would train on under its settings, and those left out."""
    return count_trained_rows(
        connection,
        iteration.id,
        iteration.run_id,
        TRAINING_SETTINGS[settings.training.setting],
        settings.curation.max_per_question,
    )


def refuse_few_rows(connection: sqlite3.Connection, iteration: Iteration, settings: RunSettings) -> str | None:
    """Return why an iteration can't train on so few rows, and what to do; None if there may be enough.

    The training itself counts again, because rows can be dropped for their length in tokens.
    """
    return describe_few_examples(count_rows(connection, iteration, settings).kept, settings.training)
