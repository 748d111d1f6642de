"""Turns reflections with their outcomes into D+ and D±, with a recorded reason for everything left out.

D+ holds reflections whose correction is correct; D± holds pairs of one question, a reflection that led to a
correct answer over one that led to an incorrect answer. Source: ReflectEvo (ACL 2025 Findings, arXiv
2505.16475), section 3.2; filters, caps and shares are ours. The result depends on the candidates, the settings
and the seed, not on the order of the candidates. Knows nothing of databases, prompts or training.

A human `accept` overrules the filters on the text, never a wrong or missing verdict. A human `reject` keeps a
reflection out of D+ and off the chosen side of D±. A `flag` changes nothing.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from engine.curation.filters import HUMAN_REJECT, heuristic_reason, human_reject
from engine.tasks.base import Verdict, normalised
from store.settings import CurationSection

INCLUDED = "included"
NOT_CORRECTED = "not corrected"
INCORRECT = "correction incorrect"
UNVERIFIED = "correction unverified"
DUPLICATE = "duplicate"
OVER_QUESTION_CAP = "over the cap per question"
OVER_TASK_SHARE = "over the task share"
NO_REJECTED = "no rejected partner"
NO_CHOSEN = "no chosen partner"
ACCEPTED_BUT_INCORRECT = "human accept, correction incorrect"
BOTH_WAYS = "the same text also led to a correct answer"


@dataclass(frozen=True)
class Candidate:
    """A reflection with its outcome and what the filters need to know."""

    reflection_id: int
    question_id: int
    attempt_id: int
    task: str
    instruction: str
    text: str
    correction_id: int | None
    correction_verdict: Verdict | None
    """None when there is no correction yet."""
    reference: str
    question_text: str
    """The question as asked, with its options."""
    attempt_text: str
    attempt_answer: str | None
    finish_reason: str
    review: str | None
    """The newest review's decision: `accept`, `reject`, `flag` or None."""


@dataclass(frozen=True)
class Curated:
    """One row of a training set, or what was left out of it and why."""

    set_name: Literal["d_plus", "d_pm"]
    reflection_id: int
    """The chosen reflection of an included row; of a row that was left out, the reflection it is about."""
    rejected_reflection_id: int | None
    """The rejected reflection of a D± pair."""
    correction_id: int | None
    included: bool
    reason: str


@dataclass(frozen=True)
class _Pair:
    chosen: Candidate
    rejected: Candidate


def d_plus(candidates: Iterable[Candidate], settings: CurationSection, seed: int) -> tuple[Curated, ...]:
    """D+: exactly one row per candidate, by reflection, included or with the reason for leaving it out.

    Included rows obey the cap per question and the largest share of one task; within both, questions take
    turns, and instructions that were taken least come first.
    """
    ordered = _sorted(candidates)
    reasons: dict[int, str] = {}
    usable: list[int] = []
    for index, candidate in enumerate(ordered):
        reason = human_reject(candidate.review) or _verdict_reason(candidate) or _text_reason(candidate, settings)
        if reason:
            reasons[index] = reason
        else:
            usable.append(index)
    unique, duplicates = _deduplicated(ordered, usable)
    reasons.update(dict.fromkeys(duplicates, DUPLICATE))
    turns = _in_turns(ordered, unique, seed, settings.max_per_question)
    reasons.update(dict.fromkeys(set(unique) - set(turns), OVER_QUESTION_CAP))
    tasks = [ordered[index].task for index in turns]
    kept, note = _within_share(tasks, settings.max_task_share)
    included = {turns[position] for position in kept}
    reasons.update(dict.fromkeys(set(turns) - included, OVER_TASK_SHARE))
    return tuple(
        _row("d_plus", candidate, None, index in included, reasons.get(index, note))
        for index, candidate in enumerate(ordered)
    )


