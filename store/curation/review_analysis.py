"""Error kinds and localisation: shares of reviewed reflections by iteration, policy and task.

For a reflection on a wrong attempt a reviewer records the kind of the error in the attempt, and whether the reflection
names that error (localises it). The newest review of a reflection counts, whoever wrote it.

Which reflections are reviewed decides what the shares say. Two sets are kept apart:

- *reviewed*: all reviewed reflections, unweighted. A description of what was read, however it was chosen.
- *sample*: those of a random sample of the iteration (`review_queue.draw_queue`). The sample is spread evenly over task
  × transition, so that each such cell is weighted by its number of reflections: an estimate for the iteration.

Source: ReflectEvo (ACL 2025 Findings, arXiv 2505.16475) analyses the effect of self-generated reflections on error
localisation and correction. Sample, weights and intervals are additions of this project.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

from store.curation.review_queue import DEFAULT_SAMPLE, Cell, ReviewQueue, Share, draw_queue, weighted_share
from store.curation.reviews import ERROR_KINDS, NAMES_ERROR, ErrorMarks, NamesError, Sample, review_columns


@dataclass(frozen=True, slots=True)
class ReviewedReflection:
    """A reflection with its newest review. `iteration_id` and `cell` are those of the reflection."""

    reflection_id: int
    iteration_id: int
    iteration: int
    """Number of the iteration."""
    policy: str
    """Name of the policy that wrote it."""
    cell: Cell
    marks: ErrorMarks
    reviewer: str

    @property
    def on_wrong_attempt(self) -> bool:
        """Whether its attempt is wrong, so that there is an error to name."""
        return on_wrong_attempt(self.cell)


@dataclass(frozen=True, slots=True)
class ErrorShares:
    """Shares among reviewed reflections on wrong attempts. Each share is of those for which the reviewer recorded it.

    `kinds` has all of `ERROR_KINDS` by number, from 1, and `names` all of `NAMES_ERROR`; both are empty where nothing
    was recorded.
    """

    read: int
    """Number of reviewed reflections on wrong attempts."""
    kinds: Mapping[int, Share]
    names: Mapping[NamesError, Share]
    covered: float = 1.0
    """Share of the population whose cell has a reviewed reflection; the shares say nothing about the rest."""

    @property
    def kinds_n(self) -> int:
        """Number of reflections with an error kind."""
        return next((share.n for share in self.kinds.values()), 0)

    @property
    def names_n(self) -> int:
        """Number of reflections for which it is recorded whether they name the error."""
        return next((share.n for share in self.names.values()), 0)


@dataclass(frozen=True, slots=True)
class SampleShares:
    """Shares estimated from a random sample, of which `shares.read` reflections are reviewed.

    `drawn` is the number of reflections on wrong attempts in it.
    """

    size: int
    seed: int
    drawn: int
    shares: ErrorShares


@dataclass(frozen=True, slots=True)
class ReviewedErrors:
    """Shares of one group of reflections: those of a policy in an iteration, or in all, on one task or on all."""

    iteration: int | None
    """Number of the iteration; None for all iterations of the policy."""
    policy: str
    task: str
    """Name of the task; empty for all tasks."""
    reviewed: ErrorShares
    sample: SampleShares | None
    """None for all iterations of a policy, whose samples are drawn separately; where the reviews are of no known
    sample; and where the sample has no reflection on a wrong attempt."""
    reviewers: int
    not_counted: int
    """Number of reviewed reflections on right or unjudged attempts, which have no error to name."""


def on_wrong_attempt(cell: Cell) -> bool:
    """Whether the reflections of a cell are on wrong attempts: i→c, i→i or i→u."""
    return cell[1].startswith("i")


def error_shares(found: Iterable[tuple[Cell, ErrorMarks]], sizes: Mapping[Cell, int] | None = None) -> ErrorShares:
    """Compute the shares of error kinds and of localised errors; cells of right or unjudged attempts are left out.

    Args:
        found: cell and marks of each reviewed reflection.
        sizes: number of reflections of the iteration by cell, for a sample that is spread evenly over the cells. None
            for shares of the given reflections themselves.
    """
    wrong = [(cell, marks) for cell, marks in found if on_wrong_attempt(cell)]
    kinds = [(cell, marks.error_kind) for cell, marks in wrong if marks.error_kind is not None]
    names = [(cell, marks.names_error) for cell, marks in wrong if marks.names_error is not None]
    together = ("", "i")
    weights = {together: 1} if sizes is None else sizes

    def share(counted: Sequence[tuple[Cell, bool]]) -> Share:
        return weighted_share([(cell if sizes is not None else together, hit) for cell, hit in counted], weights)

    covered = 1.0
    if sizes is not None:
        population = {cell: size for cell, size in sizes.items() if on_wrong_attempt(cell)}
        read = {cell for cell, _ in wrong}
        covered = sum(population[cell] for cell in read) / sum(population.values()) if population else 0.0
    return ErrorShares(
        read=len(wrong),
        kinds={
            kind: share([(cell, one == kind) for cell, one in kinds])
            for kind in (range(1, len(ERROR_KINDS) + 1) if kinds else ())
        },
        names={word: share([(cell, one == word) for cell, one in names]) for word in (NAMES_ERROR if names else ())},
        covered=covered,
    )


def reviewed_reflections(connection: sqlite3.Connection, run_id: int) -> list[ReviewedReflection]:
    """Return the reflections of a run with a review in force, in order of iteration and id."""
    kind, names, *_ = review_columns(connection)
    rows = connection.execute(
        f"SELECT v.reflection_id, i.id AS iteration_id, i.number, p.name, t.task, t.transition, {kind}, {names},"
        " v.reviewer FROM reviews v JOIN reflections r ON r.id = v.reflection_id"
        " JOIN iterations i ON i.id = r.iteration_id JOIN policies p ON p.id = r.policy_id"
        " JOIN trajectories t ON t.attempt_id = r.attempt_id AND ifnull(t.reflection_id, 0) = r.id"
        " WHERE i.run_id = ? AND i.kind = 'training' AND v.decision <> 'clear'"
        " AND v.id = (SELECT max(n.id) FROM reviews n WHERE n.reflection_id = v.reflection_id)"
        " ORDER BY i.number, v.reflection_id",
        (run_id,),
    ).fetchall()
    return [
        ReviewedReflection(
            row["reflection_id"],
            row["iteration_id"],
            row["number"],
            row["name"],
            (row["task"], row["transition"]),
            ErrorMarks(row["error_kind"], row["names_error"]),
            row["reviewer"],
        )
        for row in rows
    ]


def samples(connection: sqlite3.Connection, iteration_id: int) -> list[Sample]:
    """Return the samples in which reflections of an iteration were reviewed, the newest first.

    Reviews of older schemas and of imported rows record none.
    """
    *_, size, seed = review_columns(connection)
    rows = connection.execute(
        f"SELECT {size}, {seed}, max(v.id) AS newest FROM reviews v JOIN reflections r ON r.id = v.reflection_id"
        " WHERE r.iteration_id = ? GROUP BY 1, 2 ORDER BY newest DESC",
        (iteration_id,),
    ).fetchall()
    return [Sample(size, seed) for size, seed, _ in rows if size is not None and seed is not None]


def review_analysis(connection: sqlite3.Connection, run_id: int) -> tuple[ReviewedErrors, ...]:
    """Analyse the reviews of a run by iteration, policy and task; empty without a review.

    Of several samples of an iteration the one with the most reviewed reflections is used, the newest of equals. Where
    no review records its sample, it is the one that Review draws first, if it has most of the reviewed reflections and
    none of them was reviewed by a version that records samples (and whether the error is named).
    """
    found = reviewed_reflections(connection, run_id)
    queues: dict[int, ReviewQueue] = {}
    for iteration_id in {one.iteration_id for one in found}:
        of = [one for one in found if one.iteration_id == iteration_id]
        read = {one.reflection_id for one in of}
        older = all(one.marks.names_error is None for one in of)
        known = samples(connection, iteration_id)
        drawn = [draw_queue(connection, iteration_id, one.size, one.seed) for one in known or [DEFAULT_SAMPLE]]
        queue = max(drawn, key=lambda queue: _read(queue, read))
        if known or (older and 2 * _read(queue, read) > len(read)):
            queues[iteration_id] = queue
    return analyse(found, queues)


def _read(queue: ReviewQueue, read: Container[int]) -> int:
    return sum(item.reflection_id in read for item in queue.items)


def analyse(found: Sequence[ReviewedReflection], queues: Mapping[int, ReviewQueue]) -> tuple[ReviewedErrors, ...]:
    """Return the shares of each iteration and policy, and of each policy over all iterations, by task and over all.

    Args:
        found: the reviewed reflections.
        queues: the sample of each iteration, by its id.
    """
    made: list[ReviewedErrors] = []
    for iteration_id, number, policy in sorted(
        {(one.iteration_id, one.iteration, one.policy) for one in found}, key=lambda key: key[1:]
    ):
        of = [one for one in found if (one.iteration_id, one.policy) == (iteration_id, policy)]
        made += [_group(number, policy, task, of, queues.get(iteration_id)) for task in _tasks(of)]
    for policy in sorted({one.policy for one in found}):
        of = [one for one in found if one.policy == policy]
        made += [_group(None, policy, task, of, None) for task in _tasks(of)]
    return tuple(made)


def _tasks(found: Iterable[ReviewedReflection]) -> list[str]:
    return [*sorted({one.cell[0] for one in found}), ""]


def _group(
    number: int | None, policy: str, task: str, found: Sequence[ReviewedReflection], queue: ReviewQueue | None
) -> ReviewedErrors:
    of = [one for one in found if task in ("", one.cell[0])]
    return ReviewedErrors(
        iteration=number,
        policy=policy,
        task=task,
        reviewed=error_shares((one.cell, one.marks) for one in of),
        sample=_sampled(of, task, queue) if queue is not None else None,
        reviewers=len({one.reviewer for one in of}),
        not_counted=sum(not one.on_wrong_attempt for one in of),
    )


def _sampled(of: Sequence[ReviewedReflection], task: str, queue: ReviewQueue) -> SampleShares | None:
    drawn = {
        item.reflection_id
        for item in queue.items
        if task in ("", item.task) and on_wrong_attempt((item.task, item.transition))
    }
    if not drawn or queue.sample is None:
        return None
    sizes = {cell: size for cell, size in queue.sizes.items() if task in ("", cell[0])}
    shares = error_shares([(one.cell, one.marks) for one in of if one.reflection_id in drawn], sizes)
    return SampleShares(queue.sample.size, queue.sample.seed, len(drawn), shares)
