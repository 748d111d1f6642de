"""Tests `reflectevo estimate`: recipes by name, files, an operator's figures, the workspace's own; and that Launch
and the gate dialog print the same numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from reflectevo_tui.cli import app
from reflectevo_tui.screens.dialogs.gate import gate_lines
from reflectevo_tui.state.estimate import estimate_in
from reflectevo_tui.state.snapshot import read_gate, read_snapshot
from reflectevo_tui.text.estimates import brief, size
from store.database.connection import open_reader
from store.estimates.inputs import FILE_NAME, EstimateRefused
from store.evaluation.number_format import duration
from store.runs import iterations
from store.settings.toml_file import load_settings
from store.workspace import Workspace
from tests.support.built_workspaces import SETTINGS


def invoke(*arguments: str | Path) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of `estimate`."""
    done = CliRunner().invoke(app, ["estimate", *(str(one) for one in arguments)])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def as_json(*arguments: str | Path) -> dict[str, Any]:
    code, output, error = invoke(*arguments, "--json")
    assert code == 0, error
    found: dict[str, Any] = json.loads(output)
    return found


def test_a_recipe_by_name_with_an_operators_figures(tmp_path: Path) -> None:
    """The unchanged recipe: 43,415 trajectories, 22,356,464 generated tokens, here on four GPUs."""
    found = as_json(
        *("paper-llama3-8b-one-stage", "-w", tmp_path / "none", "--gpus", "4", "--generation-rate", "1000"),
        *("--training-rate", "2000", "--price", "2", "--set", "load_s=60", "--set", "training_start_s=60"),
        *("--set", "curated_per_s=1000"),
    )
    tokens = found["all"]["generated_tokens"]["value"]
    assert tokens == pytest.approx(22_356_464, abs=1) and found["trajectories"]["value"] == pytest.approx(43_415, abs=1)
    reflect = found["first"][1]
    assert reflect["stage"] == "reflect"
    assert reflect["seconds"]["value"] == pytest.approx(reflect["generated_tokens"]["value"] / 4000)
    assert found["cost"]["value"] == pytest.approx(found["gpu_seconds"]["value"] / 3600 * 2)
    assert found["figures"]["gpus"] | {"meaning": ""} == {
        "value": 4.0,
        "origin": "given",
        "source": "on the command line",
        "meaning": "",
    }
    assert found["training_bytes"]["unknown"] == ["activation_bytes_per_token"]


def test_the_example_of_the_scaling_page_is_what_the_command_prints(tmp_path: Path) -> None:
    """Every number of its tables, for 1, 4 and 8 GPUs."""
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text()
    rows = {line.split("|")[1].split("(")[0].strip(): line for line in page.splitlines() if line.startswith("| ")}
    for gpus in (1, 4, 8):
        found = as_json(
            *("paper-llama3-8b-one-stage", "-w", tmp_path / "none"),
            *("--set", "train_questions=82378", "--gpus", str(gpus)),
        )
        for stage in [*found["first"][:3], found["first"][5]]:
            for column in ("texts", "prompt_tokens", "generated_tokens"):
                assert f"{stage[column]['value']:,.0f}" in rows[stage["stage"]], (stage["stage"], column)
        train, together = found["first"][4], found["all"]
        assert f"at most {train['texts']['value']:,.0f} examples" in rows["train"]
        assert f"{train['training_tokens']['value']:,.0f} |" in rows["train"]
        for column in ("texts", "prompt_tokens", "generated_tokens", "training_tokens"):
            assert f"{together[column]['value']:,.0f}" in rows["total"]
        assert f"{together['generated_tokens']['value'] / gpus:,.0f} ÷" in rows["generating, s"]
        assert f"{found['trajectories']['value']:,.0f} ÷" in rows["curating, s"]
        assert f"{size(found['database_bytes']['value'])} database" in rows["disk"]
        assert size(found["generation_bytes"]["value"]) in rows["memory of a GPU, generating"]
        assert found["training_bytes"]["formula"].split(" + ")[1] in rows["memory of a GPU, training"].replace("`", "")


def test_in_words_each_figure_says_where_it_comes_from(tmp_path: Path) -> None:
    code, output, _ = invoke("paper-mistral-7b-dpo-verdict", "-w", tmp_path / "none")
    assert code == 0
    assert "unknown; not measured: " in " ".join(output.split()) and "generation_tokens_per_s" in output
    assert "÷" not in output, "the formula of an unknown time belongs to the JSON output"
    assert "Findings of ACL 2025" in output and "the model's published configuration" in output