def d_pm(candidates: Iterable[Candidate], settings: CurationSection, seed: int) -> tuple[Curated, ...]:
    """D±: the pairs, then one row per reflection that is in no pair, with its reason.

    Both sides pass the filters on the text, so that a pair differs by its outcome and not by a flaw. A human
    `reject` of a reflection that led to an incorrect answer makes it a rejected partner whatever its text.
    A question gives at most `max_per_question` pairs, which repeat a reflection as late as possible; pairs over
    the largest task share stay listed as left out.
    """
    ordered = _sorted(candidates)
    reasons: dict[int, str] = {}
    sides: dict[bool, list[int]] = {True: [], False: []}
    for index, candidate in enumerate(ordered):
        reason = _pair_reason(candidate, settings)
        if reason:
            reasons[index] = reason
        else:
            sides[candidate.correction_verdict == "correct"].append(index)
    chosen, chosen_twice = _deduplicated(ordered, sides[True])
    rejected, rejected_twice = _deduplicated(ordered, sides[False])
    reasons.update(dict.fromkeys((*chosen_twice, *rejected_twice), DUPLICATE))
    right_texts = {_text_key(ordered[index]) for index in chosen}
    both_ways = [index for index in rejected if _text_key(ordered[index]) in right_texts]
    reasons.update(dict.fromkeys(both_ways, BOTH_WAYS))
    rejected = [index for index in rejected if index not in set(both_ways)]

    chosen_of = _by_question(ordered, _in_turns(ordered, chosen, seed, len(ordered)))
    rejected_of = _by_question(ordered, _in_turns(ordered, rejected, seed, len(ordered)))
    pairs: list[tuple[int, int]] = []
    for turn in range(settings.max_per_question):
        for question in chosen_of:
            possible = _pairing(chosen_of[question], rejected_of.get(question, []), settings.max_per_question)
            pairs += possible[turn : turn + 1]
    kept, note = _within_share([ordered[winner].task for winner, _ in pairs], settings.max_task_share)
    rows = [
        _row("d_pm", ordered[winner], ordered[loser], position in kept, note if position in kept else OVER_TASK_SHARE)
        for position, (winner, loser) in enumerate(pairs)
    ]
    paired = {index for pair in pairs for index in pair}
    for index, candidate in enumerate(ordered):
        if index not in paired:
            question = candidate.question_id
            alone = NO_REJECTED if question not in rejected_of else OVER_QUESTION_CAP
            if candidate.correction_verdict == "incorrect":
                alone = NO_CHOSEN if question not in chosen_of else OVER_QUESTION_CAP
            rows.append(_row("d_pm", candidate, None, False, reasons.get(index, alone)))
    return tuple(rows)


def share_level(counts: Mapping[str, int], max_share: float) -> int:
    """The most rows one task may keep so that none holds more than `max_share` of what all keep.

    A share below 1/n for n tasks can't be met; the tasks are then levelled to the smallest. With one task the
    share doesn't bind.
    """
    level = max(counts.values(), default=0)
    if len(counts) < 2:
        return level
    share = max(Fraction(max_share).limit_denominator(1_000_000), Fraction(1, len(counts)))
    while level > share * sum(min(count, level) for count in counts.values()):
        level -= 1
    return level


def _sorted(candidates: Iterable[Candidate]) -> list[Candidate]:
    return sorted(
        candidates, key=lambda one: (one.reflection_id, -1 if one.correction_id is None else one.correction_id)
    )


def _verdict_reason(candidate: Candidate) -> str | None:
    reasons: dict[Verdict | None, str | None] = {
        "correct": None,
        "incorrect": INCORRECT,
        "unverified": UNVERIFIED,
        None: NOT_CORRECTED,
    }
    return reasons[candidate.correction_verdict]


def _text_reason(candidate: Candidate, settings: CurationSection) -> str | None:
    if candidate.review == "accept":
        return None
    return heuristic_reason(
        candidate.text,
        reference=candidate.reference,
        question_text=candidate.question_text,
        attempt_text=candidate.attempt_text,
        finish_reason=candidate.finish_reason,
        settings=settings,
    )


