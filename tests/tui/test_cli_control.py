"""Tests the commands that control an engine, for scripts: outcomes, refusals, JSON, exit codes, completion."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
from typer.models import CommandInfo
from typer.testing import CliRunner

from reflectevo_tui.cli import app
from reflectevo_tui.commands.evaluate import as_table
from reflectevo_tui.report.report_contents import MeasuredTask
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings
from tests.support.waiting import run

Make = Callable[[str], EngineHarness]

COMMANDS = (
    *("init", "run", "eval", "report", "status", "approve", "skip", "reject", "pause", "resume", "stop", "shutdown"),
    *("promote", "rollback", "branch", "retry", "save-now", "doctor", "estimate"),
)


def invoke(*arguments: str | Path) -> tuple[int, str, str]:
    """Return exit code, standard output and standard error of a command."""
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout, done.stderr


def ordered(workspace: Path, *arguments: str) -> dict[str, Any]:
    """Return the JSON of a directive's outcome; its exit code must agree with it."""
    code, output, _ = invoke(arguments[0], "-w", workspace, *arguments[1:], "--json")
    answer: dict[str, Any] = json.loads(output)
    assert code == (0 if answer["accepted"] else 1)
    return answer


def test_a_policy_is_measured_promoted_and_branched_from_by_name(harness: Make, tmp_path: Path) -> None:
    """The complete workflow of a script: evaluate the base policy, run, evaluate the child, go back, branch."""
    one = harness(quiz_settings(tmp_path, train=12, test=6))
    workspace = one.workspace.root
    code, output, _ = invoke("eval", "-w", workspace)
    assert code == 0, output
    assert "Evaluation 1 is complete." in output
    lines = output.split("policy p00 · oracle · test questions")[1].split("\n")
    assert any(line.startswith("sums  Acc@t1 ") and "n 6)" in line for line in lines), output
    assert "not measured" in next(line for line in lines if "c→i" in line)

    assert invoke("run", "-w", workspace)[0] == 0
    code, output, progress = invoke("eval", "-w", workspace, "--policy", "p01", "--protocol", "both", "--json")
    assert code == 0, progress
    measured = json.loads(output)
    assert [(row["policy"], row["protocol"].split("/")[0], row["task"]) for row in measured] == [
        ("p01", "oracle", ""),
        ("p01", "oracle", "sums"),
        ("p01", "oracle-free", ""),
        ("p01", "oracle-free", "sums"),
    ]
    assert "evaluation of policy p01" in progress and measured[2]["metrics"]["c_to_i"].keys() >= {"low", "high", "n"}

    assert ordered(workspace, "promote", "p01")["outcome"] == "policy p01 promoted"
    assert "p01" in ordered(workspace, "reject", "p01")["outcome"]
    assert ordered(workspace, "promote", "p01")["accepted"]
    back = ordered(workspace, "rollback", "p00")
    assert back["directive"] == "rollback" and "rejected: p01" in back["outcome"]
    for wrong in (["promote", "p09"], ["rollback", "nonsense"], ["promote", "p01", "--run", "other"]):
        refused = ordered(workspace, *wrong)
        assert not refused["accepted"] and (
            "it has: p00, p01" in refused["outcome"] or "there are:" in refused["outcome"]
        )
    assert not ordered(workspace, "save-now")["accepted"]

    assert "started from policy p01" in ordered(workspace, "branch", "p01")["outcome"]
    one.wait_state("done")
    assert one.status()["iteration"]["number"] == 2
    assert one.status()["iteration"]["parent"]["name"] == "p01"
    # Everything is done; a second try has no effect, and reports that.
    refused = ordered(workspace, "retry")
    assert not refused["accepted"] and "is done" in refused["outcome"]

    assert ordered(workspace, "shutdown")["accepted"]


def test_an_evaluation_that_cannot_be_is_refused_before_anything_starts(harness: Make, tmp_path: Path) -> None:
    """No held-out questions, no such policy, invalid settings: a message, exit code 1, no engine or no run."""
    one = harness(quiz_settings(tmp_path, train=6, test=3))
    workspace = one.workspace.root
    code, _, words = invoke("eval", "-w", workspace, "--split", "dev")
    assert code == 1 and "no task reserves dev questions" in words
    assert one.engine_pid() is None
    code, _, words = invoke("eval", "-w", workspace, "--policy", "p07")
    assert code == 1 and "p07" in words
    assert invoke("eval", "-w", workspace, "--protocol", "guess")[0] == 2
    assert one.rows("SELECT count(*) FROM runs") == [(0,)]


def test_run_goes_on_with_training_after_an_evaluation(harness: Make, tmp_path: Path) -> None:
    """A finished evaluation is not mistaken for the iteration to continue."""
    one = harness(quiz_settings(tmp_path, train=12, test=4))
    workspace = one.workspace.root
    assert invoke("eval", "-w", workspace)[0] == 0
    code, output, progress = invoke("run", "-w", workspace, "--json")
    assert code == 0, progress
    assert json.loads(output)["iteration"]["title"] == "iteration 1"
    assert "iteration 1" in progress
    detached, output, _ = invoke("run", "-w", workspace, "--detach")
    assert detached == 0 and "is running in the background" in output
    assert one.status()["iteration"]["title"] == "iteration 2"


