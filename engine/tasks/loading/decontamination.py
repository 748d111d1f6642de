"""Removes from the tasks of a run every train, dev and few-shot question that repeats a held-out question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import TypeVar

from engine.errors import TaskError
from engine.tasks.base import Example, Loaded, Question
from engine.tasks.loading.contamination import HeldOut, Match, asked_by, shown_by
from store.evaluation.number_format import counted

ItemT = TypeVar("ItemT", Question, Example)


def apart(loaded: Mapping[str, Loaded], generated: AbstractSet[str]) -> dict[str, Loaded]:
    """Return the tasks without questions that repeat a held-out one; see `engine.tasks.loading.contamination`.

    Training questions and worked examples that repeat a dev question are removed too.

    Args:
        loaded: the questions of each task by task name.
        generated: names of the tasks whose questions come from templates.

    Raises:
        TaskError: if a task with training questions has none left.
    """
    test = [asked_by(question, generated=name in generated) for name, one in loaded.items() for question in one.test]
    held = HeldOut(test)
    tuned = {name: _kept(name, one.dev, held, name in generated, "dev question") for name, one in loaded.items()}
    dev = [asked_by(question, generated=name in generated) for name, (kept, _) in tuned.items() for question in kept]
    aside = HeldOut([*test, *dev])
    result: dict[str, Loaded] = {}
    for name, one in loaded.items():
        train, train_notes = _kept(name, one.train, aside, name in generated, "training question")
        shown, shown_notes = _kept(name, one.few_shot, aside, name in generated, "worked example")
        if one.train and not train:
            raise TaskError(
                f"task {name!r}: every training question is held out by a task of this run; check the task mix"
            )
        notes = (*one.notes, *tuned[name][1], *train_notes, *shown_notes)
        result[name] = replace(one, train=train, dev=tuned[name][0], few_shot=shown, notes=notes)
    return result


def _kept(
    name: str, items: Sequence[ItemT], held: HeldOut, generated: bool, what: str
) -> tuple[tuple[ItemT, ...], tuple[str, ...]]:
    """Return the items that repeat no held-out question, and a note about the others."""
    kept: list[ItemT] = []
    repeats: list[tuple[str, Match]] = []
    for item in items:
        if isinstance(item, Question):
            asked = asked_by(item, generated=generated)
        else:
            asked = shown_by(name, item, generated=generated)
        match = held.match(asked)
        if match is None:
            kept.append(item)
        else:
            repeats.append((asked.text, match))
    if not repeats:
        return tuple(kept), ()
    same = sum(match.exact for _, match in repeats)
    alike = f"{same:,} identical and {len(repeats) - same:,} nearly identical to a held-out question of a task"
    text, match = min(repeats, key=lambda repeat: repeat[1].exact)
    example = f"e.g. {_shortened(text)!r} repeats {_shortened(match.held.text)!r} of {match.held.task!r}"
    return tuple(kept), (f"task {name!r}: {counted(len(repeats), what)} left out: {alike}, {example}",)


def _shortened(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"
