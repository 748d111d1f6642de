"""What later migrations change of `store/database/schema.py`, as SQL, in the order in which they came."""

from __future__ import annotations

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
