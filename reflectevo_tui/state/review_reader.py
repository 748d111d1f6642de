"""Reads the contents of the Review screen: the sample, and one trajectory with its effective decision.

For thread workers; independent of widgets.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from reflectevo_tui.state.store_query import ask_store
from reflectevo_tui.text.word_diff import WordChanges, word_changes
from store.curation import review_queue
from store.curation.review_queue import ReviewQueue
from store.curation.reviews import Review, newest_review
from store.records import ReviewState
from store.rollouts.trajectory_detail import TrajectoryDetail, detail
from store.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Card:
    """A trajectory to review: the changes in its second attempt, and the effective decision."""

    detail: TrajectoryDetail
    changes: WordChanges | None
    review: Review | None


def read_queue(
    workspace: Workspace, iteration_id: int, target: int, seed: int, known: ReviewQueue | None
) -> tuple[ReviewQueue, dict[int, ReviewState]]:
    """Return the sample (drawn anew, or the given one with its present lifts) and the newest decisions on it.

    Raises StoreError.
    """

    def question(connection: sqlite3.Connection) -> tuple[ReviewQueue, dict[int, ReviewState]]:
        if known is None:
            queue = review_queue.draw_queue(connection, iteration_id, target, seed)
        else:
            queue = review_queue.read_again(connection, known)
        return queue, review_queue.decisions(connection, queue.items)

    return ask_store(workspace, question)


def read_card(workspace: Workspace, trajectory_id: int) -> Card | None:
    """Read a complete trajectory; None when it does not exist. Raises StoreError."""

    def question(connection: sqlite3.Connection) -> tuple[TrajectoryDetail | None, Review | None]:
        found = detail(connection, trajectory_id)
        reflection = found.reflection if found else None
        return found, newest_review(connection, reflection.id) if reflection else None

    found, review = ask_store(workspace, question)
    if found is None:
        return None
    correction = found.correction
    changes = word_changes(found.attempt.reasoning, correction.reasoning) if correction else None
    return Card(found, changes, review)


def sample_numbers(text: str) -> tuple[int, int | None] | None:
    """Parse size and seed from an operator's text (`200 7`, `200`); None for anything else."""
    numbers = text.replace(",", " ").split()
    if len(numbers) not in (1, 2) or not all(number.isdecimal() for number in numbers):
        return None
    size = int(numbers[0])
    return (size, int(numbers[1]) if len(numbers) == 2 else None) if 0 < size < 1_000_000 else None
