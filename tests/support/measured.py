"""A run with two policies that answered the same held-out questions, written through the store's own functions."""

from __future__ import annotations

from dataclasses import replace

from store.control import telemetry
from store.curation import curated, reviews
from store.curation.curated import NewCurated
from store.database.connection import write
from store.evaluation.intervals import wilson
from store.records import Verdict
from store.rollouts import attempts
from store.rollouts.attempts import NewAttempt, NewReflection
from store.runs import iterations, policies
from tests.support.rows import Rows

ORACLE = "oracle/0123456789"

Answer = tuple[Verdict, Verdict | None]
"""Verdicts of turn 1 and turn 2; None when turn 2 was not taken."""


def answer_held_out(rows: Rows, policy: int, protocol: str, answers: dict[int, Answer]) -> None:
    """Store the answers of a policy to held-out questions."""
    for question, (first, second) in answers.items():
        made = replace(rows.generation("a try", protocol=protocol), policy_id=policy)
        attempt = attempts.insert_attempt(rows.connection, NewAttempt(made, question, 1, None, None, first, "", None))
        if second is None:
            continue
        thought = replace(rows.generation("a thought", protocol=protocol), policy_id=policy)
        reflection = attempts.insert_reflection(rows.connection, NewReflection(thought, attempt, "general", ""))
        attempts.insert_attempt(rows.connection, NewAttempt(made, question, 2, reflection, None, second, "", None))


def share(successes: int, n: int) -> dict[str, float | None]:
    """Store a metric that is a share."""
    interval = wilson(successes, n)
    return {"value": successes / n if n else None, "low": interval.low, "high": interval.high, "n": n}


def measured_run(rows: Rows, *, text: str = "Count the letters again.") -> int:
    """Fill a run: rollouts, curation, a training curve, a child policy, both policies evaluated; return the child's id.

    `text` is used for every text that a model wrote.
    """
    connection = rows.connection
    with write(connection):
        for number in range(6):
            question = rows.question(f"train {number}: {text}", task=("quiz", "sums")[number % 2])
            attempt = rows.attempt(question, text=text)
            rows.corrected(attempt, question, "correct" if number < 2 else "incorrect", text=f"{number} {text}")
        held_out = [
            rows.question(f"test {number}", task=("quiz", "sums")[number % 2], split="test") for number in range(8)
        ]
        child = rows.add_policy("p01", parent=rows.policy, state="candidate", iteration=rows.iteration)
        iterations.update_iteration(connection, rows.iteration, child_id=child, state="done", ended=1_000_060.0)
        wrong: Answer = ("incorrect", "incorrect")
        answer_held_out(rows, rows.policy, ORACLE, dict.fromkeys(held_out, wrong) | {held_out[0]: ("correct", None)})
        answer_held_out(
            rows,
            child,
            ORACLE,
            dict.fromkeys(held_out, ("incorrect", "correct")) | {held_out[0]: wrong, held_out[1]: ("correct", None)},
        )
        for policy, first, second in ((rows.policy, 1, 1), (child, 1, 7)):
            for task, n in (("", 8), ("quiz", 4), ("sums", 4)):
                part = n // 4
                policies.put_evaluation(
                    connection,
                    policy_id=policy,
                    iteration_id=rows.iteration,
                    protocol=ORACLE,
                    task=task,
                    n=n,
                    metrics={
                        "acc_t1": share(first, n),
                        "acc_t2": share(min(second, n), n),
                        "delta": {"value": 0.25, "low": -0.05, "high": 0.5, "n": n},
                        "i_to_c": share(part, n - 1),
                        "c_to_i": share(0, 0) | {"low": None, "high": None},
                        "acc_retry": share(2, n),
                    },
                )
        for step in range(5):
            telemetry.add_metrics(connection, rows.iteration, "train", step, {"loss": 2.0 / (step + 1)})
        reflections = attempts.rollout_reflections(connection, rows.iteration)
        curated.replace_curated(
            connection,
            rows.iteration,
            [
                NewCurated("d_plus", one.id, None, None, place < 2, "" if place < 2 else "correction incorrect")
                for place, one in enumerate(reflections)
            ],
        )
        connection.execute("UPDATE runs SET created = 1000000.0")
        connection.execute("UPDATE policies SET created = 1000000.0")
        for stage in ("attempt", "reflect", "correct", "curate", "train", "evaluate"):
            iterations.set_stage(connection, rows.iteration, stage, "running")
            iterations.set_stage(connection, rows.iteration, stage, "done")
        connection.execute("UPDATE stages SET started = 1000000.0, ended = 1000012.5")
    reviews.add_review(connection, reflections[0].id, "accept", reviewer="me@here")
    reviews.add_review(connection, reflections[1].id, "accept", reviewer="me@here")
    reviews.add_review(connection, reflections[1].id, "reject", error_kind=3, reviewer="you@here")
    return child
