"""Settings of an experiment: several series of iterations from one base policy, measured on the same questions.

A series is a chain of iterations under one training setting and one seed. Knows what belongs together, nothing of
what happened; `reflectevo_tui.experiment` says what comes next.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from store.settings.tasks import Section

if TYPE_CHECKING:
    from store.settings import RunSettings

_MAY_DIFFER = {
    "training": None,
    "curation": None,
    "judge": None,
    "attempt": {"temperature", "top_p"},
    "reflection": {"temperature", "top_p", "instructions", "samples", "rounds"},
    "correction": {"temperature", "top_p"},
    "evaluation": {"promote"},
}
"""What a series may set otherwise, by section; None is all of it. Everything else is how policies are measured."""


class SeriesSection(Section):
    """One series: a chain of iterations from the base policy."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    """Name of the series in reports: lower case letters, digits, `_ . -`."""
    iterations: int | None = Field(default=None, ge=1)
    """Iterations of this series; unset: those of the experiment."""
    baseline: bool = False
    """A series to compare with: never the best one, so never run again with other seeds."""
    changes: dict[str, Any] = Field(default={})
    """What differs from the settings of the run, as sections: `training`, `curation`, `judge`, how training texts are
    sampled, or `evaluation.promote`."""

    @field_validator("changes")
    @classmethod
    def _leaves_the_measure_alone(cls, value: dict[str, Any]) -> dict[str, Any]:
        for section, changed in value.items():
            if section not in _MAY_DIFFER or not isinstance(changed, Mapping):
                raise ValueError(f"{section!r} can't differ between series; these can: {', '.join(_MAY_DIFFER)}")
            allowed = _MAY_DIFFER[section]
            wrong = sorted(set(changed) - allowed) if allowed is not None else []
            if wrong:
                raise ValueError(f"'{section}.{wrong[0]}' can't differ between series: policies are measured by it")
        return value


class ExperimentSection(Section):
    """Several series from one base policy, run one after another by `reflectevo experiment`."""

    iterations: int = Field(default=3, ge=1)
    """Iterations of each series."""
    series: list[SeriesSection] = Field(min_length=1)
    """The series, in the order in which they run."""
    repeat_seeds: list[int] = Field(default=[])
    """Seeds with which the best series is run again: the one whose policy has the highest Acc@t2 on the dev questions
    after its last iteration."""
    measure: dict[str, Any] = Field(default={})
    """How each promoted policy is measured on the test questions: what differs from `[evaluation]`."""
    measure_ends: dict[str, Any] = Field(default={})
    """What differs further for the policy that each series ends with, e.g. both protocols."""
    measure_base: dict[str, Any] = Field(default={})
    """How the base policy is measured a second time, beside as an end: e.g. with the baselines at equal tokens."""
    recipes_tried: int | None = Field(default=None, ge=1)
    """How many recipes were tried on the dev questions before this one; the report says it."""
    remarks: list[str] = Field(default=[])
    """What the author has to say about the results; the report prints it as it is."""

    @model_validator(mode="after")
    def _names_differ(self) -> ExperimentSection:
        names = [one.name for one in self.series]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two series are named {twice[0]!r}; names must differ")
        if len(set(self.repeat_seeds)) != len(self.repeat_seeds):
            raise ValueError("a seed is listed twice in repeat_seeds")
        if self.repeat_seeds and all(one.baseline for one in self.series):
            raise ValueError("repeat_seeds needs a series that isn't a baseline")
        return self


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of nested settings with some of them changed; tables are merged, anything else is replaced."""
    result = dict(values)
    for name, change in changes.items():
        old = result.get(name)
        result[name] = merged(old, change) if isinstance(change, Mapping) and isinstance(old, Mapping) else change
    return result


def of_series(settings: RunSettings, name: str, seed: int) -> RunSettings:
    """The settings of an iteration of a series.

    Raises:
        ValidationError: when the series' changes don't fit.
    """
    assert settings.experiment is not None
    series = next(one for one in settings.experiment.series if one.name == name)
    values = settings.model_dump(mode="json", exclude={"experiment"})
    own = {"seed": seed, "series": name, "iterations": 1}
    return type(settings).model_validate(merged(merged(values, series.changes), own))


def measuring(settings: RunSettings, place: Literal["each", "end", "base"]) -> RunSettings:
    """The settings under which a policy is measured on the test questions: one of a series, its end, or the base.

    Raises:
        ValidationError: when the experiment's changes don't fit.
    """
    assert settings.experiment is not None
    own = {"each": {}, "end": settings.experiment.measure_ends, "base": settings.experiment.measure_base}[place]
    values = settings.model_dump(mode="json", exclude={"experiment"})
    changes = {**settings.experiment.measure, **own, "split": "test"}
    return type(settings).model_validate(merged(values, {"evaluation": changes}))


def check_experiment(settings: RunSettings) -> None:
    """Whether an experiment is honest and can be whole.

    Raises:
        ValueError: with what is wrong, and where.
    """
    experiment = settings.experiment
    assert experiment is not None
    if settings.evaluation.split != "dev":
        raise ValueError(
            "an experiment needs evaluation.split = 'dev': what decides over a policy must not look at the test "
            "questions, which measure it"
        )
    if experiment.repeat_seeds and settings.question_seed is None:
        raise ValueError("repeat_seeds needs question_seed, so that all seeds are measured on the same questions")
    if settings.seed in experiment.repeat_seeds:
        raise ValueError(f"seed {settings.seed} is the run's own; name others in repeat_seeds")
    if not all(task.test for task in settings.tasks):
        raise ValueError("an experiment needs test questions of every task")
    for one in experiment.series:
        _try(f"series {one.name}", partial(of_series, settings, one.name, settings.seed))
    _try("measure", partial(measuring, settings, "each"))
    _try("measure_ends", partial(measuring, settings, "end"))
    _try("measure_base", partial(measuring, settings, "base"))


def _try(place: str, make: Callable[[], RunSettings]) -> None:
    try:
        make()
    except ValidationError as error:
        first = error.errors()[0]
        wrong = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{place}: {wrong}: {first['msg'].removeprefix('Value error, ')}") from error
