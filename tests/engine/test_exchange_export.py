"""Protects exports: round trips that lose nothing, prompts that give nothing away, directories whole or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine.commands.init import init_workspace
from engine.exchange import export_run as exporting
from engine.exchange.export_run import export_run
from engine.exchange.export_scope import ExportRefused
from engine.exchange.formats import FORMATS, normal
from engine.exchange.import_file import import_file
from engine.exchange.unmapped_fields import same
from engine.rollout.load_plan import settings_of
from engine.training.examples import LabelledExample
from engine.training.load_examples import training_examples
from store.database.connection import open_reader
from store.runs.iterations import list_iterations
from store.workspace import Workspace
from tests.engine.test_exchange_formats import d_plus, pair, raw
from tests.support.engines import EngineHarness, scripted_settings
from tests.support.published import SHARED, Maker, write_records

Make = Callable[[str], EngineHarness]


def new_workspace(root: Path) -> Workspace:
    made = Workspace(root)
    init_workspace(made, "demo-cpu", None, replace=False)
    return made


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return new_workspace(tmp_path / "workspace")


def take(workspace: Workspace, path: Path, **options: str) -> str:
    """Import a file; returns the name of the run."""
    return str(import_file(workspace, path, lambda event: None, **options)["run"])


def give(workspace: Workspace, run: str, wanted: str, to: Path, encoding: str = "jsonl", **more: Any) -> Path:
    """Export a run; returns the directory."""
    number = more.pop("number", None)
    export_run(workspace, run=run, number=number, export_format=wanted, encoding=encoding, destination=to, **more)
    return to


def lines(directory: Path, name: str = "train") -> list[dict[str, Any]]:
    text = (directory / "data" / f"{name}.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


def test_the_shared_samples_come_out_as_they_went_in(workspace: Workspace, tmp_path: Path) -> None:
    """import → export → import of real rows, through JSON lines and through Parquet."""
    if not SHARED.exists():
        pytest.skip("the published sample rows are not beside this repository")
    for file_format, name in zip(
        FORMATS, ["reflection_raw.json", "d_plus.jsonl", "d_plus_minus.jsonl", "d_pref.jsonl"], strict=True
    ):
        source = SHARED / f"example_{name}"
        text = source.read_text("utf-8")
        records, place = [], 0
        while text[place:].strip():
            place += len(text[place:]) - len(text[place:].lstrip())
            record, place = json.JSONDecoder().raw_decode(text, place)
            records.append(record)
        wanted = f"published-{file_format}"
        first = give(workspace, take(workspace, source), wanted, tmp_path / f"{name}-1")
        assert lines(first) == records
        second = give(
            workspace, take(workspace, first / "data/train.jsonl", name=f"{name}-2"), wanted, tmp_path / f"{name}-2"
        )
        assert lines(second) == records
        columns = give(workspace, take(workspace, source), wanted, tmp_path / f"{name}-3", "parquet")
        again = take(workspace, columns / "data/train.parquet", name=f"{name}-4")
        assert lines(give(workspace, again, wanted, tmp_path / f"{name}-4")) == records


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    raws=st.lists(raw, min_size=1, max_size=6),
    plus=st.lists(d_plus, min_size=1, max_size=6),
    pairs=st.lists(pair, min_size=1, max_size=6),
)
@example(
    raws=[{"question": "0", "answer": "0", "output": [{}], "task": "\ud800"}],
    plus=[
        {
            "question": "0",
            "answer": "0",
            "first_trial_reasoning": None,
            "second_trial_reasoning": "",
            "reflections": "0",
        }
    ],
    pairs=[
        {
            "question": "0",
            "answer": "0",
            "first_trial_reasoning": "",
            "reflection_chosen": "0",
            "reflection_rejected": "0",
            "second_trial_reasoning_chosen": "",
            "second_trial_reasoning_rejected": None,
        }
    ],
)
def test_any_records_survive_import_and_export(
    raws: list[Any], plus: list[Any], pairs: list[Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Through the real database: repeated questions, shared texts, odd types, unknown fields, lone surrogates."""
    root = tmp_path_factory.mktemp("trip")
    workspace = new_workspace(root / "workspace")
    # Each record twice: what is stored once must still come out twice.
    for file_format, records in (("raw", raws * 2), ("d-plus", plus * 2), ("d-pm", pairs * 2)):
        path = root / f"{file_format}.json"
        path.write_text("\n".join(json.dumps(one) for one in records))
        forms = [normal(json.loads(json.dumps(one)), file_format) for one in records]  # type: ignore[arg-type]
        run = take(workspace, path, file_format=file_format)
        out = lines(give(workspace, run, f"published-{file_format}", root / f"{file_format}-out"))
        assert all(same(one, other) for one, other in zip(out, forms, strict=True))
        columns = give(workspace, run, f"published-{file_format}", root / f"{file_format}-columns", "parquet")
        again = take(workspace, columns / "data/train.parquet", file_format=file_format, name=f"{file_format}-again")
        out = lines(give(workspace, again, f"published-{file_format}", root / f"{file_format}-again"))
        assert all(same(one, other) for one, other in zip(out, forms, strict=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineHarness]:
    """A workspace in which one iteration was really run, by the scripted generator."""
    root = tmp_path_factory.mktemp("made")
    one = EngineHarness(root, scripted_settings(train=40, test=6))
    one.run()
    one.wait_state("done")
    yield one
    one.shut_down()


@pytest.mark.parametrize("wanted", ["published-raw", "published-d-plus", "published-d-pm"])
@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
def test_an_iteration_of_our_own_survives_the_trip(
    wanted: str, encoding: str, made: EngineHarness, tmp_path: Path
) -> None:
    """export → import elsewhere → export gives the same records, with tasks, instructions and verdicts."""
    first = give(made.workspace, "scripted", wanted, tmp_path / "first")
    records = lines(first)
    assert records
    source = give(made.workspace, "scripted", wanted, tmp_path / "source", encoding)
    other = new_workspace(tmp_path / "other")
    run = take(other, source / f"data/train.{encoding}")
    assert lines(give(other, run, wanted, tmp_path / "second")) == records
    with closing(open_reader(other.database)) as reader:
        rows = reader.execute("SELECT DISTINCT task, instruction, flags FROM trajectories").fetchall()
        assert {row["task"] for row in rows} == {"letter_counting"}
        assert all(row["instruction"].count("-") == 2 for row in rows if row["instruction"])
        unverified = reader.execute("SELECT count(*) FROM attempts WHERE verdict = 'unverified'").fetchone()[0]
        assert unverified == 0


def test_later_rounds_are_exported_with_what_they_reflect_on(harness: Make, tmp_path: Path) -> None:
    """Reflexion: a third trial comes from a reflection on the second, and is found there again after the trip."""
    one = harness(scripted_settings(train=30, test=4).replace("samples = 2", "samples = 2\nrounds = 2"))
    one.run()
    one.wait_state("done")
    out = give(one.workspace, "scripted", "published-raw", tmp_path / "raw")
    thirds = [
        (record["output"][trial["reflects_on"]], trial)
        for record in lines(out)
        for trial in record["output"]
        if trial["trial"] == 3
    ]
    assert thirds
    for reflected, _ in thirds:
        assert reflected["trial"] == 2 and reflected["is_correct"] is False
    other = new_workspace(tmp_path / "other")
    run = take(other, out / "data/train.jsonl")
    assert lines(give(other, run, "published-raw", tmp_path / "again")) == lines(out)
    query = (
        "SELECT q.text, a.turn, a.reasoning, r.text, c.reasoning FROM reflections r"
        " JOIN attempts a ON a.id = r.attempt_id JOIN attempts c ON c.reflection_id = r.id"
        " JOIN questions q ON q.id = a.question_id WHERE r.protocol = '' ORDER BY 1, 2, 3, 4, 5"
    )
    with closing(open_reader(other.database)) as reader:
        assert [tuple(row) for row in reader.execute(query)] == one.rows(query)


def test_prompts_of_our_own_are_proved_and_give_nothing_away(made: EngineHarness, tmp_path: Path) -> None:
    """The trap of the published rows: prompts rebuilt after the step. Ours are those whose hash was stored before."""
    out = give(made.workspace, "scripted", "published-d-plus", tmp_path / "plus")
    for record in lines(out):
        assert record["second_trial_reasoning"].strip() not in record["reason_prompt"][1]
        assert record["reflections"].strip() in record["reason_prompt"][1]
        assert record["reflections"].strip() not in record["reflect_prompt"]
        assert record["first_trial_reasoning"].strip() in record["reflect_prompt"]
    assert "Checked: no prompt of the" in (out / "README.md").read_text()


@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
@pytest.mark.parametrize(
    ("wanted", "setting"),
    [
        ("trl-sft", "sft-one-stage"),
        ("trl-sft", "sft-two-stage"),
        ("trl-sft", "sft-qa"),
        ("trl-sft", "sft-retry"),
        ("trl-sft", "sft-two-stage-shuffled"),
        ("trl-dpo", "dpo-verdict"),
        ("trl-kto", "kto-verdict"),
    ],
)
def test_rows_for_trl_are_the_examples_that_training_takes(
    wanted: str, setting: str, encoding: str, made: EngineHarness, tmp_path: Path
) -> None:
    """One code builds both: what somebody trains elsewhere is what is trained here, and TRL's loader reads it."""
    out = give(made.workspace, "scripted", wanted, tmp_path / "out", encoding, setting=setting)
    with closing(open_reader(made.workspace.database)) as reader:
        (iteration,) = list_iterations(reader)
        own = settings_of(iteration)
        chosen = own.model_copy(update={"training": own.training.model_copy(update={"setting": setting})})
        stages = training_examples(reader, iteration, chosen)
    names = ["stage1", "stage2"] if len(stages) == 2 else ["train"]
    fields = {"trl-sft": ("prompt", "completion"), "trl-dpo": ("prompt", "chosen", "rejected")}
    for name, examples in zip(names, stages, strict=True):
        expected = [
            {
                field: [dict(message) for message in getattr(example, field)]
                for field in fields.get(wanted, ("prompt", "completion"))
            }
            | ({"label": example.desirable} if isinstance(example, LabelledExample) else {})
            for example in examples
        ]
        assert expected
        if encoding == "jsonl":
            assert lines(out, name) == expected
        else:
            import pyarrow.parquet as pq

            assert pq.read_table(out / "data" / f"{name}.parquet").to_pylist() == expected


def test_imported_sets_become_rows_for_trl(workspace: Workspace, tmp_path: Path) -> None:
    """Published pairs train elsewhere too: asked as we ask, whatever the labels of their instructions."""
    maker = Maker()
    run = take(workspace, write_records(tmp_path / "pref.jsonl", [maker.pair(n, n, both_right=True) for n in range(3)]))
    rows = lines(give(workspace, run, "trl-dpo", tmp_path / "dpo"))
    assert [set(row) for row in rows] == [{"prompt", "chosen", "rejected"}] * 3
    assert rows[0]["prompt"][0]["role"] == "user" and rows[0]["prompt"][-1]["role"] == "user"
    with pytest.raises(ExportRefused, match="imported as d-pref, which has no such rows"):
        give(workspace, run, "trl-sft", tmp_path / "sft")
    assert not (tmp_path / "sft").exists()


def test_a_set_becomes_raw_records_of_its_attempts(workspace: Workspace, tmp_path: Path) -> None:
    """An imported set can be given on as raw reflections: one record an attempt."""
    maker = Maker()
    run = take(workspace, write_records(tmp_path / "pm.jsonl", [maker.pair(n, n // 4) for n in range(8)]))
    records = lines(give(workspace, run, "published-raw", tmp_path / "raw"))
    assert [len(record["output"]) for record in records] == [1 + 1 + 4] * 2
    assert [trial["is_correct"] for trial in records[0]["output"]] == [False, True, False, False, False, False]


def test_the_card_is_complete_and_its_head_is_yaml(made: EngineHarness, tmp_path: Path) -> None:
    """A dataset without origin, settings and a word on leaks is one nobody should train on."""
    yaml = pytest.importorskip("yaml")
    out = give(made.workspace, "scripted", "trl-sft", tmp_path / "out", setting="sft-two-stage")
    text = (out / "README.md").read_text("utf-8")
    _, head, body = text.split("---\n", 2)
    facts = yaml.safe_load(head)
    assert facts["license"] == "unknown"
    assert [one["config_name"] for one in facts["configs"]] == ["stage1", "stage2"]
    for config in facts["configs"]:
        assert all((out / one["path"]).exists() for one in config["data_files"])
    for words in ("iteration 1", "`none`", "letter_counting", "## Leaks", "## Settings", 'generator = "scripted"'):
        assert words in body


def test_what_can_not_be_exported_is_refused_and_leaves_nothing(
    made: EngineHarness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each refusal names what there is; no directory is overwritten, and none appears half-written."""
    before = set(tmp_path.iterdir())

    def refused(words: str, **changes: Any) -> None:
        asked: dict[str, Any] = {
            "run": "scripted",
            "number": None,
            "export_format": "published-raw",
            "encoding": "jsonl",
            "destination": tmp_path / "out",
            **changes,
        }
        with pytest.raises(ExportRefused, match=words):
            export_run(made.workspace, **asked)
        assert set(tmp_path.iterdir()) == before

    refused("there is no run 'nope' .*; runs are: 'scripted'", run="nope")
    refused("has no iteration 7; it has 1 to 1", number=7)
    refused("there is no format 'csv'", export_format="csv")
    refused("not as 'csv'", encoding="csv")
    refused("nothing to export as published-d-pref", export_format="published-d-pref")
    refused("trl-dpo has no setting 'sft-qa'", export_format="trl-dpo", setting="sft-qa")
    refused("exists already", destination=made.workspace.root)
    refused("can't be written", destination=tmp_path / "missing" / "out")

    def full(*arguments: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(exporting, "publish", full)
    refused("can't be written .No space left")


def test_an_import_that_is_not_complete_is_not_exported(workspace: Workspace, tmp_path: Path) -> None:
    """Half of a file would look like the whole of it."""
    path = write_records(tmp_path / "raw.json", [Maker().raw(1)])

    def die(event: dict[str, object]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_file(workspace, path, die)
    with pytest.raises(ExportRefused, match="not complete"):
        give(workspace, "raw", "published-raw", tmp_path / "out")
    assert take(workspace, path) == "raw"
    assert len(lines(give(workspace, "raw", "published-raw", tmp_path / "out"))) == 1
