"""Settings: of a run, its tasks and its experiment; presets and recipes; the TOML file that holds them."""

from store.curation.training_settings import TrainingSetting
from store.runs.stages import ROLLOUT_STAGES, STAGES, GateName, StageName
from store.settings.run import (
    CorrectionSection,
    CurationSection,
    Decoding,
    EvaluationSection,
    GenerationSection,
    GeneratorName,
    JudgeSection,
    PreviousAttempt,
    ReflectionSection,
    ReuseSection,
    RunSettings,
    SecondStageSection,
    TrainingSection,
)

__all__ = [
    "ROLLOUT_STAGES",
    "STAGES",
    "CorrectionSection",
    "CurationSection",
    "Decoding",
    "EvaluationSection",
    "GateName",
    "GenerationSection",
    "GeneratorName",
    "JudgeSection",
    "PreviousAttempt",
    "ReflectionSection",
    "ReuseSection",
    "RunSettings",
    "SecondStageSection",
    "StageName",
    "TrainingSection",
    "TrainingSetting",
]
