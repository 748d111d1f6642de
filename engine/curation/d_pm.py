"""Builds D±: pairs of reflections on one attempt, of which the chosen led to a correct and the rejected to an incorrect
answer.

Source: ReflectEvo (ACL 2025 Findings, arXiv 2505.16475), section 3.2; filters, caps and shares are additions of this
project. The result depends on the candidates, the settings and the seed, not on the order of the candidates.
Independent of the database, prompts and training.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest

from engine.curation.candidates import Candidate, in_order, ranked, row, tie, verdict_reason
from engine.curation.filters import HUMAN_REJECT, text_reason
from engine.curation.selection import DUPLICATE, OVER_QUESTION_CAP, OVER_TASK_SHARE, Selection, within_share
from engine.curation.similarity import grams, jaccard
from engine.prompts.leakage import PROMPT_LEAK, states_target
from engine.tasks.base import normalised
from store.curation.curated import NewCurated
from store.settings import CurationSection

NO_REJECTED = "no incorrect counterpart"
NO_CHOSEN = "no correct counterpart"
ACCEPTED_BUT_INCORRECT = "human accept, correction incorrect"
BOTH_WAYS = "the same text also led to a correct answer"

Pair = tuple[Candidate, Candidate]
"""The chosen and the rejected reflection."""

_CHOSEN, _REJECTED = "chosen", "rejected"


def d_pm(candidates: Iterable[Candidate], settings: CurationSection, seed: int) -> tuple[NewCurated, ...]:
    """Build D±: the pairs, followed by one row with a reason per reflection that is in no pair.

    Both sides of a pair reflect on the same attempt, so that they share their prompt, which states neither of them.
    Both pass the filters on the text, so that they differ by outcome and not by a defect. A reflection that led to an
    incorrect answer and that a human rejected can be a rejected side regardless of the filters. A question yields at
    most `max_per_question` pairs, in which a reflection is repeated as late as possible. Pairs above the maximum share
    of a task are listed as excluded.

    Args:
        candidates: the reflections of an iteration, in any order.
        settings: the filters, caps and shares.
        seed: breaks ties.
    """
    ordered = in_order(candidates)
    reasons: dict[int, str] = {}
    sides: dict[str, dict[int, list[Candidate]]] = {_CHOSEN: {}, _REJECTED: {}}
    for candidate in ordered:
        reason = _reason(candidate, settings)
        if reason:
            reasons[candidate.reflection_id] = reason
        else:
            side = _CHOSEN if candidate.correction_verdict == "correct" else _REJECTED
            sides[side].setdefault(candidate.attempt_id, []).append(candidate)
    for attempt, losers in sides[_REJECTED].items():
        winners = sides[_CHOSEN].get(attempt, [])
        both = {loser.reflection_id for loser in losers if _also_right(loser, winners, settings)}
        reasons.update(dict.fromkeys(both, BOTH_WAYS))
        sides[_REJECTED][attempt] = [loser for loser in losers if loser.reflection_id not in both]
    for side, attempts in sides.items():
        for attempt, members in attempts.items():
            sides[side][attempt], equal = unequal(ranked(members, seed))
            reasons.update(dict.fromkeys((one.reflection_id for one in equal), DUPLICATE))

    pairs, refused = _in_turns(sides[_CHOSEN], sides[_REJECTED], settings, seed)
    kept, note = within_share([winner.task for winner, _ in pairs], settings.max_task_share)
    rows = [
        row("d_pm", winner, loser, position in kept, note if position in kept else OVER_TASK_SHARE)
        for position, (winner, loser) in enumerate(pairs)
    ]
    paired = {one.reflection_id for pair in pairs for one in pair}
    for candidate in ordered:
        number = candidate.reflection_id
        if number not in paired:
            rows.append(
                row(
                    "d_pm",
                    candidate,
                    None,
                    False,
                    reasons.get(number) or refused.get(number) or _alone(candidate, sides),
                )
            )
    return tuple(rows)


def diagonal(winners: Sequence[Candidate], losers: Sequence[Candidate]) -> Iterator[Pair]:
    """Yield every pair of a winner and a loser, diagonal by diagonal, so that all are used before one is repeated."""
    for shift in range(len(losers)):
        for position, winner in enumerate(winners):
            yield winner, losers[(position + shift) % len(losers)]


def _reason(candidate: Candidate, settings: CurationSection) -> str | None:
    """Return why a reflection can be on neither side of a pair, or None."""
    if candidate.correction_verdict == "incorrect":
        if candidate.review == "accept":
            return ACCEPTED_BUT_INCORRECT
        if candidate.review == "reject":
            return PROMPT_LEAK if states_target(candidate.prompt_text, candidate.text) else None
        return text_reason(candidate, settings)
    if candidate.review == "reject":
        return HUMAN_REJECT
    return verdict_reason(candidate) or text_reason(candidate, settings)


def _also_right(loser: Candidate, winners: Sequence[Candidate], settings: CurationSection) -> bool:
    """Check whether a nearly identical text led to a correct answer; then the outcome is not due to the text."""
    own, text = grams(loser.text), normalised(loser.text)
    return any(
        normalised(winner.text) == text or jaccard(own, grams(winner.text)) > settings.max_similarity
        for winner in winners
    )


def unequal(members: Sequence[Candidate]) -> tuple[list[Candidate], list[Candidate]]:
    """Split reflections into the first of each distinct text and the duplicates."""
    first: dict[str, Candidate] = {}
    for one in members:
        first.setdefault(normalised(one.text), one)
    kept = list(first.values())
    return kept, [one for one in members if one not in kept]


def _in_turns(
    winners: dict[int, list[Candidate]], losers: dict[int, list[Candidate]], settings: CurationSection, seed: int
) -> tuple[list[Pair], dict[int, str]]:
    """Select pairs; return them with the reasons that exclude other reflections. Questions take turns in a seeded
    order, as do the attempts of a question."""
    by_question: defaultdict[int, list[Iterator[Pair]]] = defaultdict(list)
    for attempt in sorted(winners, key=lambda attempt: min((one.rank for one in winners[attempt]), default=0)):
        if losers.get(attempt):
            question = winners[attempt][0].question_id
            by_question[question].append(diagonal(winners[attempt], losers[attempt]))
    offers = {
        question: (pair for turn in zip_longest(*attempts) for pair in turn if pair is not None)
        for question, attempts in by_question.items()
    }
    selection = Selection(settings)
    pairs: list[Pair] = []
    refused: dict[int, str] = {}
    for _ in range(settings.max_per_question):
        for question in sorted(offers, key=lambda question: tie(seed, "question", question)):
            for winner, loser in offers[question]:
                reason = _refusal(selection, winner, loser, refused)
                if reason is None:
                    selection.take(winner, (_CHOSEN, winner), (_REJECTED, loser))
                    pairs.append((winner, loser))
                    break
    return pairs, refused


def _refusal(selection: Selection, winner: Candidate, loser: Candidate, refused: dict[int, str]) -> str | None:
    """Return why a pair is refused, or None; record the reason for both reflections in `refused`."""
    if states_target(winner.prompt_text, loser.text):
        refused.setdefault(loser.reflection_id, PROMPT_LEAK)
        refused.setdefault(winner.reflection_id, NO_REJECTED)
        return PROMPT_LEAK
    repeated = selection.repeats(winner, _CHOSEN)
    if repeated:
        refused.setdefault(winner.reflection_id, repeated)
        refused.setdefault(loser.reflection_id, NO_CHOSEN)
        return repeated
    repeated = selection.repeats(loser, _REJECTED)
    if repeated:
        refused.setdefault(loser.reflection_id, repeated)
        refused.setdefault(winner.reflection_id, NO_REJECTED)
        return repeated
    capped = selection.over_cap(winner)
    if capped:
        refused.setdefault(winner.reflection_id, capped)
        refused.setdefault(loser.reflection_id, capped)
    return capped


def _alone(candidate: Candidate, sides: dict[str, dict[int, list[Candidate]]]) -> str:
    """Return why a reflection that passes all checks is in no pair."""
    if candidate.correction_verdict == "correct":
        return OVER_QUESTION_CAP if sides[_REJECTED].get(candidate.attempt_id) else NO_REJECTED
    return OVER_QUESTION_CAP if sides[_CHOSEN].get(candidate.attempt_id) else NO_CHOSEN
