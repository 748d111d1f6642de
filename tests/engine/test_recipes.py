"""Tests of the shipped recipes: each one loads and creates a workspace, and the paper's recipes have the paper's
numbers.

The numbers are repeated here on purpose (ReflectEvo, Findings of ACL 2025, section 4 and appendix).
"""

from __future__ import annotations

import operator
import re
import tomllib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.commands.init import init_workspace
from engine.tasks import load_tasks
from engine.tasks.answers.extraction import extract
from store.errors import SettingsError
from store.settings import RunSettings
from store.settings.recipes import recipe_names, recipe_text
from store.settings.run import measuring, of_series
from store.settings.tasks import ChoiceTask
from store.settings.toml_file import dump_settings, load_settings, parse_settings
from store.workspace import Workspace

PAPER = [
    f"paper-{model}-{setting}"
    for model in ("llama3-8b", "mistral-7b")
    for setting in ("one-stage", "two-stage", "dpo-verdict", "dpo-judge", "sft-qa")
]

ANALYSES = [f"analysis-{name}" for name in ("data-size", "instructions", "k", "rounds", "source", "transfer")]

SIGNS = {"+": operator.add, "-": operator.sub, "x": operator.mul, "/": operator.truediv}


def recipe(name: str) -> RunSettings:
    """The settings of a recipe."""
    return parse_settings(recipe_text(name), name)


def letters(question: str) -> str:
    """The answer of letter_counting."""
    letter, text = re.findall(r'"([^"]*)"', question)
    return str(text.lower().count(letter))


def ransom(question: str) -> str:
    """The answer of ransom_note."""
    note, magazine = re.findall(r"(?:note|Magazine): (\w+)", question)
    return str(not Counter(note) - Counter(magazine))