def _pair_reason(candidate: Candidate, settings: CurationSection) -> str | None:
    """Why a reflection can stand on neither side of a pair, or None."""
    if candidate.correction_verdict == "incorrect":
        if candidate.review == "accept":
            return ACCEPTED_BUT_INCORRECT
        return None if candidate.review == "reject" else _text_reason(candidate, settings)
    if candidate.review == "reject":
        return HUMAN_REJECT
    return _verdict_reason(candidate) or _text_reason(candidate, settings)


def _text_key(candidate: Candidate) -> tuple[int, str]:
    return candidate.question_id, normalised(candidate.text)


def _deduplicated(ordered: Sequence[Candidate], indices: Sequence[int]) -> tuple[list[int], list[int]]:
    """The first of each text of a question, an accepted one before others, and the rest."""
    first: dict[tuple[int, str], int] = {}
    for index in sorted(indices, key=lambda index: (ordered[index].review != "accept", index)):
        first.setdefault(_text_key(ordered[index]), index)
    unique = set(first.values())
    return sorted(unique), [index for index in indices if index not in unique]


def _in_turns(ordered: Sequence[Candidate], indices: Sequence[int], seed: int, per_question: int) -> list[int]:
    """Indices in the order of preference: questions take turns in a seeded order, at most `per_question` each.

    Within a question: accepted by a human first, then instructions new to the question, then those taken least
    in the task, then by seed.
    """
    waiting = _by_question(ordered, indices)
    questions = sorted(waiting, key=lambda question: _tie(seed, "question", question))
    ties = {index: _tie(seed, "reflection", ordered[index].reflection_id) for index in indices}
    seen: set[tuple[int, str]] = set()
    taken: Counter[tuple[str, str]] = Counter()

    def preference(index: int) -> tuple[bool, bool, int, str, int]:
        one = ordered[index]
        new = (one.question_id, one.instruction) not in seen
        return one.review != "accept", not new, taken[one.task, one.instruction], ties[index], index

    turns: list[int] = []
    for _ in range(per_question):
        questions = [question for question in questions if waiting[question]]
        if not questions:
            break
        for question in questions:
            best = min(waiting[question], key=preference)
            waiting[question].remove(best)
            turns.append(best)
            seen.add((question, ordered[best].instruction))
            taken[ordered[best].task, ordered[best].instruction] += 1
    return turns


def _by_question(ordered: Sequence[Candidate], indices: Iterable[int]) -> dict[int, list[int]]:
    grouped: defaultdict[int, list[int]] = defaultdict(list)
    for index in indices:
        grouped[ordered[index].question_id].append(index)
    return dict(grouped)


def _pairing(chosen: Sequence[int], rejected: Sequence[int], most: int) -> list[tuple[int, int]]:
    """Up to `most` different pairs, diagonal by diagonal, so that every reflection is used before one repeats."""
    pairs: list[tuple[int, int]] = []
    for shift in range(len(rejected)):
        for position, winner in enumerate(chosen):
            if len(pairs) == most:
                return pairs
            pairs.append((winner, rejected[(position + shift) % len(rejected)]))
    return pairs


def _within_share(tasks: Sequence[str], max_share: float) -> tuple[set[int], str]:
    """The positions that stay when no task holds more than its share, and the reason that included rows get."""
    counts = Counter(tasks)
    level = share_level(counts, max_share)
    kept: set[int] = set()
    used: Counter[str] = Counter()
    for position, task in enumerate(tasks):
        if used[task] < level:
            used[task] += 1
            kept.add(position)
    if max_share < 1 and len(counts) == 1:
        return kept, f"{INCLUDED}; one task only, so the task share does not bind"
    if len(counts) > 1 and max_share * len(counts) < 1:
        return kept, f"{INCLUDED}; {len(counts)} tasks share equally, as a smaller share can't be met"
    return kept, INCLUDED


def _row(
    set_name: Literal["d_plus", "d_pm"], one: Candidate, rejected: Candidate | None, included: bool, reason: str
) -> Curated:
    partner = rejected.reflection_id if rejected else None
    return Curated(set_name, one.reflection_id, partner, one.correction_id, included, reason)


def _tie(seed: int, kind: str, number: int) -> str:
    return hashlib.sha256(f"curation|{seed}|{kind}|{number}".encode()).hexdigest()
