"""The contents of a run's report besides its metrics: costs, reviews, preferences, and some example trajectories.

Only reads. All results are in a stable order, so that the same store gives the same report.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.evaluation.intervals import Interval, wilson
from store.records import StageName, StageState
from store.runs.iterations import list_iterations, stages

_NEWEST_REVIEWS = (
    "SELECT v.reflection_id, v.decision, v.error_kind, v.reviewer FROM reviews v"
    " JOIN reflections r ON r.id = v.reflection_id JOIN iterations i ON i.id = r.iteration_id"
    " WHERE i.run_id = ?1 AND v.id = (SELECT max(n.id) FROM reviews n WHERE n.reflection_id = v.reflection_id)"
    " AND v.decision <> 'clear'"
)


@dataclass(frozen=True, slots=True)
class StageCost:
    """The cost of a stage. `seconds` is None while it runs; tokens are None where it generates none.

    Texts reused from an earlier iteration cost nothing.
    """

    iteration: str
    """The title of the iteration, or of the evaluation, as in messages."""
    stage: StageName
    state: StageState
    seconds: float | None
    texts: int | None
    prompt_tokens: int | None
    completion_tokens: int | None


def stage_costs(connection: sqlite3.Connection, run_id: int) -> list[StageCost]:
    """Return time and tokens of each stage of a run that was not skipped, in order."""
    spent: dict[tuple[int, str], list[int]] = {}
    for iteration, stage, texts, prompt, completion in connection.execute(
        "SELECT iteration_id, CASE WHEN protocol <> '' THEN 'evaluate' WHEN turn = 1 THEN 'attempt' ELSE 'correct' END,"
        " count(*), sum(prompt_tokens), sum(completion_tokens) FROM attempts"
        " WHERE reused_from IS NULL AND iteration_id IN (SELECT id FROM iterations WHERE run_id = ?1) GROUP BY 1, 2"
        " UNION ALL "
        "SELECT iteration_id, CASE WHEN protocol <> '' THEN 'evaluate' ELSE 'reflect' END,"
        " count(*), sum(prompt_tokens), sum(completion_tokens) FROM reflections"
        " WHERE reused_from IS NULL AND iteration_id IN (SELECT id FROM iterations WHERE run_id = ?1) GROUP BY 1, 2"
        " UNION ALL "
        "SELECT iteration_id, 'evaluate', count(*), sum(prompt_tokens), sum(completion_tokens) FROM control_texts"
        " WHERE reused_from IS NULL AND iteration_id IN (SELECT id FROM iterations WHERE run_id = ?1) GROUP BY 1, 2",
        (run_id,),
    ):
        known = spent.setdefault((iteration, stage), [0, 0, 0])
        for position, number in enumerate((texts, prompt, completion)):
            known[position] += number or 0
    found = []
    for iteration in list_iterations(connection, run_id):
        for stage in stages(connection, iteration.id):
            if stage.state == "skipped":
                continue
            seconds = None if stage.started is None or stage.ended is None else stage.ended - stage.started
            texts, prompt, completion = spent.get((iteration.id, stage.name), (None, None, None))
            found.append(StageCost(iteration.title, stage.name, stage.state, seconds, texts, prompt, completion))
    return found


@dataclass(frozen=True, slots=True)
class ExampleTrajectory:
    """A trajectory with its complete texts."""

    id: int
    iteration: int
    task: str
    instruction: str
    transition: str
    question: str
    options: str
    """JSON list."""
    reference: str
    attempt: str
    reflection: str
    correction: str


def example_trajectories(
    connection: sqlite3.Connection, run_id: int, transition: str, limit: int
) -> list[ExampleTrajectory]:
    """Return the first trajectories of the newest iterations with that transition: one per task, then the second ones.

    Those with a flag (e.g. a leaked answer) and those that an operator rejected are left out.
    """
    rows = connection.execute(
        "SELECT t.id, i.number AS iteration, t.task, t.instruction, t.transition, q.text AS question, q.options,"
        " q.reference, a.reasoning AS attempt, r.text AS reflection, c.reasoning AS correction FROM ("
        "  SELECT t.id, row_number() OVER (PARTITION BY t.task ORDER BY t.iteration_id DESC, t.id) AS place"
        "  FROM trajectories t JOIN iterations i ON i.id = t.iteration_id"
        "  WHERE i.run_id = ?1 AND t.transition = ?2 AND t.split = 'train' AND t.flags = '' AND t.review <> 'reject'"
        " ) chosen JOIN trajectories t ON t.id = chosen.id"
        " JOIN iterations i ON i.id = t.iteration_id JOIN questions q ON q.id = t.question_id"
        " JOIN attempts a ON a.id = t.attempt_id JOIN reflections r ON r.id = t.reflection_id"
        " JOIN attempts c ON c.id = t.correction_id"
        " ORDER BY chosen.place, t.task LIMIT ?3",
        (run_id, transition, limit),
    ).fetchall()
    return [ExampleTrajectory(**{name: row[name] for name in ExampleTrajectory.__dataclass_fields__}) for row in rows]


@dataclass(frozen=True, slots=True)
class ReviewSummary:
    """Operators' decisions on the reflections of a run; only the newest one on each counts."""

    accepted: int
    rejected: int
    flagged: int
    reviewers: int
    good: Interval
    """95 % Wilson interval of the share of accepted ones among those accepted or rejected."""
    agreed: int
    """Number of accepted ones whose correction is right, and of rejected ones whose correction is wrong."""
    judged: int
    """Number of accepted or rejected ones whose correction is verified."""
    error_kinds: dict[int, int]
    """How often each kind of error was selected (1 to 9, see `store.curation.reviews.ERROR_KINDS`)."""


