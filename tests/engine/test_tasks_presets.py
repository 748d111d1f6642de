"""Tests of the dataset presets: a row of each known dataset becomes a question with the right reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.tasks import TASK_TYPES, load_tasks, task_type
from engine.tasks.base import Loaded, Question
from store.settings import RunSettings
from store.settings.presets import IN_FILES, PRESETS

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"

DOMAINS = {
    *("logical reasoning", "mathematics", "reading comprehension", "commonsense", "contextual QA"),
    *("social", "coding", "causal", "context-free QA", "physics"),
}
"""The ten datasets of the paper."""

BIGBENCH = {"idx": 3, "inputs": "Q: Which one?\nA:", "targets": ["left"]}
MARKED = BIGBENCH | {"multiple_choice_targets": ["right", "left"], "multiple_choice_scores": [0, 1]}

ROWS: dict[str, tuple[dict[str, Any], str, str]] = {
    "logiqa": (
        {"context": "All hares run.", "query": "What follows?", "options": ["a", "b", "c", "d"], "correct_option": "2"},
        "All hares run.\n\nWhat follows?",
        "C",
    ),
    "bigbench-logical-deduction": (MARKED, "Q: Which one?\nA:", "B"),
    "bigbench-date-understanding": (MARKED, "Q: Which one?\nA:", "B"),
    "bigbench-causal-judgment": (MARKED, "Q: Which one?\nA:", "B"),
    "bigbench-cause-and-effect": (MARKED, "Q: Which one?\nA:", "B"),
    "bigbench-physics": (MARKED, "Q: Which one?\nA:", "B"),
    "bigbench-word-unscrambling": (BIGBENCH, "Q: Which one?\nA:", "left"),
    "bigbench": (BIGBENCH, "Q: Which one?\nA:", "left"),
    "math": (
        {"problem": "Half of 3?", "level": "Level 1", "type": "Algebra", "solution": "It is $\\boxed{\\frac{3}{2}}$."},
        "Half of 3?",
        "\\frac{3}{2}",
    ),
    "gsm8k": ({"question": "Two and two?", "answer": "2+2=<<2+2=4>>4\n#### 4"}, "Two and two?", "4"),
    "race": (
        {"example_id": "h1", "article": "It rained.", "question": "Then _ .", "options": ["wet", "dry"], "answer": "A"},
        "It rained.\n\nThen _ .",
        "A",
    ),
    "squad": (
        {
            "id": "5",
            "title": "T",
            "context": "Rome is old.",
            "question": "What is old?",
            "answers": {"text": ["Rome", "the city"], "answer_start": [0, 0]},
        },
        "Rome is old.\n\nWhat is old?",
        "Rome",
    ),
    "commonsense-qa": (
        {
            "id": "a1",
            "question": "Where is a hare?",
            "question_concept": "hare",
            "choices": {"label": ["A", "B", "C", "D", "E"], "text": ["field", "sea", "sky", "car", "bank"]},
            "answerKey": "A",
        },
        "Where is a hare?",
        "A",
    ),
    "openbookqa": (
        {
            "id": "7-980",
            "question_stem": "Ice is",
            "choices": {"text": ["hot", "cold", "loud", "old"], "label": ["A", "B", "C", "D"]},
            "answerKey": "B",
        },
        "Ice is",
        "B",
    ),
    "piqa": ({"goal": "Open a jar", "sol1": "Turn it.", "sol2": "Eat it.", "label": 0}, "Open a jar", "A"),
    "hotpotqa": (
        {
            "id": "x",
            "question": "Which is older?",
            "answer": "Rome",
            "context": {"title": ["Rome", "Bonn"], "sentences": [["Rome is old."], ["Bonn is on a river.", "It is."]]},
        },
        "Rome is old. Bonn is on a river. It is.\n\nWhich is older?",
        "Rome",
    ),
    "drop": (
        {
            "section_id": "s",
            "query_id": "q",
            "passage": "They won 3 of 5.",
            "question": "How many were lost?",
            "answers_spans": {"spans": ["2"], "types": ["number"]},
        },
        "They won 3 of 5.\n\nHow many were lost?",
        "2",
    ),
    "siqa": (
        {
            "context": "Kim fell.",
            "question": "What will Kim do?",
            "answerA": "sleep",
            "answerB": "sing",
            "answerC": "get up",
            "label": "3",
        },
        "Kim fell.\n\nWhat will Kim do?",
        "C",
    ),
    "mbpp": (
        {
            "task_id": 601,
            "text": "Write a function to double a number.",
            "code": "def double(x):\n    return 2 * x",
            "test_list": ["assert double(2) == 4", "assert double(0) == 0"],
            "test_setup_code": "",
            "challenge_test_list": [],
        },
        "Write a function to double a number.",
        "",
    ),
    "balanced-copa": (
        {
            "id": 1,
            "premise": "The street is wet.",
            "question": "cause",
            "choice1": "It rained.",
            "choice2": "It dried.",
            "label": 0,
            "mirrored": False,
        },
        "The street is wet.\n\nWhich one is more plausibly its cause?",
        "A",
    ),
    "trivia-qa": (
        {
            "question": "Which city is eternal?",
            "question_id": "tc_1",
            "answer": {"value": "Rome", "aliases": ["Roma", "City of Rome"], "normalized_value": "rome", "type": "W"},
        },
        "Which city is eternal?",
        "Rome",
    ),
    "web-questions": (
        {"url": "u", "question": "who is old?", "answers": ["Ann", "Ann Lee"]},
        "who is old?",
        "Ann",
    ),
    "mmlu-physics": (
        {"question": "Unit of force?", "subject": "high_school_physics", "choices": ["J", "N", "W", "V"], "answer": 1},
        "Unit of force?",
        "B",
    ),
}


def run_settings(preset: str, **changes: Any) -> RunSettings:
    task = {"kind": PRESETS[preset]["kind"], "name": preset, "preset": preset, **changes}
    return RunSettings.model_validate({"model": "m", "tasks": [task]})


def loaded(preset: str, base_dir: Path, **changes: Any) -> Loaded:
    return load_tasks(run_settings(preset, **changes), base_dir)[preset]


def test_every_domain_of_the_paper_has_a_dataset_with_a_place_on_the_hub() -> None:
    """An operator can reproduce the paper's mix without looking up a field name."""
    assert {preset["domain"] for preset in PRESETS.values()} == DOMAINS
    assert all(preset["hub"].count("/") == 1 for preset in PRESETS.values())
    assert set(ROWS) == set(PRESETS)
    assert set(IN_FILES) <= set(PRESETS)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_row_of_the_dataset_becomes_a_question(preset: str, tmp_path: Path) -> None:
    """Field names and label conventions are the dataset's own."""
    kind = PRESETS[preset]["kind"]
    if kind not in TASK_TYPES:
        pytest.skip(f"no task type {kind!r} is registered")
    row, text, reference = ROWS[preset]
    settings = run_settings(preset)
    (task,) = settings.tasks
    assert task.domain == PRESETS[preset]["domain"]
    (tmp_path / "train.jsonl").write_text(json.dumps(row) + "\n")
    # The directory replaces the hub, so that the fields are those of the hub.
    place = {"path": "train.jsonl", **{key: PRESETS[preset].get(key) for key in IN_FILES.get(preset, {})}}
    (question,) = loaded(preset, tmp_path, train=1, test=0, **{k: v for k, v in place.items() if v is not None}).train
    assert question.text.startswith(text)
    if kind != "code":
        assert question.text == text
        assert question.reference == reference
    verify(question)


