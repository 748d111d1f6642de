"""The spot-check queue: a stratified random sample of an iteration's reflections, and what its reviews say.

The sample is spread evenly over task × transition, because transitions that decide a training set are rare, and in
proportion over the instructions within each. It depends on the rows and the seed alone, so the same seed gives the same
queue again, and what was reviewed counts as done. Rows that arrive later may take the place of others in it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from store.intervals import wilson, wilson_share

Cell = tuple[str, str]
"""Task and transition."""


@dataclass(frozen=True, slots=True)
class QueueItem:
    """A reflection of the sample. `review` is its newest decision, empty for none."""

    trajectory_id: int
    reflection_id: int
    task: str
    transition: str
    instruction: str
    review: str

    @property
    def cell(self) -> Cell:
        """The cell it was drawn from."""
        return self.task, self.transition


@dataclass(frozen=True, slots=True)
class ReviewQueue:
    """The sample in the order of review: every prefix is spread over the cells. `sizes` counts all rows of a cell."""

    items: tuple[QueueItem, ...]
    sizes: Mapping[Cell, int]


# Two rounds of a multiplicative hash, within 63 bits: an order that has nothing to do with the ids.
_MIX = "((((id * 2654435761 + ?1 * 40503 + 12345) % 2147483647) * ((id * 2654435761 + ?1 * 40503 + 12345) % 2147483647)\
 + 77777) % 2147483647)"

_RANKED = f"""
WITH mixed AS (
    SELECT id, reflection_id, task, transition, instruction, review, {_MIX} AS mix
    FROM trajectories
    WHERE iteration_id = ?2 AND correction_id IS NOT NULL AND reflection_id IS NOT NULL AND split = 'train'
), ranked AS (
    SELECT *, row_number() OVER (PARTITION BY task, transition, instruction ORDER BY mix, id) AS place FROM mixed
), sizes AS (
    SELECT task, transition, instruction, count(*) AS size FROM mixed GROUP BY task, transition, instruction
), cells AS (
    SELECT task, transition, sum(size) AS cell_size FROM sizes GROUP BY task, transition
)
SELECT r.id, r.reflection_id, r.task, r.transition, r.instruction, r.review, r.mix,
    (r.place - 0.5) / s.size AS rank, c.cell_size
FROM ranked r JOIN sizes s USING (task, transition, instruction) JOIN cells c USING (task, transition)
WHERE r.place <= ?3 * s.size / c.cell_size + 1
"""


def draw_queue(connection: sqlite3.Connection, iteration_id: int, target: int, seed: int) -> ReviewQueue:
    """Draw the sample.

    Args:
        connection: a reader.
        iteration_id: whose training reflections with a correction are reviewed.
        target: how many reflections to review; fewer when there are fewer.
        seed: of the draw.
    """
    by_cell: dict[Cell, list[tuple[float, int, QueueItem]]] = {}
    sizes: dict[Cell, int] = {}
    for row in connection.execute(_RANKED, (seed, iteration_id, target)):
        item = QueueItem(
            row["id"], row["reflection_id"], row["task"], row["transition"], row["instruction"], row["review"]
        )
        by_cell.setdefault(item.cell, []).append((row["rank"], row["mix"], item))
        sizes[item.cell] = row["cell_size"]
    shares = even_shares(sizes, target)
    chosen: list[tuple[float, int, QueueItem]] = []
    for cell, rows in by_cell.items():
        rows.sort(key=lambda row: row[:2])
        taken = rows[: shares[cell]]
        chosen += [((place + 0.5) / len(taken), mix, item) for place, (_, mix, item) in enumerate(taken)]
    chosen.sort(key=lambda row: (row[0], row[1], row[2].trajectory_id))
    return ReviewQueue(tuple(item for _, _, item in chosen), sizes)


def even_shares(sizes: Mapping[Cell, int], target: int) -> dict[Cell, int]:
    """How many of `target` each cell gives: the same number, and what small cells lack comes from the others."""
    shares = dict.fromkeys(sizes, 0)
    left = min(target, sum(sizes.values()))
    open_cells = sorted(sizes, key=lambda cell: (sizes[cell], cell))
    while open_cells:
        cell = open_cells.pop(0)
        shares[cell] = min(sizes[cell], left // (len(open_cells) + 1))
        left -= shares[cell]
    return shares


def decisions(connection: sqlite3.Connection, items: Iterable[QueueItem]) -> dict[int, str]:
    """The newest decision of each reviewed reflection of the sample, by reflection id."""
    ids = [item.trajectory_id for item in items]
    found: dict[int, str] = {}
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        rows = connection.execute(
            f"SELECT reflection_id, review FROM trajectories WHERE id IN ({', '.join('?' * len(part))})"
            " AND review <> ''",
            part,
        )
        found.update({row[0]: row[1] for row in rows})
    return found


@dataclass(frozen=True, slots=True)
class Share:
    """A share with its 95 % interval; None without a decision. `n` decisions it rests on."""

    value: float | None
    low: float
    high: float
    n: int


@dataclass(frozen=True, slots=True)
class ReviewEstimate:
    """What the reviews of the sample say. Flagged reflections are undecided: done, but counted nowhere.

    `good` estimates the share of good reflections of the whole iteration, `agreement` how often a decision agrees with
    the verifier's word on the correction.
    """

    done: int
    good: Share
    agreement: Share
    by_task: Mapping[str, Share]


def estimate(queue: ReviewQueue, reviewed: Mapping[int, str]) -> ReviewEstimate:
    """What the decisions on a sample say; `reviewed` maps reflection ids to their newest decision.

    Each task × transition cell counts with its size, since the sample is spread evenly over them: a plain share would
    speak for the sample only. Interval: Wilson's at the effective sample size, (Σw)² / Σ(w²/n).
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


def _weighted(decided: Sequence[QueueItem], sizes: Mapping[Cell, int], reviewed: Mapping[int, str]) -> Share:
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
