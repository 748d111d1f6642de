"""The spot-check queue: a stratified random sample of an iteration's reflections, and estimates from its reviews.

The sample is spread evenly over the cells of task × transition, because the transitions that decide a training set are
rare, and proportionally over the instructions within each cell. It depends only on the rows and the seed, so that the
same seed yields the same queue and reviewed items remain done. Rows added later may replace others in the sample.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from store.evaluation.intervals import wilson, wilson_share
from store.records import LiftOrder, ReviewState

Cell = tuple[str, str]
"""Task and transition."""


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A reflection in the sample. `review` is its newest decision, empty for none; `lift` is None where unknown."""

    trajectory_id: int
    reflection_id: int
    task: str
    transition: str
    instruction: str
    review: ReviewState
    lift: float | None = None

    @property
    def cell(self) -> Cell:
        """The cell it was drawn from."""
        return self.task, self.transition


@dataclass(frozen=True, slots=True)
class ReviewQueue:
    """The sample in review order, in which every prefix is spread over the cells. `sizes` counts all rows by cell."""

    items: tuple[QueueItem, ...]
    sizes: Mapping[Cell, int]


_SAMPLED = "iteration_id = ? AND split = 'train' AND correction_id IS NOT NULL"

# A squared multiplicative hash within 63 bits gives an order that is unrelated to the ids.
_SCATTERED = "((id * 2654435761 + ? * 40503 + 12345) % 2147483647)"
_MIX = f"({_SCATTERED} * {_SCATTERED} + 77777) % 2147483647"


