"""Planning of an experiment: a pure function from its settings and the stored rows to the next step.

Every promoted policy is measured on the test questions as soon as it exists, and nothing is selected by them. All
selection (the gate of an iteration, the series to repeat) uses the dev questions. Accesses no database and no process.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from store.records import Evaluation, Iteration, Policy
from store.runs.policies import BASE_POLICY
from store.settings import EvaluationSection, RunSettings
from store.settings.run import measuring, of_series


@dataclass(frozen=True, slots=True)
class Series:
    """A series of iterations with one seed."""

    name: str
    seed: int
    iterations: int
    baseline: bool = False

    @property
    def title(self) -> str:
        """Name in reports, e.g. `two-stage, seed 7`."""
        return f"{self.name}, seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Known:
    """Stored rows of the run, oldest first."""

    iterations: Sequence[Iteration] = ()
    policies: Sequence[Policy] = ()
    evaluations: Sequence[Evaluation] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """Measure a policy on the test questions."""

    policy: str
    settings: RunSettings
    why: str


@dataclass(frozen=True, slots=True)
class Iterate:
    """Run an iteration of a series from a policy."""

    series: Series
    number: int
    """Index within the series, from 1."""
    policy_id: int
    settings: RunSettings


@dataclass(frozen=True, slots=True)
class ResumeIteration:
    """ResumeIteration an iteration that has not ended."""

    iteration: Iteration


@dataclass(frozen=True, slots=True)
class Complete:
    """All steps are complete."""


Step = Measure | Iterate | ResumeIteration | Complete


def first_series(settings: RunSettings) -> list[Series]:
    """Return the series of an experiment with the run's own seed, in order."""
    assert settings.experiment is not None
    return [
        Series(one.name, settings.seed, one.iterations or settings.experiment.iterations, one.baseline)
        for one in settings.experiment.series
    ]


def planned_series(settings: RunSettings, known: Known) -> list[Series]:
    """Return all series known so far; the repetitions of the best one are known once every first series has ended."""
    assert settings.experiment is not None
    first = first_series(settings)
    if not settings.experiment.repeat_seeds or any(len(done_of(one, known)) < one.iterations for one in first):
        return first
    best = best_series(first, known)
    if best is None:
        return first
    return [*first, *(Series(best.name, seed, best.iterations) for seed in settings.experiment.repeat_seeds)]


def done_of(series: Series, known: Known) -> list[Iteration]:
    """Return the ended iterations of a series, including those without a resulting policy."""
    return [one for one in known.iterations if one.state == "done" and belongs(one, series)]


def belongs(iteration: Iteration, series: Series) -> bool:
    """Check whether an iteration belongs to a series."""
    settings = iteration.settings
    return (
        iteration.kind == "training" and settings.get("series") == series.name and settings.get("seed") == series.seed
    )


def base_policy(known: Known) -> Policy | None:
    """Return the policy that every series starts from."""
    return next((one for one in known.policies if one.name == BASE_POLICY), None)


def held_after(series: Series, number: int, known: Known) -> Policy | None:
    """Return a series' policy after `number` iterations: its newest promoted one, else the base policy."""
    children = {one.child_id for one in done_of(series, known)[:number]}
    promoted = [one for one in known.policies if one.id in children and one.state == "promoted"]
    return promoted[-1] if promoted else base_policy(known)


def best_series(series: Sequence[Series], known: Known) -> Series | None:
    """Return the series (never a baseline) whose last policy has the highest Acc@t2 on dev questions, first of ties."""
    splits = {one.id: split_of(one.settings) for one in known.iterations}
    scores: dict[int, float] = {}
    for one in known.evaluations:
        value = _value(one.metrics, "acc_t2")
        on_dev = splits.get(one.iteration_id or 0) == "dev"
        if on_dev and one.task == "" and one.protocol.startswith("oracle/") and value is not None:
            scores[one.policy_id] = value
    found = [
        (scores[held.id], -place, one)
        for place, one in enumerate(series)
        if not one.baseline and (held := held_after(one, one.iterations, known)) is not None and held.id in scores
    ]
    return max(found, key=lambda row: row[:2])[2] if found else None


def _value(metrics: Mapping[str, Mapping[str, float | None]], name: str) -> float | None:
    return metrics.get(name, {}).get("value")


def split_of(settings: Mapping[str, Any]) -> str:
    """Return the split on which an iteration with these settings measures."""
    section = settings.get("evaluation")
    return str(section.get("split", "test")) if isinstance(section, Mapping) else "test"


