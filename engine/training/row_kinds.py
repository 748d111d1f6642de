"""Registry of the kinds of row that training settings train on: how rows become examples, and which trainer runs.

A training setting names its kind in its entry (`store.curation.training_settings`); no code here depends on a
particular setting. TRL is imported only when a trainer is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.errors import EngineError
from engine.prompts.rollout import Problem
from engine.training.build_examples import (
    Rollouts,
    SourceRow,
    labelled_examples,
    pair_examples,
    reflection_examples,
    source_row,
)
from engine.training.examples import AnyExample, Example, LabelledExample, Pair
from engine.training.sampled_attempts import BuildFromAttempts, attempt_examples, attempt_pairs, right_attempts
from store.curation.records import CuratedRow
from store.curation.training_settings import TRAINING_SETTINGS, TrainingSetting, TrainingSettingEntry
from store.records import StoredAttempt
from store.registry import Registry

Build = Callable[[TrainingSettingEntry, SourceRow, Rollouts], tuple[AnyExample, ...]]
"""Builds the examples of a curated row, one per stage of the setting."""


@dataclass(frozen=True)
class RowKind:
    """How to train on rows of one kind."""

    example: type[AnyExample]
    """Type of the examples: `Example`, `LabelledExample`, `Pair`, or a subclass of one of them."""
    build: Build | None
    """Builds examples from a curated row; None for rows that are not curated."""
    trainer: Callable[[], Callable[..., Any]]
    """Imports and returns the function that builds the trainer; its signature is that of `sft_trainer`."""
    from_attempts: BuildFromAttempts | None = None
    """Builds examples from the sampled first attempts at a question; None for rows that are not made from them."""


def _sft() -> Callable[..., Any]:
    from engine.training.trl.sft import sft_trainer

    return sft_trainer


def _dpo() -> Callable[..., Any]:
    from engine.training.trl.dpo import dpo_trainer

    return dpo_trainer


def _kto() -> Callable[..., Any]:
    from engine.training.trl.kto import kto_trainer

    return kto_trainer


ROW_KINDS: Registry[RowKind] = Registry(
    "kind of row",
    {
        "reflections": RowKind(Example, reflection_examples, _sft),
        "pairs": RowKind(Pair, pair_examples, _dpo),
        "labelled reflections": RowKind(LabelledExample, labelled_examples, _kto),
        "questions": RowKind(Example, None, _sft),
        "right attempts": RowKind(Example, None, _sft, right_attempts),
        "attempt pairs": RowKind(Pair, None, _dpo, attempt_pairs),
    },
)
"""Kinds of row by name."""


def register_row_kind(name: str, kind: RowKind) -> None:
    """Register a kind of row that training settings can name. Raises ValueError when the name is taken."""
    ROW_KINDS.register(name, kind)


def row_kind(setting: TrainingSetting) -> RowKind:
    """Return the kind of row that a training setting trains on. Raises EngineError when it is not registered."""
    entry = TRAINING_SETTINGS[setting]
    if entry.rows not in ROW_KINDS:
        raise EngineError(f"{setting} trains on rows that nothing builds: {ROW_KINDS.unknown(entry.rows)}")
    return ROW_KINDS[entry.rows]


def examples_from_attempts(
    setting: TrainingSetting,
    attempts: Iterable[StoredAttempt],
    problems: Mapping[int, Problem],
    per_question: int,
) -> tuple[AnyExample, ...]:
    """Return the examples of a setting that trains on sampled first attempts; see `attempt_examples`.

    Raises EngineError for rows that are not made from attempts.
    """
    build = row_kind(setting).from_attempts
    if build is None:
        raise EngineError(f"{setting} doesn't train on sampled attempts")
    return attempt_examples(TRAINING_SETTINGS[setting], build, attempts, problems, per_question)


def stage_examples(
    setting: TrainingSetting, rows: Iterable[CuratedRow], rollouts: Rollouts
) -> tuple[tuple[AnyExample, ...], ...]:
    """Return the examples of each stage of a setting that trains on curated rows; ids are those of the rows.

    Raises EngineError when a record that a row references is missing.
    """
    by_row = [row_examples(setting, row, rollouts) for row in rows]
    return tuple(zip(*by_row, strict=True)) if by_row else ((),)


def row_examples(setting: TrainingSetting, row: CuratedRow, rollouts: Rollouts) -> tuple[AnyExample, ...]:
    """Return the examples of one curated row, one per stage. Raises EngineError as `stage_examples` does."""
    build = row_kind(setting).build
    if build is None:
        raise EngineError(f"{setting} doesn't train on curated rows")
    return build(TRAINING_SETTINGS[setting], source_row(row, rollouts), rollouts)
