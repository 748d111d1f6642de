"""Settings of an experiment: several series of iterations from one base policy, measured on the same questions.

A series is a chain of iterations under one training setting and one seed. This module describes the plan only;
`reflectevo_tui.experiment` computes the next step from the state of the workspace.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, field_validator, model_validator

from store.settings.base import Section

_MAY_DIFFER = {
    "training": None,
    "curation": None,
    "judge": None,
    "attempt": {"temperature", "top_p", "top_k", "min_p"},
    "reflection": {"temperature", "top_p", "top_k", "min_p", "instructions", "samples", "rounds", "by"},
    "correction": {"temperature", "top_p", "top_k", "min_p"},
    "evaluation": {"promote", "margin_t1", "margin_t2", "undecided"},
}
"""Settings that a series may change, by section; None allows the whole section. All others affect how policies are
measured and must be the same in every series."""


class SeriesSection(Section):
    """One series: a chain of iterations from the base policy."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]*$")
    """Name of the series in reports: lower-case letters, digits, `_ . -`."""
    iterations: int | None = Field(default=None, ge=1)
    """Number of iterations of this series; unset: that of the experiment."""
    baseline: bool = False
    """Whether the series is only a baseline for comparison: it is never selected as the best one, and so never repeated
    with other seeds."""
    changes: dict[str, Any] = Field(default={})
    """Settings that differ from those of the run, as sections: `training`, `curation`, `judge`, the sampling of
    training texts, or the promotion rule in `evaluation`."""

    @field_validator("changes")
    @classmethod
    def _keeps_measurement_settings(cls, value: dict[str, Any]) -> dict[str, Any]:
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
    """Number of iterations of each series."""
    series: list[SeriesSection] = Field(min_length=1)
    """The series, in the order in which they run."""
    repeat_seeds: list[int] = Field(default=[])
    """Seeds with which the best series is repeated. The best series is the one whose policy has the highest Acc@t2 on
    the dev questions after its last iteration."""
    measure: dict[str, Any] = Field(default={})
    """Changes to `[evaluation]` for measuring each promoted policy on the test questions."""
    measure_ends: dict[str, Any] = Field(default={})
    """Further changes for the final policy of each series, e.g. both protocols."""
    measure_base: dict[str, Any] = Field(default={})
    """Changes for an additional measurement of the base policy, e.g. with the baselines at equal tokens; it is also
    measured under `measure_ends`."""
    varies: str | None = Field(default=None, pattern=r"^[a-z_]+\.[a-z_0-9.]+$")
    """Setting that the series differ in, as a dotted key, e.g. `curation.max_examples`: the report shows the results
    over its values. Unset: the series are only compared."""
    recipes_tried: int | None = Field(default=None, ge=1)
    """Number of recipes tried on the dev questions before this one; the report states it."""
    remarks: list[str] = Field(default=[])
    """Remarks of the author on the results; the report prints them unchanged."""

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


def varied_value(settings: Section, key: str) -> object:
    """Return the value of a setting by its dotted key.

    Raises:
        ValueError: there is no such setting.
    """
    value: object = settings
    for part in key.split("."):
        if not isinstance(value, Section) or part not in type(value).model_fields:
            raise ValueError(f"varies names {key!r}, which is no setting; use a key such as 'curation.max_examples'")
        value = getattr(value, part)
    return value


def varied_words(value: object) -> str:
    """Describe the value of a varied setting: `not set`, the items of a list, or the value itself."""
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return "not set" if value is None else str(value)
