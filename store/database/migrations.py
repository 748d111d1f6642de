"""The migrations of the schema, each named and run in one transaction.

Only the holder of the workspace lock migrates. A released migration is never edited: each change of the schema is a
new function here, and `SCHEMA_VERSION` in connection.py is their number.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from store.database.connection import APPLICATION_ID, SCHEMA_VERSION, schema_version
from store.database.schema import DECISIONS, LINEAGE, TELEMETRY
from store.database.schema_rollouts import ROLLOUTS, TALLIES

if TYPE_CHECKING:
    from sqlite_utils import Database, Migrations


def _statements(script: str) -> list[str]:
    """Split a script into statements; executescript() would commit the migration's transaction midway."""
    found: list[str] = []
    pending = ""
    for piece in script.split(";"):
        pending += piece + ";"
        if sqlite3.complete_statement(pending) and pending.strip(" \n;"):
            found.append(pending.strip())
            pending = ""
    return found


def _migrations() -> Migrations:
    # sqlite-utils imports pandas if it is installed: imported here, so that readers don't load it.
    from sqlite_utils import Migrations

    migrations = Migrations("reflectevo")

    @migrations(name="0001_initial")
    def initial(database: Database) -> None:
        for script in (LINEAGE, ROLLOUTS, DECISIONS, TALLIES, TELEMETRY):
            for statement in _statements(script):
                database.execute(statement)
        database.execute("PRAGMA user_version = 1")

    @migrations(name="0002_voted_retries")
    def voted_retries(database: Database) -> None:
        """Add a baseline. SQLite can't change a CHECK in place, so the table is recreated with its rows."""
        for statement in _statements(VOTED_RETRIES):
            database.execute(statement)
        database.execute("PRAGMA user_version = 2")

    @migrations(name="0003_worked_reflections")
    def worked_reflections(database: Database) -> None:
        for statement in _statements(WORKED_REFLECTIONS):
            database.execute(statement)
        database.execute("PRAGMA user_version = 3")

    @migrations(name="0004_splits_of_evaluations")
    def splits_of_evaluations(database: Database) -> None:
        """Mark each evaluation with the split that it was measured on, and dev questions with their draw."""
        for statement in _statements(SPLITS_OF_EVALUATIONS):
            database.execute(statement)
        database.execute("PRAGMA user_version = 4")

    @migrations(name="0005_controls")
    def controls(database: Database) -> None:
        for statement in _statements(CONTROLS):
            database.execute(statement)
        database.execute("PRAGMA user_version = 5")

    @migrations(name="0006_lifts")
    def lifts(database: Database) -> None:
        """Store the lift of a reflection with its trajectory; existing ones are computed from the stored samples."""
        for statement in _statements(LIFTS):
            database.execute(statement)
        database.execute("PRAGMA user_version = 6")

    @migrations(name="0007_errors_named")
    def errors_named(database: Database) -> None:
        """Add whether a reflection names the error, the sample that it was reviewed in, and the error kind `other`."""
        for statement in _statements(ERRORS_NAMED):
            database.execute(statement)
        database.execute("PRAGMA user_version = 7")

    @migrations(name="0008_thoughts")
    def thoughts(database: Database) -> None:
        """Store the thoughts of models that think, apart from what they reply."""
        for statement in _statements(THOUGHTS):
            database.execute(statement)
        database.execute("PRAGMA user_version = 8")

    return migrations


def is_current(connection: sqlite3.Connection) -> bool:
    """Check whether the schema is current, without importing the migration library."""
    return schema_version(connection) == SCHEMA_VERSION


def migrate(connection: sqlite3.Connection) -> None:
    """Migrate a database to the current schema. Each migration is one transaction.

    Args:
        connection: a writer in autocommit mode; the caller holds the workspace lock.
    """
    if is_current(connection):
        return
    from sqlite_utils import Database

    # Set before the first table is created, so that a database whose first migration failed is still recognised.
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    _migrations().apply(Database(connection))


