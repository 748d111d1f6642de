"""Analysis of a control measurement: does what the reflections say help? Pure.

Every wrong first answer is corrected once per arm (`control_arms`). From these corrections follow the share right of
each arm, the three primary differences own − shuffled, own − none and own − floor, and the dependence of the answer on
the reflection. All are means over tasks of paired differences with a score interval; p values are of McNemar's exact
test where both sides are single draws, otherwise of a sign-flip permutation test, and are corrected for the three
differences by Holm's method. The policies of several seeds are analysed together by `analyse_seeds`. The sentence that
summarises the differences is chosen in `control_sentence`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from store.evaluation.control_arms import ARMS, SHUFFLED, Arm
from store.evaluation.control_means import Mean, average, by_task, mean_of, sample
from store.evaluation.control_measurement import Answers, ControlMeasurement
from store.evaluation.control_sentence import Conclusion, Contrast, conclude
from store.evaluation.intervals import (
    holm,
    mcnemar_exact,
    mean_change_over_tasks,
    mean_share_over_tasks,
    p_over_seeds,
    sign_flip,
)

Primary = Literal["shuffled", "none", "floor"]
"""What `own` is compared with in a primary difference."""

PRIMARY: tuple[Primary, ...] = ("shuffled", "none", "floor")


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
    answers: Answers,
    tasks: Mapping[int, str],
    floor: Mapping[int, float],
    *,
    reasons: Mapping[str, str] | None = None,
    seed: int = 0,
) -> ControlAnalysis:
    """Analyse the corrections of one policy's wrong first answers; see `ControlMeasurement` for the arguments.

    Raises:
        ValueError: for an unknown arm, a question without a task, or a probability outside 0 to 1.
    """
    return analyse_seeds([ControlMeasurement(answers, tasks, floor, reasons or {})], seed=seed)


def analyse_seeds(seeds: Sequence[ControlMeasurement], *, seed: int = 0) -> ControlAnalysis:
    """Analyse the controls of one policy, or of the policies of several seeds together (`control_means`).

    Args:
        seeds: the measurement of each seed, with the same ids for the same questions.
        seed: of the permutation tests, which a single measurement uses. The p value over several seeds belongs to the
            interval over seeds and questions.

    Raises:
        ValueError: for an unknown arm, a question without a task, or a probability outside 0 to 1; without seeds.
    """
    if not seeds:
        raise ValueError("an analysis needs the controls of at least one policy")
    for one in seeds:
        _check(one.answers, one.tasks, one.floor)
    tasks = {question: task for one in seeds for question, task in one.tasks.items()}
    outcomes = [_outcomes(one.answers) for one in seeds]
    floors = [one.floor for one in seeds]
    own = [one["own"] for one in outcomes]
    primary = {
        name: _difference(name, own, floors if name == "floor" else [one[name] for one in outcomes], tasks, seed)
        for name in PRIMARY
    }
    corrected = holm({name: one.p for name, one in primary.items() if one.p is not None})
    adjusted = {name: replace(one, p_holm=corrected.get(name)) for name, one in primary.items()}
    missing, partial = _notes_of(seeds, outcomes)
    conclusion, sentence = conclude(
        shuffled=_contrast(adjusted["shuffled"]),
        none=_contrast(adjusted["none"]),
        floor=_contrast(adjusted["floor"]),
        reason=missing[0] if missing else "",
    )
    return ControlAnalysis(
        arms=_arm_shares(outcomes, [one.answers for one in seeds], tasks),
        floor=mean_of(
            [{one: at[one] for one in mine if one in at} for mine, at in zip(own, floors, strict=True)], tasks, None
        ),
        primary=adjusted,
        secondary={
            arm: _difference(arm, own, [one[arm] for one in outcomes], tasks, seed)
            for arm in ARMS
            if arm not in ("own", "none", *SHUFFLED) and all(one[arm] for one in outcomes)
        },
        dependence=_dependence([one.answers for one in seeds], tasks),
        conclusion=conclusion,
        sentence=sentence,
        notes=(*missing, *partial),
    )


def _outcomes(answers: Answers) -> dict[str, dict[int, float]]:
    """Return the verified corrections of each arm as 0 or 1, and of `shuffled` their mean over its draws."""
    found: dict[str, dict[int, float]] = {
        arm: {question: float(right) for question, (right, _) in answers.get(arm, {}).items() if right is not None}
        for arm in ARMS
    }
    draws = [found[arm] for arm in SHUFFLED]
    found["shuffled"] = {
        question: average(values)
        for question in sorted({question for draw in draws for question in draw})
        if (values := [draw[question] for draw in draws if question in draw])
    }
    return found


def _check(answers: Mapping[str, Mapping[int, object]], tasks: Mapping[int, str], floor: Mapping[int, float]) -> None:
    for arm, found in answers.items():
        if arm not in ARMS:
            raise ValueError(f"there is no control arm {arm!r}; the arms are {', '.join(ARMS)}")
        if missing := sorted(found.keys() - tasks.keys()):
            raise ValueError(f"question {missing[0]} of the control arm {arm!r} has no task")
    if wrong := [question for question, probability in floor.items() if not 0 <= probability <= 1]:
        raise ValueError(f"the floor of question {wrong[0]} is {floor[wrong[0]]}, not a probability")


def _arm_shares(
    outcomes: Sequence[Mapping[str, Mapping[int, float]]], answers: Sequence[Answers], tasks: Mapping[int, str]
) -> dict[str, ArmShare]:
    names: list[str] = []
    for arm in ARMS:
        names += [arm, "shuffled"] if arm == SHUFFLED[-1] else [arm]
    found = {}
    for name in names:
        draws = SHUFFLED if name == "shuffled" else (name,)
        corrections = [[one for draw in draws for one in own.get(draw, {}).values()] for own in answers]
        if all(corrections):
            unverified = sum(right is None for own in corrections for right, _ in own)
            values = [own[name] for own in outcomes]
            overall = mean_of(values, tasks, mean_share_over_tasks)
            found[name] = ArmShare(overall, by_task(values, tasks, mean_share_over_tasks), unverified)
    return found


def _difference(
    against: str,
    own: Sequence[Mapping[int, float]],
    other: Sequence[Mapping[int, float]],
    tasks: Mapping[int, str],
    seed: int,
) -> ArmDifference:
    changes = [
        {question: mine[question] - theirs[question] for question in sorted(mine.keys() & theirs.keys())}
        for mine, theirs in zip(own, other, strict=True)
    ]
    overall = mean_of(changes, tasks, mean_change_over_tasks, -1.0)
    parts = by_task(changes, tasks, mean_change_over_tasks, -1.0)
    found = sample(changes, tasks)
    if found is None:
        return ArmDifference(against, overall, parts, None, None, None)
    if len(changes) > 1:
        p = p_over_seeds(found.over_questions(mean_change_over_tasks), found.means)
    elif all(other[0][question] in (0.0, 1.0) for question in changes[0]):
        p = mcnemar_exact(sum(one > 0 for one in changes[0].values()), sum(one < 0 for one in changes[0].values()))
    else:
        p = sign_flip(found.groups, seed)
    return ArmDifference(against, overall, parts, p, None, found.smallest())


def _contrast(one: ArmDifference) -> Contrast | None:
    mean = one.overall
    if mean.value is None or mean.low is None or mean.high is None:
        return None
    return Contrast(mean.value, mean.low, mean.high, mean.n, one.smallest)


def _dependence(answers: Sequence[Answers], tasks: Mapping[int, str]) -> Dependence:
    shuffled = [_differing(one, SHUFFLED) for one in answers]
    repeat = [_differing(one, ("own-repeat",)) for one in answers]
    changes = [
        {question: one[question] - other[question] for question in one.keys() & other.keys()}
        for one, other in zip(shuffled, repeat, strict=True)
    ]
    return Dependence(
        mean_of(changes, tasks, mean_change_over_tasks, -1.0),
        by_task(changes, tasks, mean_change_over_tasks, -1.0),
        mean_of(shuffled, tasks, None).value,
        mean_of(repeat, tasks, None).value,
    )


def _differing(answers: Answers, arms: Sequence[str]) -> dict[int, float]:
    """Return the share of the arms whose answer differs from that of `own`, by question."""
    own = {question: group for question, (_, group) in answers.get("own", {}).items()}
    found: dict[int, list[float]] = {}
    for arm in arms:
        for question, (_, group) in answers.get(arm, {}).items():
            if question in own:
                found.setdefault(question, []).append(float(group != own[question]))
    return {question: average(values) for question, values in found.items()}


def _notes_of(
    seeds: Sequence[ControlMeasurement], outcomes: Sequence[Mapping[str, Mapping[int, float]]]
) -> tuple[list[str], list[str]]:
    """What prevents a conclusion, and what else is missing; of several seeds each sentence begins with the label."""
    every: tuple[list[str], list[str]] = ([], [])
    for one, found in zip(seeds, outcomes, strict=True):
        for notes, own in zip(every, _notes(found, one.answers, one.floor, one.reasons), strict=True):
            notes += [f"{one.label}: {words}" if one.label else words for words in own]
    return every


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
