"""Layout of a report: turns the gathered values into sections. Pure: equal values give equal documents."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from reflectevo_tui.report.control_section import controls
from reflectevo_tui.report.data_sections import curation, examples, instructions, reflections, reviews
from reflectevo_tui.report.document import Document, Facts, Folded, Paragraph, Section, Table, Verbatim
from reflectevo_tui.report.experiment_sections import experiment_headline, experiment_sections
from reflectevo_tui.report.formatting import count, duration
from reflectevo_tui.report.paper_section import besides_the_paper
from reflectevo_tui.report.report_contents import RunReport, moment
from reflectevo_tui.report.result_sections import comparisons, headline, held_out, learning, training
from reflectevo_tui.report.review_section import reviewed_errors
from store.records import IterationKind


def lay_out(report: RunReport) -> Document:
    """Return the document of a report, without the sections for which nothing is stored."""
    made = (
        *_learned(report),
        held_out(report),
        controls(report),
        besides_the_paper(report),
        training(report),
        instructions(report),
        curation(report),
        reflections(report),
        examples(report),
        reviews(report),
        reviewed_errors(report),
        _costs(report),
        _lineage(report),
        _settings(report),
        _reading(),
    )
    return Document(
        title=f"ReflectEvo run {report.run.name}",
        lead=tuple(_lead(report)),
        sections=tuple(section for section in made if section is not None),
    )


def _learned(report: RunReport) -> list[Section | None]:
    """Return the result sections: an experiment compares all policies, any other run children with parents."""
    if report.experiment is not None:
        return [*experiment_sections(report.experiment, report)]
    return [learning(report), comparisons(report)]


def _lead(report: RunReport) -> Iterable[Paragraph | Facts]:
    run = report.run
    if run.origin == "synthetic":
        yield Paragraph("Synthetic data, made to try the program out: nothing here comes from a model.", "warning")
    if run.origin == "import":
        yield Paragraph("Imported data: these trajectories were generated elsewhere.", "note")
    finished = [one.ended for one in report.iterations if one.ended is not None]
    states = _states(report, "training") or "none yet"
    tasks = ", ".join(
        f"{task} ({', '.join(f'{n:,} {split}' for split, n in splits.items())})"
        for task, splits in report.questions.items()
    )
    rows = [
        ("Model", run.base_model),
        ("Tasks", tasks or "no questions stored"),
        ("Iterations", states),
        ("Started", moment(run.created) or ""),
        ("Newest iteration ended", moment(max(finished)) if finished else "not yet"),
    ]
    apart = _states(report, "evaluation")
    if apart:
        rows.insert(3, ("Evaluations apart", apart))
    if run.error:
        rows.append(("Error", run.error))
    yield Facts(tuple((name, str(value)) for name, value in rows))
    yield from headline(report) if report.experiment is None else experiment_headline(report.experiment)


def _states(report: RunReport, kind: IterationKind) -> str:
    return ", ".join(f"{one.number} {one.state}" for one in report.iterations if one.kind == kind)


def _costs(report: RunReport) -> Section | None:
    rows = tuple(
        (
            one.iteration,
            one.stage,
            one.state,
            duration(one.seconds),
            "–" if one.texts is None else count(one.texts),
            "–" if one.prompt_tokens is None else count(one.prompt_tokens),
            "–" if one.completion_tokens is None else count(one.completion_tokens),
        )
        for one in report.costs
    )
    if not rows:
        return None
    head = ("Iteration", "Stage", "State", "Time", "Texts", "Tokens in", "Tokens out")
    note = (
        "In flow pace the generating stages run at once, so their times overlap. "
        "A dash: the stage generates no text, or none of it was generated anew."
    )
    return Section("Time and tokens by stage", (Table(head, rows, labels=3), Paragraph(note, "note")))


def _lineage(report: RunReport) -> Section | None:
    if not report.policies:
        return None
    numbers = {one.id: str(one.number) for one in report.iterations if one.kind == "training"}
    rows = tuple(
        (
            policy.name,
            report.name_of(policy.parent_id) or "–",
            numbers.get(policy.iteration_id or 0, "–"),
            policy.setting,
            policy.state,
            policy.reason or "–",
        )
        for policy in report.policies
    )
    head = ("Policy", "Parent", "Iteration", "Setting", "State", "Why")
    return Section("Policies", (Table(head, rows, labels=len(head)),))


def _settings(report: RunReport) -> Section | None:
    import tomlkit

    settings = report.run.settings
    if not settings:
        return None
    blocks: list[Verbatim | Paragraph] = []
    for iteration in report.iterations:
        changed = _changes(settings, iteration.settings)
        if changed:
            words = "; ".join(f"{name} = {value}" for name, value in changed)
            blocks.append(Paragraph(f"{iteration.title.capitalize()} ran with: {words}."))
    toml = tomlkit.dumps(_without_none(settings))
    return Section("Settings", (*blocks, Folded("The settings of the run (TOML)", (Verbatim("", toml.rstrip()),))))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_none(inner) for name, inner in value.items() if inner is not None}
    return [_without_none(inner) for inner in value] if isinstance(value, list) else value


def _changes(before: Any, after: Any, place: str = "") -> list[tuple[str, str]]:
    """Return the settings that differ, by dotted name."""
    found: list[tuple[str, str]] = []
    for name in sorted({*before, *after}):
        old, new, dotted = before.get(name), after.get(name), f"{place}{name}"
        if isinstance(old, dict) and isinstance(new, dict):
            found.extend(_changes(old, new, f"{dotted}."))
        elif old != new:
            found.append((dotted, "unset" if new is None else repr(new)))
    return found


def _reading() -> Section:
    lines = (
        "Acc@t1 is the share of right first answers, Acc@t2 that after one reflection. Under `oracle` only wrong "
        "answers are reflected on, as in the paper; under `oracle-free` every answer is, so that right answers can "
        "become wrong (c→i).",
        "i→c is the share of wrong answers that became right after reflection, c→i the share of right answers that "
        "became wrong.",
        "The floor of Acc@t2 under `oracle` is what guessing reaches: another option at random where the options are "
        "known, else the commonest training answer and, if that is wrong, the second commonest. A gain by "
        "reflection is stated only above the floor and above the policy's own retry without a reflection.",
        "Shares have 95 % Wilson intervals, differences paired score intervals over the same questions; n is the "
        "number of questions. p is from McNemar's exact test. Answers that could not be verified are not counted.",
        "Retry is a second attempt without a reflection, vote a majority vote over sampled answers; 'equal tokens' "
        "limits them to the tokens that reflection used on average, prompts included. A vote uses no verdict on the "
        "first answer; compare it with Acc@t1, or with Acc@t2 under `oracle-free`, but not under `oracle`.",
    )
    return Section("How to read this", tuple(Paragraph(line, "note") for line in lines))
