"""Analysis of a control measurement: does what the reflections say help? Pure.

Every wrong first answer is corrected once per arm (`control_arms`). From these corrections follow the share right of
each arm, the three primary differences own − shuffled, own − none and own − floor, and the dependence of the answer on
the reflection. All are means over tasks of paired differences with a score interval; p values are of McNemar's exact
test where both sides are single draws, otherwise of a sign-flip permutation test, and are corrected for the three
differences by Holm's method. The sentence that summarises them is chosen in `control_sentence`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from store.evaluation.control_arms import ARMS, SHUFFLED, Arm
from store.evaluation.control_sentence import Conclusion, Contrast, conclude
from store.evaluation.intervals import (
    Interval,
    holm,
    mcnemar_exact,
    mean_change_over_tasks,
    mean_share_over_tasks,
    sign_flip,
)
from store.evaluation.power import effective_pairs, smallest_difference

Primary = Literal["shuffled", "none", "floor"]
"""What `own` is compared with in a primary difference."""

PRIMARY: tuple[Primary, ...] = ("shuffled", "none", "floor")


class ArmAnswer(NamedTuple):
    """The correction of one wrong first answer under one arm."""

    correct: bool | None
    """None without a verdict; the answer then counts for nothing."""
    group: str | None
    """Equivalent answers have the same group; None if no answer could be extracted, which counts as an answer."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over tasks of a share or a difference, with a 95 % interval; all three are None if n is 0."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    """Number of questions."""


@dataclass(frozen=True, slots=True)
class ArmShare:
    """Share of right corrections of one arm; of `shuffled` the mean over its draws."""

    overall: Mean
    by_task: Mapping[str, Mean]
    unverified: int
    """Number of corrections without a verdict."""


@dataclass(frozen=True, slots=True)
class ArmDifference:
    """Share right of `own` minus that of another arm or of the floor, paired by question."""

    against: str
    overall: Mean
    by_task: Mapping[str, Mean]
    p: float | None
    p_holm: float | None
    """Corrected for the number of primary differences; None for the others."""
    smallest: float | None
    """The smallest difference that the questions show with a power of 80 %; None if they can't show any."""


@dataclass(frozen=True, slots=True)
class Dependence:
    """How often the answer depends on which reflection is shown, beyond the noise between two identical runs."""

    overall: Mean
    """Share of questions whose answer differs between `own` and `shuffled`, less that between two runs of `own`."""
    by_task: Mapping[str, Mean]
    differs_shuffled: float | None
    """Mean over tasks of the share of questions whose answer differs between `own` and `shuffled`."""
    differs_repeat: float | None
    """The same between `own` and `own-repeat`."""


@dataclass(frozen=True, slots=True)
class ControlAnalysis:
    """Everything that a control measurement says about one policy."""

    arms: Mapping[str, ArmShare]
    """By arm, in the order of `ARMS`, with `shuffled` after its draws; arms without a correction are left out."""
    floor: Mean
    """Mean over tasks of the probability that a guess of another answer is right; its interval is None."""
    primary: Mapping[Primary, ArmDifference]
    secondary: Mapping[Arm, ArmDifference]
    """Differences from the other measured arms, not corrected for their number."""
    dependence: Dependence
    conclusion: Conclusion
    sentence: str
    notes: tuple[str, ...]
    """What could not be computed and why, one sentence each."""

    def as_json(self) -> dict[str, object]:
        """Return plain dictionaries, lists, numbers and texts; shares and differences are between −1 and 1."""
        return asdict(self)


