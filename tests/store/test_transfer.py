"""Tests of transfer tasks: what their settings allow, how results are grouped, and that no comparison mixes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import ValidationError

from store.evaluation.comparisons import PairedAnswer, compare
from store.evaluation.held_out_answers import HeldOutAnswer
from store.evaluation.transfer import TRANSFER, display_name, grouped, transfer_tasks
from store.settings import RunSettings


def task(name: str, **more: object) -> dict[str, Any]:
    return {"kind": "procedural", "name": name, "dataset": "gcd", **more}


def settings(*tasks: dict[str, Any], **more: object) -> RunSettings:
    return RunSettings.model_validate({"model": "none", "tasks": list(tasks), **more})


def test_a_transfer_task_has_test_questions_only() -> None:
    made = settings(task("sums"), task("gcd", role="test", test=7))
    assert [(one.train, one.dev, one.test) for one in made.tasks] == [(100, 0, 50), (0, 0, 7)]
    assert made.transfer_tasks == transfer_tasks(made.model_dump(mode="json")) == {"gcd"}
    assert RunSettings.model_validate(made.model_dump(mode="json")) == made
    shown = {"question": "1 + 1?", "reply": "Answer: 2"}
    assert settings(task("sums"), task("gcd", role="test", examples=[shown])).tasks[1].examples


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        ([task("sums"), task("gcd", role="test", train=5)], "train = 5 contradict"),
        ([task("sums"), task("gcd", role="test", dev=5)], "dev = 5 contradict"),
        ([task("sums"), task("gcd", role="test", test=0)], "needs test questions"),
        ([task("gcd", role="test")], "nothing to train on"),
        ([task("sums", train=0)], "role = 'test'"),
        ([task("sums", role="dev")], "train' or 'test'"),
    ],
)
def test_contradictions_of_roles_are_refused(tasks: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(*tasks)


def test_settings_of_earlier_versions_have_no_transfer_tasks() -> None:
    assert transfer_tasks({"tasks": [{"name": "sums", "kind": "math"}]}) == transfer_tasks({}) == frozenset()


@dataclass(frozen=True)
class Item:
    task: str
    id: int = 0


def test_groups_stand_in_display_order_and_never_mix() -> None:
    items = [Item("a"), Item("z"), Item("m"), Item("b"), Item("m", 1)]
    found = grouped(items, {"m", "b"})
    assert list(found) == ["", "a", "z", TRANSFER, "b", "m"]
    assert found[""] == [Item("a"), Item("z")] and len(found[TRANSFER]) == 3
    assert list(grouped(items, frozenset())) == ["", "a", "b", "m", "z"]
    assert grouped([], {"m"}) == {"": []}
    assert [display_name(one, {"m"}, "all tasks") for one in ("", "a", "m", TRANSFER)] == [
        "trained tasks",
        "a",
        "m (transfer)",
        "transfer tasks",
    ]
    assert display_name("", frozenset(), "all tasks") == "all tasks"


def answer(question: int, *, right: bool, transfer: bool) -> HeldOutAnswer:
    verdict = "correct" if right else "incorrect"
    return HeldOutAnswer(question, "gcd" if transfer else "sums", verdict, None, True, None, transfer)  # type: ignore[arg-type]


def test_promotion_does_not_see_transfer_tasks() -> None:
    """Every transfer question is lost, no other one changes: the comparison shows no loss."""
    pairs = [
        PairedAnswer(answer(n, right=True, transfer=n < 40), answer(n, right=n >= 40, transfer=n < 40))
        for n in range(60)
    ]
    found = compare(pairs, "oracle/x").t1
    assert (found.n, found.value, found.lost) == (20, 0.0, ())


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"reflector": "other", "reflection": {"by": "base"}}, "remove one of the two"),
        ({"reflection": {"by": ""}}, "at least 1 character"),
        ({"curation": {"max_examples": 0}}, "greater than or equal to 1"),
    ],
)
def test_contradictory_sources_and_sizes_are_refused(more: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        settings(task("sums"), **more)


def test_reflecting_models_are_those_that_need_weights() -> None:
    series = [
        {"name": "a", "changes": {"reflection": {"by": "some/model"}}},
        {"name": "b", "changes": {"reflection": {"by": "p01"}}},
        {"name": "c", "changes": {"reflection": {"by": "child"}}},
    ]
    more = {"evaluation": {"split": "dev"}, "experiment": {"series": series, "varies": "reflection.by"}}
    made = settings(task("sums", dev=5), **more)
    assert made.reflecting_models == ("some/model",)
    for varies, words in (("reflection.bi", "no setting"), ("training.epochs", "same in every series")):
        with pytest.raises(ValidationError, match=words):
            settings(task("sums", dev=5), **{**more, "experiment": {"series": series, "varies": varies}})
