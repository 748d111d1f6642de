"""Tests that training uses every included row: in no setting is one of them dropped for a leak."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.curation.candidates import Candidate
from engine.curation.d_plus import d_plus
from engine.curation.d_pm import d_pm
from engine.curation.d_pref import d_pref
from engine.prompts.instructions import GENERAL, compose
from engine.prompts.leakage import STATES_TARGET, correction_request, states_target, training_prompts, unfit_target
from engine.prompts.rollout import SECOND_TRY, Problem, attempt_messages, correction_messages, retry_messages
from engine.tasks.base import Example as Worked
from engine.training.build_examples import Rollouts, reflection_prompt
from engine.training.examples import AnyExample, Pair
from engine.training.rehearsal import distillation
from engine.training.row_kinds import row_examples
from store.curation.curated import NewCurated
from store.curation.records import CuratedRow, Preference
from store.curation.training_settings import TRAINING_SETTINGS
from store.records import StoredAttempt, StoredReflection, Verdict
from store.settings import CurationSection, JudgeSection, PreviousAttempt
from tests.support.candidates import candidate

PHRASES = (
    "count every letter of the word again",
    "Count every  LETTER of the word again",
    "so the sum of both is 1",
    "so the sum of both is 12",
    "A first try at this question failed.",
    "Use this advice:",
    "Answer: 4",
    "I was hasty",
    SECOND_TRY,
    "the line 'Second try:' and solve the question again.",
    "two",
)
TEXTS = st.lists(st.sampled_from(PHRASES), min_size=1, max_size=3).map("\n".join)
SETTINGS = CurationSection(max_similarity=1.0, max_task_share=1.0, drop_leaks=False)
OTHERS = [
    candidate(number, question_id=number // 2, correction_verdict=("correct", "incorrect")[number % 2])
    for number in range(900, 908)
]
"""Reflections on wrong attempts at other questions: rows on right attempts are balanced against theirs."""


@dataclass(frozen=True)
class Made:
    """One attempt with reflections on it, as curation and training read them."""

    candidates: list[Candidate]
    rollouts: Rollouts

    def examples(self, curated: tuple[NewCurated, ...], set_name: str) -> list[AnyExample]:
        """All examples built from the included rows of a set, in every training setting that uses it."""
        rows = [
            CuratedRow(
                number,
                1,
                row.set_name,
                row.reflection_id,
                row.rejected_reflection_id,
                row.correction_id,
                row.included,
                row.reason,
            )
            for number, row in enumerate(curated, start=1)
            if row.included and row.reflection_id in self.rollouts.reflections
        ]
        found = [
            example
            for name, entry in TRAINING_SETTINGS.items()
            # A shuffled stage shows the reflection on another question, and all of these are on one.
            if entry.set_name == set_name and not entry.shuffled
            for row in rows
            for example in row_examples(name, row, self.rollouts)
        ]
        return [*found, *distillation(rows, self.rollouts, SETTINGS)] if set_name == "d_plus" else found


def _attempt(number: int, text: str, verdict: Verdict = "incorrect") -> StoredAttempt:
    return StoredAttempt(
        number, 1, 5, 1, "", 1, None, 0, text, None, verdict, "", None, 1, 1, "stop", 0, "1", "", 0.0,
        None, None, 0.0,
    )  # fmt: skip


def _reflection(number: int, text: str, key: str) -> StoredReflection:
    return StoredReflection(
        number, 1, 1, key, 0, 1, "", text, 1, 1, "stop", 0, "1", "", 0.0, "", None, None, 0.0
    )  # fmt: skip


@st.composite
def _made(draw: st.DrawFn, verdicts: tuple[str, ...]) -> Made:
    worked = Worked("How much?", draw(TEXTS), draw(st.none() | TEXTS), draw(st.none() | TEXTS))
    problem = Problem(draw(TEXTS), draw(TEXTS), draw(st.sampled_from([(), (worked,)])))
    shown: PreviousAttempt = draw(st.sampled_from([True, False, "quoted"]))
    first, told_wrong = draw(TEXTS), draw(st.booleans())
    right: Verdict = "incorrect" if told_wrong else draw(st.sampled_from(("correct", "incorrect")))
    attempts, reflections, candidates = {1: _attempt(1, first, right)}, {}, []
    instructions = {GENERAL: draw(TEXTS), "1": draw(TEXTS), "2": draw(TEXTS)}
    for number, verdict in enumerate(verdicts, start=1):
        key = draw(st.sampled_from(("1", "2")))
        reflection, correction = draw(TEXTS), draw(TEXTS)
        reflections[number] = _reflection(number, reflection, key)
        attempts[100 + number] = _attempt(100 + number, correction)
        candidates.append(
            candidate(
                number,
                question_id=5,
                attempt_id=1,
                instruction=key,
                attempt_text=first,
                attempt_verdict=right,
                text=reflection,
                correction_id=100 + number,
                correction_verdict=verdict,
                correction_text=correction,
                prompt_text=training_prompts(
                    problem, first, instructions[key], show_previous_attempt=shown, told_wrong=told_wrong
                ),
                general_prompt_text=training_prompts(
                    problem, first, instructions[GENERAL], show_previous_attempt=shown, told_wrong=told_wrong
                ),
                correction_request=correction_request(
                    problem, first, reflection, show_previous_attempt=shown, told_wrong=told_wrong
                ),
                review="accept" if verdict == "correct" else "reject",
            )
        )
    rollouts = Rollouts({5: problem}, attempts, reflections, instructions.__getitem__, shown, told_wrong=told_wrong)
    return Made(candidates, rollouts)


def _dropped(examples: list[AnyExample]) -> list[AnyExample]:
    found = []
    for example in examples:
        sides = example.sides() if isinstance(example, Pair) else (example,)
        if any(
            unfit_target(side.prompt, side.completion, repeatable=side.repeatable) == STATES_TARGET for side in sides
        ):
            found.append(example)
    return found


@given(_made(("correct", "correct")))
@settings(max_examples=300, deadline=None)
def test_no_row_of_d_plus_is_dropped_for_a_leak(made: Made) -> None:
    """Reflections, corrections and corrections as first attempts, all accepted by a human."""
    assert not _dropped(made.examples(d_plus([*made.candidates, *OTHERS], SETTINGS, 0), "d_plus"))


@given(_made(("correct", "incorrect")))
@settings(max_examples=300, deadline=None)
def test_no_pair_of_d_pm_is_dropped_for_a_leak(made: Made) -> None:
    """The rejected reflection is read after the prompt of the chosen one, whose instruction it may repeat."""
    assert not _dropped(made.examples(d_pm([*made.candidates, *OTHERS], SETTINGS, 0), "d_pm"))


@given(_made(("correct", "correct")), st.booleans(), st.booleans())
@settings(max_examples=300, deadline=None)
def test_no_pair_of_d_pref_is_dropped_for_a_leak(made: Made, second_chosen: bool, by_human: bool) -> None:
    """Whatever the source of the preference, and whichever side was chosen."""
    chosen, rejected = (2, 1) if second_chosen else (1, 2)
    said = [
        Preference(number, *pair, "human" if by_human else "judge", 1.0, "", "", 0.0)
        for number, pair in enumerate([(chosen, rejected), (900, 901)])
    ]
    others = [replace(one, question_id=900, attempt_id=900, correction_verdict="correct") for one in OTHERS[:2]]
    curated = d_pref([*made.candidates, *others], said, SETTINGS, JudgeSection(), 0)
    assert not _dropped(made.examples(curated, "d_pref"))


def test_the_draws_reach_both_outcomes() -> None:
    """A clean row is included and trained on; the same row is excluded once its prompt contains the correction."""
    problem = Problem("How much is it?", "Finish with 'Answer:'.")

    def curated(reflection: str) -> tuple[NewCurated, ...]:
        one = candidate(
            1,
            text=reflection,
            correction_text="so the sum of both is 12",
            prompt_text=training_prompts(problem, "Answer: 3", "Reflect.", show_previous_attempt=True),
            correction_request=correction_request(problem, "Answer: 3", reflection, show_previous_attempt=True),
            review="accept",
        )
        return d_plus([one], SETTINGS, 0)

    assert curated("I read the second number wrongly, so I will copy it first.")[0].included
    assert curated("I forgot a carry, so the sum of both is 12, as asked.")[0].reason == "leak"


QUESTION = Problem("How much is 3 + 4 + 5?", "Finish with 'Answer:'.")
DETAIL = "The test assert total([3, 4, 5]) == 12 failed: it returned 8."


@pytest.mark.parametrize("instruction", [compose(GENERAL), compose("1-1-1")], ids=["general", "1-1-1"])
@pytest.mark.parametrize("told_wrong", [True, False])
@pytest.mark.parametrize("detail", ["", DETAIL], ids=["verdict", "detail"])
@pytest.mark.parametrize("shown", [True, False, "quoted"])
def test_every_prompt_that_is_trained_on_is_the_one_that_is_checked(
    instruction: str, told_wrong: bool, detail: str, shown: PreviousAttempt
) -> None:
    """Each turn of each setting's prompt is among the texts that the leak filter reads."""
    attempt, reflection = "3 + 4 is 8. Answer: 8", "I left out the last number, so I will add all three."
    checked = training_prompts(
        QUESTION, attempt, instruction, show_previous_attempt=shown, told_wrong=told_wrong, detail=detail
    )
    request = correction_request(
        QUESTION, attempt, reflection, show_previous_attempt=shown, told_wrong=told_wrong, detail=detail
    )
    prompts = [
        attempt_messages(QUESTION),
        *(
            reflection_prompt(stage, QUESTION, attempt, instruction, told_wrong=told_wrong, detail=detail)
            for entry in TRAINING_SETTINGS.values()
            for stage in entry.stages
            if stage.prompt == "reflection"
        ),
        retry_messages(QUESTION, attempt, show_previous_attempt=shown, told_wrong=told_wrong, detail=detail),
        correction_messages(
            QUESTION, attempt, reflection, show_previous_attempt=shown, told_wrong=told_wrong, detail=detail
        ),
    ]
    for message in (message for prompt in prompts for message in prompt):
        assert message["content"] in checked or message["content"] == request


def test_a_detail_that_states_the_completion_is_a_leak() -> None:
    """The prompt of the rollout contains the verifier's detail, so the filter has to read it too."""
    detail = "The test assert greet('Ann') == 'good morning to you Ann' failed."
    texts = [
        training_prompts(QUESTION, "Answer: 8", "Reflect.", show_previous_attempt=True, detail=one)
        for one in (detail, "")
    ]
    target = "good morning to you Ann"
    assert [states_target(text, target) for text in texts] == [True, False]
