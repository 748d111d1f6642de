"""The registry of training settings: the set each trains on, its stages and its requirements. Knows no trainer.

Source: ReflectEvo (ACL 2025 Findings, arXiv 2505.16475), section 3.3; the baselines beside it name theirs in
`TrainingSettingEntry.source`. docs/training-settings.md describes each. To add a setting, add an entry here; a new kind
of row also needs an entry in `engine.training.row_kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from store.curation.exclusion_reasons import CAPS, CORRECTION_INCORRECT, UNFIT_ANSWER
from store.curation.learning_rates import QA_RATES, RATES_OF_LOSS, LearningRate, LearningRates, Loss, Method
from store.registry import Registry

TrainingSetting: TypeAlias = str
"""Name of a registered training setting."""

SetName = Literal["d_plus", "d_pm", "d_pref"]

SET_TITLES: Mapping[SetName, str] = {"d_plus": "D+", "d_pm": "D±", "d_pref": "Dpref"}
"""The curated sets as the paper writes them."""

Rows: TypeAlias = str
"""Kind of row, e.g. `reflections` (a reflection with its corrected attempt), `pairs` (a preferred and a rejected
reflection), `questions` (training questions with their worked answers); see `engine.training.row_kinds`."""

RowSource = Literal["curated", "questions", "sampled attempts"]
"""What the rows of a setting are made from: a curated set of reflections, the training questions with their reference
answers, or the sampled first attempts at them (`attempt.samples`)."""

Text = Literal["attempt", "reflection", "correction"]
"""The texts of a trajectory, each generated from its own prompt."""

Prompt = Literal["attempt", "reflection", "correction", "retry"]
"""The prompts of the texts, and that of a second try without a reflection."""

Role = Literal["both", "reflector", "reasoner"]
"""The role of a policy whose texts a stage trains on, or both."""


@dataclass(frozen=True, slots=True)
class StageFacts:
    """One stage of a training setting."""

    prompt: Prompt
    """The text whose prompt is used as the prompt of an example."""
    learnt: tuple[Text, ...]
    """The texts that make up the completion, in order; the loss is computed on them only."""
    role: Role
    """The role that the texts belong to; of a policy with two adapters, this role's adapter is trained."""
    name: str = "train"
    """File name of the stage in an export."""
    title: str = "completion"
    """Title of the completion where its tokens are shown."""
    shuffled: bool = False
    """Whether the prompt shows a reflection on another question of the task instead of the row's own."""

    @property
    def one_generation(self) -> bool:
        """Whether reflection and corrected attempt are learnt as one reply to one prompt."""
        return {"reflection", "correction"} <= set(self.learnt)

    @property
    def second_turn(self) -> bool:
        """Whether it trains on texts after the first attempt."""
        return not {"reflection", "correction"}.isdisjoint(self.learnt)


@dataclass(frozen=True, slots=True)
class TrainingSettingEntry:
    """Facts about a training setting that the rest of the program depends on."""

    name: TrainingSetting
    rows: Rows
    set_name: SetName | None
    """The curated set it trains on; None where its rows are not curated."""
    stages: tuple[StageFacts, ...]
    """One or two stages, in order."""
    question: str = ""
    """The question that a run with this setting answers."""
    source: str = ""
    """The publication of the method."""
    row_source: RowSource = "curated"
    loss: Loss = "sft"
    left_out_reasons: tuple[str, ...] = ()
    """Reasons for leaving a row out of the curated set; rows with these reasons are trained on as well."""
    needs_reference: bool = False
    """Whether its loss needs a reference policy (`training.reference`)."""
    smallest_batch: int = 1
    """Fewest examples per forward pass with which its loss is defined."""
    rates: LearningRates | None = None
    """Its learning rates; None for those that are usual for its loss."""

    @property
    def paired(self) -> bool:
        """Whether an example is a preferred and a rejected completion of one prompt."""
        return self.loss == "dpo"

    @property
    def one_generation(self) -> bool:
        """Whether its policies reflect and correct in one reply to one prompt, because a stage trains them to."""
        return any(stage.one_generation for stage in self.stages)

    @property
    def second_turn(self) -> bool:
        """Whether it trains reflections or corrections; a setting that does not leaves the prompts of its parent."""
        return any(stage.second_turn for stage in self.stages)

    @property
    def judged(self) -> bool:
        """Whether it trains on Dpref, whose pairs a judge or an operator ranks."""
        return self.set_name == "d_pref"

    @property
    def needs_samples(self) -> bool:
        """Whether it trains on sampled first attempts, which `attempt.samples` adds to an iteration."""
        return self.row_source == "sampled attempts"

    @property
    def rehearses(self) -> bool:
        """Whether first attempts can be added to its rows (`training.rehearsal`, `training.distillation`)."""
        return self.set_name == "d_plus" and self.loss == "sft"

    @property
    def shuffled(self) -> bool:
        """Whether a stage shows the reflection on another question."""
        return any(stage.shuffled for stage in self.stages)

    @property
    def sequences(self) -> int:
        """Number of sequences per example in a forward pass."""
        return 2 if self.paired else 1

    @property
    def trained_on(self) -> str:
        """Return what it trains on in a few words, e.g. `D+`."""
        return SET_TITLES[self.set_name] if self.set_name else self.row_source

    def learning_rate(self, method: Method) -> LearningRate:
        """Return the default and the usual range of the peak learning rate for a method."""
        return (self.rates or RATES_OF_LOSS[self.loss]).of(method)


