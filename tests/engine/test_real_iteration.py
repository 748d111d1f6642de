"""Tests of the complete loop on a real model: transformers generates, TRL trains (SFT, DPO, two stages), the child
answers.

The model is tiny and random and is built here: its texts are noise, but they pass through the product's own code.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from reflectevo_tui.engine_client.directives import issue_and_wait
from store.settings.toml_file import load_settings
from tests.engine.tiny_model import build_tiny_model
from tests.support.engines import EngineHarness

PHRASES = tuple(
    form.format(letter) for letter in "ABCD" for form in ("Answer: {}", "answer: {}", "Answer: ({})", "Answer: {}.")
)
"""Endings of the model's replies, enough of them that right ones occur whatever the batches draw."""

SETTINGS = """
name = "tiny"
model = "{model}"
seed = 1

[[tasks]]
kind = "choice"
name = "letters"
path = "letters.jsonl"
train = 24
test = 8

[generation]
generator = "transformers"
concurrency = 32
max_model_len = 900

[attempt]
max_tokens = 24
temperature = 1.0

[reflection]
instructions = "random:2"
samples = 3
temperature = 1.0
max_tokens = 24

[correction]
max_tokens = 24
temperature = 1.0
show_previous_attempt = false

[curation]
min_words = 0
drop_leaks = false
max_repetition = 1.0

[training]
setting = "sft-two-stage"
min_examples = 1
batch_size = 4
max_length = 900
lora_targets = "all-linear"

[evaluation]
promote = "always"
"""


@pytest.fixture
def tiny_run(tmp_path: Path, harness: Callable[[str], EngineHarness]) -> EngineHarness:
    """A workspace whose run uses the tiny model."""
    pytest.importorskip("trl")
    model = build_tiny_model(tmp_path / "model", PHRASES)
    rows = [
        {"question": f"Which letter is number {n}?\nA. a\nB. b\nC. c\nD. d", "answer": "ABCD"[n % 4]} for n in range(40)
    ]
    one = harness(SETTINGS.format(model=model))
    source = one.workspace.root / "letters.jsonl"
    source.write_text("\n".join(json.dumps(row) for row in rows) + "\n", encoding="utf-8")
    text = one.workspace.settings_file.read_text(encoding="utf-8")
    one.workspace.settings_file.write_text(
        "\n".join(f'path = "{source}"' if line.startswith("path") else line for line in text.splitlines()),
        encoding="utf-8",
    )
    return one


def test_iterations_of_three_settings(tiny_run: EngineHarness) -> None:
    """Rows, metrics and policies of all iterations are those of a real training; each continues the one before."""
    import torch
    from safetensors.torch import load_file

    tiny_run.start()
    tiny_run.run()
    first = tiny_run.wait_state("done")["iteration"]
    assert first["complete"], first
    assert [stage["state"] for stage in first["stages"]] == ["done"] * 6
    counts = first["counts"]
    assert counts["attempts"] == 24
    assert counts["reflections"] == counts["corrections"] > 0
    assert counts["d_plus"] > 0
    losses = tiny_run.rows("SELECT value FROM metrics WHERE stage = 'train' AND name = 'loss'")
    assert losses and all(loss > 0 for (loss,) in losses)
    policy = Path(first["child"]["path"])
    assert (policy / "STABLE").exists()
    assert {part.name for part in policy.iterdir()} >= {"adapter", "merged", "policy.json"}
    assert first["child"]["acc_t1"]["n"] == 8

    settings = load_settings(tiny_run.workspace.settings_file).model_dump(mode="json")
    settings["training"]["setting"] = "dpo-verdict"
    issue_and_wait(tiny_run.workspace, "start_iteration", {"run": 1, "settings": settings}, start=False)
    tiny_run.wait(lambda: tiny_run.status()["iteration"]["number"] == 2)
    second = tiny_run.wait_state("done")["iteration"]
    assert second["complete"], second
    assert second["parent"]["name"] == first["child"]["name"]
    assert second["counts"]["d_pm"] > 0
    margins = tiny_run.rows("SELECT count(*) FROM metrics WHERE stage = 'train' AND name = 'rewards/margins'")
    assert margins[0][0] > 0
    before = load_file(policy / "adapter" / "adapter_model.safetensors")
    after = load_file(Path(second["child"]["path"]) / "adapter" / "adapter_model.safetensors")
    assert before.keys() == after.keys()
    assert any(not torch.equal(before[name], after[name]) for name in before), "DPO moved the adapter it continued"
    # The parent was already measured as a child; its answers were not generated a second time.
    answered = tiny_run.rows("SELECT policy_id, count(*) FROM attempts WHERE turn = 1 AND protocol <> '' GROUP BY 1")
    assert answered == [(1, 8), (2, 8), (3, 8)]

    settings["training"] |= {"setting": "sft-two-stage", "adapters": "separate", "validation_share": 0.2, "patience": 3}
    issue_and_wait(tiny_run.workspace, "start_iteration", {"run": 1, "settings": settings}, start=False)
    tiny_run.wait(lambda: tiny_run.status()["iteration"]["number"] == 3)
    third = tiny_run.wait_state("done")["iteration"]
    assert third["complete"], third
    policy = Path(third["child"]["path"])
    reasoner, reflector = (
        load_file(policy / part / "adapter" / "adapter_model.safetensors") for part in ("", "reflector")
    )
    assert before.keys() == reasoner.keys() == reflector.keys()
    assert any(not torch.equal(reasoner[name], reflector[name]) for name in before)
    stages = tiny_run.rows("SELECT DISTINCT value FROM metrics WHERE name = 'training_stage' ORDER BY value")
    assert stages == [(1.0,), (2.0,)]
    assert tiny_run.rows("SELECT count(*) > 0 FROM metrics WHERE name = 'eval_loss'") == [(1,)]