VOTED_RETRIES = """
CREATE TABLE new_baseline_outcomes (
    policy_id INTEGER NOT NULL REFERENCES policies(id),
    protocol TEXT NOT NULL,
    question_id INTEGER NOT NULL,
    baseline TEXT NOT NULL
        CHECK (baseline IN ('retry', 'retry_budget', 'retry_vote_budget', 'vote', 'vote_budget')),
    correct INTEGER NOT NULL,
    PRIMARY KEY (policy_id, protocol, question_id, baseline)
) WITHOUT ROWID;
INSERT INTO new_baseline_outcomes SELECT policy_id, protocol, question_id, baseline, correct FROM baseline_outcomes;
DROP TABLE baseline_outcomes;
ALTER TABLE new_baseline_outcomes RENAME TO baseline_outcomes;
"""


WORKED_REFLECTIONS = """
ALTER TABLE few_shots ADD COLUMN attempt TEXT;
ALTER TABLE few_shots ADD COLUMN reflection TEXT;
"""


SPLITS_OF_EVALUATIONS = """
ALTER TABLE evaluations ADD COLUMN split TEXT NOT NULL DEFAULT 'test';
UPDATE evaluations SET split = 'dev' WHERE iteration_id IN (
    SELECT id FROM iterations WHERE json_extract(settings, '$.evaluation.split') = 'dev'
);
ALTER TABLE run_questions ADD COLUMN draw INTEGER NOT NULL DEFAULT 0;
"""


CONTROLS = """
CREATE TABLE control_texts (
    id INTEGER PRIMARY KEY,
    iteration_id INTEGER NOT NULL REFERENCES iterations(id),
    policy_id INTEGER NOT NULL REFERENCES policies(id),
    author_id INTEGER NOT NULL REFERENCES policies(id),
    protocol TEXT NOT NULL,
    first_answers TEXT NOT NULL CHECK (first_answers IN ('own', 'base')),
    arm TEXT NOT NULL,
    sample INTEGER NOT NULL DEFAULT 0,
    question_id INTEGER NOT NULL REFERENCES questions(id),
    attempt_id INTEGER NOT NULL REFERENCES attempts(id),
    reflection_id INTEGER REFERENCES reflections(id),
    shown_id INTEGER REFERENCES control_texts(id),
    shown TEXT,
    text TEXT NOT NULL,
    answer TEXT,
    answer_group TEXT,
    verdict TEXT CHECK (verdict IN ('correct', 'incorrect', 'unverified')),
    detail TEXT NOT NULL DEFAULT '',
    score REAL,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    cached_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0,
    finish_reason TEXT NOT NULL DEFAULT '',
    seed INTEGER,
    prompt_version TEXT NOT NULL,
    prompt_hash TEXT NOT NULL,
    latency REAL NOT NULL DEFAULT 0,
    reused_from INTEGER,
    error TEXT,
    created REAL NOT NULL
);
CREATE UNIQUE INDEX control_texts_work ON control_texts
    (policy_id, protocol, first_answers, question_id, arm, sample);
CREATE INDEX control_texts_iteration ON control_texts (iteration_id);
CREATE INDEX control_texts_attempt ON control_texts (attempt_id);
CREATE INDEX control_texts_reflection ON control_texts (reflection_id) WHERE reflection_id IS NOT NULL;
CREATE INDEX control_texts_shown ON control_texts (shown_id) WHERE shown_id IS NOT NULL;
CREATE TABLE control_results (
    policy_id INTEGER NOT NULL REFERENCES policies(id),
    protocol TEXT NOT NULL,
    first_answers TEXT NOT NULL CHECK (first_answers IN ('own', 'base')),
    iteration_id INTEGER NOT NULL REFERENCES iterations(id),
    request TEXT NOT NULL,
    results TEXT NOT NULL,
    created REAL NOT NULL,
    PRIMARY KEY (policy_id, protocol, first_answers)
) WITHOUT ROWID;
"""
"""The controls have tables of their own: a query on attempts or reflections, and so curation, exports, lists, yields
and metrics, can't meet a text that a control generated, least of all one that shows the reference answer."""