def next_step(settings: RunSettings, known: Known) -> Step:
    """Return the next step of an experiment."""
    unfinished = [one for one in known.iterations if one.state != "done"]
    if unfinished:
        return ResumeIteration(unfinished[-1])
    assert settings.experiment is not None
    each, ends, at_base = measuring(settings, "each"), measuring(settings, "end"), measuring(settings, "base")
    base = base_policy(known)
    for how, why in ((at_base, "the base policy, with its baselines"), (ends, "the base policy")):
        if base is None or not _measured(base, how, known):
            return Measure(BASE_POLICY, how, why)
    for series in planned_series(settings, known):
        done = done_of(series, known)
        for number, iteration in enumerate(done, start=1):
            child = next((one for one in known.policies if one.id == iteration.child_id), None)
            how = ends if number == series.iterations else each
            if child is not None and child.state == "promoted" and not _measured(child, how, known):
                return Measure(child.name, how, f"{series.title}, after iteration {number}")
        if len(done) < series.iterations:
            held = held_after(series, len(done), known)
            assert held is not None
            wanted = _with_reuse(of_series(settings, series.name, series.seed), held, known)
            return Iterate(series, len(done) + 1, held.id, wanted)
        held = held_after(series, series.iterations, known)
        if held is not None and not _measured(held, ends, known):
            return Measure(held.name, ends, f"{series.title}, what it ends with")
    return Complete()


def _measured(policy: Policy, settings: RunSettings, known: Known) -> bool:
    """Check whether a policy was measured with these settings, or a measurement was attempted and abandoned."""
    return any(
        one.kind == "evaluation" and one.parent_id == policy.id and _is_as(one.settings.get("evaluation"), settings)
        for one in known.iterations
    )


def _is_as(stored: object, settings: RunSettings) -> bool:
    """Check whether stored settings of an evaluation are those of `settings`.

    A measurement by a version without controls counts, so that an experiment that it completed stays complete.
    """
    if not isinstance(stored, Mapping):
        return False
    controls = {} if "controls" in stored else {"controls": settings.evaluation.controls}
    return EvaluationSection.model_validate({**stored, **controls}) == settings.evaluation


def _with_reuse(settings: RunSettings, parent: Policy, known: Known) -> RunSettings:
    """Return the settings extended by reuse of samples from an earlier iteration of the same policy.

    First attempts are reused whenever they are greedy (temperature 0). Reflections, and the corrections with them if
    they are made alike, are reused only by another series with the same seed, so that such series differ in curation
    and training alone; another seed, or a further attempt at the same series, samples anew.
    """
    section = settings.reflection.model_dump(mode="json")
    attempt = settings.attempt.model_dump(mode="json")
    same = [
        one
        for one in known.iterations
        if one.kind == "training" and one.parent_id == parent.id and one.settings.get("attempt") == attempt
    ]
    if not same or settings.attempt.temperature > 0:
        return settings
    tried = any(
        one.settings.get("series") == settings.series and one.settings.get("seed") == settings.seed for one in same
    )
    alike = [
        one
        for one in same
        if one.settings.get("seed") == settings.seed
        and one.settings.get("reflection") == section
        and not one.settings.get("reuse")
    ]
    correction = settings.correction.model_dump(mode="json")
    corrected = [one for one in alike if one.settings.get("correction") == correction]
    offers = [] if tried else [*((one, "corrections") for one in corrected), *((one, "reflections") for one in alike)]
    source, what = offers[0] if offers else (same[0], "attempts")
    values = settings.model_dump(mode="json")
    return RunSettings.model_validate({**values, "reuse": {"iteration": source.number, "what": what}})


def missing(settings: RunSettings, known: Known) -> list[str]:
    """Describe the missing parts of an experiment as text; empty when it is complete."""
    found = []
    base = base_policy(known)
    measured = {one.policy_id for one in known.evaluations if _is_test(one, known)}
    if base is None or base.id not in measured:
        found.append("the base policy was not measured on the test questions")
    assert settings.experiment is not None
    planned = planned_series(settings, known)
    for series in planned:
        done = done_of(series, known)
        if len(done) < series.iterations:
            found.append(f"{series.title}: {len(done)} of {series.iterations} iterations ended")
        for number, iteration in enumerate(done, start=1):
            child = next((one for one in known.policies if one.id == iteration.child_id), None)
            if child is None:
                found.append(f"{series.title}: iteration {number} left no policy ({iteration.reason})")
            elif child.state == "promoted" and child.id not in measured:
                found.append(
                    f"{series.title}: {child.name}, of iteration {number}, was not measured on the test questions"
                )
    seeds = {one.seed for one in planned} - {settings.seed}
    lacking = [seed for seed in settings.experiment.repeat_seeds if seed not in seeds]
    if lacking:
        words = ", ".join(map(str, lacking))
        found.append(f"the best series was not repeated with seeds {words}: the first series have not all ended")
    return found


def _is_test(evaluation: Evaluation, known: Known) -> bool:
    iteration = next((one for one in known.iterations if one.id == evaluation.iteration_id), None)
    return iteration is not None and split_of(iteration.settings) == "test"