def verify(question: Question) -> None:
    """The worked answer of a question is verified as correct: training without reflection uses it as the target."""
    kind = PRESETS[question.task]["kind"]
    if kind == "code":
        return  # its tests run each reference program in the sandbox
    if kind == "math":
        pytest.importorskip("math_verify")
    verification = task_type(kind).verify(str(question.payload["worked"]), question.reference, question.payload)
    assert verification.verdict == "correct", verification


@pytest.mark.parametrize(
    ("preset", "file", "least"),
    [
        ("logiqa", "logiqa_sample.jsonl", 95),
        ("math", "math_sample.jsonl", 95),
        ("bigbench", "bigbench_sample.jsonl", 95),
        ("mbpp", "mbpp_sample.jsonl", 90),
    ],
)
def test_published_files_load_with_their_preset(preset: str, file: str, least: int) -> None:
    """The paper's own releases need nothing but the preset and the path."""
    if not DATA.is_dir():
        pytest.skip(f"no sample data at {DATA}")
    if PRESETS[preset]["kind"] not in TASK_TYPES:
        pytest.skip(f"no task type {PRESETS[preset]['kind']!r} is registered")
    one = loaded(preset, DATA, path=file, train=70, dev=8, test=20, few_shot=2)
    count = len(one.train) + len(one.dev) + len(one.test) + len(one.few_shot)
    assert count >= least, (one.skipped, one.notes)
    for question in (*one.train, *one.dev, *one.test):
        verify(question)


def test_a_preset_with_a_directory_keeps_its_fields_and_splits_only() -> None:
    """A downloaded copy lacks the configuration and the revision of its hub dataset."""
    (task,) = run_settings("logiqa", hub="copies/logiqa").tasks
    assert (task.hub, task.config, task.revision, task.test_split) == ("copies/logiqa", None, None, "test")
    assert task.question_template == PRESETS["logiqa"]["question_template"]
    (task,) = run_settings("logiqa", path="rows.jsonl", question_field="q").tasks
    assert (task.hub, task.test_split, task.question_field, task.question_template) == (None, None, "q", None)
