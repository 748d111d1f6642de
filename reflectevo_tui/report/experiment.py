"""Reads the results of an experiment: its policies compared on the same test questions. Returns values only."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace

from reflectevo_tui.experiment.paired_estimates import (
    NOTHING,
    Outcomes,
    Tasks,
    format_split,
    mean_change,
    mean_over_seeds,
    mean_over_tasks,
    paired_over_seeds,
    read_share,
)
from reflectevo_tui.experiment.plan import (
    Known,
    Series,
    base_policy,
    best_series,
    done_of,
    first_series,
    held_after,
    missing,
    planned_series,
)
from reflectevo_tui.report.experiment_analyses import points_over, transfer_results
from reflectevo_tui.report.experiment_answers import AnswerReader as _Reader
from reflectevo_tui.report.experiment_answers import PolicyAnswers as _Answers
from reflectevo_tui.report.experiment_controls import controls_of_series
from reflectevo_tui.report.experiment_data import (
    Against,
    Baseline,
    ExperimentReport,
    Format,
    Measured,
    Undertaken,
    mean_floor,
)
from store.evaluation.gains import Gain, MeasuredPolicy, gain_of
from store.evaluation.held_out_answers import (
    HeldOutAnswer,
    is_oracle,
    reference_answers,
)
from store.records import Policy, Run
from store.rollouts.control_results import control_results
from store.runs.iterations import list_iterations
from store.runs.policies import evaluations, list_policies
from store.settings import RunSettings

ORACLE, FREE = "oracle", "oracle-free"


def gather_experiment(
    connection: sqlite3.Connection, run: Run, told: RunSettings | None = None
) -> ExperimentReport | None:
    """Return the results of a run's experiment; None for a run without one.

    Args:
        connection: inside a read transaction.
        run: the run.
        told: the current settings file, for additions made after the run: remarks, and the recipes tried.
    """
    if not run.settings.get("experiment"):
        return None
    settings = RunSettings.model_validate(run.settings)
    assert settings.experiment is not None
    author = told.experiment if told is not None and told.experiment is not None else settings.experiment
    known = Known(
        list_iterations(connection, run.id), list_policies(connection, run.id), evaluations(connection, run.id)
    )
    series = planned_series(settings, known)
    reader = _Reader(connection, known)
    base = base_policy(known)
    measured: list[Measured] = []
    labelled: list[tuple[str, str, _Answers]] = []
    ends: list[_End] = []
    for feedback in (ORACLE, FREE):
        if base is not None and (found := reader.answers(base.id, feedback)) is not None:
            measured.append(_measure("base", None, 0, base, False, feedback, found))
            labelled.append(("base", feedback, found))
        for one in series:
            for number in range(1, len(done_of(one, known)) + 1):
                held = held_after(one, number, known)
                answers = None if held is None else reader.answers(held.id, feedback)
                if held is not None and answers is not None:
                    label = f"{one.title}, iteration {number}"
                    kept = done_of(one, known)[number - 1].child_id != held.id
                    measured.append(_measure(label, one, number, held, kept, feedback, answers))
                    labelled.append((label, feedback, answers))
                    if number == one.iterations:
                        ends.append(_End(one, feedback, answers))
    started = reader.answers(base.id, ORACLE) if base else None
    started_free = reader.answers(base.id, FREE) if base else None
    undertaken = _undertaken(series, known)
    final = [(end.series, end.answers) for end in ends if end.feedback == ORACLE]
    return ExperimentReport(
        settings=settings,
        series=tuple(series),
        best=best_series(first_series(settings), known) if _all_ended(settings, known) else None,
        missing=tuple(missing(settings, known)),
        references=tuple(reference_answers(connection, run.id, "test")),
        measured=tuple(measured),
        gains=tuple(_gains(ends, started)),
        baselines=tuple(_baseline_estimates(started)),
        against=tuple(_comparisons(ends, started, started_free)),
        formats=tuple(_formats(ends, started)),
        controls=controls_of_series(series, known, control_results(connection, run.id)),
        undertaken=tuple(undertaken),
        points=tuple(points_over(settings, final, undertaken, started)),
        transfer=tuple(transfer_results(labelled, "base")),
        remarks=tuple(author.remarks),
        recipes_tried=author.recipes_tried,
    )


@dataclass(frozen=True, slots=True)
class _End:
    """Final state of a series."""

    series: Series
    feedback: str
    answers: _Answers


def _all_ended(settings: RunSettings, known: Known) -> bool:
    return all(len(done_of(one, known)) >= one.iterations for one in first_series(settings))


def _tasks(answers: Sequence[HeldOutAnswer]) -> dict[int, str]:
    return {one.question_id: one.task for one in answers}


def _measure(
    label: str,
    series: Series | None,
    number: int,
    policy: Policy,
    kept: bool,
    feedback: str,
    found: _Answers,
) -> Measured:
    tasks, oracle = _tasks(found.answers), is_oracle(found.protocol)
    first, second = found.outcomes(1), found.outcomes(2)
    both = first.keys() & second.keys()
    reflected = {
        one.question_id: one.t2 == "correct" for one in found.answers if one.t2 is not None and one.t2 != "unverified"
    }
    wrong = {question: float(right) for question, right in reflected.items() if first.get(question) is False}
    right = {question: float(not stays) for question, stays in reflected.items() if first.get(question) is True}
    return Measured(
        label,
        series,
        number,
        policy,
        kept,
        feedback,
        mean_over_tasks(first, tasks),
        mean_over_tasks(second, tasks),
        mean_change({one: float(second[one]) - float(first[one]) for one in both}, tasks),
        mean_over_tasks(wrong, tasks),
        NOTHING if oracle else mean_over_tasks(right, tasks),
        {
            task: (
                mean_over_tasks({one: value for one, value in first.items() if tasks[one] == task}, tasks),
                mean_over_tasks({one: value for one, value in second.items() if tasks[one] == task}, tasks),
            )
            for task in sorted(set(tasks.values()))
        },
        found.floors,
    )


_BASELINES = {
    "retry": "one retry without reflection",
    "retry_budget": "retries at equal tokens, a verdict after each",
    "retry_vote_budget": "retries at equal tokens, voted",
    "vote": "majority vote",
    "vote_budget": "majority vote at equal tokens",
}
_EQUAL_BUDGET = ("retry_budget", "retry_vote_budget")
"""Baselines that use a verdict, as a correction under the oracle protocol does."""
_WITHOUT_VERDICT = ("vote", "vote_budget")
"""Baselines that use none: they are compared with answers of the oracle-free protocol only."""


def _baseline_estimates(base: _Answers | None) -> list[Baseline]:
    if base is None:
        return []
    tasks = _tasks(base.answers)
    return [
        Baseline(words, mean_over_tasks(base.baselines[name], tasks), name not in _WITHOUT_VERDICT)
        for name, words in _BASELINES.items()
        if name in base.baselines
    ]


def _candidates(ends: Sequence[_End]) -> list[tuple[str, list[_End]]]:
    """Return what is compared, with its label: each end of a series, and the ends of its seeds together."""
    groups = {one.series.name: [end for end in ends if end.series.name == one.series.name] for one in ends}
    several = [(f"{name}, mean of {len(own)} seeds", own) for name, own in groups.items() if len(own) > 1]
    return [(end.series.title, [end]) for end in ends] + several


def _gains(ends: Sequence[_End], base: _Answers | None) -> list[tuple[str, Gain]]:
    """State for each series' end, and the mean of its seeds, whether it shows a gain by reflection over the base."""
    if base is None:
        return []
    tasks = _tasks(base.answers)
    before = _averaged("the base policy", [base], tasks)
    found = []
    for label, own in _candidates([end for end in ends if end.feedback == ORACLE]):
        answers = [end.answers for end in own]
        after = _averaged(own[0].series.name, answers, tasks)
        second = [one.outcomes(2) for one in answers]
        above_parent = paired_over_seeds([base.outcomes(2)], second, tasks).overall.low
        above_retry = None
        if after.retry is not None:
            above_retry = paired_over_seeds([one.baselines["retry"] for one in answers], second, tasks).overall.low
        found.append(
            (label, gain_of(before, replace(after, above_parent=above_parent, above_retry=above_retry), base.protocol))
        )
    return found