LIFTS = """
ALTER TABLE trajectories ADD COLUMN right_with INTEGER;
ALTER TABLE trajectories ADD COLUMN n_with INTEGER;
ALTER TABLE trajectories ADD COLUMN right_without INTEGER;
ALTER TABLE trajectories ADD COLUMN n_without INTEGER;
ALTER TABLE trajectories ADD COLUMN lift REAL;
WITH sampled AS (
    SELECT i.id FROM iterations i WHERE EXISTS (
        SELECT 1 FROM run_questions q JOIN attempts k
        ON k.iteration_id = i.id AND k.protocol = '' AND k.question_id = q.question_id AND k.turn = 2
        AND ifnull(k.reflection_id, 0) = 0
        WHERE q.run_id = i.run_id
    )
),
tried AS (
    SELECT iteration_id, question_id, reflection_id, sum(verdict = 'correct') AS helped,
           sum(verdict <> 'unverified') AS n
    FROM attempts WHERE iteration_id IN (SELECT id FROM sampled) AND protocol = '' AND turn = 2
    GROUP BY iteration_id, question_id, reflection_id
)
UPDATE trajectories SET right_with = s.right_with, n_with = s.n_with, right_without = s.right_without,
    n_without = s.n_without, lift = s.lift
FROM (
    SELECT r.id AS reflection_id, r.attempt_id, c.helped AS right_with, c.n AS n_with, w.helped AS right_without,
           w.n AS n_without, 1.0 * (c.helped * w.n - w.helped * c.n) / (c.n * w.n) AS lift
    FROM tried w
    JOIN tried c ON c.iteration_id = w.iteration_id AND c.question_id = w.question_id AND c.reflection_id IS NOT NULL
    JOIN reflections r ON r.id = c.reflection_id
    JOIN attempts a ON a.id = r.attempt_id AND a.turn = 1 AND a.verdict = 'incorrect'
    WHERE w.reflection_id IS NULL
) s
WHERE trajectories.attempt_id = s.attempt_id AND ifnull(trajectories.reflection_id, 0) = s.reflection_id;
CREATE INDEX trajectories_lift ON trajectories (lift) WHERE lift IS NOT NULL;
CREATE INDEX trajectories_iteration_lift ON trajectories (iteration_id, lift) WHERE lift IS NOT NULL;
CREATE INDEX trajectories_lifted ON trajectories (id, lift) WHERE lift IS NOT NULL;
"""
"""The indexes hold only rows with a known lift, so that runs with one correction for each reflection pay nothing."""


ERRORS_NAMED = """
CREATE TABLE new_reviews (
    id INTEGER PRIMARY KEY,
    reflection_id INTEGER NOT NULL REFERENCES reflections(id),
    decision TEXT NOT NULL CHECK (decision IN ('accept', 'reject', 'flag', 'clear')),
    error_kind INTEGER CHECK (error_kind BETWEEN 1 AND 9),
    names_error TEXT CHECK (names_error IN ('yes', 'partly', 'no')),
    note TEXT NOT NULL DEFAULT '',
    reviewer TEXT NOT NULL,
    created REAL NOT NULL,
    sample_size INTEGER,
    sample_seed INTEGER
);
INSERT INTO new_reviews (id, reflection_id, decision, error_kind, note, reviewer, created)
    SELECT id, reflection_id, decision, error_kind, note, reviewer, created FROM reviews;
DROP TABLE reviews;
ALTER TABLE new_reviews RENAME TO reviews;
CREATE INDEX reviews_reflection ON reviews (reflection_id, id);
"""
"""`sample_size` and `sample_seed` are NULL for a review outside a drawn sample, and for those of older schemas."""


THOUGHTS = """
CREATE TABLE thoughts (
    id INTEGER PRIMARY KEY,
    attempt_id INTEGER UNIQUE REFERENCES attempts(id) ON DELETE CASCADE,
    reflection_id INTEGER UNIQUE REFERENCES reflections(id) ON DELETE CASCADE,
    text TEXT NOT NULL,
    tokens INTEGER NOT NULL
);
"""
"""A table of its own, so that rows of models that don't think carry nothing. `text` is the thought as written, with its
tags and the blanks after it; followed by the text of its row it is the whole reply."""
