"""The analyses of an experiment: its results over the values of the varied setting, and on the transfer tasks.

Every Acc@t2 has its floor and the policy's own retry without a reflection beside it. Values only; the sections are in
`experiment_analysis_sections`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reflectevo_tui.experiment.paired_estimates import Estimate, Tasks, mean_over_tasks, paired_over_seeds
from reflectevo_tui.experiment.plan import Series
from reflectevo_tui.report.experiment_answers import PolicyAnswers
from reflectevo_tui.report.experiment_data import Point, TransferResult, Undertaken, mean_floor
from store.settings import RunSettings
from store.settings.experiment import varied_value, varied_words
from store.settings.run import of_series

Ends = Sequence[tuple[Series, PolicyAnswers]]
"""Each series with the answers of the policy that it ends with, under the oracle protocol."""


def points_over(
    settings: RunSettings, ends: Ends, undertaken: Sequence[Undertaken], base: PolicyAnswers | None
) -> list[Point]:
    """Return the base policy and the end of each series, by the value of the setting that `experiment.varies` names.

    Series are in the order of the settings. Empty if no setting is named, or nothing was measured.

    Args:
        settings: of the run, with an experiment.
        ends: the ends of the series.
        undertaken: the iterations, which know how many examples were trained on.
        base: the answers of the base policy.
    """
    experiment = settings.experiment
    if experiment is None or experiment.varies is None or base is None or not ends:
        return []
    found = [_point("base policy", "–", (), base)]
    for series, answers in ends:
        words = varied_words(varied_value(of_series(settings, series.name, series.seed), experiment.varies))
        trained = tuple(_examples(one) for one in undertaken if one.series == series)
        found.append(_point(series.title, words, trained, answers))
    return found


def _examples(one: Undertaken) -> int | None:
    value = None if one.child is None else one.child.details.get("examples")
    return value if isinstance(value, int) else None


def _point(label: str, value: str, examples: tuple[int | None, ...], answers: PolicyAnswers) -> Point:
    tasks = _tasks(answers)
    retry, above = _against_retry(answers, tasks)
    return Point(
        label,
        value,
        examples,
        mean_over_tasks(answers.outcomes(1), tasks),
        mean_over_tasks(answers.outcomes(2), tasks),
        mean_floor([answers.floors], set(tasks.values())),
        retry,
        above,
    )


def transfer_results(measured: Sequence[tuple[str, str, PolicyAnswers]], base: str) -> list[TransferResult]:
    """Return the results on the transfer tasks: means over these tasks only, never mixed with the trained ones.

    Args:
        measured: label, feedback and answers of each measured policy.
        base: label of the base policy, which the others are compared with on the same questions.
    """
    start = {feedback: answers.transfer for label, feedback, answers in measured if label == base}
    found = []
    for label, feedback, answers in measured:
        one = answers.transfer
        if one is None:
            continue
        tasks, before = _tasks(one), start.get(feedback)
        changes: list[Estimate | None] = [None, None]
        if before is not None and label != base:
            changes = [
                paired_over_seeds([before.outcomes(turn)], [one.outcomes(turn)], tasks).overall for turn in (1, 2)
            ]
        found.append(
            TransferResult(
                label,
                feedback,
                mean_over_tasks(one.outcomes(1), tasks),
                mean_over_tasks(one.outcomes(2), tasks),
                mean_floor([one.floors], set(tasks.values())),
                _against_retry(one, tasks)[0],
                changes[0],
                changes[1],
                {task: (_of(one, tasks, task, 1), _of(one, tasks, task, 2)) for task in sorted(set(tasks.values()))},
            )
        )
    return found


def _of(answers: PolicyAnswers, tasks: Tasks, task: str, turn: int) -> Estimate:
    return mean_over_tasks({one: right for one, right in answers.outcomes(turn).items() if tasks[one] == task}, tasks)


def _against_retry(answers: PolicyAnswers, tasks: Tasks) -> tuple[Estimate | None, Estimate | None]:
    """Return the accuracy with one retry without a reflection, and Acc@t2 less it; None if it wasn't measured."""
    retried: Mapping[int, float] | None = answers.baselines.get("retry")
    if not retried:
        return None, None
    above = paired_over_seeds([retried], [answers.outcomes(2)], tasks).overall
    return mean_over_tasks(retried, tasks), above


def _tasks(answers: PolicyAnswers) -> dict[int, str]:
    return {one.question_id: one.task for one in answers.answers}
