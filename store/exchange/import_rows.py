"""Stores batches of imported records as the rows that a rollout would have written.

One batch is one short transaction: questions, attempts, reflections, corrections, trajectories with their search index,
curated rows, preferences, and the records themselves. Texts that a set repeats (an attempt or a chosen reflection that
is part of many pairs) are stored once.
"""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from store.curation.training_settings import SetName
from store.database.connection import storable
from store.exchange.imported_records import ImportedAttempt, ImportedBranch, ImportedRecord
from store.exchange.imports import IMPORTED_POLICY, IMPORTED_STAGES, IMPORTED_VERSION, ImportTarget
from store.records import StageName

EQUAL_SIDES = "both sides are the same reflection"
"""Reason for leaving a pair out of its set."""

_NEWEST = 64
"""Number of newest texts of a question that are searched for a duplicate; bounds the work on malicious files."""

_CHUNK = 500

_REFLECTION = (
    "INSERT INTO reflections (id, iteration_id, attempt_id, instruction, sample, policy_id, text, flags,"
    f" prompt_version, prompt_hash, created) VALUES (?, ?, ?, ?, ?, ?, ?, ?, '{IMPORTED_VERSION}', '', ?)"
)
_ATTEMPT = (
    "INSERT INTO attempts (id, iteration_id, question_id, policy_id, turn, reflection_id, sample, reasoning,"
    " answer, verdict, detail, prompt_version, prompt_hash, created)"
    f" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '{IMPORTED_VERSION}', '', ?)"
)


@dataclass(slots=True)
class _Known:
    """An attempt that is stored or part of the batch, with its branches."""

    id: int
    question_id: int
    branches: dict[object, int] = field(default_factory=dict)
    """Reflection id (0 for a retry) by the content that identifies a branch."""
    samples: dict[str, int] = field(default_factory=dict)
    """Number of reflections by instruction."""


