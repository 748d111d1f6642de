"""The tables of rollouts and their tallies in SQL, as created by the first migration. See `schema.py`."""

from __future__ import annotations

ROLLOUTS = """
CREATE TABLE questions (
    id INTEGER PRIMARY KEY,
    task TEXT NOT NULL,
    domain TEXT NOT NULL,
    split TEXT NOT NULL CHECK (split IN ('train', 'dev', 'test')),
    text TEXT NOT NULL,
    options TEXT NOT NULL DEFAULT '[]',
    reference TEXT NOT NULL,
    payload TEXT NOT NULL DEFAULT '{}',
    content_hash TEXT NOT NULL UNIQUE
);
CREATE TABLE run_questions (
    run_id INTEGER NOT NULL REFERENCES runs(id),
    question_id INTEGER NOT NULL REFERENCES questions(id),
    split TEXT NOT NULL DEFAULT 'train' CHECK (split IN ('train', 'dev', 'test')),
    PRIMARY KEY (run_id, question_id)
) WITHOUT ROWID;
CREATE TABLE few_shots (
    run_id INTEGER NOT NULL REFERENCES runs(id),
    task TEXT NOT NULL,
    position INTEGER NOT NULL,
    question TEXT NOT NULL,
    answer TEXT NOT NULL,
    PRIMARY KEY (run_id, task, position)
) WITHOUT ROWID;
CREATE TABLE instruction_parts (
    run_id INTEGER NOT NULL REFERENCES runs(id),
    part TEXT NOT NULL CHECK (part IN ('verify', 'locate', 'plan')),
    position INTEGER NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (run_id, part, position)
) WITHOUT ROWID;
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY,
    iteration_id INTEGER REFERENCES iterations(id),
    question_id INTEGER NOT NULL REFERENCES questions(id),
    policy_id INTEGER NOT NULL REFERENCES policies(id),
    protocol TEXT NOT NULL DEFAULT '',
    turn INTEGER NOT NULL,
    reflection_id INTEGER REFERENCES reflections(id),
    sample INTEGER NOT NULL DEFAULT 0,
    reasoning TEXT NOT NULL,
    answer TEXT,
    verdict TEXT NOT NULL CHECK (verdict IN ('correct', 'incorrect', 'unverified')),
    detail TEXT NOT NULL DEFAULT '',
    score REAL,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
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
CREATE UNIQUE INDEX attempts_work ON attempts
    (iteration_id, question_id, turn, ifnull(reflection_id, 0), sample) WHERE protocol = '';
CREATE UNIQUE INDEX attempts_evaluation ON attempts
    (policy_id, protocol, question_id, turn, ifnull(reflection_id, 0), sample) WHERE protocol <> '';
CREATE INDEX attempts_reflection ON attempts (reflection_id) WHERE reflection_id IS NOT NULL;
CREATE TABLE reflections (
    id INTEGER PRIMARY KEY,
    iteration_id INTEGER REFERENCES iterations(id),
    attempt_id INTEGER NOT NULL REFERENCES attempts(id),
    instruction TEXT NOT NULL,
    sample INTEGER NOT NULL DEFAULT 0,
    policy_id INTEGER NOT NULL REFERENCES policies(id),
    protocol TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL DEFAULT 0,
    completion_tokens INTEGER NOT NULL DEFAULT 0,
    finish_reason TEXT NOT NULL DEFAULT '',
    seed INTEGER,
    prompt_version TEXT NOT NULL,
    prompt_hash TEXT NOT NULL,
    latency REAL NOT NULL DEFAULT 0,
    flags TEXT NOT NULL DEFAULT '',
    reused_from INTEGER,
    error TEXT,
    created REAL NOT NULL
);
CREATE UNIQUE INDEX reflections_work ON reflections
    (attempt_id, ifnull(iteration_id, 0), protocol, instruction, sample);
CREATE INDEX reflections_iteration ON reflections (iteration_id, protocol);
CREATE TABLE trajectories (
    id INTEGER PRIMARY KEY,
    iteration_id INTEGER REFERENCES iterations(id),
    policy_id INTEGER NOT NULL,
    question_id INTEGER NOT NULL,
    attempt_id INTEGER NOT NULL,
    reflection_id INTEGER,
    correction_id INTEGER,
    split TEXT NOT NULL,
    task TEXT NOT NULL,
    domain TEXT NOT NULL,
    transition TEXT NOT NULL,
    instruction TEXT NOT NULL DEFAULT '',
    review TEXT NOT NULL DEFAULT '',
    flags TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX trajectories_parts ON trajectories (attempt_id, ifnull(reflection_id, 0));
CREATE INDEX trajectories_iteration ON trajectories (iteration_id);
CREATE INDEX trajectories_task ON trajectories (task);
CREATE INDEX trajectories_transition ON trajectories (transition);
CREATE INDEX trajectories_instruction ON trajectories (instruction);
CREATE INDEX trajectories_policy ON trajectories (policy_id);
CREATE INDEX trajectories_review ON trajectories (review) WHERE review <> '';
CREATE INDEX trajectories_strata ON trajectories (iteration_id, task, transition, instruction)
    WHERE split = 'train' AND correction_id IS NOT NULL;
CREATE INDEX trajectories_domain ON trajectories (domain);
CREATE INDEX trajectories_flags ON trajectories (id, flags) WHERE flags <> '';
CREATE VIEW trajectory_text AS
    SELECT t.id AS id, q.text AS question,
           a.reasoning || coalesce(char(10) || c.reasoning, '') AS reasoning,
           coalesce(r.text, '') AS reflection
    FROM trajectories t
    JOIN questions q ON q.id = t.question_id
    JOIN attempts a ON a.id = t.attempt_id
    LEFT JOIN reflections r ON r.id = t.reflection_id
    LEFT JOIN attempts c ON c.id = t.correction_id;
CREATE VIRTUAL TABLE trajectory_search USING fts5(
    question, reasoning, reflection,
    content = 'trajectory_text', content_rowid = 'id', tokenize = "unicode61 remove_diacritics 2"
);
CREATE VIRTUAL TABLE trajectory_words USING fts5vocab(trajectory_search, instance);
CREATE TABLE import_records (
    import_id INTEGER NOT NULL REFERENCES imports(id),
    number INTEGER NOT NULL,
    attempt_id INTEGER NOT NULL,
    reflection_id INTEGER,
    rejected_reflection_id INTEGER,
    remainder TEXT NOT NULL DEFAULT '{}',
    PRIMARY KEY (import_id, number)
) WITHOUT ROWID;
CREATE INDEX import_records_attempt ON import_records (attempt_id);
CREATE TABLE import_texts (
    digest TEXT PRIMARY KEY,
    text TEXT NOT NULL
) WITHOUT ROWID;
"""

