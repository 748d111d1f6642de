"""The data model in SQL, as created by the first migration. Later changes are migrations, not edits here."""

from __future__ import annotations

LINEAGE = """
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    base_model TEXT NOT NULL,
    settings TEXT NOT NULL,
    base_directory TEXT NOT NULL DEFAULT '',
    origin TEXT NOT NULL DEFAULT 'engine' CHECK (origin IN ('engine', 'import', 'synthetic')),
    state TEXT NOT NULL DEFAULT 'new' CHECK (state IN ('new', 'ready', 'failed')),
    error TEXT,
    created REAL NOT NULL
);
CREATE TABLE policies (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs(id),
    parent_id INTEGER REFERENCES policies(id),
    iteration_id INTEGER,
    name TEXT NOT NULL,
    setting TEXT NOT NULL,
    roles TEXT NOT NULL DEFAULT 'reasoner reflector',
    path TEXT NOT NULL,
    base_model TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('candidate', 'promoted', 'rejected')),
    reason TEXT NOT NULL DEFAULT '',
    details TEXT NOT NULL DEFAULT '{}',
    created REAL NOT NULL,
    UNIQUE (run_id, name)
);
CREATE TABLE iterations (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs(id),
    number INTEGER NOT NULL,
    kind TEXT NOT NULL DEFAULT 'training' CHECK (kind IN ('training', 'evaluation')),
    parent_id INTEGER REFERENCES policies(id),
    child_id INTEGER REFERENCES policies(id),
    settings TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('running', 'waiting', 'paused', 'stopped', 'failed', 'done')),
    control TEXT NOT NULL DEFAULT 'run' CHECK (control IN ('run', 'pause', 'stop')),
    reason TEXT NOT NULL DEFAULT '',
    remaining INTEGER NOT NULL DEFAULT 0,
    created REAL NOT NULL,
    ended REAL,
    UNIQUE (run_id, kind, number)
);
CREATE TABLE stages (
    id INTEGER PRIMARY KEY,
    iteration_id INTEGER NOT NULL REFERENCES iterations(id),
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('pending', 'waiting', 'running', 'done', 'failed', 'skipped')),
    approved INTEGER NOT NULL DEFAULT 0,
    total INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    owed INTEGER GENERATED ALWAYS AS (max(total - done, 0)) VIRTUAL,
    note TEXT NOT NULL DEFAULT '',
    started REAL,
    ended REAL,
    error TEXT,
    UNIQUE (iteration_id, name)
);
CREATE TABLE imports (
    id INTEGER PRIMARY KEY,
    run_id INTEGER NOT NULL REFERENCES runs(id),
    path TEXT NOT NULL,
    format TEXT NOT NULL,
    identity TEXT NOT NULL UNIQUE,
    position INTEGER NOT NULL DEFAULT 0,
    size INTEGER NOT NULL,
    records INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    leaks INTEGER NOT NULL DEFAULT 0,
    details TEXT NOT NULL DEFAULT '{}',
    created REAL NOT NULL,
    ended REAL
);
CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY,
    policy_id INTEGER NOT NULL REFERENCES policies(id),
    iteration_id INTEGER REFERENCES iterations(id),
    protocol TEXT NOT NULL,
    task TEXT NOT NULL,
    n INTEGER NOT NULL,
    metrics TEXT NOT NULL,
    created REAL NOT NULL,
    UNIQUE (policy_id, protocol, task)
);
CREATE TABLE baseline_outcomes (
    policy_id INTEGER NOT NULL REFERENCES policies(id),
    protocol TEXT NOT NULL,
    question_id INTEGER NOT NULL,
    baseline TEXT NOT NULL CHECK (baseline IN ('retry', 'retry_budget', 'vote', 'vote_budget')),
    correct INTEGER NOT NULL,
    PRIMARY KEY (policy_id, protocol, question_id, baseline)
) WITHOUT ROWID;
CREATE TABLE metrics (
    id INTEGER PRIMARY KEY,
    iteration_id INTEGER NOT NULL REFERENCES iterations(id),
    stage TEXT NOT NULL,
    step INTEGER NOT NULL,
    name TEXT NOT NULL,
    value REAL,
    created REAL NOT NULL,
    UNIQUE (iteration_id, stage, name, step)
);
"""


