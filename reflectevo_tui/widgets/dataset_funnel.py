"""Formats the funnel from trajectories to training examples and the composition of the examples. Pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from textual.content import Content

from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from store.curation.datasets import DatasetFacts
from store.curation.records import FunnelCount
from store.curation.training_settings import SET_TITLES, SetName
from store.curation.unfit_attempts import UnfitCount
from store.evaluation.number_format import counted

SET_WORDS: Mapping[SetName, str] = {
    "d_plus": "reflections whose correction is correct",
    "d_pm": "pairs: led to a correct answer over led to an incorrect one",
    "d_pref": "pairs that both led to a correct answer, ranked by a judge",
}
BAR = 12


NAME = 30


def reasons_of(counts: Iterable[FunnelCount], set_name: SetName) -> dict[str, int]:
    """Return the excluded rows of a set by reason, most frequent first."""
    found: Counter[str] = Counter()
    for one in counts:
        if one.set_name == set_name and not one.included:
            found[one.reason] += one.n
    return dict(found.most_common())


def included_in(counts: Iterable[FunnelCount], set_name: SetName) -> int:
    """Return the number of rows included in a set."""
    return sum(one.n for one in counts if one.set_name == set_name and one.included)


def _step(name: str, number: int, of: int, style: str = "$primary", width: int = NAME) -> Content:
    filled, empty = formatting.bar(number / of if of else 0.0, BAR)
    share = f"{formatting.percent(number / of if of else None):>8}"
    return display.line(
        display.fitted(name, width),
        f"{formatting.count(number):>9} ",
        (filled, style),
        (empty, "$rule"),
        (share, "$quiet"),
    )


def funnel_lines(facts: DatasetFacts, set_name: SetName, shown: str | None) -> list[Content]:
    """Format the funnel from attempts to the examples of a set, with exclusion reasons; `shown` is the listed one."""
    rollouts = facts.rollouts
    reasons, included = reasons_of(facts.counts, set_name), included_in(facts.counts, set_name)
    total = included + sum(reasons.values())
    incorrect, helped = "incorrect: reflected on", "i→c"
    if rollouts.everything:
        incorrect, helped = "incorrect", "i→c and c→c"
    lines = [
        _step("attempts", rollouts.attempts, rollouts.attempts),
        _step(f"  {incorrect}", rollouts.incorrect, rollouts.attempts),
        _step("reflections", rollouts.reflections, rollouts.reflections),
        _step("  correction verified", rollouts.judged, rollouts.reflections),
        _step(f"  {helped}", rollouts.helped, rollouts.reflections, "$success"),
        display.line(),
        display.line((f"{SET_TITLES[set_name]} ", "bold"), (SET_WORDS[set_name], "$quiet")),
    ]
    if not total:
        return [*lines, display.line(("not curated yet", "$quiet"))]
    mark: list[Part] = [("▸ " if shown is None else "  ", "bold $accent")]
    lines.append(display.joined([display.line(*mark), _step("included", included, total, "$success", NAME - 2)]))
    for reason, number in reasons.items():
        chosen = reason == shown
        human = reason.startswith("human")
        style = "$accent" if human else "$warning"
        head = display.line(("▸ " if chosen else "  ", "bold $accent"))
        lines.append(display.joined([head, _step(f"{'✎' if human else '−'} {reason}", number, total, style, NAME - 2)]))
    lines += [display.line(), decisions_line(facts, reasons)]
    if facts.trained:
        lines.append(display.line((facts.trained, "$quiet")))
    return [*lines, *unfit_lines(facts.unfit)]


def unfit_lines(counts: Iterable[UnfitCount]) -> list[Content]:
    """Format the attempts that are not trained on as answers: one line per use, with the reasons."""
    by_use: dict[str, list[UnfitCount]] = {}
    for one in counts:
        by_use.setdefault(one.use, []).append(one)
    return [
        display.line(
            (f"− left out of {use}: ", "$warning"),
            (", ".join(f"{formatting.count(one.n)} {one.reason}" for one in found), "$quiet"),
        )
        for use, found in by_use.items()
    ]


def decisions_line(facts: DatasetFacts, reasons: dict[str, int]) -> Content:
    """Format the effect of operators' decisions on the set, and that of decisions made since."""
    decided = sum(number for reason, number in reasons.items() if reason.startswith("human"))
    parts: list[Part] = [("✎ ", "bold $accent"), f"{formatting.count(decided)} left out by reviewers"]
    if facts.later_decisions:
        parts.append((f" · {later_words(facts)}", "$warning"))
    return display.line(*parts)


def later_words(facts: DatasetFacts) -> str:
    """Describe what happens to the decisions that the sets do not include yet."""
    decisions = counted(facts.later_decisions, "decision")
    if facts.curates_again:
        them = "it" if facts.later_decisions == 1 else "them"
        return f"{decisions} not applied yet; the next curation applies {them}"
    return f"{decisions} made after the last curation; not applied"


def count_lines(counts: Iterable[FunnelCount], set_name: SetName, height: int) -> list[Content]:
    """Format the included rows by task, then by instruction, most frequent first."""
    tasks: Counter[str] = Counter()
    instructions: Counter[str] = Counter()
    for one in counts:
        if one.set_name == set_name and one.included:
            tasks[one.task] += one.n
            instructions[one.instruction] += one.n
    total = sum(tasks.values())
    if not total:
        return [display.line(("no example in this set", "$quiet"))]
    lines = [display.line(("by task", "bold"))]
    lines += [_step(task, n, total) for task, n in tasks.most_common(8)]
    lines += [display.line(), display.line(("by instruction", "bold"), (f"  {len(instructions)} used", "$quiet"))]
    room = max(height - len(lines), 3)
    lines += [_step(key, n, total) for key, n in instructions.most_common(room)]
    return lines
