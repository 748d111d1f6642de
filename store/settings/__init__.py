"""Settings of a run, its tasks and its experiment; dataset presets, recipes, and the TOML file format."""

from store.curation.training_settings import TrainingSetting
from store.records import GateName, StageName
from store.runs.stages import ROLLOUT_STAGES, STAGES
from store.settings.controls import ControlsSection
from store.settings.curation import CurationSection, JudgeSection
from store.settings.evaluation import EvaluationSection
from store.settings.generation import GenerationSection, GeneratorName
from store.settings.rollout import AttemptSection, CorrectionSection, Decoding, PreviousAttempt, ReflectionSection
from store.settings.run import ReuseSection, RunSettings
from store.settings.training import SecondStageSection, TrainingSection

__all__ = [
    "ROLLOUT_STAGES",
    "STAGES",
    "AttemptSection",
    "ControlsSection",
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
