"""Tests that the tokens shown for a curated row are those that the trainer's collator produces, in every setting."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from engine.errors import EngineError
from engine.models.loading import load_tokenizer
from engine.prompts.chat_format import ChatFormat
from engine.prompts.leakage import STATES_TARGET
from engine.rollout.load_plan import settings_of
from engine.training.example_tokens import inspect_example, token_texts
from engine.training.load_examples import rollouts_of, training_examples
from engine.training.row_kinds import row_examples
from store.curation.curated import NewCurated, curated, replace_curated
from store.curation.training_settings import TRAINING_SETTINGS
from store.database.connection import write
from store.settings import TrainingSetting
from store.workspace import Workspace
from tests.support.rows import Rows, run_settings
from tests.support.waiting import run

ROOT = Path(__file__).parents[2]

REVEALED = "A metre is longer. Answer: B"


@pytest.fixture(scope="module")
def workspace(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """One included row of each set, ids 1 to 3; a D+ row whose target was revealed, id 4; a reflection left out because
    its correction was incorrect, id 5; and a D+ row of another question, id 6. The first has two sampled attempts."""
    workspace = Workspace(tmp_path_factory.mktemp("inspected"))
    settings = run_settings(
        generation={"generator": "transformers"}, training={"max_length": 800}, correction={"max_tokens": 8}
    )
    rows = Rows(workspace.database, settings)
    with write(rows.connection):
        rows.connection.execute("UPDATE policies SET path = ?1, base_model = ?1", (str(tiny_model),))
        question = rows.question("Is an ångström longer than a metre? 🙂", reference="B")
        attempt = rows.attempt(question, text="Answer: A")
        good, correction = rows.corrected(attempt, question, text="Think of the größe of atoms.", sample=0)
        bad, failed = rows.corrected(attempt, question, "incorrect", text="I was too slow.", sample=1)
        told, told_correction = rows.corrected(attempt, question, text=f"Reply: {REVEALED}", sample=2)
        rows.connection.execute("UPDATE attempts SET reasoning = ? WHERE id = ?", (REVEALED, told_correction))
        sets = [
            NewCurated("d_plus", good, None, correction, True, "included"),
            NewCurated("d_pm", good, bad, correction, True, "included"),
            NewCurated("d_pref", bad, good, None, True, "included"),
            NewCurated("d_plus", told, None, told_correction, True, "included"),
            NewCurated("d_plus", bad, None, failed, False, "correction incorrect"),
        ]
        rows.attempt(question, "correct", text="Atoms are smaller. Answer: B", sample=1)
        rows.attempt(question, "incorrect", text="Answer: A, of course", sample=2)
        second = rows.question("Is a mile longer than a metre?", reference="A")
        first = rows.attempt(second, text="Answer: B")
        other, corrected = rows.corrected(first, second, text="Compare the two in metres.", sample=0)
        sets.append(NewCurated("d_plus", other, None, corrected, True, "included"))
        replace_curated(rows.connection, rows.iteration, sets)
    return workspace


CASES: list[tuple[int, TrainingSetting | None, list[str]]] = [
    (1, None, ["completion"]),
    (1, "sft-two-stage", ["stage 1: reflection", "stage 2: correction"]),
    (1, "sft-qa", ["completion"]),
    (2, None, ["chosen", "rejected"]),
    (3, "dpo-judge", ["chosen", "rejected"]),
    (1, "kto-verdict", ["desirable"]),
    (5, "kto-verdict", ["undesirable"]),
    (1, "sft-retry", ["completion"]),
    (1, "sft-attempts", ["completion"]),
    (1, "dpo-attempts", ["chosen", "rejected"]),
    (1, "sft-two-stage-shuffled", ["stage 1: reflection", "stage 2: correction"]),
]


@pytest.mark.parametrize(("row", "setting", "names"), CASES)
def test_what_is_shown_is_what_the_collator_gives(
    row: int, setting: TrainingSetting | None, names: list[str], workspace: Workspace, tiny_model: Path, tmp_path: Path
) -> None:
    pytest.importorskip("trl")
    found = inspect_example(workspace, row, setting)
    assert [side["name"] for side in found["sides"]] == names
    assert (found["fits"], found["reason"], found["max_length"]) == (True, "", 800)
    assert found["length"] == max(side["length"] for side in found["sides"])
    shown = [
        ([token["id"] for token in side["tokens"]], [token["loss"] for token in side["tokens"]])
        for side in found["sides"]
    ]
    assert shown == _collated(workspace, found["setting"], row, tiny_model, tmp_path)
    for side in found["sides"]:
        text = "".join(token["text"] for token in side["tokens"])
        learnt = "".join(token["text"] for token in side["tokens"] if token["loss"])
        assert text.startswith("<|im_start|>user\nIs an ångström longer than a metre? 🙂")
        assert text.endswith(learnt) and learnt.endswith("<|im_end|>")


def _collated(
    workspace: Workspace, setting: TrainingSetting, row: int, model: Path, work_dir: Path
) -> list[tuple[list[int], list[bool]]]:
    """Return the ids and loss mask of each side as TRL's own dataset and collator produce them."""
    from engine.models.precision import Precision
    from engine.training.row_kinds import row_kind
    from engine.training.trl.arguments import Batch, shared_arguments
    from engine.training.trl.loading import load_for_training
    from store.database.connection import open_reader
    from store.runs.iterations import get_iteration

    connection = open_reader(workspace.database)
    iteration = get_iteration(connection, 1)
    settings = settings_of(iteration)
    rollouts = rollouts_of(connection, iteration, settings)
    entry = TRAINING_SETTINGS[setting]
    if entry.set_name is None:
        chosen = settings.model_copy(update={"training": settings.training.model_copy(update={"setting": setting})})
        examples: tuple[Any, ...] = training_examples(connection, iteration, chosen)[0][:1]
    elif entry.shuffled or entry.loss == "kto":
        chosen = settings.model_copy(update={"training": settings.training.model_copy(update={"setting": setting})})
        stages = training_examples(connection, iteration, chosen)
        examples = tuple(next(one for one in stage if one.id == row) for stage in stages)
    else:
        stored = [one for name in ("d_plus", "d_pm", "d_pref") for one in curated(connection, 1, name)]
        examples = row_examples(setting, next(one for one in stored if one.id == row), rollouts)
    cpu = Precision("cpu", "float32", False)
    size = entry.smallest_batch
    shared = shared_arguments(settings.training, Batch(size, 1), cpu, 0, work_dir, examples=1)
    form = ChatFormat(load_tokenizer(model))
    sides = []
    for example in examples:
        loaded = load_for_training(model, None, settings.training, cpu)
        build: Any = row_kind(setting).trainer()
        # KTO needs both labels, and two examples in a batch: the second one is left out of the comparison.
        added = [replace(example, id=-1, desirable=not example.desirable)] if entry.loss == "kto" else []
        trainer = build(loaded, form, [example, *added], settings.training, shared, [])
        batch = next(iter(trainer.get_train_dataloader()))
        for index in range(len(batch["input_ids"]) - len(added)):
            real = batch["attention_mask"][index].bool()
            ids = batch["input_ids"][index][real].tolist()
            mask = batch["completion_mask"][index] if "completion_mask" in batch else batch["labels"][index] != -100
            sides.append((ids, mask[real].bool().tolist()))
    return sides


