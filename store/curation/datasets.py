"""Queries of the Datasets screen: counts from rollouts to training examples, and pages of examples."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import get_args

from store.curation.curated import decisions_since, funnel
from store.curation.records import FunnelCount
from store.curation.trained_rows import count_trained_rows
from store.curation.training_settings import TRAINING_SETTINGS, SetName
from store.curation.unfit_attempts import UnfitCount, unfit_attempts
from store.database.rows import to_records
from store.evaluation.number_format import counted
from store.records import Verdict

SET_NAMES: tuple[SetName, ...] = get_args(SetName)


@dataclass(frozen=True, slots=True)
class RolloutCounts:
    """Counts of an iteration's rollouts.

    `incorrect` counts attempts; `judged` corrections with a verdict, and `helped` those of them that are correct.
    `everything` is True if right attempts are reflected on too, so that `helped` includes c→c.
    """

    attempts: int
    incorrect: int
    reflections: int
    judged: int
    helped: int
    everything: bool = False


@dataclass(frozen=True, slots=True)
class DatasetFacts:
    """Counts of an iteration's rollouts and training sets.

    `later_decisions` counts reflections and pairs whose decision changed after the sets were curated; `curates_again`
    is True if the iteration is curated again before training, which applies these decisions. `trained` describes what
    the training setting of the iteration trains on, and `unfit` the attempts that it leaves out as answers.
    """

    rollouts: RolloutCounts
    counts: tuple[FunnelCount, ...]
    later_decisions: int
    curates_again: bool
    trained: str = ""
    unfit: tuple[UnfitCount, ...] = ()


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """A curated row in a list. `trajectory` is the trajectory id of its first reflection."""

    id: int
    included: bool
    reason: str
    task: str
    instruction: str
    question_id: int
    trajectory: int | None
    excerpt: str
    other_excerpt: str | None


def dataset_facts(connection: sqlite3.Connection, iteration_id: int) -> DatasetFacts:
    """Return the counts of an iteration's rollouts and of its training sets."""
    verdicts: dict[tuple[bool, Verdict], int] = {
        (bool(first), verdict): n
        for first, verdict, n in connection.execute(
            "SELECT turn = 1, verdict, count(*) FROM attempts WHERE iteration_id = ?1 AND protocol = ''"
            # Further samples of a rollout belong to no trajectory; those of an import do.
            " AND error IS NULL AND (sample = 0 AND (turn = 1 OR reflection_id IS NOT NULL) OR EXISTS ("
            "  SELECT 1 FROM iterations i JOIN runs r ON r.id = i.run_id WHERE i.id = ?1 AND r.origin = 'import'))"
            " GROUP BY 1, 2",
            (iteration_id,),
        )
    }
    reflections = connection.execute(
        "SELECT count(*) FROM reflections WHERE iteration_id = ? AND protocol = '' AND error IS NULL", (iteration_id,)
    ).fetchone()[0]
    curated_at = connection.execute(
        "SELECT ended FROM stages WHERE iteration_id = ? AND name = 'curate' AND state = 'done'", (iteration_id,)
    ).fetchone()
    later = decisions_since(connection, iteration_id, curated_at[0]) if curated_at and curated_at[0] else 0
    helped, failed = verdicts.get((False, "correct"), 0), verdicts.get((False, "incorrect"), 0)
    return DatasetFacts(
        RolloutCounts(
            attempts=sum(n for (first, _), n in verdicts.items() if first),
            incorrect=verdicts.get((True, "incorrect"), 0),
            reflections=reflections,
            judged=helped + failed,
            helped=helped,
            everything=_reflects_on_all(connection, iteration_id),
        ),
        tuple(funnel(connection, iteration_id)),
        later,
        curates_again=_curates_again(connection, iteration_id),
        trained=_trained(connection, iteration_id),
        unfit=_unfit(connection, iteration_id),
    )


def _reflects_on_all(connection: sqlite3.Connection, iteration_id: int) -> bool:
    row = connection.execute(
        "SELECT settings ->> '$.reflection.on' FROM iterations WHERE id = ?", (iteration_id,)
    ).fetchone()
    return row is not None and row[0] == "all"


