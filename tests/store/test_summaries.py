"""Tests the contents of a report beside the metrics: which tokens are counted, which decisions count, no leaked
example shown as a success."""

from __future__ import annotations

from store.database.connection import write
from store.rollouts import attempts
from store.runs.summaries import example_trajectories, preference_counts, question_counts, review_summary, stage_costs
from tests.support.measured import measured_run
from tests.support.rows import Rows


def test_costs_are_counted_by_stage_and_without_what_was_taken_over(rows: Rows) -> None:
    """Every text has 10 tokens in and 5 out; a text reused from another iteration cost nothing."""
    measured_run(rows)
    costs = {cost.stage: cost for cost in stage_costs(rows.connection, rows.run)}
    assert list(costs) == ["attempt", "reflect", "correct", "curate", "train", "evaluate"]
    assert (costs["attempt"].texts, costs["attempt"].prompt_tokens, costs["attempt"].completion_tokens) == (6, 60, 30)
    assert (costs["reflect"].texts, costs["correct"].texts) == (6, 6)
    # 8 + 8 first answers, 7 + 7 reflections, 7 + 7 corrections.
    assert costs["evaluate"].texts == 44
    assert costs["curate"].texts is None and costs["train"].completion_tokens is None
    assert costs["train"].seconds == 12.5
    with write(rows.connection):
        rows.connection.execute("UPDATE attempts SET reused_from = 1 WHERE turn = 1 AND protocol = ''")
        rows.connection.execute("UPDATE stages SET ended = NULL WHERE name = 'train'")
    costs = {cost.stage: cost for cost in stage_costs(rows.connection, rows.run)}
    assert costs["attempt"].texts is None and costs["train"].seconds is None


def test_examples_come_from_every_task_and_never_from_a_leak(rows: Rows) -> None:
    """One of each task before a second of any; flagged and rejected ones are skipped."""
    measured_run(rows)
    failed = example_trajectories(rows.connection, rows.run, "i→i", 3)
    assert [one.task for one in failed] == ["quiz", "sums", "quiz"]
    worked = example_trajectories(rows.connection, rows.run, "i→c", 3)
    # The second one that worked was rejected by an operator.
    assert [one.reflection for one in worked] == ["0 Count the letters again."]
    with write(rows.connection):
        rows.connection.execute("UPDATE trajectories SET flags = 'leak'")
    assert example_trajectories(rows.connection, rows.run, "i→c", 3) == []


def test_the_newest_decision_on_a_reflection_counts(rows: Rows) -> None:
    """One accepted, one accepted and then rejected although its correction was right."""
    assert review_summary(rows.connection, rows.run) is None
    measured_run(rows)
    found = review_summary(rows.connection, rows.run)
    assert found is not None
    assert (found.accepted, found.rejected, found.flagged, found.reviewers) == (1, 1, 0, 2)
    assert (found.agreed, found.judged) == (1, 2)
    assert found.error_kinds == {3: 1}
    assert found.good.low < 0.5 < found.good.high


def test_preferences_and_questions_are_counted(rows: Rows) -> None:
    """By source, and by task and split."""
    measured_run(rows)
    first, second, *_ = attempts.rollout_reflections(rows.connection, rows.iteration)
    assert preference_counts(rows.connection, rows.run) == {}
    rows.connection.execute(
        "INSERT INTO preferences (chosen_id, rejected_id, source, created) VALUES (?, ?, 'human', 0)",
        (first.id, second.id),
    )
    assert preference_counts(rows.connection, rows.run) == {"human": 1}
    assert question_counts(rows.connection, rows.run) == {
        "quiz": {"test": 4, "train": 3},
        "sums": {"test": 4, "train": 3},
    }
