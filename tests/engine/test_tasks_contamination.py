"""Tests of contamination control: held-out questions are not trained on, tuned on or shown, reworded or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import TaskError
from engine.tasks import load_tasks
from engine.tasks.base import Example, Loaded, Question
from engine.tasks.loading.contamination import SHARED, Asked, HeldOut, tokens
from engine.tasks.loading.decontamination import apart
from store.records import Split
from store.settings import RunSettings

PASSAGE = (
    "The old lighthouse on the northern cape was built by a group of fishermen after a long winter in which many boats "
    "were lost. It has been kept by one family ever since, and the lamp is still lit by hand every evening."
)
STORY = (
    "Maria walks to the market every morning and buys 12 apples for her neighbours before she goes to work at the "
    "bakery. How many apples does she buy in one week?"
)
LONG = (
    "All the members of the chess club who travelled to the tournament by train arrived late, while every member who "
    "went by car was on time. Which of the following statements most weakens this conclusion?"
)


def asked(text: str, answer: str = "84", generated: bool = False) -> Asked:
    return Asked("quiz", text, answer, generated)


def kind_of_match(held: Asked, other: Asked) -> str | None:
    match = HeldOut([held]).match(other)
    return None if match is None else "same" if match.exact else "near"


@pytest.mark.parametrize(
    ("held", "other", "expected"),
    [
        (STORY, STORY, "same"),
        (STORY, STORY.upper().replace(",", " ,"), "same"),
        (STORY, f"  {STORY.replace(' ', '  ')}\n", "same"),
        (STORY, STORY.replace("Maria", "Anna"), "near"),
        (STORY, STORY.replace("walks", "runs").replace("bakery", "school"), "near"),
        (STORY, f"Please answer this question. {STORY}", "near"),
        (STORY, STORY.replace("12", "15"), None),
        (LONG, LONG.replace("most weakens", "seriously weakens"), "near"),
        (LONG, f"Example 4.\n{LONG}\nThink about it carefully, step by step, and then give a short answer.", "near"),
        ("What is 3 + 5?", "What is 3 - 5?", None),
        ("What is the capital of France?", "What is the capital of Spain?", None),
        ("What is the capital of France?", "what is the capital of france", "same"),
        (f"{PASSAGE}\nWho has kept the lighthouse?", f"{PASSAGE}\nWhen do they light the lamp in the evening?", None),
        (f"{PASSAGE}\nWho has kept the lighthouse?", f"{PASSAGE}\nWho kept the lighthouse?", "near"),
        ("Solve for x where x + 3 = 7 and tell us what the value of x is then",
         "Solve for y where y + 3 = 7 and tell us what the value of y is then", None),
    ],
)  # fmt: skip
def test_what_repeats_a_question(held: str, other: str, expected: str | None) -> None:
    """Rewording is found; another number, another variable or another question on the same passage is a different
    question.
    """
    assert kind_of_match(asked(held), asked(other)) == expected


def test_a_changed_word_with_another_answer_is_another_question() -> None:
    """`strengthens` for `weakens` inverts a question; a typo doesn't."""
    other = LONG.replace("weakens", "strengthens")
    assert kind_of_match(asked(LONG, "B"), asked(other, "C")) is None
    assert kind_of_match(asked(LONG, "B"), asked(other, "B")) == "near"
    assert kind_of_match(asked(LONG, "B"), asked(LONG.replace("tournament", "tournment"), "C")) == "near"


def test_generated_questions_are_compared_by_their_whole_wording() -> None:
    """Instances of one template are inherently similar."""
    for one, other in ((True, False), (False, True), (True, True)):
        assert kind_of_match(asked(LONG, generated=one), asked(LONG.replace("train", "bus"), generated=other)) is None
        assert kind_of_match(asked(LONG, generated=one), asked(LONG, generated=other)) == "same"


WORDS = st.lists(st.sampled_from("hare fox owl runs sees hides under over near tree hill pond red old".split()))


@settings(max_examples=200, deadline=None)
@given(WORDS.filter(lambda words: len(words) >= 12), WORDS.filter(lambda words: len(words) >= 12), st.integers(0, 30))
def test_the_index_misses_no_candidate(held: list[str], other: list[str], cut: int) -> None:
    """All pairs that share enough word 3-grams are compared in full, so the index misses nothing."""
    mixed = [*held[:cut], *other[cut:]]
    one, two = ({tuple(words[n : n + 3]) for n in range(len(words) - 2)} for words in (held, mixed))
    others = HeldOut([asked(" ".join(held), "x"), asked(" ".join(reversed(held)), "x")])
    places = {place for gram in two for place in others._places.get(gram, ())}
    if len(one & two) >= SHARED * len(one | two):
        assert 0 in places
    assert HeldOut([asked(" ".join(held))]).match(asked(" ".join(held))) is not None