def _averaged(name: str, answers: Sequence[_Answers], tasks: Tasks) -> MeasuredPolicy:
    """Return the metrics of one policy, or of the policies of several seeds, as means over tasks."""
    retried = all("retry" in one.baselines for one in answers)
    floor = mean_floor([one.floors for one in answers], set(tasks.values()))
    second = mean_over_seeds([one.outcomes(2) for one in answers], tasks)
    return MeasuredPolicy(
        name,
        mean_over_seeds([one.outcomes(1) for one in answers], tasks).as_metric(),
        second.as_metric(),
        {"value": floor, "n": second.n} if any(one.floors for one in answers) else None,
        mean_over_seeds([one.baselines["retry"] for one in answers], tasks).as_metric() if retried else None,
    )


def _comparisons(ends: Sequence[_End], base: _Answers | None, base_free: _Answers | None) -> list[Against]:
    """Compare each series' end with the base policy, its baselines and baseline series; also the mean over seeds."""
    if base is None:
        return []
    tasks: Tasks = _tasks(base.answers)
    gated = [end for end in ends if end.feedback == ORACLE]
    free = {end.series: end.answers for end in ends if end.feedback == FREE}
    plain = [end for end in gated if end.series.baseline]
    found = []
    for label, own in _candidates(gated):
        first = [end.answers.outcomes(1) for end in own]
        second = [end.answers.outcomes(2) for end in own]
        pairs: list[tuple[str, list[Outcomes], list[Outcomes]]] = [
            ("Acc@t2: base with reflection", [base.outcomes(2)], second),
            ("Acc@t1: base without reflection", [base.outcomes(1)], first),
        ]
        pairs += [
            (f"Acc@t2: base, {_BASELINES[name]}", [base.baselines[name]], second)
            for name in _EQUAL_BUDGET
            if name in base.baselines
        ]
        pairs += [
            (f"Acc@t2: {other.series.title}", [other.answers.outcomes(2)], second)
            for other in plain
            if other not in own
        ]
        pairs += [
            (f"Acc@t2: its own {_BASELINES[name]}", [end.answers.baselines[name] for end in own], second)
            for name in ("retry", *_EQUAL_BUDGET)
            if all(name in end.answers.baselines for end in own)
        ]
        without = [free[end.series] for end in own if end.series in free]
        if base_free is not None and len(without) == len(own):
            after = [one.outcomes(2) for one in without]
            pairs.append(("Acc@t2, oracle-free protocol: base with reflection", [base_free.outcomes(2)], after))
            for name in _WITHOUT_VERDICT:
                words = f"Acc@t2, oracle-free protocol: {{}} {_BASELINES[name]}"
                if name in base_free.baselines:
                    pairs.append((words.format("base,"), [base_free.baselines[name]], after))
                if all(name in one.baselines for one in without):
                    pairs.append((words.format("its own"), [one.baselines[name] for one in without], after))
        found += [Against(label, other, paired_over_seeds(before, after, tasks)) for other, before, after in pairs]
    return found


def _formats(ends: Sequence[_End], base: _Answers | None) -> list[Format]:
    if base is None:
        return []
    found = []
    for turn in (1, 2):
        found.append(Format("base", turn, *read_share(base.answers, turn=turn, oracle=True), None))
        for end in ends:
            if end.feedback == ORACLE:
                counts = read_share(end.answers.answers, turn=turn, oracle=True)
                split = format_split(base.answers, end.answers.answers, turn=turn, oracle=True)
                found.append(Format(end.series.title, turn, *counts, split))
    return found


def _undertaken(series: Sequence[Series], known: Known) -> list[Undertaken]:
    names = {one.id: one.name for one in known.policies}
    policies = {one.id: one for one in known.policies}
    return [
        Undertaken(
            one,
            number,
            iteration,
            names.get(iteration.parent_id or 0, ""),
            policies.get(iteration.child_id or 0),
            None if iteration.ended is None else iteration.ended - iteration.created,
        )
        for one in series
        for number, iteration in enumerate(done_of(one, known), start=1)
    ]
