"""Settings of a rollout: decoding, reflections and corrections."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator, model_validator

from store.settings.base import Section

PreviousAttempt = bool | Literal["quoted"]

_DRAW = re.compile(r"(random|balanced|adaptive):([1-9]\d*)")

_KEY = re.compile(r"[1-9]\d*-[1-9]\d*-[1-9]\d*")


class Decoding(Section):
    """Decoding parameters of one role."""

    max_tokens: int = Field(default=512, ge=1)
    """Maximum number of new tokens per generation."""
    temperature: float = Field(default=0.0, ge=0.0, le=5.0)
    """Sampling temperature; 0 is greedy."""
    top_p: float = Field(default=1.0, gt=0.0, le=1.0)
    """Probability mass of nucleus sampling."""


class AttemptSection(Decoding):
    """Decoding of first attempts, and whether they reason."""

    reason: bool = False
    """Ask for reasoning in short steps before the answer, in attempts and corrections of every task kind (the paper's
    attempts reason). A model of up to 8B otherwise answers a multiple-choice question with the letter alone, so that a
    reflection has no step to refer to."""


class ReflectionSection(Decoding):
    """Sampling of reflections. Defaults are the paper's (section 3.1): k = 2, temperature 0.8."""

    temperature: float = Field(default=0.8, ge=0.0, le=5.0)
    """Sampling temperature; 0 is greedy. It must be above 0 when `samples` is above 1."""
    instructions: str | list[str] = "random:2"
    """Instructions used per attempt: `all`, a list of keys `v-l-p`, or a draw of n: `random:n`, `balanced:n` (least
    used first) or `adaptive:n`."""
    samples: int = Field(default=2, ge=1, le=64)
    """Number of reflections per instruction (k)."""
    rounds: int = Field(default=1, ge=1, le=8)
    """Number of rounds of reflection (Reflexion). Each further round adds one reflection on every failed correction."""
    parts: str | None = None
    """TOML file with additional instruction parts (`verify`, `locate`, `plan`), relative to the settings file."""

    @field_validator("instructions")
    @classmethod
    def _known_draw(cls, value: str | list[str]) -> str | list[str]:
        if isinstance(value, list):
            if not value:
                raise ValueError("an empty list draws nothing; use 'all' or name some keys")
            wrong = [key for key in value if not _KEY.fullmatch(key)]
            if wrong:
                raise ValueError(f"{wrong[0]!r} is not an instruction key; keys look like '1-3-2'")
            if len(set(value)) != len(value):
                raise ValueError("an instruction key is listed twice")
            return value
        if value != "all" and not _DRAW.fullmatch(value):
            raise ValueError("use 'all', a list of keys, 'random:n', 'balanced:n' or 'adaptive:n'")
        return value

    @model_validator(mode="after")
    def _samples_differ(self) -> ReflectionSection:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError("samples above 1 with temperature 0 would repeat one text; raise the temperature")
        return self


class CorrectionSection(Decoding):
    """Decoding of the second attempt, and the context it is given."""

    show_previous_attempt: PreviousAttempt = True
    """How the wrong attempt is shown along with the reflection: `true` as a separate turn, `"quoted"` inside a single
    user turn in the format of first attempts (small models keep the answer format better), `false` not at all."""