TALLIES = """
CREATE TABLE tallies (
    iteration_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (iteration_id, kind)
) WITHOUT ROWID;
"""
"""Row counts by iteration (0 for none) and kind, kept by triggers, because counting millions of rows takes seconds."""

_TALLIED = (
    (
        "attempts",
        "CASE WHEN row.protocol <> '' THEN 'evaluation_attempts' WHEN row.turn = 1 THEN 'attempts'"
        " ELSE 'corrections' END",
        "1",
    ),
    ("attempts", "'failed_samples'", "row.error IS NOT NULL"),
    ("reflections", "'reflections'", "row.protocol = ''"),
    ("reflections", "'failed_samples'", "row.error IS NOT NULL"),
    ("trajectories", "'trajectories'", "1"),
    ("curated", "row.set_name || '/' || CASE WHEN row.included THEN 'included' ELSE row.reason END", "1"),
)
"""The rows that are counted: the table, the kind of a row and the condition, as SQL."""


def _triggers() -> str:
    """Return the triggers that keep the tallies; none for UPDATE, as the counted columns never change."""
    statements = []
    for number, (table, kind, which) in enumerate(_TALLIED):
        for event, row, step in (("INSERT", "NEW", 1), ("DELETE", "OLD", -1)):
            statement = (
                f"CREATE TRIGGER tally_{number}_{event.lower()} AFTER {event} ON {table} WHEN {which} BEGIN"
                f" INSERT INTO tallies VALUES (ifnull(row.iteration_id, 0), {kind}, {step})"
                f" ON CONFLICT (iteration_id, kind) DO UPDATE SET n = n + {step}; END;"
            )
            statements.append(statement.replace("row.", f"{row}."))
    return "\n".join(statements)


TALLIES += _triggers()