DECISIONS = """
CREATE TABLE reviews (
    id INTEGER PRIMARY KEY,
    reflection_id INTEGER NOT NULL REFERENCES reflections(id),
    decision TEXT NOT NULL CHECK (decision IN ('accept', 'reject', 'flag', 'clear')),
    error_kind INTEGER CHECK (error_kind BETWEEN 1 AND 8),
    note TEXT NOT NULL DEFAULT '',
    reviewer TEXT NOT NULL,
    created REAL NOT NULL
);
CREATE INDEX reviews_reflection ON reviews (reflection_id, id);
CREATE TABLE preferences (
    id INTEGER PRIMARY KEY,
    chosen_id INTEGER NOT NULL REFERENCES reflections(id),
    rejected_id INTEGER NOT NULL REFERENCES reflections(id),
    source TEXT NOT NULL CHECK (source IN ('verdict', 'judge', 'human')),
    confidence REAL,
    reviewer TEXT NOT NULL DEFAULT '',
    note TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL
);
CREATE INDEX preferences_pair ON preferences (chosen_id, rejected_id);
CREATE TABLE judge_requests (
    id INTEGER PRIMARY KEY,
    iteration_id INTEGER NOT NULL REFERENCES iterations(id),
    first_id INTEGER NOT NULL REFERENCES reflections(id),
    second_id INTEGER NOT NULL REFERENCES reflections(id),
    judge TEXT NOT NULL,
    prompt_version TEXT NOT NULL,
    answer TEXT CHECK (answer IN ('first', 'second', 'unclear', 'failed')),
    created REAL NOT NULL
);
CREATE INDEX judge_requests_iteration ON judge_requests (iteration_id);
CREATE TABLE curated (
    id INTEGER PRIMARY KEY,
    iteration_id INTEGER NOT NULL REFERENCES iterations(id),
    set_name TEXT NOT NULL CHECK (set_name IN ('d_plus', 'd_pm', 'd_pref')),
    reflection_id INTEGER NOT NULL REFERENCES reflections(id),
    rejected_reflection_id INTEGER REFERENCES reflections(id),
    correction_id INTEGER REFERENCES attempts(id),
    included INTEGER NOT NULL,
    reason TEXT NOT NULL DEFAULT ''
);
CREATE UNIQUE INDEX curated_rows ON curated
    (iteration_id, set_name, reflection_id, ifnull(rejected_reflection_id, 0));
CREATE INDEX curated_pages ON curated (iteration_id, set_name, included);
CREATE TABLE directives (
    id INTEGER PRIMARY KEY,
    uuid TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    arguments TEXT NOT NULL DEFAULT '{}',
    issued_by TEXT NOT NULL,
    created REAL NOT NULL,
    claimed REAL,
    done REAL,
    accepted INTEGER,
    outcome TEXT
);
CREATE INDEX directives_open ON directives (id) WHERE done IS NULL;
"""


TELEMETRY = """
CREATE TABLE heartbeats (
    slot TEXT PRIMARY KEY,
    pid INTEGER NOT NULL,
    started REAL NOT NULL,
    beat REAL NOT NULL,
    state TEXT NOT NULL,
    detail TEXT NOT NULL DEFAULT '{}'
) WITHOUT ROWID;
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    created REAL NOT NULL,
    level TEXT NOT NULL CHECK (level IN ('debug', 'info', 'warning', 'error')),
    source TEXT NOT NULL,
    iteration_id INTEGER,
    text TEXT NOT NULL
);
CREATE TABLE live_text (
    slot INTEGER PRIMARY KEY,
    role TEXT NOT NULL,
    question_id INTEGER,
    task TEXT NOT NULL DEFAULT '',
    instruction TEXT NOT NULL DEFAULT '',
    text TEXT NOT NULL,
    updated REAL NOT NULL
);
CREATE TABLE capabilities (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    updated REAL NOT NULL
) WITHOUT ROWID;
"""
