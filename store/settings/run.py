"""Run settings: the single source for the engine, the command line and the forms.

A run is described by one TOML file. Every section is a frozen pydantic model that rejects unknown keys, so a misspelt
setting is an error with a location and a suggestion, never a silent default. This module does not know models, devices
or databases.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from operator import attrgetter
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from store.records import GateName
from store.settings.base import Section
from store.settings.curation import CurationSection, JudgeSection
from store.settings.evaluation import EvaluationSection
from store.settings.experiment import ExperimentSection, varied_value
from store.settings.generation import GenerationSection
from store.settings.rollout import AttemptSection, CorrectionSection, ReflectionSection, reflecting_model
from store.settings.tasks import TASK_SECTIONS, Task, TaskSection, any_task, kind_of
from store.settings.training import TrainingSection


class ReuseSection(Section):
    """Reuse of stored texts from an earlier iteration of the run instead of generating them again."""

    iteration: int = Field(ge=1)
    """Number of the iteration whose texts are reused."""
    what: Literal["attempts", "reflections", "corrections"] = "attempts"
    """`attempts`: reuse the first attempts only and generate new reflections on them. `reflections`: reuse the
    reflections too. `corrections`: reuse the whole rollouts."""


class RunSettings(Section):
    """Everything that defines a run."""

    name: str = Field(default="run", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    """Name of the experiment."""
    model: str
    """Base model: a local path, an installed model package, or a hub name (looked up in this order)."""
    reflector: str | None = None
    """Separate model that writes the reflections; unset: the policy reflects on its own attempts."""
    seed: int = Field(default=0, ge=0)
    """Random seed of the run."""
    question_seed: int | None = Field(default=None, ge=0)
    """Seed for the selection of questions; unset: `seed`. When it is set, the iterations of a run may differ in
    `seed`."""
    pace: Literal["flow", "step"] = "flow"
    """`flow`: stages are pipelined. `step`: each stage waits for an operator's approval."""
    gates: list[GateName] = Field(default=[])
    """Stages that wait for an operator's approval before they start; `promote` waits after the evaluation."""
    iterations: int = Field(default=1, ge=1)
    """Number of iterations to run one after another."""
    stall_minutes: float = Field(default=30.0, ge=0.0)
    """Minutes without progress after which a process is considered hung and restarted; 0: never."""
    trust_remote_code: list[str] = Field(default=[])
    """Models, as named in `model` or `reflector`, whose own code may run on this machine. Starting the run requires a
    second confirmation."""
    tasks: list[Task] = Field(min_length=1)
    """The task mix."""
    generation: GenerationSection = GenerationSection()
    """Generator and its limits."""
    attempt: AttemptSection = AttemptSection()
    """Decoding of first attempts, greedy and sampled."""
    reflection: ReflectionSection = ReflectionSection()
    """Decoding of reflections and selection of instructions."""
    correction: CorrectionSection = CorrectionSection()
    """Decoding of the second attempt."""
    reuse: ReuseSection | None = None
    """Reuse of stored texts; unset: everything is generated."""
    curation: CurationSection = CurationSection()
    """Filters and caps of the training sets."""
    judge: JudgeSection = JudgeSection()
    """Judge that ranks the pairs of Dpref."""
    training: TrainingSection = TrainingSection()
    """Training of the child policy."""
    evaluation: EvaluationSection = EvaluationSection()
    """Comparison on held-out questions."""
    series: str | None = None
    """Series of the experiment that an iteration belongs to; set by `reflectevo experiment`."""
    experiment: ExperimentSection | None = None
    """Several series from one base policy, for `reflectevo experiment`."""

    @property
    def chooses_by(self) -> int:
        """The seed for the selection of questions."""
        return self.seed if self.question_seed is None else self.question_seed

    @model_validator(mode="after")
    def _experiment_is_sound(self) -> RunSettings:
        if self.experiment is not None:
            check_experiment(self)
        return self

    @model_validator(mode="before")
    @classmethod
    def _default_split(cls, values: Any) -> Any:
        """Decide on the test questions by default where no task reserves dev questions."""
        if not isinstance(values, Mapping):
            return values
        section = values.get("evaluation", {})
        tasks = values.get("tasks")
        if not isinstance(section, Mapping) or "split" in section or not isinstance(tasks, list | tuple):
            return values
        reserved = any(task.get("dev") if isinstance(task, Mapping) else getattr(task, "dev", 0) for task in tasks)
        return values if reserved else {**values, "evaluation": {**section, "split": "test"}}

    @model_validator(mode="after")
    def _has_dev_questions(self) -> RunSettings:
        if self.evaluation.split == "dev" and not any(task.dev for task in self.tasks):
            raise ValueError(
                "evaluation.split is 'dev', but no task reserves dev questions; set dev = 50 for one of them"
            )
        return self

    @model_validator(mode="after")
    def _samples_corrections_for_lifts(self) -> RunSettings:
        named = [
            name
            for name, used in (
                (f"curation.min_lift = {self.curation.min_lift}", self.curation.min_lift is not None),
                ("curation.pairs_by = 'lift'", self.curation.pairs_by == "lift"),
            )
            if used
        ]
        if named and self.correction.samples < 2:
            raise ValueError(
                f"{named[0]} needs the lift of reflections, and with correction.samples = {self.correction.samples} no "
                "lift is known; set correction.samples to at least 2, e.g. to 4, with a correction.temperature above 0"
            )
        return self

    @property
    def decides_on_reported_questions(self) -> bool:
        """Whether promotion is decided on the test questions, which makes their results too good."""
        return self.evaluation.split == "test"

    @property
    def reports_on_test(self) -> bool:
        """Whether promoted policies are measured on test questions that nothing is decided on.

        The series of an experiment are measured by the experiment itself.
        """
        return self.evaluation.split == "dev" and self.series is None and any(task.test for task in self.tasks)

    @model_validator(mode="after")
    def _trusts_its_own_models(self) -> RunSettings:
        strange = [name for name in self.trust_remote_code if name not in (self.model, *self.reflecting_models)]
        if strange:
            raise ValueError(f"trust_remote_code names {strange[0]!r}, which is neither model nor reflector")
        return self

    @property
    def reflecting_models(self) -> tuple[str, ...]:
        """The models that write reflections besides the run's own: `reflector`, and those that `reflection.by` of the
        run or of a series of its experiment names."""
        named = [self.reflection.by]
        for one in self.experiment.series if self.experiment else ():
            changed = one.changes.get("reflection", {})
            named.append(str(changed.get("by", "policy")) if isinstance(changed, Mapping) else "policy")
        models = [self.reflector, *map(reflecting_model, named)]
        return tuple(dict.fromkeys(name for name in models if name is not None))

    @model_validator(mode="after")
    def _has_one_reflector(self) -> RunSettings:
        if self.reflector is not None and self.reflection.by != "policy":
            raise ValueError(
                f"reflection.by is {self.reflection.by!r}, but reflector = {self.reflector!r} writes all reflections, "
                "in training and in evaluation; remove one of the two"
            )
        return self

    @field_validator("tasks")
    @classmethod
    def _names_differ(cls, value: list[Task]) -> list[Task]:
        names = [task.name for task in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two tasks are named {twice[0]!r}; names must differ")
        if all(task.role == "test" for task in value):
            raise ValueError(
                "every task has role = 'test', so there is nothing to train on; remove the role of at least one task"
            )
        return value

    @property
    def transfer_tasks(self) -> frozenset[str]:
        """Names of the tasks that are only measured (`role = "test"`)."""
        return frozenset(task.name for task in self.tasks if task.role == "test")


def register_task_section(kind: str, section: type[TaskSection]) -> None:
    """Register a further task kind, so that settings of a run accept it.

    Args:
        kind: the value of the task's `kind` key.
        section: its settings, with `kind: Literal[kind]`.

    Raises:
        ValueError: when the kind is registered already, or the section belongs to another kind.
    """
    if kind_of(section) != kind:
        raise ValueError(f"{section.__name__}.kind must be of type Literal[{kind!r}]")
    TASK_SECTIONS.register(kind, section)
    _take_every_kind()


def unregister_task_section(kind: str) -> None:
    """Remove a registered kind. Raises KeyError for an unknown one."""
    TASK_SECTIONS.unregister(kind)
    _take_every_kind()


def _take_every_kind() -> None:
    # The union is fixed when the class is created, so pydantic has to rebuild its schema from the changed annotation.
    RunSettings.model_fields["tasks"].annotation = list[any_task()]  # type: ignore[misc, assignment]
    RunSettings.model_rebuild(force=True)


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of nested settings with changes applied: tables are merged recursively, other values replaced."""
    result = dict(values)
    for name, change in changes.items():
        old = result.get(name)
        result[name] = merged(old, change) if isinstance(change, Mapping) and isinstance(old, Mapping) else change
    return result


def of_series(settings: RunSettings, name: str, seed: int) -> RunSettings:
    """Return the settings of an iteration of a series: those of the run, with the series' changes and this seed.

    Raises:
        ValidationError: when the series' changes are invalid.
    """
    assert settings.experiment is not None
    series = next(one for one in settings.experiment.series if one.name == name)
    values = settings.model_dump(mode="json", exclude={"experiment"})
    own = {"seed": seed, "series": name, "iterations": 1}
    return type(settings).model_validate(merged(merged(values, series.changes), own))


def measuring(settings: RunSettings, place: Literal["each", "end", "base"]) -> RunSettings:
    """Return the settings under which a policy is measured on the test questions.

    The policy that a series ends with is measured with controls, unless `measure_ends` says otherwise.

    Args:
        settings: of the run, with an experiment.
        place: `each` for any policy of a series, `end` for its final policy, `base` for the base policy.

    Raises:
        ValidationError: when the experiment's changes are invalid.
    """
    assert settings.experiment is not None
    own = {"each": {}, "end": settings.experiment.measure_ends, "base": settings.experiment.measure_base}[place]
    values = settings.model_dump(mode="json", exclude={"experiment"})
    if place == "end":
        own = merged({"controls": {"enabled": True}}, own)
    changes = {**merged(settings.experiment.measure, own), "split": "test"}
    return type(settings).model_validate(merged(values, {"evaluation": changes}))


def check_experiment(settings: RunSettings) -> None:
    """Check that an experiment separates tuning from measuring, and that all its settings are valid.

    Raises:
        ValueError: with the mistake and its location.
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
    if experiment.varies is not None:
        each = [of_series(settings, one.name, settings.seed) for one in experiment.series if not one.baseline]
        if len({str(varied_value(one, experiment.varies)) for one in each}) < 2:
            raise ValueError(f"varies = {experiment.varies!r}, but its value is the same in every series")
    _try("measure", partial(measuring, settings, "each"))
    _try("measure_ends", partial(measuring, settings, "end"))
    _try("measure_base", partial(measuring, settings, "base"))


def _try(place: str, make: Callable[[], RunSettings]) -> None:
    try:
        make()
    except ValidationError as error:
        first = error.errors()[0]
        wrong = ".".join(str(part) for part in first["loc"])
        where = f"{place}: {wrong}" if wrong else place
        raise ValueError(f"{where}: {first['msg'].removeprefix('Value error, ')}") from error


FIXED_SETTINGS = ("name", "model", "reflector", "trust_remote_code", "question_seed", "tasks", "reflection.parts")
"""Settings that can't change within a run, as dotted keys; nor can `seed` where it selects the questions."""


def changed_fixed(old: RunSettings, new: RunSettings) -> list[str]:
    """Return the settings that differ although they can't change within a run, as dotted keys."""
    found = [name for name in FIXED_SETTINGS if attrgetter(name)(old) != attrgetter(name)(new)]
    moved = old.chooses_by != new.chooses_by and "question_seed" not in found
    return [*found, "seed"] if moved else found