def test_the_table_of_an_evaluation_is_safe_and_complete() -> None:
    """Unknown metrics are shown too; a task's name can't reach the terminal unescaped."""
    metric = {"value": 0.5, "low": 0.25, "high": 0.75, "n": 4}
    rows = [
        MeasuredTask("p00", "oracle/a", task, 4, {"acc_t1": metric, "tokens_vote": metric, "new_metric": metric})
        for task in ("", "a\x1b[2J", "b")
    ]
    table = as_table(rows)
    assert "\x1b" not in table and "a␛[2J" in table
    assert table.count("new_metric") == 3 and "tokens, vote" in table
    assert table.splitlines()[3].split() == ["task", "metric", "value", "95", "%", "interval"]


def test_init_says_in_json_what_it_made(tmp_path: Path) -> None:
    """For a script that continues with the workspace."""
    code, output, _ = invoke("init", "-w", tmp_path / "w", "--json")
    assert code == 0 and json.loads(output)["workspace"] == str(tmp_path / "w")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    """Each has a help text, the workspace option everywhere, and JSON wherever there is output."""
    code, output, _ = invoke(command, "--help")
    assert code == 0 and "--workspace" in output and "--json" in output


def test_the_list_of_commands_fits_and_names_the_exit_codes() -> None:
    """Summaries that the terminal would truncate are useless."""
    code, output, _ = invoke("--help")
    assert code == 0
    lines = [line for line in output.split("Commands:")[1].splitlines() if line.startswith("  ")]
    listed = {line.split()[0]: line for line in lines}
    assert set(COMMANDS) <= listed.keys()
    assert not [line for command, line in listed.items() if command in COMMANDS and line.endswith("...")]
    for word in ("0 done", "1 refused", "2 usage", "3 a stage failed", "4", "5 paused", "6 the", "130"):
        assert word in output


def test_a_start_builds_the_command_that_runs_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Typer reads the signature of every function of an application at each start, of 25 just to list their names."""
    built: list[str] = []
    build = typer.main.get_command_from_info

    def note(command_info: CommandInfo, **rest: Any) -> Any:
        built.append(command_info.callback.__name__)
        return build(command_info, **rest)

    monkeypatch.setattr(typer.main, "get_command_from_info", note)
    runner = CliRunner()
    listed = runner.invoke(app, ["--help"])
    assert listed.exit_code == 0 and "demo-data" in listed.output and not built
    assert runner.invoke(app, ["demo-data", "--help"]).exit_code == 0
    assert built == ["demo_data"]
    misspelt = runner.invoke(app, ["statsu"])
    assert misspelt.exit_code == 2 and "Did you mean 'status'" in misspelt.output
    assert built == ["demo_data"]


def test_shells_complete_commands_and_options(tmp_path: Path) -> None:
    """Through the installed program, as a shell calls it; installing writes into the home directory only."""
    program = str(Path(sys.executable).with_name("reflectevo"))

    def completed(words: str, count: int) -> list[str]:
        environment = {"_REFLECTEVO_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(count)}
        return run([program], env={**os.environ, **environment}).stdout.split()

    assert completed("reflectevo pro", 1) == ["promote"]
    assert "--dry-run" in completed("reflectevo run --d", 2)
    assert completed("reflectevo report --format ", 3) == ["md", "html", "both"]
    environment = {**os.environ, "HOME": str(tmp_path), "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    installed = subprocess.run(
        [program, "--install-completion", "bash"], env=environment, capture_output=True, text=True, check=False
    )
    assert installed.returncode == 0 and "reflectevo.sh" in installed.stdout
    assert "complete_bash" in (tmp_path / ".bash_completions" / "reflectevo.sh").read_text()


def test_help_loads_nothing_heavy() -> None:
    """`reflectevo --help` answers within its budget because settings, screens and reports are imported when used."""
    code = (
        "import sys\n"
        "import reflectevo_tui.cli\n"
        "print([m for m in ('pydantic', 'textual', 'rich.console', 'pygal', 'sqlite3', 'tomlkit') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("kind", ["rollback", "branch"])
def test_a_waiting_iteration_is_put_aside_from_the_shell(harness: Make, tmp_path: Path, kind: str) -> None:
    """End to end: the engine waits before training, is set to continue from the base policy, and the rows remain."""
    one = harness(quiz_settings(tmp_path, 'gates = ["train"]', train=12, test=6))
    workspace = one.workspace.root
    assert not ordered(workspace, "approve")["accepted"]
    assert invoke("run", "-w", workspace)[0] == 4
    made = one.rows("SELECT id, reasoning FROM attempts WHERE iteration_id = 1 ORDER BY id")
    refused = ordered(workspace, kind, "p00")
    assert not refused["accepted"] and f"reflectevo {kind} p00 --put-aside" in refused["outcome"]
    assert one.status()["iteration"]["state"] == "waiting"
    done = ordered(workspace, kind, "p00", "--put-aside")
    assert done["accepted"] and "iteration 1 ended at gate train" in done["outcome"]
    assert one.rows("SELECT state FROM iterations WHERE number = 1") == [("done",)]
    assert "ended at gate train" in one.rows("SELECT reason FROM iterations WHERE number = 1")[0][0]
    if kind == "branch":
        assert one.wait_state("waiting")["iteration"]["number"] == 2
    else:
        assert len(one.rows("SELECT id FROM iterations")) == 1
        again = ordered(workspace, kind, "p00", "--put-aside")
        assert not again["accepted"] and "no iteration of run 'scripted' is waiting at a gate" in again["outcome"]
    assert made and one.rows("SELECT id, reasoning FROM attempts WHERE iteration_id = 1 ORDER BY id") == made
