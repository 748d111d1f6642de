"""Which reflections on one attempt form a D± pair: by verdict or by lift, within one instruction where possible.

A policy is asked with one prompt per pair. The two reflections of a pair therefore share their instruction where the
attempt has such a pair; only an attempt without one is paired across instructions, and such a pair is asked with the
general instruction. Pure; independent of caps, sets and the database.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from engine.curation.candidates import LIFT_TOLERANCE, Candidate, lift_reason
from engine.curation.set_limits import DUPLICATE, NEAR_DUPLICATE
from engine.curation.similarity import grams, jaccard
from engine.prompts.leakage import PROMPT_LEAK, states_target
from engine.tasks.base import normalised
from store.settings import CurationSection

NO_REJECTED = "no incorrect counterpart"
NO_CHOSEN = "no correct counterpart"
BOTH_WAYS = "the same text also led to a correct answer"
NO_SAME_INSTRUCTION = "no counterpart with its instruction"
NO_OTHER_LIFT = "no counterpart with another lift"

Pair = tuple[Candidate, Candidate]
"""The chosen and the rejected reflection."""


@dataclass(frozen=True)
class Offers:
    """The pairs that the reflections on one attempt can form."""

    pairs: Iterator[Pair]
    """In the order in which they should be used: a reflection is repeated as late as possible."""
    crossing: bool
    """Whether they join two instructions, because no pair of one instruction exists."""
    left: Mapping[int, str] = field(default_factory=dict)
    """The reason of each reflection that is in none of them, by reflection id."""


@dataclass(frozen=True)
class _Sides:
    """Reflections that can be chosen and rejected, each in at least one pair; both are empty if there is no pair."""

    chosen: Sequence[Candidate] = ()
    rejected: Sequence[Candidate] = ()
    margin: float | None = None
    """Smallest difference of the lifts of a pair; None where the verdicts decide."""

    @property
    def members(self) -> Sequence[Candidate]:
        return (*self.chosen, *self.rejected)

    def pairs(self) -> Iterator[tuple[int, Pair]]:
        """Yield the pairs, each with the number of times that its reflections occur in earlier ones."""
        fewest = min(len(self.chosen), len(self.rejected))
        for number, (chosen, rejected) in enumerate(diagonal(self.chosen, self.rejected)):
            if self.margin is None or _lift(chosen) - _lift(rejected) >= self.margin - LIFT_TOLERANCE:
                yield number // fewest, (chosen, rejected)


def by_lift(candidate: Candidate, settings: CurationSection) -> bool:
    """Whether the lift of a reflection decides its side. On a right attempt no lift is defined, so the verdict does."""
    return settings.pairs_by == "lift" and not candidate.on_right_attempt


def pairs_of_attempt(members: Sequence[Candidate], settings: CurationSection) -> Offers:
    """Return the pairs of reflections on one attempt: of one instruction if there is one, otherwise across them.

    Args:
        members: the reflections on the attempt that can be on a side of a pair, in the order of preference (`ranked`).
        settings: `pairs_by`, `lift_margin`, `min_lift` and `max_similarity`.
    """
    lifted = bool(members) and by_lift(members[0], settings)
    split = _split_by_lift if lifted else _split_by_verdict
    different, left = mutually_different(members, settings) if lifted else _different_sides(members, settings)
    groups: dict[str, list[Candidate]] = {}
    for one in different:
        groups.setdefault(one.instruction, []).append(one)
    within = [sides for sides in (split(group, settings) for group in groups.values()) if sides.chosen]
    crossing = not within and len(groups) > 1
    if crossing:
        # The members passed the check of their own prompts only.
        stated = {one.reflection_id for one in different if states_target(one.general_prompt_text, one.text)}
        left.update(dict.fromkeys(stated, PROMPT_LEAK))
        different = [one for one in different if one.reflection_id not in stated]
    every = split(different, settings)
    used = [every] if crossing else within
    offered = {one.reflection_id for sides in used for one in sides.members}
    pairable = {one.reflection_id for one in every.members}
    for one in different:
        number = one.reflection_id
        if number not in offered:
            left[number] = NO_SAME_INSTRUCTION if number in pairable else _unpaired(one, lifted, settings)
    return Offers(_in_turns(used), crossing and bool(every.chosen), left)


def _in_turns(groups: Sequence[_Sides]) -> Iterator[Pair]:
    """Yield the pairs of all groups, those that repeat the fewest reflections first; groups take turns."""

    def numbered(place: int, sides: _Sides) -> Iterator[tuple[int, int, int, Pair]]:
        return ((repeats, turn, place, pair) for turn, (repeats, pair) in enumerate(sides.pairs()))

    merged = heapq.merge(*(numbered(*one) for one in enumerate(groups)), key=lambda one: one[:3])
    return (pair for *_, pair in merged)


def _split_by_verdict(members: Sequence[Candidate], settings: CurationSection) -> _Sides:
    chosen = [one for one in members if one.correction_verdict == "correct"]
    rejected = [one for one in members if one.correction_verdict == "incorrect"]
    return _Sides(chosen, rejected) if chosen and rejected else _Sides()


def _split_by_lift(members: Sequence[Candidate], settings: CurationSection) -> _Sides:
    """Split reflections into high and low lifts, each side beginning with its extreme.

    One that could be on both sides is on that of the nearer extreme. Reflections that a human rejected are never
    chosen, those that a human accepted never rejected.
    """
    high = [one for one in members if one.review != "reject" and lift_reason(one, settings) is None]
    low = [one for one in members if one.review != "accept"]
    if not high or not low:
        return _Sides()
    highest, lowest = max(map(_lift, high)), min(map(_lift, low))
    worth = 1 / max(min(one.lift_draws for one in members), 1)
    margin = max(settings.lift_margin, worth)
    chosen = [one for one in high if _lift(one) - lowest >= margin - LIFT_TOLERANCE]
    rejected = [one for one in low if highest - _lift(one) >= margin - LIFT_TOLERANCE]
    both = {one.reflection_id for one in chosen} & {one.reflection_id for one in rejected}
    nearer = {one.reflection_id for one in members if highest - _lift(one) <= _lift(one) - lowest}
    chosen = [one for one in chosen if one.reflection_id not in both - nearer]
    rejected = [one for one in rejected if one.reflection_id not in both & nearer]
    if not chosen or not rejected:
        return _Sides()
    return _Sides(sorted(chosen, key=lambda one: -_lift(one)), sorted(rejected, key=_lift), margin)


def _lift(one: Candidate) -> float:
    return one.lift or 0.0


def _unpaired(one: Candidate, lifted: bool, settings: CurationSection) -> str:
    """Return why a reflection has no counterpart under any instruction."""
    if lifted:
        return lift_reason(one, settings) or NO_OTHER_LIFT
    return NO_REJECTED if one.correction_verdict == "correct" else NO_CHOSEN


def _different_sides(members: Sequence[Candidate], settings: CurationSection) -> tuple[list[Candidate], dict[int, str]]:
    """Return the reflections without equal ones on their side and without rejected ones like a chosen one.

    Of equal texts, one is kept whose instruction is on both sides, if any, so that no pair of one instruction is lost.
    Also returns the reason of each of the others.
    """
    right = [one for one in members if one.correction_verdict == "correct"]
    left: dict[int, str] = {}
    wrong = []
    for one in members:
        if one.correction_verdict == "incorrect":
            if _also_right(one, right, settings):
                left[one.reflection_id] = BOTH_WAYS
            else:
                wrong.append(one)
    shared = {one.instruction for one in right} & {one.instruction for one in wrong}
    for side in (right, wrong):
        # In one order on both sides, so that two texts with several common instructions are kept with the same one.
        own = sorted((one for one in side if one.instruction in shared), key=lambda one: one.instruction)
        own += [one for one in side if one.instruction not in shared]
        left.update(dict.fromkeys((one.reflection_id for one in unequal(own)[1]), DUPLICATE))
    return [one for one in members if one.reflection_id not in left], left


def _also_right(loser: Candidate, winners: Sequence[Candidate], settings: CurationSection) -> bool:
    """Check whether a nearly identical text led to a correct answer; then the outcome is not due to the text."""
    own, text = grams(loser.text), normalised(loser.text)
    return any(
        normalised(winner.text) == text or jaccard(own, grams(winner.text)) > settings.max_similarity
        for winner in winners
    )


def mutually_different(
    members: Sequence[Candidate], settings: CurationSection
) -> tuple[list[Candidate], dict[int, str]]:
    """Return the mutually distinct reflections on an attempt, and the reasons for excluding the others.

    Instructions with the most distinct reflections come first, so that no pair of one instruction is lost to a similar
    text of another one.
    """
    groups: dict[str, list[Candidate]] = {}
    for one in members:
        groups.setdefault(one.instruction, []).append(one)
    sizes = {key: len(_keep_different(group, settings)[0]) for key, group in groups.items()} if len(groups) > 1 else {}
    _, reasons = _keep_different(sorted(members, key=lambda one: -sizes.get(one.instruction, 0)), settings)
    return [one for one in members if one.reflection_id not in reasons], reasons


def _keep_different(members: Sequence[Candidate], settings: CurationSection) -> tuple[list[Candidate], dict[int, str]]:
    kept: list[tuple[Candidate, frozenset[str]]] = []
    different, equal = unequal(members)
    reasons = {one.reflection_id: DUPLICATE for one in equal}
    for one in different:
        own = grams(one.text)
        if any(jaccard(own, other) > settings.max_similarity for _, other in kept):
            reasons[one.reflection_id] = NEAR_DUPLICATE
        else:
            kept.append((one, own))
    return [one for one, _ in kept], reasons


def diagonal(chosen: Sequence[Candidate], rejected: Sequence[Candidate]) -> Iterator[Pair]:
    """Yield every pair of both sides, diagonal by diagonal, so that all are used before one is repeated."""
    for shift in range(len(rejected)):
        for position, winner in enumerate(chosen):
            yield winner, rejected[(position + shift) % len(rejected)]


def unequal(members: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Split reflections into the first of each distinct text and the duplicates."""
    first: dict[str, Candidate] = {}
    for one in members:
        first.setdefault(normalised(one.text), one)
    kept = {one.reflection_id for one in first.values()}
    return list(first.values()), [one for one in members if one.reflection_id not in kept]