def _unfit(connection: sqlite3.Connection, iteration_id: int) -> tuple[UnfitCount, ...]:
    """Return the attempts left out of what the iteration's training uses: rehearsal, distillation or samples."""
    row = connection.execute(
        "SELECT settings ->> '$.training.setting' AS setting, settings ->> '$.training.rehearsal' AS rehearsal,"
        " settings ->> '$.training.distillation' AS distillation FROM iterations WHERE id = ?",
        (iteration_id,),
    ).fetchone()
    entry = TRAINING_SETTINGS.get(row["setting"] or "") if row else None
    if entry is None:
        return ()
    used = {
        "rehearsal": entry.rehearses and bool(row["rehearsal"]),
        "distillation": entry.rehearses and bool(row["distillation"]),
        "sampled attempts": entry.needs_samples,
    }
    return tuple(one for one in unfit_attempts(connection, iteration_id) if used[one.use])


def _trained(connection: sqlite3.Connection, iteration_id: int) -> str:
    """Return which rows the iteration's training setting trains on, and their number; empty for an import."""
    row = connection.execute(
        "SELECT run_id, settings ->> '$.training.setting' AS setting,"
        " settings ->> '$.curation.max_per_question' AS most"
        " FROM iterations WHERE id = ?",
        (iteration_id,),
    ).fetchone()
    entry = TRAINING_SETTINGS.get(row["setting"] or "") if row else None
    if entry is None or row["most"] is None:
        return ""
    rows = count_trained_rows(connection, iteration_id, row["run_id"], entry, int(row["most"]))
    also = f" and rows left out: {', '.join(entry.left_out_reasons)}" if entry.left_out_reasons else ""
    return f"{entry.name} trains on {counted(rows.kept, 'row')}: {entry.trained_on}{also}"


def _curates_again(connection: sqlite3.Connection, iteration_id: int) -> bool:
    """Whether training has not made progress yet: it then curates again first if there are newer decisions."""
    found: int = connection.execute(
        "SELECT count(*) FROM stages s JOIN iterations i ON i.id = s.iteration_id WHERE s.iteration_id = ?"
        " AND s.name = 'train' AND i.state <> 'done'"
        " AND (s.state IN ('pending', 'waiting') OR (s.state = 'failed' AND s.done = 0))",
        (iteration_id,),
    ).fetchone()[0]
    return found > 0


def examples(
    connection: sqlite3.Connection,
    iteration_id: int,
    set_name: SetName,
    *,
    reason: str | None = None,
    key: int = 0,
    direction: int = 1,
    limit: int = 100,
) -> list[ExampleRow]:
    """Return a page of a set, ordered by id.

    Args:
        connection: a reader.
        iteration_id: the iteration.
        set_name: `d_plus`, `d_pm` or `d_pref`.
        reason: rows left out for this reason; None for the included rows.
        key: id of the row that the page follows (`direction` 1) or precedes (-1); 0 for the start.
        direction: see `key`.
        limit: maximum number of rows.
    """
    compare, order = (">", "ASC") if direction > 0 else ("<", "DESC")
    rows = connection.execute(
        "SELECT c.id, c.included, c.reason, q.task, r.instruction, q.id AS question_id, t.id AS trajectory,"
        " substr(r.text, 1, 200) AS excerpt, substr(o.text, 1, 200) AS other_excerpt"
        " FROM (SELECT * FROM curated WHERE iteration_id = ? AND set_name = ? AND included = ?"
        f" AND (? IS NULL OR reason = ?) AND id {compare} ? ORDER BY id {order} LIMIT ?) c"
        " JOIN reflections r ON r.id = c.reflection_id JOIN attempts a ON a.id = r.attempt_id"
        " JOIN questions q ON q.id = a.question_id LEFT JOIN reflections o ON o.id = c.rejected_reflection_id"
        " LEFT JOIN trajectories t ON t.attempt_id = a.id AND ifnull(t.reflection_id, 0) = r.id"
        f" ORDER BY c.id {order}",
        (iteration_id, set_name, int(reason is None), reason, reason, key, limit),
    ).fetchall()
    found = to_records(ExampleRow, rows)
    return found if direction > 0 else found[::-1]