@given(st.text(max_size=300))
def test_any_text_is_safe(text: str) -> None:
    """Questions come from files; none may stop loading."""
    assert HeldOut([asked(text)]).match(asked(text)) is not None or not tokens(text)


def question(text: str, split: Split, task: str = "quiz") -> Question:
    return Question(task, "reasoning", split, text, (), "84", {"worked": "Answer: 84"})


def test_training_tuning_and_shown_questions_are_all_guarded() -> None:
    """Trap 4: few-shot examples must not come from held-out questions, not even from another task's."""
    near = STORY.replace("Maria", "Anna")
    one = Loaded(
        train=(question(near, "train"), question("Kept?", "train"), question(LONG.upper(), "train")),
        test=(question(STORY, "test"),),
        dev=(question(STORY.lower(), "dev"), question(LONG, "dev")),
        few_shot=(Example(near, "Answer: 84"), Example("Shown?", "Answer: yes")),
    )
    two = Loaded(train=(question(f"{STORY}!", "train", "more"), question("Also kept?", "train", "more")), test=())
    result = apart({"quiz": one, "more": two}, set())
    assert [kept.text for kept in result["quiz"].train] == ["Kept?"]
    assert [kept.text for kept in result["quiz"].dev] == [LONG]
    assert [kept.question for kept in result["quiz"].few_shot] == ["Shown?"]
    assert [kept.text for kept in result["more"].train] == ["Also kept?"]
    assert result["quiz"].test == one.test
    notes = " ".join(result["quiz"].notes)
    assert "2 training questions left out: 1 identical and 1 nearly identical" in notes
    assert "1 dev question left out" in notes
    assert "1 worked example left out" in notes
    assert "Maria" in notes
    assert result["more"].notes[0].startswith("task 'more': 1 training question left out: 1 identical")


def test_a_task_without_anything_left_is_an_error() -> None:
    """A run without training questions is refused before a model is loaded."""
    held = Loaded(train=(question("Kept?", "train"),), test=(question(STORY, "test"),))
    lost = Loaded(train=(question(STORY, "train", "lost"),), test=())
    with pytest.raises(TaskError, match="'lost': every training question is held out"):
        apart({"quiz": held, "lost": lost}, set())


def test_generated_tasks_lose_nothing_to_likeness() -> None:
    """Two tasks of one template with disjoint seeds keep all their questions."""
    pytest.importorskip("reasoning_gym")
    tasks: list[dict[str, Any]] = [
        {"kind": "procedural", "name": name, "dataset": dataset, "train": 40, "dev": 10, "test": 20, "few_shot": 3}
        for name in "ab"
        for dataset in ("syllogism",)
    ]
    loaded = load_tasks(RunSettings.model_validate({"model": "m", "tasks": tasks}), Path())
    for one in loaded.values():
        assert (len(one.train), len(one.dev), len(one.test), len(one.few_shot), one.notes) == (40, 10, 20, 3, ())


def test_near_repeats_inside_one_file_are_kept_apart(tmp_path: Path) -> None:
    """A file that contains a question twice, reworded, would otherwise put one copy into each split."""
    rows = [
        {"problem": f"{animal} number {n} eats twice as much hay as the goat, which eats {n} kilograms of hay a day "
         f"in spring. How much hay does {animal} number {n} {verb} every day?", "solution": str(2 * n)}
        for n in range(30)
        for animal, verb in (("Horse", "eat"), ("Horse", "need"))
    ]  # fmt: skip
    (tmp_path / "hay.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"kind": "math", "name": "hay", "path": "hay.jsonl", "train": 40, "test": 20}
    (one,) = load_tasks(RunSettings.model_validate({"model": "m", "tasks": [task]}), tmp_path).values()
    held = {kept.text.replace("need every", "eat every") for kept in one.test}
    assert held.isdisjoint(kept.text.replace("need every", "eat every") for kept in one.train)
    assert any("nearly identical" in note for note in one.notes)
    assert len(one.train) >= 10
