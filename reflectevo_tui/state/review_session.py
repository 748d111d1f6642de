"""State of one reviewer's session on a sample: position, decisions, drafts and undo. No widgets, no rows."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from store.curation.review_queue import QueueItem, ReviewEstimate, ReviewQueue, estimate, in_order
from store.curation.reviews import Decision, Review
from store.records import LiftOrder, ReviewState


@dataclass(frozen=True, slots=True)
class Draft:
    """Error kind (1 to 8) and note of the next decision."""

    kind: int | None = None
    note: str = ""

    @classmethod
    def of(cls, review: Review | None) -> Draft:
        """Return the error kind and note of an effective decision."""
        return cls(review.error_kind, review.note) if review else cls()


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision to write."""

    reflection_id: int
    decision: Decision
    error_kind: int | None
    note: str


@dataclass(frozen=True, slots=True)
class Undo:
    """State of a reflection before a decision of this session."""

    trajectory_id: int
    reflection_id: int
    before: Review | None


class ReviewSession:
    """State of the Review screen. Decisions of this session are effective immediately, written or not."""

    def __init__(self) -> None:
        self.drawn = ReviewQueue((), {})
        """The sample in the order in which it was drawn; `queue` is the same sample in the order of the review."""
        self.queue = self.drawn
        self.order: LiftOrder | None = None
        self.place = 0
        self._reviewed: dict[int, ReviewState] = {}
        self._reviews: dict[int, Review | None] = {}
        self._decided_at: dict[int, float] = {}
        self._drafts: dict[int, Draft] = {}
        self._undo: list[Undo] = []
        self._chosen_by_lift = False

    @property
    def item(self) -> QueueItem | None:
        """Current item of the sample."""
        return self.queue.items[self.place] if self.place < len(self.queue.items) else None

    @property
    def estimate(self) -> ReviewEstimate:
        """Estimate from the decisions so far."""
        return estimate(self.queue, self._reviewed)

    def take_queue(self, queue: ReviewQueue, reviewed: Mapping[int, ReviewState], unsaved: bool) -> None:
        """Replace the sample by one just read; stay on the current item if it is still included.

        Args:
            queue: the sample.
            reviewed: newest decision of each reviewed reflection in the sample.
            unsaved: whether decisions of this session are unwritten, and therefore missing in `reviewed`.
        """
        current = self.item
        self.drawn, self.queue = queue, in_order(queue, self.order)
        self._reviewed = {**reviewed, **self._reviewed} if unsaved else dict(reviewed)
        places = {item.trajectory_id: place for place, item in enumerate(self.queue.items)}
        if current is not None and current.trajectory_id in places:
            self.place = places[current.trajectory_id]
        elif queue.items:
            self.place = self._undecided(-1)

    def reorder(self, order: LiftOrder | None) -> QueueItem | None:
        """Change the order of the review, and move to its first item without a decision."""
        self.order, self.queue = order, in_order(self.drawn, order)
        self.place = self._undecided(-1) if self.queue.items else 0
        return self.item

    @property
    def has_lifts(self) -> bool:
        """Whether the lift of any reflection in the sample is known."""
        return any(item.lift is not None for item in self.queue.items)

    @property
    def biased(self) -> bool:
        """Whether the decisions so far are on a part of the sample that an order by lift has chosen."""
        return (self.order is not None or self._chosen_by_lift) and self.estimate.done < len(self.queue.items)

    def _undecided(self, start: int) -> int:
        count = len(self.queue.items)
        for distance in range(1, count + 1):
            place = (start + distance) % count
            if not self._reviewed.get(self.queue.items[place].reflection_id):
                return place
        return (start + 1) % count

    def go_next(self) -> QueueItem | None:
        """Move to the next item without a decision, wrapping at the end; to the next item when all are decided."""
        if self.queue.items:
            self.place = self._undecided(self.place)
        return self.item

    def go_back(self) -> QueueItem | None:
        """Move to the previous item, decided or not."""
        if self.queue.items:
            self.place = (self.place - 1) % len(self.queue.items)
        return self.item

    def take_review(self, reflection_id: int, review: Review | None) -> None:
        """Apply the stored decision on a reflection, unless this session decided later."""
        if (review.created if review else 0.0) >= self._decided_at.get(reflection_id, 0.0):
            self._reviews[reflection_id] = review

    def review(self, reflection_id: int) -> Review | None:
        """Return the effective decision on a reflection."""
        return self._reviews.get(reflection_id)

    def draft(self, reflection_id: int) -> Draft:
        """Return the error kind and note of the next decision on a reflection."""
        return self._drafts.get(reflection_id) or Draft.of(self.review(reflection_id))

    def decide(self, trajectory_id: int, reflection_id: int, decision: Decision) -> Decided:
        """Record a decision with the drafted error kind and note."""
        draft = self.draft(reflection_id)
        self._drafts.pop(reflection_id, None)
        self._chosen_by_lift |= self.order is not None
        self._undo.append(Undo(trajectory_id, reflection_id, self.review(reflection_id)))
        return self._settle(reflection_id, decision, draft)

    def amend(self, trajectory_id: int, reflection_id: int, draft: Draft) -> Decided | None:
        """Change the error kind or note: of the next decision, or by repeating an existing decision."""
        self._drafts[reflection_id] = draft
        review = self.review(reflection_id)
        return self.decide(trajectory_id, reflection_id, review.decision) if review else None

    def undo(self) -> tuple[Undo, Decided] | None:
        """Revert the last decision of this session and move to its item. None when there is none."""
        if not self._undo:
            return None
        undo = self._undo.pop()
        for place, item in enumerate(self.queue.items):
            if item.trajectory_id == undo.trajectory_id:
                self.place = place
        before = undo.before
        return undo, self._settle(undo.reflection_id, before.decision if before else "clear", Draft.of(before))

    def _settle(self, reflection_id: int, decision: Decision, draft: Draft) -> Decided:
        now = time.time()
        cleared = decision == "clear"
        self._decided_at[reflection_id] = now
        self._reviewed[reflection_id] = "" if decision == "clear" else decision
        review = None if cleared else Review(0, reflection_id, decision, draft.kind, draft.note, "you", now)
        self._reviews[reflection_id] = review
        return Decided(reflection_id, decision, None if cleared else draft.kind, "" if cleared else draft.note)
