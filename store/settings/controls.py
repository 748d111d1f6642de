"""Settings of the controls: what is put where the reflection stands, to measure whether its content helps."""

from __future__ import annotations

from typing import get_args

from pydantic import Field, field_validator

from store.records import Arm, FirstAnswers
from store.settings.base import Section

ARMS: tuple[Arm, ...] = get_args(Arm)
"""Every arm, in the order in which results list them."""

OTHER_ANSWER_TRIES = 8
"""Number of first answers that are sampled at most until one differs from the wrong answer."""

DEFAULT_ARMS: list[Arm] = ["own", "none", "generic", "shuffled", "told"]


class ControlsSection(Section):
    """Controls of an evaluation: the wrong first answers are corrected again with something else in place of the
    reflection, one greedy correction per arm."""

    enabled: bool = False
    """Whether evaluations measure the controls too. `reflectevo eval --controls` measures them at any time, and an
    experiment does for the policy that each series ends with."""
    arms: list[Arm] = Field(default=DEFAULT_ARMS, min_length=1)
    """What stands in place of the reflection: the `own` one, `none`, a `generic` sentence, a `shuffled` one (on another
    wrong answer of the task), a `foreign` one (of another task), or the right answer (`told`); `other-answer` samples
    first answers until one differs; with `parent-reflection` or `parent-correction` the parent policy reflects or
    corrects. `own` is always measured, and twice, for its repeat noise."""
    shuffles: int = Field(default=3, ge=1, le=3)
    """Number of shuffled reflections per wrong answer."""
    first_answers: FirstAnswers = "own"
    """Wrong answers to correct: the policy's `own`, or those of the `base` policy, which every policy then corrects."""
    judgement_samples: int = Field(default=8, ge=0, le=64)
    """Number of times a policy is asked whether its first answer is right; its confidence is the share of yes. 0: not
    asked."""

    @field_validator("arms")
    @classmethod
    def _arms_differ(cls, value: list[Arm]) -> list[Arm]:
        twice = sorted({arm for arm in value if value.count(arm) > 1})
        if twice:
            raise ValueError(f"the arm {twice[0]!r} is listed twice")
        return value

    @property
    def measured_arms(self) -> tuple[Arm, ...]:
        """The arms to measure, in a fixed order; `own` is always among them."""
        return tuple(arm for arm in ARMS if arm == "own" or arm in self.arms)

    def corrections(self, *, retried: bool) -> int:
        """Return the number of texts generated per wrong answer, at most.

        The policy's own correction is that of the evaluation; `own` is generated once more for its repeat noise. With
        the first answers of another policy nothing is known beforehand.

        Args:
            retried: whether the evaluation makes the greedy retry without a reflection, which `none` then takes over.
        """
        anew = self.first_answers == "base"
        texts: dict[Arm, int] = {
            "own": 3 if anew else 1,
            "none": int(anew or not retried),
            "shuffled": self.shuffles,
            "other-answer": OTHER_ANSWER_TRIES,
            "parent-reflection": 2,
        }
        return sum(texts.get(arm, 1) for arm in self.measured_arms)

    @property
    def judgement_tokens(self) -> int:
        """The generated tokens of all judgements of one answer: a word and the end of the reply each."""
        return 2 * self.judgement_samples
