"""Settings of a rollout: decoding, reflections and corrections."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from store.settings.base import BLANKS_COUNT, Section

PreviousAttempt = bool | Literal["quoted"]

GENERAL_INSTRUCTION = "general"
"""Key of the general instruction, which evaluation uses."""

_DRAW = re.compile(r"(?:all|(?:random|balanced|adaptive):[1-9]\d*)(?:\+general)?")

_KEY = re.compile(r"[1-9]\d*-[1-9]\d*-[1-9]\d*")

_POLICY_NAME = re.compile(r"p\d{2,}")

REFLECTING_POLICIES = ("policy", "base", "child")
"""Values of `reflection.by` that stand for a policy of the run."""


def reflecting_model(by: str) -> str | None:
    """Return the model that `reflection.by` names; None if it names a policy of the run."""
    return None if by in REFLECTING_POLICIES or _POLICY_NAME.fullmatch(by) else by


_DRAWS = "'all', 'general', a list of keys, 'random:n', 'balanced:n' or 'adaptive:n', with '+general' to add that one"


class Decoding(Section):
    """Decoding parameters of one role."""

    max_tokens: int = Field(default=512, ge=1)
    """Maximum number of new tokens per generation."""
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    """Sampling temperature; 0 is greedy."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Probability mass of nucleus sampling."""
    top_k: int = Field(default=0, ge=0)
    """Number of most probable tokens that are sampled from; 0: all."""
    min_p: float = Field(default=0.0, ge=0.0, lt=1.0)
    """Smallest probability of a sampled token, as a share of that of the most probable one; 0: no limit."""
    repetition_penalty: float = Field(default=1.0, gt=0.0, le=2.0)
    """Factor that the scores of tokens already in the prompt or the text are divided by; 1: none. Also applies to
    greedy decoding, and so to evaluations."""
    stop: Annotated[list[str], BLANKS_COUNT] = Field(default=[], max_length=16)
    """Texts that end a generation; they are no part of it. Also apply to evaluations."""

    @field_validator("stop")
    @classmethod
    def _stops_at_something(cls, value: list[str]) -> list[str]:
        if any(not one for one in value):
            raise ValueError("an empty text would end every generation at once; leave it out")
        return value

    def greedy(self) -> dict[str, object]:
        """Return what greedy decoding depends on, without settings of sampling."""
        return {
            "max_tokens": self.max_tokens,
            "repetition_penalty": self.repetition_penalty,
            "stop": list(self.stop),
        }

    def of_decoding(self) -> Decoding:
        """Return the decoding parameters alone, without the other settings of a section."""
        return Decoding(**{name: getattr(self, name) for name in Decoding.model_fields})


class AttemptSection(Decoding):
    """Decoding of the first attempt, further attempts sampled in training, and whether attempts reason."""

    reason: bool = False
    """Ask for reasoning in short steps before the answer, in attempts and corrections of every task kind (the paper's
    attempts reason). A model of up to 8B otherwise answers a multiple-choice question with the letter alone, so that a
    reflection has no step to refer to."""
    samples: int = Field(default=0, ge=0, le=64)
    """Number of further first attempts sampled per training question, for settings that train on attempts
    (rejection sampling); they are not reflected on. 0: none."""
    sample_temperature: float = Field(default=0.8, gt=0.0, le=5.0)
    """Sampling temperature of these further attempts."""

    @property
    def sampled(self) -> Decoding:
        """The decoding of the further attempts."""
        return self.of_decoding().model_copy(update={"temperature": self.sample_temperature})


class ReflectionSection(Decoding):
    """Sampling of reflections. Defaults are the paper's (section 3.1): k = 2, temperature 0.8."""

    temperature: float = Field(default=0.8, ge=0.0, le=5.0)
    """Sampling temperature; 0 is greedy. It must be above 0 when `samples` is above 1."""
    instructions: str | list[str] = "random:2"
    """Instructions used per attempt: `all`, a list of keys `v-l-p`, or a draw of n: `random:n`, `balanced:n` (least
    used first) or `adaptive:n`. The general instruction of evaluations is the key `general`; `random:2+general` adds
    it to those drawn."""
    samples: int = Field(default=2, ge=1, le=64)
    """Number of reflections per instruction (k)."""
    rounds: int = Field(default=1, ge=1, le=8)
    """Number of rounds of reflection (Reflexion). Each further round adds one reflection on every failed correction."""
    on: Literal["wrong", "all"] = "wrong"
    """Training attempts that are reflected on: the `wrong` ones, or `all` judged ones. With `all` the prompts do not
    reveal the verdict, so that the policy also learns to keep a right answer."""
    feedback: Literal["verdict", "detail"] = "verdict"
    """What a prompt says on a wrong attempt: the `verdict` only, or the verifier's `detail` too, where the kind of task
    has one (a program: the test that failed; free text: its F1). Without an oracle it says neither."""
    by: str = Field(default="policy", min_length=1)
    """Who writes the reflections on training attempts: `policy`, the one that answers (the parent); `base`, the base
    policy; `child`, the newest policy trained from the one that answers in an earlier iteration; the name of a policy,
    e.g. `p01`; or another model, named as in `model`. Attempts and corrections remain those of the policy that answers,
    and in evaluation every policy reflects for itself."""
    parts: str | None = None
    """TOML file with additional instruction parts (`verify`, `locate`, `plan`), relative to the settings file."""

    @field_validator("instructions")
    @classmethod
    def _known_draw(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, list):
            if not value:
                raise ValueError("an empty list draws nothing; use 'all' or name some keys")
            wrong = [key for key in value if key != GENERAL_INSTRUCTION and not _KEY.fullmatch(key)]
            if wrong:
                raise ValueError(f"{wrong[0]!r} is not an instruction key; keys look like '1-3-2', or are 'general'")
            if len(set(value)) != len(value):
                raise ValueError("an instruction key is listed twice")
            return value
        if value != GENERAL_INSTRUCTION and not _DRAW.fullmatch(value):
            raise ValueError(f"use {_DRAWS}")
        return value

    @model_validator(mode="after")
    def _samples_differ(self) -> ReflectionSection:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 with temperature 0 would repeat one text; raise the temperature")
        return self

    @model_validator(mode="after")
    def _details_reveal_verdicts(self) -> ReflectionSection:
        if self.on == "all" and self.feedback == "detail":
            raise ValueError(
                "feedback = 'detail' says how an attempt failed, and with on = 'all' no prompt may reveal the verdict; "
                "use feedback = 'verdict', or on = 'wrong'"
            )
        return self


class CorrectionSection(Decoding):
    """Decoding of the second attempt, and the context it is given."""

    show_previous_attempt: PreviousAttempt = True
    """How the wrong attempt is shown along with the reflection: `true` as a separate turn, `"quoted"` inside a single
    user turn in the format of first attempts (small models keep the answer format better), `false` not at all."""
    samples: int = Field(default=1, ge=1, le=64)
    """Number of corrections of a wrong training attempt with each reflection (m). Above 1, m second attempts without a
    reflection are generated too; the difference of the shares that are right is the lift of the reflection. Needs a
    `temperature` above 0. Training sets contain the first correction only."""

    @model_validator(mode="after")
    def _samples_differ(self) -> CorrectionSection:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                "samples above 1 with temperature 0 would repeat one text; raise correction.temperature, e.g. to 0.7"
            )
        return self