def test_a_settings_file_and_the_workspaces_own(build: Any, tmp_path: Path) -> None:
    built = build(2)
    file = tmp_path / "other.toml"
    file.write_text(SETTINGS.replace("train = 250", "train = 50"))
    own, other = as_json("-w", built.workspace.root), as_json(file, "-w", built.workspace.root)
    assert [one["first"][0]["texts"]["value"] for one in (own, other)] == [350, 150]


def test_kept_figures_count_until_others_are_given(build: Any) -> None:
    built = build(2)
    root = built.workspace.root
    assert invoke("-w", root, "--gpus", "2", "--keep")[0] == 0
    assert invoke("-w", root, "--price", "3", "--keep")[0] == 0
    assert (root / FILE_NAME).stat().st_mode & 0o777 == 0o600
    found = as_json("-w", root, "--gpus", "8")["figures"]
    assert found["price_per_gpu_hour"]["value"] == 3 and found["gpus"]["value"] == 8
    assert as_json("-w", root)["figures"]["gpus"]["source"] == f"kept in {FILE_NAME}"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("no-such-recipe",), "there is no recipe 'no-such-recipe'"),
        (("demo-cpu", "--set", "speed=3"), "there is no figure 'speed'"),
        (("demo-cpu", "--keep", "--gpus", "2"), "no workspace"),
        ((), "no workspace"),
    ],
)
def test_what_can_not_be_is_one_message(tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    code, output, error = invoke(*words, "-w", tmp_path / "none")
    assert code == 1 and says in error and not output


def test_the_gate_shows_the_estimate_of_what_is_ahead(build: Any) -> None:
    """The dialog's lines are the sentences of the same function, with the measured rates of this run."""
    built = build(60)
    with built.writer:
        built.writer.execute("UPDATE stages SET state = 'pending', total = 0, done = 0")
        iterations.set_stage(built.writer, built.iteration, "train", "waiting")
        iterations.update_iteration(built.writer, built.iteration, state="waiting")
    connection = open_reader(built.workspace.database)
    snapshot = read_snapshot(connection, built.workspace)
    facts = read_gate(connection, snapshot, built.workspace)
    words = dict(facts.ahead)
    assert "training tokens" in words["train"] and "time unknown (not measured yet)" in words["train"]
    assert "(measured)" in words["evaluate"]
    shown = "\n".join(line.plain for line in gate_lines(snapshot, "train", facts))
    assert all(f"{name}" in shown and line in shown for name, line in facts.ahead)
    (built.workspace.root / FILE_NAME).write_text(
        "training_tokens_per_s = 100\ncurated_per_s = 1\ntraining_start_s = 1\n"
    )
    assert "(given)" in dict(read_gate(connection, snapshot, built.workspace).ahead)["train"]
    (built.workspace.root / FILE_NAME).write_text("training_tokens_per_s = 'fast'")
    with pytest.raises(EstimateRefused):
        read_gate(connection, snapshot, built.workspace)
    connection.close()


def test_the_screens_lines_are_the_commands_numbers(tmp_path: Path) -> None:
    """With all figures in the workspace, and with none: texts, tokens and time equal those of the JSON."""
    file, workspace = tmp_path / "settings.toml", Workspace(tmp_path / "workspace")
    file.write_text(SETTINGS)
    workspace.root.mkdir()
    settings = load_settings(file)
    unknown = brief(estimate_in(workspace, settings))
    assert (
        "wrong_share" in unknown[0]
        and unknown[-1].startswith("not measured: ")
        and "generation_tokens_per_s" in unknown[-1]
    )
    kept = ("wrong_share = 0.5", "generation_tokens_per_s = 100", "training_tokens_per_s = 100", "curated_per_s = 100")
    (workspace.root / FILE_NAME).write_text("\n".join([*kept, "load_s = 60", "training_start_s = 60"]))
    lines = brief(estimate_in(workspace, settings))
    found = as_json(file, "-w", workspace.root)["all"]
    assert lines[0].startswith(
        f"{found['texts']['value']:,.0f} texts · {found['prompt_tokens']['value']:,.0f} prompt + "
    )
    assert f"{found['generated_tokens']['value']:,.0f} generated" in lines[0]
    assert lines[1] == f"time {duration(found['seconds']['value'])}"
    assert "generation_tokens_per_s 100 (given)" in lines[-1]