def analyse_controls(
    answers: Mapping[str, Mapping[int, tuple[bool | None, str | None]]],
    tasks: Mapping[int, str],
    floor: Mapping[int, float],
    *,
    reasons: Mapping[str, str] | None = None,
    seed: int = 0,
) -> ControlAnalysis:
    """Analyse the corrections of one policy's wrong first answers.

    Args:
        answers: by arm (see `ARMS`) and question id, the correction as an `ArmAnswer`.
        tasks: task of each question.
        floor: probability, by question, that a guess of another answer is right.
        reasons: by arm, why it has no corrections, for the notes.
        seed: of the permutation tests.

    Raises:
        ValueError: for an unknown arm, a question without a task, or a probability outside 0 to 1.
    """
    _check(answers, tasks, floor)
    outcomes: dict[str, dict[int, float]] = {
        arm: {question: float(right) for question, (right, _) in answers.get(arm, {}).items() if right is not None}
        for arm in ARMS
    }
    draws = [outcomes[arm] for arm in SHUFFLED]
    outcomes["shuffled"] = {
        question: _average(found)
        for question in sorted({question for draw in draws for question in draw})
        if (found := [draw[question] for draw in draws if question in draw])
    }
    own = outcomes["own"]
    primary = {
        name: _difference(name, own, dict(floor) if name == "floor" else outcomes[name], tasks, seed)
        for name in PRIMARY
    }
    corrected = holm({name: one.p for name, one in primary.items() if one.p is not None})
    adjusted = {name: _with_holm(one, corrected.get(name)) for name, one in primary.items()}
    missing, partial = _notes(outcomes, answers, floor, reasons or {})
    conclusion, sentence = conclude(
        shuffled=_contrast(adjusted["shuffled"]),
        none=_contrast(adjusted["none"]),
        floor=_contrast(adjusted["floor"]),
        reason=missing[0] if missing else "",
    )
    return ControlAnalysis(
        arms=_arm_shares(outcomes, answers, tasks),
        floor=_mean({one: floor[one] for one in own if one in floor}, tasks, None),
        primary=adjusted,
        secondary={
            arm: _difference(arm, own, outcomes[arm], tasks, seed)
            for arm in ARMS
            if arm not in ("own", "none", *SHUFFLED) and outcomes[arm]
        },
        dependence=_dependence(answers, tasks),
        conclusion=conclusion,
        sentence=sentence,
        notes=(*missing, *partial),
    )


def _check(answers: Mapping[str, Mapping[int, object]], tasks: Mapping[int, str], floor: Mapping[int, float]) -> None:
    for arm, found in answers.items():
        if arm not in ARMS:
            raise ValueError(f"there is no control arm {arm!r}; the arms are {', '.join(ARMS)}")
        if missing := sorted(found.keys() - tasks.keys()):
            raise ValueError(f"question {missing[0]} of the control arm {arm!r} has no task")
    if wrong := [question for question, probability in floor.items() if not 0 <= probability <= 1]:
        raise ValueError(f"the floor of question {wrong[0]} is {floor[wrong[0]]}, not a probability")


def _arm_shares(
    outcomes: Mapping[str, Mapping[int, float]],
    answers: Mapping[str, Mapping[int, tuple[bool | None, str | None]]],
    tasks: Mapping[int, str],
) -> dict[str, ArmShare]:
    names: list[str] = []
    for arm in ARMS:
        names += [arm, "shuffled"] if arm == SHUFFLED[-1] else [arm]
    found = {}
    for name in names:
        draws = SHUFFLED if name == "shuffled" else (name,)
        corrections = [one for draw in draws for one in answers.get(draw, {}).values()]
        if corrections:
            unverified = sum(right is None for right, _ in corrections)
            overall, by_task = _overall_and_by_task(outcomes[name], tasks, mean_share_over_tasks)
            found[name] = ArmShare(overall, by_task, unverified)
    return found


def _difference(
    against: str, own: Mapping[int, float], other: Mapping[int, float], tasks: Mapping[int, str], seed: int
) -> ArmDifference:
    both = sorted(own.keys() & other.keys())
    changes = {question: own[question] - other[question] for question in both}
    overall, by_task = _overall_and_by_task(changes, tasks, mean_change_over_tasks)
    if not both:
        return ArmDifference(against, overall, by_task, None, None, None)
    groups = _by_task(changes, tasks)
    if all(other[question] in (0.0, 1.0) for question in both):
        p = mcnemar_exact(sum(one > 0 for one in changes.values()), sum(one < 0 for one in changes.values()))
    else:
        p = sign_flip(list(groups.values()), seed)
    smallest = smallest_difference(*effective_pairs(list(groups.values())))
    return ArmDifference(against, overall, by_task, p, None, smallest)