def draw_queue(connection: sqlite3.Connection, iteration_id: int, target: int, seed: int) -> ReviewQueue:
    """Draw the sample of an iteration's reflections on training questions that have a correction.

    Args:
        connection: a reader.
        iteration_id: the iteration.
        target: number of reflections to review; the sample is smaller if there are fewer.
        seed: random seed of the sample.
    """
    strata = connection.execute(
        f"SELECT task, transition, instruction, count(*) FROM trajectories WHERE {_SAMPLED}"
        " GROUP BY task, transition, instruction",
        (iteration_id,),
    ).fetchall()
    sizes: dict[Cell, int] = {}
    for task, transition, _, size in strata:
        sizes[task, transition] = sizes.get((task, transition), 0) + size
    shares = even_shares(sizes, target)
    by_cell: dict[Cell, list[tuple[float, int, int]]] = {cell: [] for cell in sizes}
    for task, transition, instruction, size in strata:
        # A cell is filled by rank within each instruction, so that it needs a proportional number of rows of each, plus
        # one for rounding.
        most = -(-shares[task, transition] * size // sizes[task, transition]) + 1
        rows = connection.execute(
            f"SELECT id, {_MIX} AS mix FROM trajectories WHERE {_SAMPLED} AND task = ? AND transition = ?"
            " AND instruction = ? ORDER BY mix, id LIMIT ?",
            (seed, seed, iteration_id, task, transition, instruction, most),
        )
        by_cell[task, transition] += [((place + 0.5) / size, mix, row) for place, (row, mix) in enumerate(rows)]
    chosen: list[tuple[float, int, int]] = []
    for cell, candidates in by_cell.items():
        taken = sorted(candidates)[: shares[cell]]
        chosen += [((place + 0.5) / len(taken), mix, row) for place, (_, mix, row) in enumerate(taken)]
    found = _items(connection, [row for _, _, row in sorted(chosen)])
    return ReviewQueue(tuple(found), sizes)


def _items(connection: sqlite3.Connection, ids: Sequence[int]) -> list[QueueItem]:
    """Return the items with these trajectory ids, in the same order; without those that are not stored any more."""
    found: dict[int, QueueItem] = {}
    for part in _parts(ids):
        for row in connection.execute(
            "SELECT id, reflection_id, task, transition, instruction, review, lift FROM trajectories"
            f" WHERE id IN ({', '.join('?' * len(part))})",
            part,
        ):
            found[row["id"]] = QueueItem(*row)
    return [found[row] for row in ids if row in found]


def read_again(connection: sqlite3.Connection, queue: ReviewQueue) -> ReviewQueue:
    """Return a sample already drawn, with the present lifts and decisions of its reflections."""
    return replace(queue, items=tuple(_items(connection, [item.trajectory_id for item in queue.items])))


def in_order(queue: ReviewQueue, order: LiftOrder | None) -> ReviewQueue:
    """Return a sample in the order of the lift of its reflections, or as it was drawn without an `order`.

    Unknown lifts are last in both orders, and equal ones stay in the order of the sample. The order doesn't depend on
    reviews. A prefix of a sample in the order of the lift is no random sample.
    """
    if order is None:
        return queue
    sign = -1.0 if order == "highest lift" else 1.0
    return replace(
        queue,
        items=tuple(sorted(queue.items, key=lambda item: (1, 0.0) if item.lift is None else (0, sign * item.lift))),
    )


def _parts(ids: Sequence[int], most: int = 500) -> Iterator[Sequence[int]]:
    """Split ids into chunks that fit the parameters of one statement."""
    for start in range(0, len(ids), most):
        yield ids[start : start + most]


def even_shares(sizes: Mapping[Cell, int], target: int) -> dict[Cell, int]:
    """Divide `target` evenly over the cells; what small cells can't supply is taken from the others.

    Args:
        sizes: number of rows by cell.
        target: total sample size; at most the sum of the sizes is used.

    Returns:
        The sample size of each cell.
    """
    shares = dict.fromkeys(sizes, 0)
    left = min(target, sum(sizes.values()))
    open_cells = sorted(sizes, key=lambda cell: (sizes[cell], cell))
    while open_cells:
        cell = open_cells.pop(0)
        shares[cell] = min(sizes[cell], left // (len(open_cells) + 1))
        left -= shares[cell]
    return shares


def decisions(connection: sqlite3.Connection, items: Iterable[QueueItem]) -> dict[int, ReviewState]:
    """Return the newest decision of each reviewed reflection in the sample, by reflection id."""
    ids = [item.trajectory_id for item in items]
    found: dict[int, ReviewState] = {}
    for part in _parts(ids):
        rows = connection.execute(
            f"SELECT reflection_id, review FROM trajectories WHERE id IN ({', '.join('?' * len(part))})"
            " AND review <> ''",
            part,
        )
        found.update({row[0]: row[1] for row in rows})
    return found


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % interval, from `n` decisions; `value` is None without a decision."""

    value: float | None
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class ReviewEstimate:
    """Estimates from the reviews of a sample. Flagged reflections are done but undecided, and count in no share.

    `good` estimates the share of good reflections in the whole iteration, `agreement` the share of decisions that agree
    with the verdict on the correction.
    """

    done: int
    good: Share
    agreement: Share
    by_task: Mapping[str, Share]


def estimate(queue: ReviewQueue, reviewed: Mapping[int, ReviewState]) -> ReviewEstimate:
    """Compute estimates from the decisions on a sample; `reviewed` maps reflection ids to their newest decision.

    Each task × transition cell is weighted by its size w, since the sample is spread evenly over the cells: an
    unweighted share would describe the sample only. The interval is Wilson's at the effective sample size
    (Σw)² / Σ(w²/n), with n decisions per cell.
    """
    decided = [item for item in queue.items if reviewed.get(item.reflection_id) in ("accept", "reject")]
    tasks = sorted({item.task for item in queue.items})
    judged = [item for item in decided if item.transition.endswith(("c", "i"))]
    agreeing = sum((reviewed[item.reflection_id] == "accept") == item.transition.endswith("c") for item in judged)
    interval = wilson(agreeing, len(judged))
    return ReviewEstimate(
        done=sum(bool(reviewed.get(item.reflection_id)) for item in queue.items),
        good=_weighted(decided, queue.sizes, reviewed),
        agreement=Share(agreeing / len(judged) if judged else None, interval.low, interval.high, len(judged)),
        by_task={
            task: _weighted([item for item in decided if item.task == task], queue.sizes, reviewed) for task in tasks
        },
    )


def _weighted(decided: Sequence[QueueItem], sizes: Mapping[Cell, int], reviewed: Mapping[int, ReviewState]) -> Share:
    counts: dict[Cell, list[int]] = {}
    for item in decided:
        counts.setdefault(item.cell, [0, 0])
        counts[item.cell][0] += reviewed[item.reflection_id] == "accept"
        counts[item.cell][1] += 1
    if not counts:
        return Share(None, 0.0, 1.0, 0)
    weights = {cell: sizes[cell] for cell in counts}
    total = sum(weights.values())
    share = sum(weights[cell] * good / n for cell, (good, n) in counts.items()) / total
    effective = total**2 / sum(weights[cell] ** 2 / n for cell, (_, n) in counts.items())
    interval = wilson_share(min(max(share, 0.0), 1.0), effective)
    return Share(share, interval.low, interval.high, len(decided))