class _Batch:
    """Collects the rows of one batch. Ids are assigned from the largest one up, which is safe under the write lock."""

    def __init__(self, connection: sqlite3.Connection, target: ImportTarget) -> None:
        self.connection, self.target, self.now = connection, target, time.time()
        self.next = {
            table: int(connection.execute(f"SELECT coalesce(max(id), 0) + 1 FROM {table}").fetchone()[0])
            for table in ("questions", "attempts", "reflections", "trajectories")
        }
        self.first_new = dict(self.next)
        self.questions: list[tuple[Any, ...]] = []
        self.attempts: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
        self.reflections: defaultdict[int, list[tuple[Any, ...]]] = defaultdict(list)
        """Attempts and the reflections that led to them, by turn: each row refers to rows of an earlier turn."""
        self.trajectories: list[tuple[Any, ...]] = []
        self.search: list[tuple[Any, ...]] = []
        self.curated: list[tuple[Any, ...]] = []
        self.preferences: list[tuple[Any, ...]] = []
        self.records: list[tuple[Any, ...]] = []
        self.texts: dict[str, str] = {}
        self.samples: dict[int, int] = {}
        self.known: dict[int, dict[object, _Known]] = {}
        self.pairs: set[tuple[int, int]] = set()
        self.added: dict[StageName, int] = dict.fromkeys(IMPORTED_STAGES, 0)

    def take(self, table: str) -> int:
        number = self.next[table]
        self.next[table] = number + 1
        return number

    # --- questions

    def place_questions(self, records: Sequence[ImportedRecord]) -> dict[str, int]:
        """Return the id of each question by content hash; new questions are added to the batch."""
        wanted = {record.question.content_hash: record.question for record in records}
        hashes = list(wanted)
        placed: dict[str, int] = {}
        for start in range(0, len(hashes), _CHUNK):
            part = hashes[start : start + _CHUNK]
            for row in self.connection.execute(
                f"SELECT id, content_hash FROM questions WHERE content_hash IN ({', '.join('?' * len(part))})",
                part,
            ):
                placed[row["content_hash"]] = row["id"]
        for content_hash, question in wanted.items():
            if content_hash not in placed:
                number = self.take("questions")
                placed[content_hash] = number
                self.questions.append(
                    (
                        *(number, question.task, question.domain),
                        *(storable(question.text), storable(question.reference), content_hash),
                    )
                )
        return placed

    # --- attempts

    def place_attempt(self, record: ImportedRecord, question_id: int) -> _Known:
        """Return the attempt of a record; for a record of a set, a stored attempt with the same content is reused."""
        made = record.attempt
        content = (made.reasoning, made.answer, made.verdict)
        if question_id not in self.known:
            self._read_attempts(question_id)
        known = self.known[question_id]
        if record.set_name is not None and content in known:
            return known[content]
        entry = _Known(self.take("attempts"), question_id)
        sample = self.samples[question_id]
        self.attempts[1].append(self._attempt_row(entry.id, question_id, 1, None, sample, made))
        self.added["attempt"] += 1
        self.samples[question_id] = sample + 1
        known[content] = entry
        return entry

    def _read_attempts(self, question_id: int) -> None:
        """Read the attempts that this import has already stored on a question; called once per batch and question."""
        known: dict[object, _Known] = {}
        self.samples[question_id] = 0
        if question_id < self.first_new["questions"]:
            rows = self.connection.execute(
                "SELECT id, sample, reasoning, answer, verdict FROM attempts WHERE iteration_id = ?"
                " AND protocol = '' AND question_id = ? AND turn = 1 AND ifnull(reflection_id, 0) = 0"
                " ORDER BY sample DESC LIMIT ?",
                (self.target.iteration_id, question_id, _NEWEST),
            ).fetchall()
            if rows:
                self.samples[question_id] = rows[0]["sample"] + 1
            for row in reversed(rows):
                entry = self._stored_branches(_Known(row["id"], question_id))
                known[row["reasoning"], row["answer"], row["verdict"]] = entry
        self.known[question_id] = known

    def _stored_branches(self, entry: _Known) -> _Known:
        for row in self.connection.execute(
            "SELECT r.id, r.instruction, r.text, r.flags, c.reasoning, c.answer, c.verdict FROM reflections r"
            " JOIN attempts c ON c.reflection_id = r.id WHERE r.attempt_id = ? ORDER BY r.id DESC LIMIT ?",
            (entry.id, _NEWEST),
        ):
            entry.branches[tuple(row)[1:]] = row["id"]
        for instruction, samples in self.connection.execute(
            "SELECT instruction, max(sample) + 1 FROM reflections WHERE attempt_id = ? GROUP BY instruction",
            (entry.id,),
        ):
            entry.samples[instruction] = samples
        return entry

    def _attempt_row(
        self, number: int, question_id: int, turn: int, reflection_id: int | None, sample: int, made: ImportedAttempt
    ) -> tuple[Any, ...]:
        return (
            *(number, self.target.iteration_id, question_id, self.target.policy_id, turn, reflection_id, sample),
            storable(made.reasoning),
            None if made.answer is None else storable(made.answer),
            *(made.verdict, made.detail, self.now),
        )

    # --- reflections, corrections, trajectories

    def place_branches(self, record: ImportedRecord, attempt: _Known) -> list[int | None]:
        """Return the reflection ids of a record's branches; adds new ones to the batch with their trajectories."""
        placed: list[int | None] = []
        corrections: list[int] = []
        if not record.branches:
            self._trajectory(record, attempt.question_id, attempt.id, record.attempt, None, None, None)
        for branch in record.branches:
            made = branch.correction
            content = (branch.instruction, branch.reflection, branch.flags, made.reasoning, made.answer, made.verdict)
            if record.set_name is not None and content in attempt.branches:
                placed.append(attempt.branches[content])
                continue
            reflection_id = None
            reflected = attempt.id if branch.on is None else corrections[branch.on]
            if branch.reflection is not None:
                reflection_id = self.take("reflections")
                sample = attempt.samples.get(branch.instruction, 0)
                attempt.samples[branch.instruction] = sample + 1
                self.reflections[branch.turn].append(
                    (
                        *(reflection_id, self.target.iteration_id, reflected, storable(branch.instruction), sample),
                        *(self.target.policy_id, storable(branch.reflection), branch.flags, self.now),
                    )
                )
                self.added["reflect"] += 1
            correction_id = self.take("attempts")
            # A retry has no reflection that distinguishes it from others, so its own id is its sample number.
            retry = 0 if reflection_id is not None else correction_id
            self.attempts[branch.turn].append(
                self._attempt_row(correction_id, attempt.question_id, branch.turn, reflection_id, retry, made)
            )
            self.added["correct"] += 1
            corrections.append(correction_id)
            placed.append(reflection_id)
            first = record.attempt if branch.on is None else record.branches[branch.on].correction
            if reflection_id is not None:
                attempt.branches[content] = reflection_id
            elif (None, reflected) in attempt.branches:
                continue  # the retries of an attempt share one trajectory: trajectories are unique by reflection
            else:
                attempt.branches[None, reflected] = 0
            self._trajectory(record, attempt.question_id, reflected, first, branch, reflection_id, correction_id)
        return placed

    def _trajectory(
        self,
        record: ImportedRecord,
        question_id: int,
        attempt_id: int,
        first: ImportedAttempt,
        branch: ImportedBranch | None,
        reflection_id: int | None,
        correction_id: int | None,
    ) -> None:
        number = self.take("trajectories")
        transition, reasoning, instruction, flags = first.verdict[0], first.reasoning, "", ""
        if branch is not None:
            transition += f"→{branch.correction.verdict[0]}"
            reasoning += f"\n{branch.correction.reasoning}"
            if branch.reflection is not None:
                instruction, flags = branch.instruction, branch.flags
        self.trajectories.append(
            (
                *(number, self.target.iteration_id, self.target.policy_id, question_id, attempt_id),
                *(reflection_id, correction_id, record.question.task, record.question.domain),
                *(transition, storable(instruction), flags),
            )
        )
        reflection = storable(branch.reflection or "") if branch else ""
        self.search.append((number, storable(record.question.text), storable(reasoning), reflection))

    # --- the record itself

    def place_record(self, record: ImportedRecord, attempt: _Known, placed: Sequence[int | None]) -> None:
        """Add the row of the record itself, and its row in the set it belongs to."""
        included = placed[0] if record.set_name is not None else None
        rejected = placed[1] if record.set_name in ("d_pm", "d_pref") else None
        self.records.append((self.target.import_id, record.number, attempt.id, included, rejected, record.remainder))
        self.texts.update(record.texts)
        if record.set_name is None or included is None or self._is_curated(record.set_name, included, rejected):
            return
        equal = included == rejected
        self.curated.append(
            (
                *(self.target.iteration_id, record.set_name, included, rejected),
                *(included, int(not equal), EQUAL_SIDES if equal else ""),
            )
        )
        self.added["curate"] += 1
        if record.set_name == "d_pref" and not equal:
            self.preferences.append((included, rejected, IMPORTED_POLICY, self.now))

    def _is_curated(self, set_name: SetName, included: int, rejected: int | None) -> bool:
        pair = (included, rejected or 0)
        if pair in self.pairs:
            return True
        self.pairs.add(pair)
        if max(pair) >= self.first_new["reflections"]:
            return False
        found = self.connection.execute(
            "SELECT 1 FROM curated WHERE iteration_id = ? AND set_name = ? AND reflection_id = ?"
            " AND ifnull(rejected_reflection_id, 0) = ?",
            (self.target.iteration_id, set_name, *pair),
        ).fetchone()
        return found is not None

    def write(self) -> None:
        """Insert the rows of the batch."""
        run_id = self.target.run_id
        # Each row is inserted after those it refers to: otherwise SQLite, with foreign key checks deferred, has to test
        # for every new row whether it resolves an open reference.
        turns = [
            step
            for turn in sorted(self.attempts)
            for step in (
                (_REFLECTION, self.reflections[turn]),
                (_ATTEMPT, self.attempts[turn]),
            )
        ]
        for statement, rows in (
            (
                "INSERT INTO questions (id, task, domain, split, text, reference, content_hash)"
                " VALUES (?, ?, ?, 'train', ?, ?, ?)",
                self.questions,
            ),
            (
                "INSERT OR IGNORE INTO run_questions (run_id, question_id) VALUES (?, ?)",
                [(run_id, question_id) for question_id in self.known],
            ),
            *turns,
            (
                "INSERT INTO trajectories (id, iteration_id, policy_id, question_id, attempt_id, reflection_id,"
                " correction_id, split, task, domain, transition, instruction, flags)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, 'train', ?, ?, ?, ?, ?)",
                self.trajectories,
            ),
            (
                "INSERT INTO trajectory_search (rowid, question, reasoning, reflection) VALUES (?, ?, ?, ?)",
                self.search,
            ),
            (
                "INSERT INTO curated (iteration_id, set_name, reflection_id, rejected_reflection_id, correction_id,"
                " included, reason) VALUES (?, ?, ?, ?, (SELECT id FROM attempts WHERE reflection_id = ?), ?, ?)",
                self.curated,
            ),
            (
                "INSERT INTO preferences (chosen_id, rejected_id, source, reviewer, created)"
                " VALUES (?, ?, 'judge', ?, ?)",
                self.preferences,
            ),
            (
                "INSERT INTO import_records (import_id, number, attempt_id, reflection_id, rejected_reflection_id,"
                " remainder) VALUES (?, ?, ?, ?, ?, ?)",
                self.records,
            ),
            (
                "INSERT OR IGNORE INTO import_texts (digest, text) VALUES (?, ?)",
                list(self.texts.items()),
            ),
        ):
            if rows:
                self.connection.executemany(statement, rows)


def insert_records(
    connection: sqlite3.Connection, target: ImportTarget, records: Iterable[ImportedRecord]
) -> dict[StageName, int]:
    """Insert a batch of records inside the caller's write transaction; return the numbers of new rows by stage."""
    batch = _Batch(connection, target)
    listed = list(records)
    questions = batch.place_questions(listed)
    for record in listed:
        attempt = batch.place_attempt(record, questions[record.question.content_hash])
        batch.place_record(record, attempt, batch.place_branches(record, attempt))
    batch.write()
    return batch.added
