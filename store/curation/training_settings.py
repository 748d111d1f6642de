"""The registry of training settings: the set each trains on, its stages and its requirements. Knows no trainer.

Source: ReflectEvo (ACL 2025 Findings, arXiv 2505.16475), section 3.3; `sft-qa` is the baseline without reflection.
To add a setting, add an entry here; a new kind of row also needs an entry in `engine.training.row_kinds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from store.registry import Registry

TrainingSetting: TypeAlias = str
"""Name of a registered training setting."""

SetName = Literal["d_plus", "d_pm", "d_pref"]

SET_TITLES: Mapping[SetName, str] = {"d_plus": "D+", "d_pm": "D±", "d_pref": "Dpref"}
"""The curated sets as the paper writes them."""

Rows: TypeAlias = str
"""Kind of row: `reflections` (a reflection with its corrected attempt), `pairs` (a preferred and a rejected
reflection), `questions` (training questions with their worked answers), or another of `engine.training.row_kinds`."""

Text = Literal["attempt", "reflection", "correction"]
"""The texts of a trajectory, each generated from its own prompt."""

Role = Literal["both", "reflector", "reasoner"]
"""The role of a policy whose texts a stage trains on, or both."""

PAPER_RATE = 1e-3
"""Peak learning rate of the paper's appendix."""


@dataclass(frozen=True, slots=True)
class StageFacts:
    """One stage of a training setting."""

    prompt: Text
    """The text whose prompt is used as the prompt of an example."""
    learnt: tuple[Text, ...]
    """The texts that make up the completion, in order; the loss is computed on them only."""
    role: Role
    """The role that the texts belong to; of a policy with two adapters, this role's adapter is trained."""
    name: str = "train"
    """File name of the stage in an export."""
    title: str = "completion"
    """Title of the completion where its tokens are shown."""

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
    """The curated set it trains on; None for the training questions themselves."""
    stages: tuple[StageFacts, ...]
    """One or two stages, in order."""
    needs_reference: bool = False
    """Whether its loss needs a reference policy (`training.reference`)."""
    learning_rate: float = PAPER_RATE
    """Default of `training.learning_rate` for every stage."""

    @property
    def paired(self) -> bool:
        """Whether an example is a preferred and a rejected completion of one prompt."""
        return self.rows == "pairs"

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
    def sequences(self) -> int:
        """Number of sequences per example in a forward pass."""
        return 2 if self.paired else 1


_REFLECTION = StageFacts("reflection", ("reflection",), "reflector")

TRAINING_SETTINGS: Registry[TrainingSettingEntry] = Registry("training setting")
"""Every training setting by its name."""


def register_training_setting(entry: TrainingSettingEntry) -> None:
    """Register a training setting, so that settings files may use its name.

    Raises:
        ValueError: when the name is taken, or the setting has neither one nor two stages.
    """
    if len(entry.stages) not in (1, 2):
        raise ValueError(f"{entry.name} has {len(entry.stages)} stages; a training has one or two")
    TRAINING_SETTINGS.register(entry.name, entry)


def usual_setting(set_name: SetName) -> TrainingSettingEntry:
    """Return the default training setting of a curated set: the first one registered that trains on it."""
    return next(entry for entry in TRAINING_SETTINGS.values() if entry.set_name == set_name)


for _entry in (
    TrainingSettingEntry(
        "sft-one-stage", "reflections", "d_plus", (StageFacts("reflection", ("reflection", "correction"), "both"),)
    ),
    TrainingSettingEntry(
        "sft-two-stage",
        "reflections",
        "d_plus",
        (
            StageFacts("reflection", ("reflection",), "reflector", "stage1", "stage 1: reflection"),
            StageFacts("correction", ("correction",), "reasoner", "stage2", "stage 2: correction"),
        ),
    ),
    TrainingSettingEntry("dpo-verdict", "pairs", "d_pm", (_REFLECTION,), needs_reference=True),
    TrainingSettingEntry("dpo-judge", "pairs", "d_pref", (_REFLECTION,), needs_reference=True),
    TrainingSettingEntry("sft-qa", "questions", None, (StageFacts("attempt", ("attempt",), "reasoner"),)),
):
    register_training_setting(_entry)
