"""The kinds of row that training settings train on: how a curated row becomes examples, and what trains on them.

A training setting names its kind in its entry (`store.curation.training_settings`); nothing here asks for a setting.
Loads no TRL before a trainer is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from engine.errors import EngineError
from engine.training.build_examples import Rollouts, SourceRow, pair_examples, reflection_examples, source_row
from engine.training.examples import AnyExample, Example, Pair
from store.curation.records import CuratedRow
from store.curation.training_settings import TRAINING_SETTINGS, TrainingSetting, TrainingSettingEntry
from store.registry import Registry

Build = Callable[[TrainingSettingEntry, SourceRow, Rollouts], tuple[AnyExample, ...]]
"""From a curated row to one example a stage of the setting."""


@dataclass(frozen=True)
class RowKind:
    """How rows of one kind are trained on."""

    example: type[AnyExample]
    """What a row becomes: `Example`, `Pair`, or a subclass of one of them."""
    build: Build | None
    """None for rows that are no curated rows."""
    trainer: Callable[[], Callable[..., Any]]
    """Imports and returns what builds the trainer: `sft_trainer`, `dpo_trainer`, or a function called like them."""


def _sft() -> Callable[..., Any]:
    from engine.training.trl.sft import sft_trainer

    return sft_trainer


def _dpo() -> Callable[..., Any]:
    from engine.training.trl.dpo import dpo_trainer

    return dpo_trainer


ROW_KINDS: Registry[RowKind] = Registry(
    "kind of row",
    {
        "reflections": RowKind(Example, reflection_examples, _sft),
        "pairs": RowKind(Pair, pair_examples, _dpo),
        "questions": RowKind(Example, None, _sft),
    },
)
"""Every kind of row by its name."""


def register_row_kind(name: str, kind: RowKind) -> None:
    """Add a kind of row for training settings to name. Raises ValueError when the name is taken."""
    ROW_KINDS.register(name, kind)


def row_kind(setting: TrainingSetting) -> RowKind:
    """The kind of row that a training setting trains on. Raises EngineError when that kind is not registered."""
    entry = TRAINING_SETTINGS[setting]
    if entry.rows not in ROW_KINDS:
        raise EngineError(f"{setting} trains on rows that nothing builds: {ROW_KINDS.unknown(entry.rows)}")
    return ROW_KINDS[entry.rows]


def stage_examples(
    setting: TrainingSetting, rows: Iterable[CuratedRow], rollouts: Rollouts
) -> tuple[tuple[AnyExample, ...], ...]:
    """The examples of each stage of a setting that trains on curated rows; ids are those of the rows.

    Raises EngineError when a row points to something that isn't there.
    """
    by_row = [row_examples(setting, row, rollouts) for row in rows]
    return tuple(zip(*by_row, strict=True)) if by_row else ((),)


def row_examples(setting: TrainingSetting, row: CuratedRow, rollouts: Rollouts) -> tuple[AnyExample, ...]:
    """What one curated row becomes: one example a stage. Raises EngineError as `stage_examples`."""
    build = row_kind(setting).build
    if build is None:
        raise EngineError(f"{setting} doesn't train on curated rows")
    return build(TRAINING_SETTINGS[setting], source_row(row, rollouts), rollouts)