def test_what_would_be_left_out_says_why(workspace: Workspace) -> None:
    """Row 4's reflection contains the complete corrected attempt, which stage 2 would then find in its prompt."""
    found = inspect_example(workspace, 4, "sft-two-stage")
    assert (found["fits"], found["reason"]) == (False, STATES_TARGET)
    assert len(found["sides"]) == 2 and all(side["tokens"] for side in found["sides"])
    with pytest.raises(EngineError, match="trains on d_pm"):
        inspect_example(workspace, 1, "dpo-verdict")
    with pytest.raises(EngineError, match="not a training setting"):
        inspect_example(workspace, 1, "sft")
    with pytest.raises(EngineError, match="no curated row 77"):
        inspect_example(workspace, 77)


def test_the_command_prints_json_and_loads_no_model(workspace: Workspace) -> None:
    command = [sys.executable, "-m", "engine", "example", "-w", str(workspace.root), "--curated"]
    finished = run([*command, "1"], cwd=ROOT, check=True)
    assert json.loads(finished.stdout) == inspect_example(workspace, 1)
    refused = run([*command, "77"], cwd=ROOT)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no curated row 77" in refused.stderr


def test_the_texts_of_tokens_join_to_the_conversation(tiny_model: Path) -> None:
    """A character of several tokens is shown with the first; a slow tokenizer is called token by token."""
    tokenizer = load_tokenizer(tiny_model)
    messages = [{"role": "user", "content": "é 🙂"}, {"role": "assistant", "content": "ok"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    ids = tuple(tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True)["input_ids"])
    texts = token_texts(rendered, ids, tokenizer)
    assert ("".join(texts), len(texts)) == (rendered, len(ids))
    assert texts.count("🙂") == 1

    class Slow:
        is_fast = False
        decode = staticmethod(tokenizer.decode)

    assert token_texts(rendered, ids, Slow())[:2] == ["<|im_start|>", "u"]
