"""Presets of known datasets: location on the hub, field names and format of the answers. Data only.

Every dataset loads without running code of its own: it is stored as Parquet, CSV or JSON, or the hub converts it
(`refs/convert/parquet`). Where a test split has no answers, the validation split is held out.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

PARQUET = "refs/convert/parquet"
"""The branch on which the hub stores the Parquet version of a dataset with a loading script; its configuration is
`default`."""

_PLACE = ("hub", "config", "revision", "split", "test_split")


def _choice(domain: str, hub: str, question: str, options: str | list[str], answer: str, **more: Any) -> dict[str, Any]:
    asked = {"question_template": question} if "{" in question else {"question_field": question}
    fields = {"options_field": options, "answer_field": answer}
    return {"kind": "choice", "domain": domain, "hub": hub, **asked, **fields, **more}


def _free_text(domain: str, hub: str, question: str, answer: str, **more: Any) -> dict[str, Any]:
    asked = {"question_template": question} if "{" in question else {"question_field": question}
    return {"kind": "free_text", "domain": domain, "hub": hub, **asked, "answer_field": answer, **more}


def _bigbench_choice(domain: str, config: str) -> dict[str, Any]:
    return _choice(
        domain,
        "tasksource/bigbench",
        "inputs",
        "multiple_choice_targets",
        "multiple_choice_scores",
        config=config,
        test_split="validation",
    )


def _bigbench_text(domain: str, config: str) -> dict[str, Any]:
    return _free_text(domain, "tasksource/bigbench", "inputs", "targets", config=config, test_split="validation")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "logiqa": _choice(
        "logical reasoning",
        "lucasmccabe/logiqa",
        "{context}\n\n{query}",
        "options",
        "correct_option",
        answer_is="index0",
        revision=PARQUET,
        test_split="test",
    ),
    "bigbench-logical-deduction": _bigbench_choice("logical reasoning", "logical_deduction"),
    "bigbench-date-understanding": _bigbench_choice("logical reasoning", "date_understanding"),
    "bigbench-word-unscrambling": _bigbench_text("logical reasoning", "word_unscrambling"),
    "bigbench": {
        "kind": "free_text",
        "domain": "reading comprehension",
        "hub": "tasksource/bigbench",
        "question_field": "inputs",
        "answer_field": "targets",
        "test_split": "validation",
    },
    "math": {
        "kind": "math",
        "domain": "mathematics",
        "hub": "DigitalLearningGmbH/MATH-lighteval",
        "question_field": "problem",
        "answer_field": "solution",
        "test_split": "test",
    },
    "gsm8k": {
        "kind": "math",
        "domain": "mathematics",
        "hub": "openai/gsm8k",
        "config": "main",
        "question_field": "question",
        "answer_field": "answer",
        "test_split": "test",
    },
    "race": _choice(
        "reading comprehension",
        "ehovy/race",
        "{article}\n\n{question}",
        "options",
        "answer",
        answer_is="letter",
        config="all",
        test_split="test",
    ),
    "squad": _free_text(
        "reading comprehension",
        "rajpurkar/squad",
        "{context}\n\n{question}",
        "answers",
        id_field="id",
        test_split="validation",
    ),
    "commonsense-qa": _choice(
        "commonsense",
        "tau/commonsense_qa",
        "question",
        "choices",
        "answerKey",
        id_field="id",
        test_split="validation",
    ),
    "openbookqa": _choice(
        "commonsense",
        "allenai/openbookqa",
        "question_stem",
        "choices",
        "answerKey",
        config="main",
        id_field="id",
        test_split="test",
    ),
    "piqa": _choice(
        "commonsense",
        "ybisk/piqa",
        "goal",
        ["sol1", "sol2"],
        "label",
        answer_is="index0",
        revision=PARQUET,
        test_split="validation",
    ),
    "hotpotqa": _free_text(
        "contextual QA",
        "hotpotqa/hotpot_qa",
        "{context.sentences}\n\n{question}",
        "answer",
        config="distractor",
        id_field="id",
        test_split="validation",
    ),
    "drop": _free_text(
        "contextual QA",
        "ucinlp/drop",
        "{passage}\n\n{question}",
        "answers_spans.spans",
        id_field="query_id",
        test_split="validation",
    ),
    "siqa": _choice(
        "social",
        "lighteval/siqa",
        "{context}\n\n{question}",
        ["answerA", "answerB", "answerC"],
        "label",
        answer_is="index1",
        test_split="validation",
    ),
    "mbpp": {
        "kind": "code",
        "domain": "coding",
        "hub": "google-research-datasets/mbpp",
        "config": "full",
        "id_field": "task_id",
        "question_field": "text",
        "answer_field": "code",
        "tests_field": "test_list",
        "setup_field": "test_setup_code",
        "test_split": "test",
    },
    "balanced-copa": _choice(
        "causal",
        "pkavumba/balanced-copa",
        "{premise}\n\nWhich one is more plausibly its {question}?",
        ["choice1", "choice2"],
        "label",
        answer_is="index0",
        test_split="test",
    ),
    "bigbench-causal-judgment": _bigbench_choice("causal", "causal_judgment"),
    "bigbench-cause-and-effect": _bigbench_choice("causal", "cause_and_effect"),
    "trivia-qa": _free_text(
        "context-free QA",
        "mandarjoshi/trivia_qa",
        "question",
        "answer",
        config="rc.nocontext",
        id_field="question_id",
        test_split="validation",
    ),
    "web-questions": _free_text(
        "context-free QA", "stanfordnlp/web_questions", "question", "answers", test_split="test"
    ),
    "mmlu-physics": _choice(
        # MMLU has no training split: the held-out questions are split off its test split.
        "physics",
        "cais/mmlu",
        "question",
        "choices",
        "answer",
        answer_is="index0",
        config="high_school_physics",
        split="test",
    ),
    "bigbench-physics": _bigbench_choice("physics", "physics"),
}
"""Task settings of each known dataset, by its name. `bigbench` needs the name of a task as `config`."""

IN_FILES: Mapping[str, Mapping[str, Any]] = {
    "logiqa": {
        "question_field": "question",
        "question_template": None,
        "options_field": None,
        "answer_field": "answer",
        "answer_is": "auto",
    },
    "bigbench": {"question_field": "question", "answer_field": "answer"},
}
"""Field settings of presets whose local files differ from the hub: the paper's own releases, which have the options in
the question."""


def with_preset(values: Any) -> Any:
    """Complete the settings of a task from the preset they name; explicit settings take precedence.

    A task with a local `path` uses only the preset's fields, not its location on the hub; a task with a `hub` of its
    own, e.g. a directory, keeps the preset's splits.

    Args:
        values: settings of a task; anything without a preset is returned unchanged.

    Raises:
        ValueError: for an unknown preset, or one of another task type.
    """
    if not isinstance(values, Mapping) or not isinstance(values.get("preset"), str):
        return values
    name = values["preset"]
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(PRESETS))}"
        raise ValueError(f"unknown preset {name!r}; {hint}")
    preset = dict(PRESETS[name])
    if values.get("kind", preset["kind"]) != preset["kind"]:
        raise ValueError(f"the preset {name!r} is of kind {preset['kind']!r}")
    if values.get("path") is not None:
        preset |= IN_FILES.get(name, {})
    dropped = _PLACE if values.get("path") is not None else ("config", "revision") if values.get("hub") else ()
    return {key: value for key, value in preset.items() if key not in dropped} | dict(values)
