"""Request and result of a training, and the stages that a training setting consists of.

Pure: values only. Independent of torch, TRL and the database; files appear as paths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import TrainingRefused
from engine.training.examples import AnyExample, Example
from engine.training.row_kinds import row_kind
from store.curation.training_settings import TRAINING_SETTINGS, Role, settings_with_two_stages
from store.settings import TrainingSection, TrainingSetting


@dataclass(frozen=True)
class TrainingRequest:
    """Everything that defines one training."""

    setting: TrainingSetting
    base: Path
    """Directory of the model that adapters are relative to."""
    parent_adapter: Path | None
    """Adapter directory of the parent policy, which training continues; None starts from the base model."""
    examples: tuple[AnyExample, ...]
    """Training examples; in a setting with two stages those of stage 1: question and attempt → reflection."""
    settings: TrainingSection
    seed: int
    work_dir: Path
    """Directory of the checkpoints; emptied once the policy is on disk."""
    destination: Path
    """Policy directory to write."""
    details: Mapping[str, object] = field(default_factory=dict)
    """Facts written to `policy.json` beside the result; JSON values only."""
    merge: bool = True
    """Whether to write merged weights as well; off where the inference server loads base + LoRA."""
    second_examples: tuple[Example, ...] = ()
    """Examples of the second stage, if there is one: question, attempt and reflection → corrected attempt."""
    parent_reflector: Path | None = None
    """The reflector's adapter of a parent with two; None when one adapter (or none) plays both roles."""
    reference_base: Path | None = None
    """The run's base model where it differs from `base` (fully fine-tuned parent), for `reference = "base"`."""
    keywords: Mapping[str, Any] = field(default_factory=dict)
    """Keywords of the chat template; see `generation.template`."""
    system: str = ""
    """System message before every prompt; see `generation.system`."""


@dataclass(frozen=True)
class TrainingStage:
    """One stage of a training: one trainer run from its first step to its last."""

    number: int
    """1, or 2 for the second stage of a setting with two."""
    trained: Role
    """Whose weights these are: those of one policy that plays both roles, or of one of two."""
    examples: tuple[AnyExample, ...]
    settings: TrainingSection
    start: Path | None
    """Adapter that the stage continues; None starts from the base."""
    continues: bool = False
    """Whether the stage starts from the weights of the previous stage instead."""


def stages_of(request: TrainingRequest) -> tuple[TrainingStage, ...]:
    """Return the stages of a training (paper, section 3.3); most settings have one.

    A parent with two adapters keeps two: preference training continues its reflector, `sft-qa` its reasoner, and
    separate two-stage training continues each from its own. Raises TrainingRefused where that is impossible, or when
    the rows are not of the kind that the setting trains on.
    """
    settings, setting = request.settings, request.setting
    wanted = row_kind(setting).example
    if not all(isinstance(example, wanted) for example in (*request.examples, *request.second_examples)):
        raise TrainingRefused(f"{setting} trains on {wanted.__name__} rows only; curation gave others.")
    reflector = request.parent_reflector
    if reflector is not None and settings.method == "full":
        raise TrainingRefused(
            "the parent has two adapters, a reflector's and a reasoner's, and full fine-tuning writes one model. "
            "Set training.method = 'lora', or start from another policy."
        )
    starts: dict[Role, Path | None] = {
        "both": request.parent_adapter,
        "reasoner": request.parent_adapter,
        "reflector": reflector or request.parent_adapter,
    }
    first, *rest = TRAINING_SETTINGS[setting].stages
    if rest and settings.adapters == "separate":
        second = rest[0].role
        return (
            TrainingStage(1, first.role, request.examples, settings, starts[first.role]),
            TrainingStage(2, second, request.second_examples, second_stage(settings), starts[second]),
        )
    if reflector is not None and (rest or first.role == "both"):
        raise TrainingRefused(
            f"the parent has two adapters, a reflector's and a reasoner's, and {setting} would train one for both. "
            f"Use {' or '.join(settings_with_two_stages())} with training.adapters = 'separate', a setting that trains "
            "one role, such as dpo-verdict, or start from another policy."
        )
    if rest:
        return (
            TrainingStage(1, "both", request.examples, settings, request.parent_adapter),
            TrainingStage(2, "both", request.second_examples, second_stage(settings), None, continues=True),
        )
    if reflector is None:
        return (TrainingStage(1, "both", request.examples, settings, request.parent_adapter),)
    return (TrainingStage(1, first.role, request.examples, settings, starts[first.role]),)


def second_stage(settings: TrainingSection) -> TrainingSection:
    """Return the settings of stage 2: `[training]` overridden by `[training.second_stage]`."""
    own = settings.second_stage.model_dump(exclude_none=True)
    return settings.model_copy(update=own)


@dataclass(frozen=True)
class StageResult:
    """The outcome of one stage."""

    number: int
    trained: Role
    """Whose weights these are: those of one policy that plays both roles, or of one of two."""
    steps: int
    """Optimizer steps done, over all resumes."""
    total_steps: int
    """Optimizer steps of the complete stage; after early stopping, the steps done."""
    finished: bool
    final: dict[str, float]
    """Metrics of the last optimizer step."""
    kept: int
    """Number of examples trained on."""
    held_out: int
    """Number of examples held out to measure the loss on."""
    dropped: tuple[tuple[int, str], ...]
    """Id and reason of each dropped example."""
    batch_size: int
    """Examples per forward pass at the end: smaller than the setting when memory ran out."""
    stopped_early: bool = False
    best_step: int | None = None
    """The step of the lowest held-out loss, whose weights are used; None when none was measured (last step used)."""
    best_loss: float | None = None


@dataclass(frozen=True)
class TrainingResult:
    """The outcome of a training, with those of its stages so far."""

    completed: bool
    """False when it was stopped: the work directory has a checkpoint, and the same request resumes from it."""
    stages: tuple[StageResult, ...]
    total_steps: int
    """Optimizer steps of all stages together."""
    separate: bool = False
    """Whether the policy has two adapters, one of the reasoner and one of the reflector."""

    @property
    def steps(self) -> int:
        """Optimizer steps done, over all stages and resumes."""
        return sum(stage.steps for stage in self.stages)

    @property
    def final(self) -> dict[str, float]:
        """Metrics of the last optimizer step."""
        return self.stages[-1].final if self.stages else {}

    @property
    def kept(self) -> int:
        """Number of examples of the last stage (each row of D+ gives one example per stage)."""
        return self.stages[-1].kept if self.stages else 0

    @property
    def dropped_reasons(self) -> tuple[tuple[int, str], ...]:
        """Id and reason of each dropped example, over all stages."""
        return tuple(one for stage in self.stages for one in stage.dropped)

    @property
    def dropped(self) -> int:
        """Number of dropped examples, over all stages."""
        return len(self.dropped_reasons)

    @staticmethod
    def load(recorded: Mapping[str, Any]) -> TrainingResult:
        """Return the result that was stored as the JSON of `dataclasses.asdict`."""
        stages = tuple(
            StageResult(
                **{**stage, "dropped": tuple((int(number), str(reason)) for number, reason in stage["dropped"])}
            )
            for stage in recorded["stages"]
        )
        return TrainingResult(**{**recorded, "stages": stages})