TRAINING_SETTINGS: Registry[TrainingSettingEntry] = Registry("training setting")
"""Every training setting by its name."""


def register_training_setting(entry: TrainingSettingEntry) -> None:
    """Register a training setting, so that settings files may use its name.

    Raises:
        ValueError: when the name is taken, the setting has neither one nor two stages, or its set doesn't fit the
            source of its rows.
    """
    if len(entry.stages) not in (1, 2):
        raise ValueError(f"{entry.name} has {len(entry.stages)} stages; a training has one or two")
    if (entry.set_name is not None) != (entry.row_source == "curated"):
        raise ValueError(f"{entry.name} needs either a curated set or another source of rows, not both")
    if entry.left_out_reasons and entry.set_name is None:
        raise ValueError(f"{entry.name} has no curated set from which rows could be left out")
    TRAINING_SETTINGS.register(entry.name, entry)


def usual_setting(set_name: SetName) -> TrainingSettingEntry:
    """Return the default training setting of a curated set: the first one registered that trains on it."""
    return next(entry for entry in TRAINING_SETTINGS.values() if entry.set_name == set_name)


def settings_with_two_stages() -> tuple[TrainingSetting, ...]:
    """Return the names of the settings that train in two stages."""
    return tuple(entry.name for entry in TRAINING_SETTINGS.values() if len(entry.stages) > 1)


_PAPER = "ReflectEvo (arXiv 2505.16475), section 3.3"
_REFLECTION = StageFacts("reflection", ("reflection",), "reflector")
_FIRST_STAGE = StageFacts("reflection", ("reflection",), "reflector", "stage1", "stage 1: reflection")

for _entry in (
    TrainingSettingEntry(
        "sft-one-stage",
        "reflections",
        "d_plus",
        (StageFacts("reflection", ("reflection", "correction"), "both"),),
        question="Does training on reflections that worked, each with its corrected attempt, teach self-correction?",
        source=_PAPER,
    ),
    TrainingSettingEntry(
        "sft-two-stage",
        "reflections",
        "d_plus",
        (_FIRST_STAGE, StageFacts("correction", ("correction",), "reasoner", "stage2", "stage 2: correction")),
        question="Does it help to learn reflecting first, and then correcting with a reflection in the prompt?",
        source=_PAPER,
    ),
    TrainingSettingEntry(
        "dpo-verdict",
        "pairs",
        "d_pm",
        (_REFLECTION,),
        question="Does preferring reflections that worked to reflections on the same attempt that didn't help?",
        source=_PAPER,
        loss="dpo",
        needs_reference=True,
    ),
    TrainingSettingEntry(
        "dpo-judge",
        "pairs",
        "d_pref",
        (_REFLECTION,),
        question="Among reflections that worked, does preferring those that a judge prefers help?",
        source=_PAPER,
        loss="dpo",
        needs_reference=True,
    ),
    TrainingSettingEntry(
        "sft-qa",
        "questions",
        None,
        (StageFacts("attempt", ("attempt",), "reasoner"),),
        question="How far does training on the reference answers go, without any text of the policy?",
        source="ReflectEvo (arXiv 2505.16475), baseline of its main table",
        row_source="questions",
        rates=QA_RATES,
    ),
    TrainingSettingEntry(
        "kto-verdict",
        "labelled reflections",
        "d_plus",
        (_REFLECTION,),
        question="Do all verified reflections, failed ones included, teach more than the pairs of D±?",
        source="KTO (Ethayarajh et al. 2024, arXiv 2402.01306)",
        loss="kto",
        # What is wrong with the text of a right correction is no fault of the reflection, which alone is learnt.
        left_out_reasons=(CORRECTION_INCORRECT, *UNFIT_ANSWER, *CAPS),
        needs_reference=True,
        smallest_batch=2,
    ),
    TrainingSettingEntry(
        "sft-attempts",
        "right attempts",
        None,
        (StageFacts("attempt", ("attempt",), "reasoner"),),
        question="Does training on right first attempts alone, without any reflection, do as well?",
        source="RFT (arXiv 2308.01825), ReST-EM (arXiv 2312.06585), STaR without hints (arXiv 2203.14465)",
        row_source="sampled attempts",
    ),
    TrainingSettingEntry(
        "dpo-attempts",
        "attempt pairs",
        None,
        (StageFacts("attempt", ("attempt",), "reasoner"),),
        question="Does preferring right to wrong first attempts, without any reflection, do as well as D±?",
        source="DPO (arXiv 2305.18290) on verified samples, as in Iterative RPO (arXiv 2404.19733)",
        row_source="sampled attempts",
        loss="dpo",
        needs_reference=True,
    ),
    TrainingSettingEntry(
        "sft-retry",
        "reflections",
        "d_plus",
        (StageFacts("retry", ("correction",), "reasoner"),),
        question="Is reflecting what is learnt? The corrected attempts of D+ are trained on without their reflections.",
        source="control of this project",
    ),
    TrainingSettingEntry(
        "sft-two-stage-shuffled",
        "reflections",
        "d_plus",
        (
            _FIRST_STAGE,
            StageFacts("correction", ("correction",), "reasoner", "stage2", "stage 2: correction", shuffled=True),
        ),
        question="Does stage 2 learn to use what a reflection says? It is shown reflections on other questions.",
        source="control of this project",
    ),
):
    register_training_setting(_entry)
