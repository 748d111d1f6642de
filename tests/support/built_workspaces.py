"""Builds workspaces with a run and trajectories for tests of screens and reports, without an engine."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from store.control import telemetry
from store.curation import curated
from store.curation.curated import NewCurated
from store.database.connection import open_writer, write
from store.database.migrations import migrate
from store.records import LiveText
from store.rollouts import attempts
from store.rollouts.attempts import NewAttempt, NewGeneration, NewReflection
from store.runs import iterations, policies, runs
from store.settings import RunSettings
from store.workspace import Workspace

SETTINGS = """\
# a comment of the operator
name = "demo"
model = "HuggingFaceTB/SmolLM2-135M-Instruct"
gates = ["train", "promote"]

[[tasks]]
kind = "procedural"
name = "letter_counting"
dataset = "letter_counting"
train = 250
test = 60
few_shot = 3

[[tasks]]
kind = "procedural"
name = "chain_sum"
dataset = "chain_sum"

[training]
learning_rate = 5e-4  # gentler than the paper's
"""


WORDS = (
    "the sign of second term was dropped when both sides were moved so count letters again and name rule first".split()
)


@dataclass
class Built:
    """A workspace and a writer on its database."""

    workspace: Workspace
    writer: sqlite3.Connection
    run: int
    iteration: int
    policy: int

    def add_trajectories(self, n: int, *, text: str | None = None, start: int = 0) -> None:
        """Add finished trajectories: each question is attempted, most are reflected on twice."""
        draw = random.Random(start)
        with write(self.writer):
            number = start
            while number < start + n:
                number += self._question(number, draw, text, start + n - number)

    def _made(self, text: str, sample: int = 0) -> NewGeneration:
        return NewGeneration(
            self.iteration, self.policy, "", sample, text, 180, len(text.split()), "stop", 7, "v1", "ab" * 32, 0.4, None
        )

    def _question(self, number: int, draw: random.Random, text: str | None, left: int) -> int:
        task = ("letter_counting", "chain_sum")[number % 2]
        prose = text or f"How many letters r are in strawberry number {number}?"
        runs.add_questions(
            self.writer,
            self.run,
            [(task, "reasoning", "train", prose, ["three", "four"], str(number % 7), {}, f"hash-{number}")],
        )
        question = self.writer.execute(
            "SELECT id FROM questions WHERE content_hash = ?", (f"hash-{number}",)
        ).fetchone()[0]
        reasoning = text or "I count " + " ".join(draw.choices(WORDS, k=40)) + "\nAnswer: 3"
        right = number % 5 == 0
        verdict = "correct" if right else "incorrect"
        attempt = attempts.insert_attempt(
            self.writer, NewAttempt(self._made(reasoning), question, 1, None, text or "3", verdict, "", float(right))
        )
        if right:
            attempts.finish_trajectory(self.writer, attempt, None, None)
            return 1
        made = min(2, left)
        for sample in range(made):
            words = text or f"Reflection {number}: " + " ".join(draw.choices(WORDS, k=30))
            reflection = attempts.insert_reflection(
                self.writer, NewReflection(self._made(words, sample), attempt, f"1-{number % 8 + 1}-2", "")
            )
            fixed = (number + sample) % 3 == 0
            retry = text or reasoning.replace("I count", "Now I count slowly") + " again"
            correction = attempts.insert_attempt(
                self.writer,
                NewAttempt(
                    self._made(retry),
                    question,
                    2,
                    reflection,
                    "4",
                    "correct" if fixed else "incorrect",
                    "",
                    float(fixed),
                ),
            )
            attempts.finish_trajectory(self.writer, attempt, reflection, correction)
        return made

    def evaluate(self, policy: int, first: float, second: float, *, floor: float | None = 0.5) -> None:
        """Store the accuracies of a policy over all tasks; without `floor` as versions before floors did."""
        metrics: dict[str, dict[str, float | None]] = {
            name: {"value": value, "low": value - 0.04, "high": value + 0.04, "n": 120}
            for name, value in (("acc_t1", first), ("acc_t2", second), ("acc_retry", first + 0.06))
        }
        if floor is not None:
            metrics["floor_t2"] = {"value": floor, "low": None, "high": None, "n": 120, "by_options": 0.0}
        policies.put_evaluation(
            self.writer, policy_id=policy, iteration_id=None, protocol="oracle/abc", task="", n=120, metrics=metrics
        )

    def wait_at(self, gate: str) -> None:
        """Set the iteration to wait at a gate, with everything before it done."""
        for stage in iterations.stages(self.writer, self.iteration):
            if stage.name == gate:
                iterations.set_stage(self.writer, self.iteration, stage.name, "waiting")
                break
            iterations.set_progress(self.writer, self.iteration, stage.name, 120, 120)
            iterations.set_stage(self.writer, self.iteration, stage.name, "done")
        iterations.update_iteration(self.writer, self.iteration, state="waiting")

    def add_child(self) -> int:
        """Add the child policy of the iteration, with its evaluation."""
        child = policies.add_policy(
            self.writer,
            run_id=self.run,
            parent_id=self.policy,
            iteration_id=self.iteration,
            name="p01",
            setting="sft-one-stage",
            path="policies/2",
            base_model="m",
            state="candidate",
            details={},
        )
        iterations.update_iteration(self.writer, self.iteration, child_id=child)
        self.evaluate(child, 0.44, 0.52)
        return child

    def curate(self) -> None:
        """Store a few decisions of curation."""
        rows = attempts.rollout_reflections(self.writer, self.iteration)[:12]
        with write(self.writer):
            curated.replace_curated(
                self.writer,
                self.iteration,
                [
                    NewCurated(
                        "d_plus", row.id, None, None, position % 3 != 0, "" if position % 3 else "fewer than 5 words"
                    )
                    for position, row in enumerate(rows)
                ],
            )

    def beat(self, *, gpus: bool = False) -> None:
        """Store heartbeats of engine, rollout and training, with their gauges."""
        cards = [
            {
                "name": "NVIDIA H100",
                "utilization": 94,
                "memory_used": 71 * 2**30,
                "memory_total": 80 * 2**30,
                "temperature": 61,
                "power": 640,
            }
        ] * 2
        detail = {"cpu_percent": 61.0, "memory_used": 7 * 2**30, "memory_total": 16 * 2**30, "disk_free": 120 * 2**30}
        now = time.time()
        telemetry.beat(self.writer, "engine", os.getpid(), now, "serving", {**detail, "gpus": cards if gpus else []})
        gauges = {
            "tokens_per_s": 11_800.0,
            "in_flight": 64,
            "queued": 3464,
            "prefix_cache_hit": 0.78,
            "generator": "vllm",
            "policy": "p00",
        }
        telemetry.beat(self.writer, "rollout", os.getpid(), now, "generating", gauges)

    def run_flow(self) -> None:
        """Store the middle of a rollout: running stages, gauges, curves, texts, events."""
        for name, done, total in (("attempt", 250, 250), ("reflect", 180, 340), ("correct", 150, 340)):
            iterations.set_stage(self.writer, self.iteration, name, "running")
            iterations.set_progress(self.writer, self.iteration, name, done, total)
        iterations.set_stage(self.writer, self.iteration, "attempt", "done")
        iterations.set_note(self.writer, self.iteration, "attempt", "Acc@t1 38.4 %")
        iterations.set_note(self.writer, self.iteration, "correct", "i→c 12.0 %")
        for step in range(60):
            telemetry.add_metrics(
                self.writer, self.iteration, "attempt", step, {"tokens_per_s": 200.0 + 9 * (step % 17)}
            )
        for step in range(40):
            values = {"loss": 2.0 / (step + 1) + 0.3, "mean_token_accuracy": 0.5 + step / 100, "learning_rate": 5e-4}
            telemetry.add_metrics(self.writer, self.iteration, "train", step, values)
        now = time.time()
        telemetry.put_live_text(
            self.writer,
            [
                LiveText(
                    0,
                    "reflection",
                    4913,
                    "letter_counting",
                    "1-3-2",
                    "The options were compared with the conclusion, but " * 4,
                    now,
                ),
                LiveText(1, "correction", 4914, "chain_sum", "", "Adding the terms one after another gives " * 3, now),
            ],
        )
        for position in range(30):
            level = ("info", "info", "info", "warning", "error")[position % 5]
            telemetry.add_event(
                self.writer, level, "rollout", f"event number {position}: the generator did something worth a line"
            )


Builder = Callable[..., Built]


def build_workspace(root: Path, n: int = 40, *, settings: str = SETTINGS) -> Built:
    """Build a workspace with one run, one running iteration and `n` trajectories."""
    import tomllib

    workspace = Workspace(root).create()
    workspace.settings_file.write_text(settings)
    writer = open_writer(workspace.database)
    migrate(writer)
    resolved = RunSettings.model_validate(tomllib.loads(settings)).model_dump(mode="json")
    run = runs.add_run(writer, "demo", "m", resolved, str(root))
    runs.set_run_state(writer, run, "ready")
    policy = policies.add_policy(
        writer,
        run_id=run,
        parent_id=None,
        iteration_id=None,
        name="p00",
        setting="base",
        path="policies/1",
        base_model="m",
        state="promoted",
        details={},
    )
    iteration = iterations.add_iteration(writer, run, policy, resolved, 0)
    built = Built(workspace, writer, run, iteration, policy)
    built.evaluate(policy, 0.384, 0.458)
    built.add_trajectories(n)
    return built