def _with_holm(one: ArmDifference, p_holm: float | None) -> ArmDifference:
    return ArmDifference(one.against, one.overall, one.by_task, one.p, p_holm, one.smallest)


def _contrast(one: ArmDifference) -> Contrast | None:
    mean = one.overall
    if mean.value is None or mean.low is None or mean.high is None:
        return None
    return Contrast(mean.value, mean.low, mean.high, mean.n, one.smallest)


def _dependence(
    answers: Mapping[str, Mapping[int, tuple[bool | None, str | None]]], tasks: Mapping[int, str]
) -> Dependence:
    own = {question: group for question, (_, group) in answers.get("own", {}).items()}

    def differs(arms: Sequence[str]) -> dict[int, float]:
        found: dict[int, list[float]] = {}
        for arm in arms:
            for question, (_, group) in answers.get(arm, {}).items():
                if question in own:
                    found.setdefault(question, []).append(float(group != own[question]))
        return {question: _average(values) for question, values in found.items()}

    shuffled, repeat = differs(SHUFFLED), differs(("own-repeat",))
    changes = {question: shuffled[question] - repeat[question] for question in shuffled.keys() & repeat.keys()}
    overall, by_task = _overall_and_by_task(changes, tasks, mean_change_over_tasks)
    return Dependence(overall, by_task, _mean(shuffled, tasks, None).value, _mean(repeat, tasks, None).value)


def _notes(
    outcomes: Mapping[str, Mapping[int, float]],
    answers: Mapping[str, Mapping[int, object]],
    floor: Mapping[int, float],
    reasons: Mapping[str, str],
) -> tuple[list[str], list[str]]:
    """What prevents a conclusion, and what else is missing, each as a sentence."""
    if not any(answers.values()):
        return [reasons.get("own", "no first answer was wrong, so there is nothing to correct")], []
    missing, partial = [], []
    own = outcomes["own"]
    for arm in ("own", "shuffled", "none"):
        names = (arm, *SHUFFLED) if arm == "shuffled" else (arm,)
        if any(answers.get(name) for name in names):
            if not outcomes[arm]:
                missing.append(f"no correction of the arm {arm} has a verdict")
            elif left := len(own.keys() - outcomes[arm].keys()):
                partial.append(f"{left} of {len(own)} questions have no verdict under the arm {arm}")
        else:
            missing.append(
                next((reasons[name] for name in names if name in reasons), f"the arm {arm} was not measured")
            )
    if left := len(own.keys() - floor.keys()):
        (missing if left == len(own) else partial).append(f"{left} of {len(own)} questions have no floor")
    if not answers.get("own-repeat"):
        noise = "own was not corrected a second time, so its dependence can't be separated from noise"
        partial.append(reasons.get("own-repeat", noise))
    return missing, partial


def _overall_and_by_task(
    values: Mapping[int, float],
    tasks: Mapping[int, str],
    interval_of: Callable[[Sequence[Sequence[float]]], Interval],
) -> tuple[Mean, dict[str, Mean]]:
    by_task = {
        task: _mean({one: value for one, value in values.items() if tasks[one] == task}, tasks, interval_of)
        for task in sorted({tasks[question] for question in values})
    }
    return _mean(values, tasks, interval_of), by_task


def _mean(
    values: Mapping[int, float],
    tasks: Mapping[int, str],
    interval_of: Callable[[Sequence[Sequence[float]]], Interval] | None,
) -> Mean:
    groups = list(_by_task(values, tasks).values())
    if not groups:
        return Mean(None, None, None, 0)
    value = _average([_average(group) for group in groups])
    if interval_of is None:
        return Mean(value, None, None, len(values))
    interval = interval_of(groups)
    return Mean(value, interval.low, interval.high, len(values))


def _by_task(values: Mapping[int, float], tasks: Mapping[int, str]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = {}
    for question in sorted(values):
        groups.setdefault(tasks[question], []).append(values[question])
    return groups


def _average(values: Sequence[float]) -> float:
    return sum(values) / len(values)
