"""Sections of an experiment's report: comparison, results, paired tests, answer format, and all iterations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reflectevo_tui.experiment.paired_estimates import Estimate
from reflectevo_tui.experiment.plan import split_of
from reflectevo_tui.report.document import Block, Cell, Chart, Facts, Line, Paragraph, Point, Section, Table
from reflectevo_tui.report.experiment import FREE, ORACLE
from reflectevo_tui.report.experiment_analysis_sections import over_setting, transfer
from reflectevo_tui.report.experiment_controls import controls_compared
from reflectevo_tui.report.experiment_data import Baseline, ExperimentReport, Measured
from reflectevo_tui.report.formatting import NOT_MEASURED, Number, duration, p_value, percent, points, ratio
from reflectevo_tui.report.report_contents import RunReport
from store.evaluation import number_format
from store.evaluation.floors import NOT_COMPUTED
from store.evaluation.power import shown_words

_FEEDBACKS = {ORACLE: "oracle protocol", FREE: "oracle-free protocol"}


def experiment_sections(experiment: ExperimentReport, report: RunReport) -> list[Section]:
    """Return all sections of an experiment in reading order."""
    made = (
        _compared(experiment),
        _results(experiment),
        over_setting(experiment),
        transfer(experiment),
        _tests(experiment),
        controls_compared(experiment.controls),
        _format(experiment),
        _curves(experiment),
        _iterations(experiment, report),
    )
    return [section for section in made if section is not None]


def experiment_headline(experiment: ExperimentReport) -> Iterable[Paragraph]:
    """Return a warning about missing parts, then the best series against the base policy, and whether it is a gain."""
    for words in experiment.missing:
        yield Paragraph(f"Missing: {words}.", "warning")
    if experiment.best is None:
        return
    name = experiment.best.name
    labels = [f"{name}, mean of {_seeds(experiment, name)} seeds", experiment.best.title]
    for label in labels:
        found = [one for one in experiment.against if one.label == label and one.other.endswith("with reflection")]
        for one in found[:1]:
            overall = one.paired.overall
            if overall.value is not None:
                above = ", ".join(one.paired.tasks_above) or "none"
                gain = dict(experiment.gains).get(label)
                seeds = f" (by seed: {_seed_values(overall)})" if overall.seeds else ""
                yield Paragraph(
                    f"{label}, against the base policy with reflection, Acc@t2, mean over tasks: "
                    f"{points(overall.as_metric())} points{seeds}{_no_difference(overall)}. "
                    f"Tasks whose interval lies above 0: {above}."
                    f"{f' {gain.sentence}' if gain else ''}"
                )
                return


def _seeds(experiment: ExperimentReport, name: str) -> int:
    return sum(one.name == name for one in experiment.series)


def _compared(experiment: ExperimentReport) -> Section:
    asked = experiment.settings.experiment
    assert asked is not None
    settings = experiment.settings
    tried = "not said" if experiment.recipes_tried is None else str(experiment.recipes_tried)
    rows = [
        ("Series", "; ".join(f"{one.title} ({one.iterations} iterations)" for one in experiment.series)),
        (
            "Best on the dev questions",
            "not known yet"
            if experiment.best is None
            else f"{experiment.best.name}, run again with further seeds"
            if asked.repeat_seeds
            else experiment.best.name,
        ),
        ("Recipes tried before this one, on dev questions", tried),
        ("Questions chosen by seed", str(settings.chooses_by)),
        (
            "Test questions",
            ", ".join(f"{one.task} {one.questions}" for one in experiment.references)
            + f"; {sum(one.questions for one in experiment.references)} in all, used for nothing but these numbers",
        ),
    ]
    blocks: list[Block] = [Facts(tuple(rows))]
    blocks += [Paragraph(words) for words in experiment.remarks]
    table = tuple(
        (
            one.task,
            str(one.questions),
            str(one.different),
            one.commonest,
            ratio(one.commonest_count, one.questions),
        )
        for one in experiment.references
    )
    head = ("Task", "Test questions", "Different answers", "Most common answer", "Correct if always given")
    blocks.append(Table(head, table, labels=1, title="What a constant answer would score"))
    blocks.append(
        Paragraph(
            "Under the oracle protocol a policy is asked again only when its first answer is wrong. If a task has two "
            "possible answers, that alone reveals the other one: Acc@t2 then says little about reasoning, and the "
            "oracle-free numbers are more informative.",
            "note",
        )
    )
    return Section("What was compared", tuple(blocks))


def _results(experiment: ExperimentReport) -> Section:
    blocks: list[Block] = []
    for feedback, words in _FEEDBACKS.items():
        chosen = [one for one in experiment.measured if one.feedback == feedback]
        if not chosen:
            continue
        rows: list[tuple[Cell, ...]] = [
            (
                one.label,
                f"{one.policy.name} (kept)" if one.kept else one.policy.name,
                *(_percent(value) for value in (one.acc_t1, one.acc_t2)),
                *((_floor(one.floor),) if feedback == ORACLE else ()),
                _points(one.delta),
                *(_percent(value) for value in (one.i_to_c, one.c_to_i)),
            )
            for one in chosen
        ]
        if feedback == ORACLE:
            rows[1:1] = [("base", one.name, *_turns_of(one), "–", "–", "–", "–") for one in experiment.baselines]
        floor = ("Floor of Acc@t2",) if feedback == ORACLE else ()
        head = ("Series", "Policy", "Acc@t1", "Acc@t2", *floor, "Δ(t1,t2)", "i→c", "c→i")
        blocks.append(Table(head, tuple(rows), labels=2, title=f"Mean over tasks, {words}"))
        tasks = sorted({task for one in chosen for task in one.by_task})
        for turn, measure in enumerate(("Acc@t1", "Acc@t2")):
            by_task = tuple((one.label, *(_turn(one, task, turn) for task in tasks)) for one in chosen)
            blocks.append(Table(("Series", *tasks), by_task, labels=1, title=f"By task, {measure}, {words}"))
        if feedback == ORACLE:
            floors = tuple((one.label, *(_floor(one.floors.get(task)) for task in tasks)) for one in chosen)
            blocks.append(Table(("Series", *tasks), floors, labels=1, title=f"By task, floor of Acc@t2, {words}"))
    if not blocks:
        blocks.append(Paragraph(f"Test questions: {NOT_MEASURED}."))
    note = (
        "After an iteration a series has its newest promoted policy; where the gate rejected the new one, "
        "the row repeats the policy before (kept). Acc@t1 of the base policy is the base without reflection. In a row "
        "of a baseline, Acc@t2 is its accuracy. A majority vote uses no verdict on the first answer: it stands under "
        "Acc@t1, and is compared with reflection under the oracle-free protocol only. The floor is what guessing "
        "reaches once an answer is known to be wrong."
    )
    return Section("Results on the test questions", (*blocks, Paragraph(note, "note")))


def _floor(value: float | None) -> str:
    return number_format.percent(value, missing=NOT_COMPUTED)


def _turns_of(one: Baseline) -> tuple[Cell, Cell]:
    return ("–", _percent(one.accuracy)) if one.uses_verdict else (_percent(one.accuracy), "–")


def _turn(one: Measured, task: str, turn: int) -> Cell:
    return _percent(one.by_task[task][turn]) if task in one.by_task else NOT_MEASURED


def _tests(experiment: ExperimentReport) -> Section | None:
    if not experiment.against:
        return None
    tasks = sorted({task for one in experiment.against for task in one.paired.by_task})
    overall = tuple(
        (
            one.label,
            one.other,
            _points(one.paired.overall),
            _seed_values(one.paired.overall),
            p_value(one.paired.overall.p) if one.paired.overall.p is not None else "–",
            _shows(one.paired.overall),
            f"{len(one.paired.tasks_above)} of {len(one.paired.by_task)}",
        )
        for one in experiment.against
    )
    head = (
        "Final policy of the series",
        "compared with",
        "Difference (points)",
        "by seed",
        "McNemar p",
        "n shows",
        "Tasks above 0",
    )
    by_task = tuple(
        (
            one.label,
            one.other,
            *(_points(one.paired.by_task[task]) if task in one.paired.by_task else NOT_MEASURED for task in tasks),
        )
        for one in experiment.against
    )
    note = (
        "Differences are paired over the same questions, with the paired score intervals of the tasks combined. "
        "Several seeds are a level of their own: their interval covers another seed, too. McNemar's p is of all "
        "questions together; a mean of several seeds has none. 'n shows' is the smallest difference that is found with "
        "a probability of 80 %. An interval that includes 0 shows no difference of that size or more, and nothing "
        "about smaller ones. Nothing is corrected for the number of comparisons. "
        "Retries and votes use as many tokens as reflection and correction did. A correction gets one verdict, that "
        "the first answer was wrong; so are retries that are voted on. Retries with a verdict after each are given one "
        "more per retry, and if a task has few possible answers that alone eventually makes them right."
    )
    return Section(
        "Paired tests",
        (
            Table(head, overall, labels=2, title="Mean over tasks"),
            Table(("Final policy of the series", "compared with", *tasks), by_task, labels=2, title="By task (points)"),
            Paragraph(note, "note"),
        ),
    )


def _format(experiment: ExperimentReport) -> Section | None:
    if not experiment.formats:
        return None
    rows = tuple(
        (
            one.label,
            f"t{one.turn}",
            ratio(one.read, one.verified),
            ratio(one.right, one.read),
            "–" if one.split is None else number_format.signed(100 * (one.split.by_format + one.split.by_the_rest)),
            "–" if one.split is None else number_format.signed(100 * one.split.by_format),
            "–" if one.split is None else f"{one.split.became_readable} / {one.split.became_unreadable}",
            "–" if one.split is None else number_format.signed(100 * one.split.by_the_rest),
            "–" if one.split is None else f"{one.split.became_right} / {one.split.became_wrong}",
        )
        for one in experiment.formats
    )
    head = (
        "Policy",
        "Turn",
        "Answer extracted",
        "Correct, of those extracted",
        "Gain over base (points)",
        "by format",
        "unreadable→right / right→unreadable",
        "by the rest",
        "read wrong→right / right→read wrong",
    )
    note = (
        "Learning to write an answer that can be extracted is a gain, but not one in reasoning: it is counted "
        "separately. Oracle protocol, over all test questions together."
    )
    return Section("Format and reasoning apart", (Table(head, rows, labels=2), Paragraph(note, "note")))


def _curves(experiment: ExperimentReport) -> Section | None:
    base = [one for one in experiment.measured if one.feedback == ORACLE and one.series is None]
    if not base or len(experiment.measured) < 2:
        return None
    longest = max(one.iterations for one in experiment.series)
    ticks = ("base", *(str(number) for number in range(1, longest + 1)))
    charts: list[Block] = []
    for key, name in (("acc_t2", "Acc@t2"), ("acc_t1", "Acc@t1")):
        lines = []
        for series in experiment.series:
            own = [one for one in experiment.measured if one.feedback == ORACLE and one.series == series]
            made = [_point(one, getattr(one, key)) for one in (*base, *own)]
            lines.append(Line(series.title, tuple(point for point in made if point is not None)))
        if key == "acc_t2" and base[0].floor is not None:
            places = range(1, longest + 2)
            lines.append(Line("floor of the base policy", tuple(Point(at, 100 * base[0].floor) for at in places)))
        words = "; ".join(
            f"{line.name}: {' → '.join(number_format.percent(point.y / 100) for point in line.points)}"
            for line in lines
        )
        title = f"{name} after each iteration, mean over tasks, oracle protocol"
        charts.append(Chart(f"experiment-{key}", title, "iteration", "percent", tuple(lines), words, ticks))
    return Section("Learning over the iterations", tuple(charts))


def _point(one: Measured, estimate: Estimate) -> Point | None:
    if estimate.value is None or estimate.low is None or estimate.high is None:
        return None
    return Point(one.number + 1, 100 * estimate.value, 100 * estimate.low, 100 * estimate.high)


def _iterations(experiment: ExperimentReport, report: RunReport) -> Section:
    tokens = _tokens(report)
    rows: list[tuple[Cell, ...]] = []
    for one in experiment.undertaken:
        child = one.child
        rows.append(
            (
                f"{one.series.title}, iteration {one.number}",
                one.parent,
                "none" if child is None else f"{child.name} ({child.state})",
                one.iteration.reason or "–",
                _examples(child.details if child else {}),
                duration(one.seconds),
                f"{tokens.get(one.iteration.title, 0):,}",
            )
        )
    head = ("Iteration", "From", "Left", "Why", "Examples", "Time", "Tokens out")
    training = sum(one.seconds or 0 for one in experiment.undertaken)
    measuring = [one for one in report.iterations if one.kind == "evaluation" and split_of(one.settings) == "test"]
    spent = sum(one.ended - one.created for one in measuring if one.ended is not None)
    facts = (
        ("Iterations", f"{len(experiment.undertaken)}, {duration(training)}"),
        ("Measuring on the test questions", f"{len(measuring)} times, {duration(spent)}"),
        ("Time in all", duration(training + spent)),
        ("Tokens generated in all", f"{sum(tokens.values()):,}"),
    )
    note = "Every iteration that was run with these settings, including those without a promoted policy."
    return Section(
        "Every iteration, and what it cost", (Paragraph(note, "note"), Table(head, tuple(rows), labels=4), Facts(facts))
    )


def _tokens(report: RunReport) -> dict[str, int]:
    found: dict[str, int] = {}
    for cost in report.costs:
        found[cost.iteration] = found.get(cost.iteration, 0) + (cost.completion_tokens or 0)
    return found


def _examples(details: Mapping[str, object]) -> str:
    value = details.get("examples")
    return str(value) if isinstance(value, int) else "–"


def _seed_values(estimate: Estimate) -> str:
    return "; ".join(number_format.signed(100 * one) for one in estimate.seeds) or "–"


def _shows(estimate: Estimate) -> str:
    return "no difference" if estimate.smallest is None else f"{100 * estimate.smallest:.1f} or more"


def _no_difference(estimate: Estimate) -> str:
    return f"; no difference shown, {shown_words(estimate.n, estimate.smallest)}" if estimate.includes_zero else ""


def _percent(estimate: Estimate) -> Number | str:
    return "–" if estimate.value is None else percent(estimate.as_metric())


def _points(estimate: Estimate) -> Number | str:
    return NOT_MEASURED if estimate.value is None else points(estimate.as_metric())
