"""Settings of the evaluation on held-out questions, and of the decision on promotion."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from store.settings.base import Section
from store.settings.controls import ControlsSection


class EvaluationSection(Section):
    """Comparison of parent and child on held-out questions."""

    protocol: Literal["oracle", "oracle-free", "both"] = "oracle"
    """`oracle`: reflect on wrong answers only, as in the paper. `oracle-free`: reflect on every answer. `both`: measure
    the two from the same first answers; the promotion rule then uses `oracle`."""
    rounds: int = Field(default=1, ge=1, le=8)
    """Number of rounds of reflection on the newest attempt (Reflexion). Above 1, the majority vote over the rounds is
    measured too."""
    retry_baseline: bool = True
    """Also retry wrongly answered questions without a reflection, with the same number of attempts."""
    retry_samples: int = Field(default=1, ge=1, le=64)
    """Number of tries of the retry baseline. Above 1 they are sampled, and counted only up to the number of tokens that
    reflection used."""
    vote_samples: int = Field(default=0, ge=0, le=64)
    """Number of sampled answers of the majority-vote baseline, counted only up to the number of tokens that reflection
    used; 0 disables it."""
    baseline_temperature: float = Field(default=0.7, gt=0.0, le=5.0)
    """Sampling temperature of the baselines."""
    repeat: bool = False
    """Measure the base policy a second time under the same protocol. The difference between the two measurements is
    shown beside the differences between policies: greedy decoding is not the same in every batch."""
    promote: Literal["operator", "not-worse", "always"] = "not-worse"
    """Promotion rule without a `promote` gate: `operator` waits for an operator's decision; `not-worse` promotes a
    child that is shown not to lose more than the margins, rejects one that is shown to lose, and otherwise does what
    `undecided` says; `always` promotes it in any case."""
    margin_t1: float = Field(default=0.04, gt=0.0, le=1.0)
    """Non-inferiority margin of Acc@t1, as a share: `not-worse` promotes only if the lower bound of child − parent is
    above −`margin_t1`. 0.04 is 4 percentage points."""
    margin_t2: float = Field(default=0.04, gt=0.0, le=1.0)
    """Non-inferiority margin of Acc@t2."""
    undecided: Literal["operator", "promote", "reject"] = "operator"
    """What `not-worse` does with a child when the questions can't tell whether it lost more than a margin: `operator`
    waits at the `promote` gate, also where none is configured; `promote` and `reject` decide without an operator, for
    runs that nobody watches."""
    split: Literal["dev", "test"] = "dev"
    """Questions that promotion is decided on: `dev`, those reserved for decisions, or `test`. Unset: `dev` where a task
    reserves dev questions, otherwise `test`. With `dev`, the test questions measure each promoted policy once, and
    nothing is decided on them."""
    fresh_dev: int = Field(default=0, ge=0)
    """Number of iterations after which tasks with generated questions draw new dev questions, so that repeated
    decisions do not adapt to the same ones; 0: never. Parent and child of an iteration answer the same ones. Only with
    `split = "dev"`."""
    controls: ControlsSection = ControlsSection()
    """Controls that show whether the content of the reflections helps."""

    def control_corrections(self) -> int:
        """Return the number of texts that controls generate per wrong answer, at most; several retries are sampled."""
        return self.controls.corrections(retried=self.retry_baseline and self.retry_samples == 1)
