"""Builds D+: the reflections whose correction is correct, with a recorded reason for every exclusion.

Source: ReflectEvo (ACL 2025 Findings, arXiv 2505.16475), section 3.2; filters, caps and shares are additions of this
project. The result depends on the candidates, the settings and the seed, not on the order of the candidates.
Independent of the database, prompts and training.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import product

from engine.curation.candidates import Candidate, in_order, lift_reason, row, tie, verdict_reason
from engine.curation.filters import LEAK, human_reject, text_reason
from engine.curation.set_limits import (
    OVER_QUESTION_CAP,
    OVER_SET_SIZE,
    OVER_TASK_SHARE,
    Selection,
    within_share,
    within_size,
)
from engine.curation.unfit_answers import unfit_answer
from engine.prompts.leakage import PROMPT_LEAK, states_target, without_text
from store.curation.curated import NewCurated
from store.settings import CurationSection


def d_plus(candidates: Iterable[Candidate], settings: CurationSection, seed: int) -> tuple[NewCurated, ...]:
    """Build D+: exactly one row per candidate, either included or with the reason for its exclusion.

    Included rows satisfy every cap, the maximum share of a task and the maximum size of the set. Within these limits,
    questions take turns, and the least used instructions come first. Reflections on right attempts (c→c) follow those
    on wrong ones (i→c), against whose number they are balanced.

    Args:
        candidates: the reflections of an iteration, in any order.
        settings: the filters, caps and shares.
        seed: breaks ties.
    """
    ordered = in_order(candidates)
    reasons: dict[int, str] = {}
    usable: list[int] = []
    for index, candidate in enumerate(ordered):
        reason = _reason(candidate, settings)
        if reason:
            reasons[index] = reason
        else:
            usable.append(index)
    taken, refused = _in_turns(ordered, usable, settings, seed)
    reasons.update(refused)
    tasks = [ordered[index].task for index in taken]
    kept, note = within_share(tasks, settings.max_task_share)
    reasons.update({index: OVER_TASK_SHARE for position, index in enumerate(taken) if position not in kept})
    chosen = within_size(tasks, kept, settings.max_examples, seed)
    reasons.update({taken[position]: OVER_SET_SIZE for position in kept - chosen})
    included = {taken[position] for position in chosen}
    return tuple(
        row("d_plus", candidate, None, index in included, reasons.get(index, note))
        for index, candidate in enumerate(ordered)
    )


def _reason(candidate: Candidate, settings: CurationSection) -> str | None:
    found = human_reject(candidate.review) or verdict_reason(candidate) or text_reason(candidate, settings)
    found = found or lift_reason(candidate, settings)
    if found:
        return found
    # The correction is a training target too: neither its prompt nor the reflection before it may state it. A
    # correction of a right attempt gives it again, as its prompt asks.
    repeatable = candidate.attempt_text if candidate.on_right_attempt else ""
    if states_target(without_text(candidate.prompt_text, repeatable), candidate.correction_text):
        return PROMPT_LEAK
    if states_target(candidate.text, candidate.correction_text):
        return LEAK
    if states_target(without_text(candidate.correction_request, repeatable), candidate.correction_text):
        return PROMPT_LEAK
    # Last, so that a reflection with one of these reasons has passed all checks of its own.
    return unfit_answer(
        candidate.correction_text, candidate.correction_finish_reason, candidate.correction_wording, settings
    )


def _in_turns(
    ordered: Sequence[Candidate], indices: Sequence[int], settings: CurationSection, seed: int
) -> tuple[list[int], dict[int, str]]:
    """Select candidates; return the selected indices in order, and the reasons for refusing the others.

    Questions take turns in a seeded order, those with wrong attempts first. Within a question, candidates accepted by a
    human come first, then instructions new to the question, then those least used in the task; ties are broken by the
    seed.
    """
    waiting: defaultdict[tuple[bool, int], list[int]] = defaultdict(list)
    for index in indices:
        waiting[ordered[index].on_right_attempt, ordered[index].question_id].append(index)
    questions = sorted(waiting, key=lambda one: (one[0], tie(seed, "question", one[1])))
    ties = {index: tie(seed, "reflection", ordered[index].rank) for index in indices}
    seen: set[tuple[int, str]] = set()
    taken: Counter[tuple[str, str]] = Counter()

    def preference(index: int) -> tuple[bool, bool, int, str, int]:
        one = ordered[index]
        new = (one.question_id, one.instruction) not in seen
        return one.review != "accept", not new, taken[one.task, one.instruction], ties[index], index

    selection = Selection(settings)
    turns: list[int] = []
    refused: dict[int, str] = {}
    for on_right, _ in product((False, True), range(settings.max_per_question)):
        for asked in (one for one in questions if one[0] is on_right):
            while waiting[asked]:
                best = min(waiting[asked], key=preference)
                waiting[asked].remove(best)
                one = ordered[best]
                reason = selection.repeats(one) or selection.over_cap(one)
                if reason:
                    refused[best] = reason
                    continue
                selection.take(one)
                turns.append(best)
                seen.add((one.question_id, one.instruction))
                taken[one.task, one.instruction] += 1
                break
    for index in (index for left in waiting.values() for index in left):
        one = ordered[index]
        refused[index] = selection.repeats(one) or selection.over_cap(one) or OVER_QUESTION_CAP
    return turns, refused
