"""Fills a real database through the store's own functions: the smallest run in which anything can be stored."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from store.database.connection import open_writer, write
from store.database.migrations import migrate
from store.records import Iteration, Stage, Verdict
from store.rollouts import attempts
from store.rollouts.attempts import NewAttempt, NewGeneration, NewReflection
from store.runs import iterations, policies, runs
from store.settings import RunSettings

TASK = {"kind": "choice", "name": "quiz", "path": "quiz.jsonl"}


def run_settings(**changes: Any) -> RunSettings:
    """Return the settings of a run over one multiple-choice task."""
    values = {"name": "run", "model": "none", "tasks": [TASK], "generation": {"generator": "scripted"}}
    return RunSettings.model_validate(values | changes)


class Rows:
    """A database with one ready run, its base policy and its first iteration."""

    def __init__(self, path: Path, settings: RunSettings | None = None) -> None:
        self.path = path
        self.connection: sqlite3.Connection = open_writer(path)
        migrate(self.connection)
        self.settings = settings or run_settings()
        stored = self.settings.model_dump(mode="json")
        with write(self.connection):
            self.run = runs.add_run(self.connection, self.settings.name, "none", stored, "")
            runs.set_run_state(self.connection, self.run, "ready")
            self.policy = self.add_policy("p00", parent=None, state="promoted")
            self.iteration = iterations.add_iteration(self.connection, self.run, self.policy, stored, 0)

    def add_policy(self, name: str, parent: int | None, state: str, iteration: int | None = None) -> int:
        """Add a policy without weights."""
        return policies.add_policy(
            self.connection,
            run_id=self.run,
            parent_id=parent,
            iteration_id=iteration,
            name=name,
            setting="sft-one-stage" if parent else "base",
            path=f"policies/{name}",
            base_model="none",
            state=state,
            details={},
        )

    def current(self) -> Iteration:
        """Return the iteration as stored now."""
        return iterations.get_iteration(self.connection, self.iteration)

    def stages(self) -> dict[str, Stage]:
        """Return the stages of the iteration as stored now."""
        return {stage.name: stage for stage in iterations.stages(self.connection, self.iteration)}

    def question(
        self, text: str, *, task: str = "quiz", domain: str = "reasoning", split: str = "train", reference: str = "A"
    ) -> int:
        """Add a question chosen for the run."""
        identity = f"{task}|{text}"
        runs.add_questions(
            self.connection, self.run, [(task, domain, split, text, ("yes", "no"), reference, {}, identity)]
        )
        row = self.connection.execute("SELECT id FROM questions WHERE content_hash = ?", (identity,)).fetchone()
        return int(row["id"])

    def generation(self, text: str, *, protocol: str = "", sample: int = 0, error: str | None = None) -> NewGeneration:
        """Return the result of a generator."""
        return NewGeneration(
            self.iteration, self.policy, protocol, sample, text, 10, 5, "stop", 1, "1", "hash", 0.1, error
        )

    def attempt(
        self,
        question: int,
        verdict: Verdict = "incorrect",
        *,
        text: str = "a try",
        protocol: str = "",
        error: str | None = None,
        turn: int = 1,
        reflection: int | None = None,
        sample: int = 0,
        answer: str | None = None,
        score: float | None = None,
    ) -> int:
        """Add an attempt, or with a reflection its correction."""
        made = self.generation("" if error else text, protocol=protocol, sample=sample, error=error)
        return attempts.insert_attempt(
            self.connection, NewAttempt(made, question, turn, reflection, answer, verdict, "", score)
        )

    def reflection(
        self,
        attempt: int,
        instruction: str = "1-1-1",
        *,
        text: str = "a thought",
        sample: int = 0,
        protocol: str = "",
        flags: str = "",
        error: str | None = None,
    ) -> int:
        """Add a reflection on an attempt."""
        made = self.generation("" if error else text, protocol=protocol, sample=sample, error=error)
        return attempts.insert_reflection(self.connection, NewReflection(made, attempt, instruction, flags))

    def corrected(
        self, attempt: int, question: int, verdict: Verdict = "correct", *, instruction: str = "1-1-1", **more: Any
    ) -> tuple[int, int]:
        """Add a reflection, its correction and the finished trajectory; returns the ids of the first two."""
        reflection = self.reflection(attempt, instruction, **more)
        correction = self.attempt(question, verdict, turn=2, reflection=reflection, protocol=more.get("protocol", ""))
        attempts.finish_trajectory(self.connection, attempt, reflection, correction)
        return reflection, correction
