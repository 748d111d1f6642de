"""Builds D±: pairs of reflections on one attempt, of which the chosen led to a correct and the rejected to an incorrect
answer, or the chosen has the higher lift (`curation.pairs_by`).

Source: ReflectEvo (ACL 2025 Findings, arXiv 2505.16475), section 3.2; filters, caps, shares, pairs by lift and the rule
on instructions (`pairing`) are additions of this project. The result depends on the candidates, the settings and the
seed, not on the order of the candidates. Independent of the database, prompts and training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product, zip_longest

from engine.curation.candidates import Candidate, in_order, lift_reason, ranked, row, tie, verdict_reason
from engine.curation.filters import HUMAN_REJECT, text_reason
from engine.curation.pairing import NO_CHOSEN, NO_REJECTED, Offers, Pair, by_lift, pairs_of_attempt
from engine.curation.set_limits import (
    OVER_QUESTION_CAP,
    OVER_RIGHT_ATTEMPTS,
    OVER_TASK_CAP,
    OVER_TASK_SHARE,
    Selection,
    within_share,
)
from engine.prompts.leakage import PROMPT_LEAK, states_target
from store.curation.curated import NewCurated
from store.settings import CurationSection

ACCEPTED_BUT_INCORRECT = "human accept, correction incorrect"
UNKNOWN_LIFT = "lift unknown"

_CHOSEN, _REJECTED = "chosen", "rejected"

_FINAL = (OVER_QUESTION_CAP, OVER_TASK_CAP, OVER_RIGHT_ATTEMPTS)
"""Caps that refuse every further pair of the same question in this pass."""


def d_pm(candidates: Iterable[Candidate], settings: CurationSection, seed: int) -> tuple[NewCurated, ...]:
    """Build D±: the pairs, followed by one row with a reason per reflection that is in no pair.

    Both sides of a pair reflect on the same attempt, so that they share their prompt, which states neither of them;
    they share their instruction too unless the attempt has no such pair (see `pairing`). Both pass the filters on the
    text, so that they differ by outcome and not by a defect. A reflection that led to an incorrect answer, or has the
    lower lift, can be a rejected side regardless of the filters if a human rejected it. A question yields at most
    `max_per_question` pairs, in which a reflection is repeated as late as possible. Pairs on right attempts (c→c over
    c→i) follow those on wrong ones, against whose number they are balanced. Pairs above the maximum share of a task are
    listed as excluded.

    Args:
        candidates: the reflections of an iteration, in any order.
        settings: the filters, caps and shares.
        seed: breaks ties.
    """
    ordered = in_order(candidates)
    reasons: dict[int, str] = {}
    attempts: dict[int, list[Candidate]] = {}
    for candidate in ordered:
        reason = _reason(candidate, settings)
        if reason:
            reasons[candidate.reflection_id] = reason
        else:
            attempts.setdefault(candidate.attempt_id, []).append(candidate)
    offers: dict[int, Offers] = {}
    for attempt, members in attempts.items():
        offers[attempt] = pairs_of_attempt(ranked(members, seed), settings)
        reasons.update(offers[attempt].left)

    pairs, refused = _in_turns(attempts, offers, settings, seed)
    kept, note = within_share([winner.task for winner, _ in pairs], settings.max_task_share)
    rows = [
        row("d_pm", winner, loser, position in kept, note if position in kept else OVER_TASK_SHARE)
        for position, (winner, loser) in enumerate(pairs)
    ]
    paired = {one.reflection_id for pair in pairs for one in pair}
    for candidate in ordered:
        number = candidate.reflection_id
        if number not in paired:
            reason = reasons.get(number) or refused.get(number) or OVER_QUESTION_CAP
            rows.append(row("d_pm", candidate, None, False, reason))
    return tuple(rows)


def _reason(candidate: Candidate, settings: CurationSection) -> str | None:
    """Return why a reflection can be on neither side of a pair, or None."""
    stated = PROMPT_LEAK if states_target(candidate.prompt_text, candidate.text) else None
    if by_lift(candidate, settings):
        if candidate.lift is None:
            return UNKNOWN_LIFT
        return stated if candidate.review == "reject" else text_reason(candidate, settings)
    if candidate.correction_verdict == "incorrect":
        if candidate.review == "accept":
            return ACCEPTED_BUT_INCORRECT
        return stated if candidate.review == "reject" else text_reason(candidate, settings)
    if candidate.review == "reject":
        return HUMAN_REJECT
    return verdict_reason(candidate) or text_reason(candidate, settings) or lift_reason(candidate, settings)


@dataclass
class _Question:
    """The pairs of a question that are still on offer, and the reflections in them."""

    offers: Iterator[Pair]
    members: Sequence[Candidate]


def _in_turns(
    attempts: Mapping[int, Sequence[Candidate]], offers: Mapping[int, Offers], settings: CurationSection, seed: int
) -> tuple[list[Pair], dict[int, str]]:
    """Select pairs; return them with the reasons that exclude other reflections. Questions take turns in a seeded
    order, those with wrong attempts first, as do the attempts of a question, those with pairs of one instruction first.
    """
    grouped: defaultdict[tuple[bool, int], list[int]] = defaultdict(list)
    for attempt in sorted(
        attempts, key=lambda attempt: (offers[attempt].crossing, min(one.rank for one in attempts[attempt]))
    ):
        first = attempts[attempt][0]
        grouped[first.on_right_attempt, first.question_id].append(attempt)
    questions = {
        asked: _Question(
            (
                pair
                for turn in zip_longest(*(offers[attempt].pairs for attempt in listed))
                for pair in turn
                if pair is not None
            ),
            [one for attempt in listed for one in attempts[attempt]],
        )
        for asked, listed in sorted(grouped.items(), key=lambda one: (one[0][0], tie(seed, "question", one[0][1])))
    }
    selection = Selection(settings)
    pairs: list[Pair] = []
    refused: dict[int, str] = {}
    for on_right, _ in product((False, True), range(settings.max_per_question)):
        for question in (one for asked, one in questions.items() if asked[0] is on_right):
            for winner, loser in question.offers:
                reason = _refusal(selection, winner, loser, refused)
                if reason is None:
                    selection.take(winner, (_CHOSEN, winner), (_REJECTED, loser))
                    pairs.append((winner, loser))
                    break
                if reason in _FINAL:
                    for one in question.members:
                        refused.setdefault(one.reflection_id, reason)
                    question.offers = iter(())
    return pairs, refused


def _refusal(selection: Selection, winner: Candidate, loser: Candidate, refused: dict[int, str]) -> str | None:
    """Return why a pair is refused, or None; record the reason for both reflections in `refused`."""
    for one, other, side, alone in (
        (winner, loser, _CHOSEN, NO_CHOSEN),
        (loser, winner, _REJECTED, NO_REJECTED),
    ):
        repeated = selection.repeats(one, side)
        if repeated:
            refused.setdefault(one.reflection_id, repeated)
            refused.setdefault(other.reflection_id, alone)
            return repeated
    capped = selection.over_cap(winner)
    if capped:
        refused.setdefault(winner.reflection_id, capped)
        refused.setdefault(loser.reflection_id, capped)
    return capped