def swaps(question: str) -> str:
    """The answer of binary_alternation: half of the positions that differ from an alternating string with as many
    ones.
    """
    bits = question.rsplit(" ", 1)[1]
    wanted = [("01" * len(bits))[start : start + len(bits)] for start in (0, 1)]
    possible = [one for one in wanted if one.count("1") == bits.count("1")]
    return str(min((sum(a != b for a, b in zip(bits, one, strict=True)) // 2 for one in possible), default=-1))


ANSWERS: dict[str, Callable[[str], str]] = {
    "letter_counting": letters,
    "ransom_note": ransom,
    "binary_alternation": swaps,
}


def test_the_recipes_that_are_promised_are_there() -> None:
    """The parametrized tests below would pass on an empty folder."""
    single = ["demo-cpu", "proof-cpu", "reasoning-cpu", "single-gpu-qlora"]
    assert recipe_names() == sorted([*PAPER, *ANALYSES, *single])


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_loads_resolves_and_makes_a_workspace(name: str, tmp_path: Path) -> None:
    """Complete on its own: no key twice, nothing unknown, and the workspace's file gives the same settings."""
    settings = recipe(name)
    assert parse_settings(dump_settings(settings)) == settings
    workspace = Workspace(tmp_path / "workspace")
    init_workspace(workspace, name, None, replace=False)
    assert load_settings(workspace.settings_file) == settings
    assert all((task.train > 0 or task.role == "test") and task.test > 0 for task in settings.tasks)


@pytest.mark.parametrize("name", PAPER)
def test_what_all_recipes_of_the_paper_share(name: str) -> None:
    """Generation, evaluation and the adapter (section 3.1, 4, appendix)."""
    settings = recipe(name)
    models = {"llama3": "meta-llama/Meta-Llama-3-8B-Instruct", "mistral": "mistralai/Mistral-7B-Instruct-v0.2"}
    assert settings.name == name
    assert settings.model == models[name.split("-")[1]]
    assert settings.attempt.temperature == 0
    reflection = settings.reflection
    assert (reflection.samples, reflection.temperature, reflection.top_p, reflection.max_tokens) == (2, 0.8, 1.0, 512)
    assert settings.correction.show_previous_attempt
    assert (settings.evaluation.protocol, settings.evaluation.rounds) == ("oracle", 1)
    assert settings.evaluation.retry_baseline
    training = settings.training
    assert (training.lora_rank, training.lora_alpha, training.lora_dropout) == (8, 32, 0.1)
    assert training.method == "full" or training.lora_targets == ["q_proj", "k_proj", "v_proj"]
    (task,) = settings.tasks
    assert isinstance(task, ChoiceTask)
    assert (task.preset, task.train + task.dev, task.test, task.few_shot) == ("logiqa", 7376, 651, 3)
    assert settings.evaluation.split == "dev" and task.dev >= 400
    # A recipe works unchanged: the questions come from the hub, not from a local file.
    assert task.path is None and task.hub is not None


@pytest.mark.parametrize("model", ["llama3-8b", "mistral-7b"])
def test_one_stage_has_the_papers_numbers(model: str) -> None:
    """LoRA on a 4-bit NF4 base, learning rate 1e-3, batch 16 × 4, 5 epochs."""
    training = recipe(f"paper-{model}-one-stage").training
    assert (training.setting, training.method) == ("sft-one-stage", "qlora")
    assert (training.learning_rate, training.epochs) == (1e-3, 5)
    assert (training.batch_size, training.accumulation) == (16, 4)
    assert training.patience is None


@pytest.mark.parametrize("model", ["llama3-8b", "mistral-7b"])
def test_two_stage_has_the_papers_numbers(model: str) -> None:
    """Stage 1: 3 epochs, 1e-3, weight decay 0.01, batch 8 × 4, patience 1. Stage 2: 5 epochs, patience 3."""
    training = recipe(f"paper-{model}-two-stage").training
    assert (training.setting, training.method, training.adapters) == ("sft-two-stage", "full", "chained")
    assert (training.learning_rate, training.epochs, training.weight_decay) == (1e-3, 3, 0.01)
    assert (training.batch_size, training.accumulation, training.patience) == (8, 4, 1)
    second = training.second_stage
    assert (second.epochs, second.patience) == (5, 3)
    assert second.learning_rate is second.batch_size is second.accumulation is second.weight_decay is None
    # Early stopping needs a loss to monitor.
    assert training.validation_share > 0


@pytest.mark.parametrize("model", ["llama3-8b", "mistral-7b"])
def test_the_baseline_has_the_rate_of_the_papers_repository(model: str) -> None:
    training = recipe(f"paper-{model}-sft-qa").training
    assert (training.setting, training.learning_rate) == ("sft-qa", 5e-4)


def test_only_the_papers_full_fine_tuning_at_1e_3_is_warned_of() -> None:
    warned = {name for name in recipe_names() if recipe(name).training.unusual_learning_rates()}
    assert warned == {f"paper-{model}-two-stage" for model in ("llama3-8b", "mistral-7b")}


@pytest.mark.parametrize("setting", ["dpo-verdict", "dpo-judge"])
@pytest.mark.parametrize("model", ["llama3-8b", "mistral-7b"])
def test_dpo_has_the_papers_numbers(model: str, setting: str) -> None:
    """β 0.01, 5e-7, 1 epoch, cosine, warm-up 0.1, batch 1 × 32 accumulation, length 2048."""
    settings = recipe(f"paper-{model}-{setting}")
    training = settings.training
    assert (training.setting, training.method) == (setting, "full")
    assert (training.beta, training.learning_rate, training.epochs) == (0.01, 5e-7, 1)
    assert (training.schedule, training.warmup) == ("cosine", 0.1)
    assert (training.batch_size, training.accumulation, training.max_length) == (1, 32, 2048)
    if setting == "dpo-judge":
        assert settings.judge.by == "endpoint" and settings.judge.url and settings.judge.model


def test_a_recipe_of_the_paper_is_one_file_without_gaps() -> None:
    """Two parts are concatenated: the comments stay, and no table occurs twice (TOML would reject it)."""
    text = recipe_text("paper-llama3-8b-dpo-judge")
    assert text.startswith("# Llama-3-8B, dpo-judge: ")
    assert tomllib.loads(text)["judge"]["by"] == "endpoint"
    assert text.count("\n[training]\n") == text.count("\n[[tasks]]\n") == 1


def test_the_recipe_for_one_gpu_trains_on_a_4_bit_base() -> None:
    """16 GB of weights for generation, and no more than that for training, in turn on 24 GB."""
    settings = recipe("single-gpu-qlora")
    assert settings.training.method == "qlora" and settings.training.gradient_checkpointing
    assert settings.training.batch_size <= 2
    assert settings.generation.dtype == "bfloat16"


def test_an_unknown_recipe_is_refused_with_the_known_ones() -> None:
    """The name of a part is not a recipe."""
    for name in ("paper-llama3-8b", "llama3-8b", "one-stage", "../recipes/demo-cpu", ""):
        with pytest.raises(SettingsError, match=r"there are: .*paper-llama3-8b-one-stage"):
            recipe_text(name)


def test_the_experiment_of_the_proof_is_what_it_must_be() -> None:
    """Four tasks, 400 test questions, three iterations, an SFT and a DPO setting, `sft-qa` beside them, three seeds,
    and the baselines at equal tokens."""
    settings = recipe("proof-cpu")
    experiment = settings.experiment
    assert experiment is not None
    assert len(settings.tasks) >= 4 and sum(task.test for task in settings.tasks) >= 400
    assert experiment.iterations == 3 and len({settings.seed, *experiment.repeat_seeds}) == 3
    trained = {one.name: of_series(settings, one.name, settings.seed).training.setting for one in experiment.series}
    assert set(trained.values()) == {"sft-two-stage", "dpo-verdict", "sft-qa"}
    assert [one.name for one in experiment.series if one.baseline] == ["sft-qa"]
    base = measuring(settings, "base").evaluation
    assert base.split == "test" and base.retry_samples > 1 and base.vote_samples > 1
    assert measuring(settings, "end").evaluation.protocol == "both"
    assert all(task.few_shot == settings.tasks[0].few_shot and task.dev for task in settings.tasks)


def test_the_seed_of_a_series_changes_no_question_of_the_proof() -> None:
    """All seeds are measured on the same questions, with the same few-shots."""
    pytest.importorskip("reasoning_gym")
    settings = recipe("proof-cpu")
    assert load_tasks(settings, Path()) == load_tasks(settings.model_copy(update={"seed": 3}), Path())


def test_no_question_of_the_proof_is_in_two_splits() -> None:
    """Train, dev, test and few-shot questions, over all tasks."""
    pytest.importorskip("reasoning_gym")
    seen: dict[str, str] = {}
    for name, task in load_tasks(recipe("proof-cpu"), Path()).items():
        for question in (*task.train, *task.dev, *task.test):
            assert seen.setdefault(question.wording, question.split) == question.split, (name, question.text)
        assert not {shown.wording for shown in task.few_shot} & seen.keys()


@pytest.mark.parametrize("name", ["demo-cpu", "proof-cpu", "reasoning-cpu"])
def test_the_worked_examples_of_a_recipe_are_all_shown_and_right(name: str) -> None:
    """An example that repeats a held-out question is excluded, and a wrong one trains wrong answers."""
    pytest.importorskip("reasoning_gym")
    settings = recipe(name)
    for title, one in load_tasks(settings, Path()).items():
        (task,) = (task for task in settings.tasks if task.name == title)
        assert len(one.few_shot) == len(task.examples) >= 3
        assert all(example.reflection for example in task.examples)
        assert one.notes == (), one.notes
        for example in task.examples:
            wrong, right = (extract(text).answer for text in (example.attempt or "", example.reply))
            assert right is not None and wrong is not None and wrong != right
            for a, sign, b, result in re.findall(r"(-?\d+) ([-+x/]) (-?\d+) = (-?\d+)", example.reply):
                assert SIGNS[sign](int(a), int(b)) == int(result), example.reply
            if title in ANSWERS:
                assert right == ANSWERS[title](example.question), example