def review_summary(connection: sqlite3.Connection, run_id: int) -> ReviewSummary | None:
    """Summarise the reviews of a run; None when there are none."""
    decisions = dict(
        connection.execute(f"SELECT decision, count(*) FROM ({_NEWEST_REVIEWS}) GROUP BY 1", (run_id,)).fetchall()
    )
    if not decisions:
        return None
    accepted, rejected = decisions.get("accept", 0), decisions.get("reject", 0)
    agreed, judged = connection.execute(
        "SELECT coalesce(sum((v.decision = 'accept') = (c.verdict = 'correct')), 0), count(*)"
        f" FROM ({_NEWEST_REVIEWS}) v JOIN attempts c ON c.reflection_id = v.reflection_id AND c.turn = 2"
        " AND c.sample = 0"
        " WHERE v.decision IN ('accept', 'reject') AND c.verdict <> 'unverified'",
        (run_id,),
    ).fetchone()
    reviewers = connection.execute(f"SELECT count(DISTINCT reviewer) FROM ({_NEWEST_REVIEWS})", (run_id,)).fetchone()[0]
    kinds = connection.execute(
        f"SELECT error_kind, count(*) FROM ({_NEWEST_REVIEWS}) WHERE error_kind IS NOT NULL GROUP BY 1 ORDER BY 1",
        (run_id,),
    ).fetchall()
    return ReviewSummary(
        accepted,
        rejected,
        decisions.get("flag", 0),
        reviewers,
        wilson(accepted, accepted + rejected),
        agreed,
        judged,
        dict(kinds),
    )


def preference_counts(connection: sqlite3.Connection, run_id: int) -> dict[str, int]:
    """Count the preferences on reflections of a run by source (`human`, `judge`, `verdict`)."""
    rows = connection.execute(
        "SELECT p.source, count(*) FROM preferences p JOIN reflections r ON r.id = p.chosen_id"
        " JOIN iterations i ON i.id = r.iteration_id WHERE i.run_id = ? GROUP BY 1 ORDER BY 1",
        (run_id,),
    ).fetchall()
    return dict(rows)


def question_counts(connection: sqlite3.Connection, run_id: int) -> dict[str, dict[str, int]]:
    """Count the questions of a run by task and split; of the dev questions, those of one draw."""
    counts: dict[str, dict[str, int]] = {}
    for task, split, n in connection.execute(
        "SELECT q.task, rq.split, count(*) FROM run_questions rq JOIN questions q ON q.id = rq.question_id"
        " WHERE rq.run_id = ? AND rq.draw = 0 GROUP BY 1, 2 ORDER BY 1, 2",
        (run_id,),
    ):
        counts.setdefault(task, {})[split] = n
    return counts
