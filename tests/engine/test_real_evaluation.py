"""Tests of an evaluation on real models: one answers, another reflects; both protocols, rounds, retries and votes.

The models are tiny and random; the tests check that each text comes from the intended weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.commands.render_prompt import rerender
from store.settings.toml_file import load_settings
from tests.engine.tiny_model import build_tiny_model
from tests.support.engines import EngineHarness

SETTINGS = """
name = "tiny"
model = "{model}"
reflector = "{reflector}"
seed = 1

[[tasks]]
kind = "choice"
name = "letters"
path = "letters.jsonl"
train = 2
test = 6

[generation]
generator = "transformers"
concurrency = 16
max_model_len = 1200

[attempt]
max_tokens = 8

[reflection]
max_tokens = 8

[correction]
max_tokens = 8

[evaluation]
protocol = "both"
rounds = 2
retry_samples = 2
vote_samples = 2
"""


def _model_that_says(directory: Path, phrase: str) -> Path:
    """Build a tiny model that repeats the last token of its prompt, trained to write a phrase of one token instead."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    build_tiny_model(directory, (phrase,))
    model = AutoModelForCausalLM.from_pretrained(directory)
    tokenizer = AutoTokenizer.from_pretrained(directory)
    said, last = tokenizer.convert_tokens_to_ids(phrase), tokenizer("\n", add_special_tokens=False)["input_ids"][-1]
    with torch.no_grad():
        table = model.get_input_embeddings().weight
        table[said] = 5 * table[last]
    model.save_pretrained(directory)
    return directory


@pytest.mark.slow
def test_each_text_comes_from_the_model_that_should_write_it(
    harness: Callable[[str], EngineHarness], tmp_path: Path
) -> None:
    """Two models in one worker: attempts, corrections, retries and votes by the first, reflections by the second."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    reasoner = _model_that_says(tmp_path / "reasoner", "Answer: A")
    reflector = _model_that_says(tmp_path / "reflector", "Think again.")
    rows = [{"question": f"Which letter? {n}\nA. a\nB. b\nC. c\nD. d", "answer": "ABCD"[n % 4]} for n in range(8)]
    (tmp_path / "letters.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    text = SETTINGS.format(model=reasoner, reflector=reflector)
    (tmp_path / "tiny.toml").write_text(text, encoding="utf-8")
    one = harness(text)
    one.start()
    values = load_settings(tmp_path / "tiny.toml").model_dump(mode="json")
    one.issue("evaluate", settings=values, base_directory=str(tmp_path))
    status = one.wait_state("done")
    assert status["iteration"]["kind"] == "evaluation" and status["iteration"]["complete"]
    writers = one.rows("SELECT DISTINCT p.name, p.path FROM reflections r JOIN policies p ON p.id = r.policy_id")
    assert writers == [("reflector", str(reflector))]
    assert one.rows("SELECT DISTINCT p.name FROM attempts a JOIN policies p ON p.id = a.policy_id") == [("p00",)]
    assert one.rows("SELECT count(*) FROM attempts WHERE error IS NOT NULL") == [(0,)]
    assert one.rows("SELECT DISTINCT turn, sample FROM attempts WHERE protocol LIKE 'oracle/%' ORDER BY 1, 2") == [
        *((1, 0), (1, 1), (1, 2)),
        *((2, 0), (2, 1), (3, 0)),
    ]
    assert one.rows("SELECT DISTINCT text FROM reflections") == [("Think again.",)]
    assert one.rows("SELECT DISTINCT reasoning FROM attempts WHERE sample = 0 AND turn <> 2") == [("Answer: A",)]
    assert not one.rows("SELECT id FROM attempts WHERE reasoning LIKE '%Think again.%'")
    for (row,) in one.rows("SELECT id FROM attempts"):
        assert rerender(one.workspace, attempt_id=row, reflection_id=None)["matches"]
    for (row,) in one.rows("SELECT id FROM reflections"):
        assert rerender(one.workspace, attempt_id=None, reflection_id=row)["matches"]
