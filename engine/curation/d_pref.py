"""Builds Dpref: pairs of reflections on one attempt that both led to a correct answer, ranked by a judge.

Source: ReflectEvo (ACL 2025 Findings, arXiv 2505.16475), section 3.2; filters, caps and the order in which pairs are
judged are additions of this project. A pair without a preference is open: it is listed with that reason, and judged
only while the caps leave room for it. The result depends on the candidates, the preferences, the settings and the seed,
not on the order of the candidates. Independent of the database, the judge and training.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product

from engine.curation.candidates import (
    Candidate,
    in_order,
    lift_reason,
    pair_prompt,
    ranked,
    row,
    tie,
    verdict_reason,
)
from engine.curation.filters import human_reject, text_reason
from engine.curation.pairing import NO_SAME_INSTRUCTION, mutually_different
from engine.curation.set_limits import (
    OVER_TASK_SHARE,
    Selection,
    within_share,
)
from engine.prompts.leakage import PROMPT_LEAK, states_target
from store.curation.curated import NOT_JUDGED, NewCurated
from store.curation.records import Preference
from store.settings import CurationSection, JudgeSection

NO_PARTNER = "no other reflection led to a correct answer"
OVER_JUDGED = "above judge.pairs_per_question"
BELOW_CONFIDENCE = "below judge.min_confidence"
JUDGE_INCONSISTENT = "judge inconsistent"
JUDGE_UNDECIDED = "judge undecided"
HUMAN_UNDECIDED = "human undecided"

PairKey = frozenset[int]
"""The ids of two reflections."""


@dataclass(frozen=True)
class _Pair:
    first: Candidate
    second: Candidate
    word: Preference | None
    """The preference in force, or None if the pair is open."""

    @property
    def crossing(self) -> bool:
        """Whether the two reflections have different instructions; the pair is then asked with the general one."""
        return self.first.instruction != self.second.instruction

    @property
    def by_human(self) -> bool:
        return self.word is not None and self.word.source == "human"


def d_pref(
    candidates: Iterable[Candidate],
    preferences: Iterable[Preference],
    settings: CurationSection,
    judge: JudgeSection,
    seed: int,
) -> tuple[NewCurated, ...]:
    """Build Dpref: the pairs, followed by one row with a reason per reflection that is in no pair.

    An open pair has the reason `not judged yet`. At most `pairs_per_question` pairs of a question are judged, including
    those that have been judged already; pairs ranked by a human are always used. At most `max_per_question` pairs are
    included.

    Args:
        candidates: the reflections of an iteration, in any order.
        preferences: all preferences of judges and humans.
        settings: the filters, caps and shares.
        judge: the settings of the judge.
        seed: breaks ties.
    """
    ordered = in_order(candidates)
    reasons: dict[int, str] = {}
    attempts: dict[int, list[Candidate]] = {}
    for candidate in ordered:
        reason = human_reject(candidate.review) or verdict_reason(candidate) or text_reason(candidate, settings)
        reason = reason or lift_reason(candidate, settings)
        if reason:
            reasons[candidate.reflection_id] = reason
        else:
            attempts.setdefault(candidate.attempt_id, []).append(candidate)
    said = in_force(preferences)
    considered: dict[int, list[_Pair]] = {}
    for question, members in _by_question(attempts).items():
        pairs = []
        for attempt in sorted(members, key=lambda attempt: min(one.rank for one in attempts[attempt])):
            usable, repeated = mutually_different(ranked(attempts[attempt], seed), settings)
            reasons.update(repeated)
            allowed = _allowed_pairs(usable, said)
            pairs += _pairs(allowed, judge.pairs_per_question)
            paired = {one.reflection_id for pair in allowed.values() for one in (pair.first, pair.second)}
            alone = NO_PARTNER if len(usable) == 1 else NO_SAME_INSTRUCTION
            reasons.update({one.reflection_id: alone for one in usable if one.reflection_id not in paired})
        considered[question] = _considered(pairs, judge.pairs_per_question)

    fates = _fates(considered, settings, judge, seed)
    rows = _shared_rows(fates, settings)
    named = {one.reflection_id for pair, _ in fates for one in (pair.first, pair.second)}
    rows += [
        row("d_pref", one, None, False, reasons.get(one.reflection_id, OVER_JUDGED))
        for one in ordered
        if one.reflection_id not in named
    ]
    return tuple(rows)


def in_force(preferences: Iterable[Preference]) -> dict[PairKey, Preference]:
    """Return the preference in force for each pair: a human's over a judge's, and the newest of each."""
    found: dict[PairKey, Preference] = {}
    for preference in sorted(preferences, key=lambda one: (one.source == "human", one.id)):
        found[frozenset((preference.chosen_id, preference.rejected_id))] = preference
    return found


def _by_question(attempts: Mapping[int, Sequence[Candidate]]) -> dict[int, list[int]]:
    grouped: defaultdict[int, list[int]] = defaultdict(list)
    for attempt, members in attempts.items():
        grouped[members[0].question_id].append(attempt)
    return dict(grouped)


def _allowed_pairs(members: Sequence[Candidate], said: Mapping[PairKey, Preference]) -> dict[tuple[int, int], _Pair]:
    """Return the pairs of an attempt's reflections by their places: those of one instruction where there are any.

    A pair across instructions that a human ranked is used too.
    """
    made = {
        places: _pair(members[places[0]], members[places[1]], said) for places in combinations(range(len(members)), 2)
    }
    if all(pair.crossing for pair in made.values()):
        return made
    return {places: pair for places, pair in made.items() if not pair.crossing or pair.by_human}


def _pairs(made: Mapping[tuple[int, int], _Pair], most: int) -> list[_Pair]:
    """Return the judged pairs of an attempt's reflections, then up to `most` open ones, those first that repeat the
    fewest reflections."""
    judged = [places for places, pair in made.items() if pair.word is not None]
    left = [places for places, pair in made.items() if pair.word is None]
    uses = Counter(place for places in judged for place in places)
    drawn: list[tuple[int, int]] = []
    while left and len(drawn) < most:
        best = min(left, key=lambda places: (uses[places[0]] + uses[places[1]], places))
        left.remove(best)
        uses.update(best)
        drawn.append(best)
    return [made[places] for places in judged + drawn]


def _pair(one: Candidate, other: Candidate, said: Mapping[PairKey, Preference]) -> _Pair:
    first, second = sorted((one, other), key=lambda member: member.rank)
    return _Pair(first, second, said.get(frozenset((first.reflection_id, second.reflection_id))))


def _considered(pairs: Sequence[_Pair], most: int) -> list[_Pair]:
    """Return the pairs of a question within its budget of `most` judged pairs; those ranked by humans are all kept."""
    humans = [pair for pair in pairs if pair.by_human]
    judged = [pair for pair in pairs if pair.word is not None and not pair.by_human]
    unjudged = [pair for pair in pairs if pair.word is None]
    return humans + (judged + unjudged)[: max(most - len(humans), 0)]


def _fates(
    considered: Mapping[int, Sequence[_Pair]], settings: CurationSection, judge: JudgeSection, seed: int
) -> list[tuple[_Pair, str | None]]:
    """Return each pair with the reason for its exclusion, or None if it is included, in the order of selection.

    Judged pairs come first: an open pair is worth a judge's request only if the caps still leave room for it. Pairs on
    right attempts follow those on wrong ones, against whose number they are balanced.
    """
    selection = Selection(settings)
    fates: list[tuple[_Pair, str | None]] = []
    questions = sorted(considered, key=lambda question: tie(seed, "question", question))
    longest = max((len(pairs) for pairs in considered.values()), default=0)
    for open_ones, on_right in product((False, True), repeat=2):
        for turn in range(longest):
            for question in questions:
                if turn >= len(considered[question]):
                    continue
                pair = considered[question][turn]
                if (pair.word is None) is not open_ones or pair.first.on_right_attempt is not on_right:
                    continue
                chosen = _chosen(pair)
                reason = _stated(pair) or _word_reason(pair, judge)
                if reason in (None, NOT_JUDGED):
                    full = _repeats(selection, pair) or selection.over_cap(chosen)
                    if full is None:
                        selection.take(chosen, ("", pair.first), ("", pair.second))
                    reason = full or reason
                fates.append((pair, reason))
    return fates


def _stated(pair: _Pair) -> str | None:
    """Return `prompt states the answer` if the prompt of the pair, with its instruction, may state one of them."""
    prompt = pair_prompt(pair.first, pair.second)
    return PROMPT_LEAK if any(states_target(prompt, one.text) for one in (pair.first, pair.second)) else None


def _repeats(selection: Selection, pair: _Pair) -> str | None:
    return selection.repeats(pair.first) or selection.repeats(pair.second)


def _word_reason(pair: _Pair, judge: JudgeSection) -> str | None:
    """Return why the preference in force does not decide a pair, or None."""
    word = pair.word
    if word is None:
        return NOT_JUDGED
    confidence = 1.0 if word.confidence is None else word.confidence
    if confidence == 0:
        if pair.by_human:
            return HUMAN_UNDECIDED
        return JUDGE_UNDECIDED if word.note.startswith(JUDGE_UNDECIDED) else JUDGE_INCONSISTENT
    return BELOW_CONFIDENCE if confidence < judge.min_confidence else None


def _chosen(pair: _Pair) -> Candidate:
    return pair.second if pair.word is not None and pair.word.chosen_id == pair.second.reflection_id else pair.first


def _shared_rows(fates: Sequence[tuple[_Pair, str | None]], settings: CurationSection) -> list[NewCurated]:
    """Build the rows of the pairs; the maximum share of a task is applied last."""
    taken = [pair for pair, reason in fates if reason is None]
    kept, note = within_share([pair.first.task for pair in taken], settings.max_task_share)
    inside = {(pair.first.reflection_id, pair.second.reflection_id) for n, pair in enumerate(taken) if n in kept}
    rows = []
    for pair, reason in fates:
        chosen = _chosen(pair)
        other = pair.first if chosen is pair.second else pair.second
        included = (pair.first.reflection_id, pair.second.reflection_id) in inside
        rows.append(row("d_pref", chosen, other, included, note if included else reason or OVER_TASK_SHARE))
    return rows
