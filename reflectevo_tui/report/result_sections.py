"""Sections on the performance of policies: held-out results, comparisons, and curves."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from reflectevo_tui.report.document import Block, Cell, Chart, Line, Paragraph, Point, Section, Table
from reflectevo_tui.report.formatting import (
    NOT_MEASURED,
    Measured,
    Number,
    figure,
    metric,
    metric_name,
    p_value,
    points,
)
from reflectevo_tui.report.report_contents import (
    Compared,
    MeasuredTask,
    Metrics,
    RunReport,
    TrainingCurve,
    protocol_key,
)
from store.evaluation.floors import FLOOR, floor_value
from store.evaluation.held_out_answers import is_oracle
from store.evaluation.transfer import display_name, transfer_tasks

ALL_TASKS = "all tasks"
NO_FLOOR = "–"
"""Shown where a number has no floor: at turn 1, without an oracle, or where a published number of options varies."""

_CORE = ("acc_t1", "acc_t2", "delta", "i_to_c", "c_to_i")
_UNREADABLE = ("unreadable_t1", "unreadable_t2")
_BASELINES = (
    *("acc_retry", "retry_i_to_c", "acc_retry_budget", "acc_retry_vote_budget"),
    *("acc_vote", "acc_vote_budget", "acc_vote_rounds"),
)
_FREE_TEXT = ("em_t1", "em_t2", "f1_t1", "f1_t2", "f1_improved")
_TOKENS = (
    *("tokens_attempt", "tokens_reflection", "tokens_correction", "tokens_retry", "tokens_retry_budget"),
    *("tokens_retry_vote_budget", "tokens_vote", "tokens_vote_budget"),
)
_PROMPT_TOKENS = tuple(f"prompt_{name}" for name in _TOKENS)
_MOST_POINTS = 300
_LOSSES = ("loss", "eval_loss")
_STAGE = "training_stage"
"""Metric that gives the stage of a two-stage training that a step belongs to."""
_TURNS = {"t1": "Acc@t1", "t2": "Acc@t2"}


def protocol_names(protocols: Iterable[str]) -> dict[str, str]:
    """Return the display name of each protocol: its feedback type, with the digest where that is ambiguous."""
    every = sorted(set(protocols), key=protocol_key)
    feedbacks = [one.partition("/")[0] for one in every]
    return {
        one: feedback if feedbacks.count(feedback) == 1 else one.replace("/", " ")
        for one, feedback in zip(every, feedbacks, strict=True)
    }


def without_repeats(measured: Sequence[MeasuredTask]) -> list[MeasuredTask]:
    """Drop the metrics of all tasks combined when there is a single task, since they are the same."""
    tasks = {one.task for one in measured if one.task}
    return [one for one in measured if one.task or len(tasks) != 1]


def _groups(known: Collection[str], *, floor: bool) -> list[tuple[str, tuple[str, ...]]]:
    """Return the title and metrics of each table; all tables but the first contain only metrics in `known`.

    With `floor` the floor stands beside Acc@t2 even if no evaluation has one.
    """
    later = sorted(
        (name for name in known if name.startswith("acc_t") and name[5:].isdecimal() and int(name[5:]) > 2),
        key=lambda name: int(name[5:]),
    )
    shown = {*_CORE, FLOOR, *later, *_UNREADABLE, *_BASELINES, *_FREE_TEXT, *_TOKENS, *_PROMPT_TOKENS}
    return [
        ("", (*_CORE[:2], *((FLOOR,) if floor else ()), *later, *_CORE[2:])),
        ("Without reflection, to compare", tuple(name for name in _BASELINES if name in known)),
        ("Replies without a readable answer", tuple(name for name in _UNREADABLE if name in known)),
        ("Free text", tuple(name for name in _FREE_TEXT if name in known)),
        ("Tokens a question", tuple(name for name in _TOKENS if name in known)),
        ("Prompt tokens a question", tuple(name for name in _PROMPT_TOKENS if name in known)),
        ("Further", tuple(sorted(set(known) - shown))),
    ]


def metric_order(metrics: Metrics) -> list[str]:
    """Return the names of stored metrics in display order, without those that were not measured."""
    return [name for _, names in _groups(metrics.keys(), floor=FLOOR in metrics) for name in names if name in metrics]


def held_out_tables(measured: Sequence[MeasuredTask]) -> list[Block]:
    """Return the tables of one protocol: accuracy, and where measured baselines, free text and tokens."""
    known = {name for one in measured for name, value in one.metrics.items() if value.get("value") is not None}
    transfer = {one.task for one in measured if one.transfer}
    tables: list[Block] = []
    for title, names in _groups(known, floor=any(is_oracle(one.protocol) for one in measured)):
        if not names:
            continue
        rows: tuple[tuple[Cell, ...], ...] = tuple(
            (
                display_name(one.task, transfer, ALL_TASKS),
                one.policy,
                *(metric(name, one.metrics.get(name)) for name in names),
            )
            for one in measured
        )
        tables.append(Table(("Task", "Policy", *map(metric_name, names)), rows, labels=2, title=title))
    return tables


def held_out(report: RunReport) -> Section:
    """Return the section with all held-out metrics, by protocol."""
    names = protocol_names(one.protocol for one in report.measured)
    blocks: list[Block] = []
    for protocol, name in names.items():
        chosen = [one for one in report.measured if one.protocol == protocol]
        most = max(one.n for one in chosen)
        blocks.append(Paragraph(f"Protocol {name}, on {most:,} {chosen[0].split} questions."))
        blocks.extend(held_out_tables(without_repeats(chosen)))
    if not blocks:
        blocks.append(Paragraph(f"Held-out questions: {NOT_MEASURED}."))
    return Section("Held-out results", tuple(blocks))


def headline(report: RunReport) -> Iterable[Paragraph]:
    """Return the difference of the newest child policy to its parent, and whether it shows a gain by reflection."""
    names = protocol_names(one.protocol for one in report.measured)
    newest = [one for one in report.compared if one.task == "" and one.turn == "t2"]
    if not newest:
        return
    last = [one for one in newest if one.child == newest[-1].child]
    for one in last:
        state = next(policy.state for policy in report.policies if policy.name == one.child)
        difference = one.difference
        if difference.value is None:
            continue
        side = f"includes 0: no difference shown, {difference.power}"
        if difference.low is not None and difference.high is not None:
            side = "lies above 0" if difference.low > 0 else "lies below 0" if difference.high < 0 else side
        number = _points(one)
        gain = report.gains.get((one.child, one.protocol))
        yield Paragraph(
            f"{one.child} ({state}) against {one.parent}, Acc@t2 under {names[one.protocol]}: {number.value} points "
            f"{number.aside}, McNemar p {p_value(difference.p)}; the interval {side}."
            f"{f' {gain.sentence}' if gain else ''}"
        )


def _points(one: Compared) -> Number:
    difference = one.difference
    return points({"value": difference.value, "low": difference.low, "high": difference.high, "n": float(difference.n)})


def comparisons(report: RunReport) -> Section | None:
    """Return the section that compares each child policy with its parent on the same questions."""
    if not report.compared:
        return None
    names = protocol_names(one.protocol for one in report.measured)
    transfer = transfer_tasks(report.run.settings)
    floors = {(one.policy, one.protocol, one.task): one.metrics.get(FLOOR) for one in report.measured}
    rows = tuple(
        (
            f"{one.child} − {one.parent}",
            names[one.protocol],
            display_name(one.task, transfer, ALL_TASKS),
            _TURNS[one.turn],
            _points(one),
            _floor_of_child(one, floors),
            p_value(one.difference.p),
            _shows(one),
            _flips(one, len(one.difference.gained)),
            _flips(one, len(one.difference.lost)),
        )
        for one in report.compared
        if one.task or len({other.task for other in report.compared if other.task}) != 1
    )
    head = (
        "Policies",
        "Protocol",
        "Task",
        "Turn",
        "Difference (points)",
        "Floor of the child",
        "McNemar p",
        "n shows",
        "Gained",
        "Lost",
    )
    note = (
        "'n shows' is the smallest difference in points that so many questions show with a probability of 80 %. An "
        "interval that includes 0 says nothing about smaller differences."
    )
    noise = tuple(Paragraph(f"{one.words} ({names[protocol]}).") for protocol, one in report.noise.items())
    blocks: list[Block] = [Table(head, rows, labels=4), *noise, Paragraph(note, "note")]
    return Section("Child against parent, on the same questions", tuple(blocks))


def _shows(one: Compared) -> str:
    smallest = one.difference.smallest
    return NOT_MEASURED if not one.difference.n else "nothing" if smallest is None else f"{100 * smallest:.1f}"


def _floor_of_child(one: Compared, floors: Mapping[tuple[str, str, str], Measured | None]) -> str:
    if one.turn != "t2" or not is_oracle(one.protocol):
        return NO_FLOOR
    return floor_value(floors.get((one.child, one.protocol, one.task)))


def _flips(one: Compared, number: int) -> str:
    return str(number) if one.difference.n else NOT_MEASURED


def learning(report: RunReport) -> Section | None:
    """Return the section on accuracy over the policies of the run, with one chart per protocol."""
    names = protocol_names(one.protocol for one in report.measured)
    charts: list[Block] = []
    for position, (protocol, name) in enumerate(names.items()):
        overall = [one for one in report.measured if one.protocol == protocol and one.task == ""]
        if len(overall) < 2:
            continue
        states = {policy.name: policy.state for policy in report.policies}
        ticks = tuple(
            one.policy if states[one.policy] == "promoted" else f"{one.policy} ({states[one.policy]})"
            for one in overall
        )
        lines = [
            Line(metric_name(key), made)
            for key in ("acc_t1", "acc_t2", FLOOR, "acc_retry")
            if (made := _accuracy_points(overall, key))
        ]
        if lines:
            words = f"{' → '.join(one.policy for one in overall)}, with 95 % intervals; the numbers stand below."
            charts.append(
                Chart(f"learning-{position}", f"Under {name}", "policy", "percent", tuple(lines), words, ticks)
            )
    return Section("Learning over the iterations", tuple(charts)) if charts else None


def _accuracy_points(overall: Sequence[MeasuredTask], key: str) -> tuple[Point, ...]:
    found = []
    for position, one in enumerate(overall, start=1):
        measured = one.metrics.get(key, {})
        value, low, high = (measured.get(part) for part in ("value", "low", "high"))
        if value is not None:
            found.append(
                Point(
                    position,
                    100 * value,
                    None if low is None else 100 * low,
                    None if high is None else 100 * high,
                )
            )
    return tuple(found)


def training(report: RunReport) -> Section | None:
    """Return the section on training losses and, for DPO, reward margins."""
    blocks: list[Block] = []
    curves = [curve for curve in report.curves if curve.points]
    for number, (title, names, y_title) in enumerate(
        (("Loss", _LOSSES, "loss"), ("Reward margin (DPO)", ("rewards/margins",), "margin"))
    ):
        chosen = [part for name in names for curve in curves if curve.name == name for part in _by_stage(curve, curves)]
        if not chosen:
            continue
        lines = tuple(
            Line(_curve_name(curve), tuple(Point(step, value) for step, value in thinned(curve.points)))
            for curve in chosen
        )
        words = "; ".join(
            f"{_curve_name(curve)}: {figure(curve.points[0][1])} → {figure(curve.points[-1][1])} "
            f"at step {curve.points[-1][0]}"
            for curve in chosen
        )
        blocks.append(Chart(f"training-{number}", title, "optimizer step", y_title, lines, words))
    rows = tuple(
        (
            policy.name,
            policy.setting,
            *(_detail(policy.details, name) for name in ("examples", "dropped", "steps")),
        )
        for policy in report.policies
        if policy.parent_id is not None
    )
    if rows:
        blocks.insert(0, Table(("Policy", "Setting", "Examples", "Dropped", "Steps"), rows, labels=2))
    return Section("Training", tuple(blocks)) if blocks else None


def _by_stage(curve: TrainingCurve, curves: Sequence[TrainingCurve]) -> list[TrainingCurve]:
    """Split the curve of a two-stage training by stage, since the losses are computed on different texts."""
    stages = {
        step: int(value)
        for other in curves
        if other.iteration == curve.iteration and other.name == _STAGE
        for step, value in other.points
    }
    parts = sorted({stages[step] for step, _ in curve.points if step in stages})
    if len(parts) < 2:
        return [curve]
    return [
        replace(
            curve,
            name=f"{curve.name} of stage {part}",
            points=tuple(point for point in curve.points if stages.get(point[0]) == part),
        )
        for part in parts
    ]


def _detail(details: object, name: str) -> str:
    value = details.get(name) if isinstance(details, dict) else None
    if isinstance(value, dict):
        value = sum(part for part in value.values() if isinstance(part, int))
    return f"{value:,}" if isinstance(value, int) else NOT_MEASURED


def _curve_name(curve: TrainingCurve) -> str:
    name, _, stage = curve.name.partition(" of ")
    kind = {"loss": "", "eval_loss": ", held out", "rewards/margins": ""}.get(name, f", {name}")
    return f"iteration {curve.iteration}{f', {stage}' if stage else ''}{kind}"


def thinned(values: tuple[tuple[int, float], ...]) -> list[tuple[float, float]]:
    """Reduce the points of a curve for a chart; each point is the mean of the steps it represents."""
    size = -(-len(values) // _MOST_POINTS)
    groups = [values[start : start + size] for start in range(0, len(values), size)] if values else []
    return [
        (sum(step for step, _ in group) / len(group), sum(value for _, value in group) / len(group)) for group in groups
    ]
