"""Builds training examples from sampled first attempts: right ones, or right over wrong ones of the same question.

Right samples as targets are rejection-sampling fine-tuning (RFT, arXiv 2308.01825), the E-step of ReST-EM
(arXiv 2312.06585), and STaR without hints (arXiv 2203.14465). Right over wrong samples are preference pairs as in
Iterative RPO (arXiv 2404.19733). Neither contains a reflection, and the prompt is that of the first attempt. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby, product

from engine.errors import TrainingRefused
from engine.prompts.rollout import Problem, attempt_messages
from engine.training.build_examples import reply
from engine.training.examples import AnyExample, Example, Pair
from store.curation.trained_rows import examples_of_question
from store.curation.training_settings import TrainingSettingEntry
from store.records import StoredAttempt

BuildFromAttempts = Callable[[Problem, Sequence[StoredAttempt], Sequence[StoredAttempt], int], tuple[AnyExample, ...]]
"""Builds a number of examples from the right and the wrong attempts at one problem."""


def right_attempts(
    problem: Problem, right: Sequence[StoredAttempt], wrong: Sequence[StoredAttempt], count: int
) -> tuple[AnyExample, ...]:
    """Return right attempts as completions of the first attempt's prompt; ids are those of the attempts."""
    asked = tuple(attempt_messages(problem))
    return tuple(Example(one.id, asked, reply(one.reasoning), one.question_id) for one in right[:count])


def attempt_pairs(
    problem: Problem, right: Sequence[StoredAttempt], wrong: Sequence[StoredAttempt], count: int
) -> tuple[AnyExample, ...]:
    """Return pairs of a right and a wrong attempt, each attempt used about equally often; ids are the right ones'."""
    asked = tuple(attempt_messages(problem))
    made: list[AnyExample] = []
    for shift, (position, chosen) in product(range(len(wrong)), enumerate(right)):
        if len(made) == count:
            break
        rejected = wrong[(position + shift) % len(wrong)]
        made.append(Pair(chosen.id, asked, reply(chosen.reasoning), reply(rejected.reasoning), chosen.question_id))
    return tuple(made)


def attempt_examples(
    entry: TrainingSettingEntry,
    build: BuildFromAttempts,
    attempts: Iterable[StoredAttempt],
    problems: Mapping[int, Problem],
    per_question: int,
) -> tuple[AnyExample, ...]:
    """Return the examples of a setting that trains on sampled attempts, at most `per_question` of a question.

    Args:
        entry: the setting.
        build: what its rows are built by.
        attempts: sampled first attempts with a verdict, by question; equal texts of a question are used once.
        problems: by question.
        per_question: `curation.max_per_question`.
    """
    found: list[AnyExample] = []
    for question, sampled in groupby(attempts, key=lambda one: one.question_id):
        distinct = {(one.verdict, one.reasoning): one for one in reversed(list(sampled))}
        given = sorted(distinct.values(), key=lambda one: (one.sample, one.id))
        right = [one for one in given if one.verdict == "correct"]
        wrong = [one for one in given if one.verdict == "incorrect"]
        count = examples_of_question(entry, len(right), len(wrong), per_question)
        found += build(problems[question], right, wrong, count)
    return tuple(found)


def missing_samples(entry: TrainingSettingEntry, samples: int) -> str | None:
    """Return why a setting has no sampled attempts to train on, with the remedy; None if it needs none or has some."""
    if not entry.needs_samples or samples > 0:
        return None
    return (
        f"training.setting = {entry.name!r} trains on sampled first attempts, and attempt.samples is 0; "
        "set attempt.samples to at least 1, e.g. to 4"
    )


def refuse_without_samples(entry: TrainingSettingEntry, examples: Sequence[AnyExample], samples: int) -> None:
    """Raise TrainingRefused when a setting that trains on sampled attempts got no example, with the reason."""
    if not entry.needs_samples or examples:
        return
    reason = missing_samples(entry, samples)
    needed = "a right and a wrong one" if entry.paired else "a right one"
    raise TrainingRefused(
        reason
        or f"no question has {needed} among its sampled first attempts. Raise attempt.samples or "
        "attempt.sample_temperature, or choose other tasks."
    )
