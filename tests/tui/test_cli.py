"""Tests the command line as a script uses it: real processes, exit codes, messages, JSON."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.engines import EngineHarness, scripted_settings
from tests.support.waiting import run

Make = Callable[[str], EngineHarness]

PROGRAM = str(Path(sys.executable).with_name("reflectevo"))


def cli(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `reflectevo` without a terminal."""
    return run([PROGRAM, *map(str, arguments)], stdin=subprocess.DEVNULL, env={**os.environ, **environment})


def test_a_run_without_terminal_ends_with_a_summary_and_zero(harness: Make) -> None:
    """The basis of `make demo HEADLESS=1`: progress lines, the outcome as text, and exit code 0."""
    one = harness(scripted_settings(train=12, test=6))
    done = cli("-w", one.workspace.root, "run")
    assert done.returncode == 0, done.stderr
    for words in ("attempt", "Acc@t1", "Acc@t2", "before  p00", "after   p01", "the policy is in", "to open it:"):
        assert words in done.stdout
    status = json.loads(cli("-w", one.workspace.root, "status", "--json").stdout)
    assert status["iteration"]["complete"] and status["iteration"]["child"]["name"] == "p01"
    assert [stage["state"] for stage in status["iteration"]["stages"]] == ["done"] * 6
    assert status["iteration"]["counts"]["attempts"] == 12

    again = cli("run", "-w", one.workspace.root)
    assert again.returncode == 0, again.stderr
    assert "next iteration started" in again.stdout
    assert (
        json.loads(cli("status", "--json", REFLECTEVO_WORKSPACE=str(one.workspace.root)).stdout)["iteration"]["number"]
        == 2
    )


def test_a_gate_is_an_exit_code_and_approve_passes_it(harness: Make) -> None:
    """A script learns that a gate waits for an operator, and how to answer."""
    one = harness(scripted_settings('gates = ["train"]', train=12, test=6))
    waiting = cli("-w", one.workspace.root, "run")
    assert waiting.returncode == 4
    assert "approve train" in waiting.stdout
    refused = cli("-w", one.workspace.root, "approve", "evaluate")
    assert refused.returncode == 1 and "does not wait" in refused.stderr
    approved = cli("-w", one.workspace.root, "approve")
    assert approved.returncode == 0 and "train approved" in approved.stdout
    assert cli("-w", one.workspace.root, "run").returncode == 0


def test_a_failed_stage_is_an_exit_code_with_its_reason(harness: Make) -> None:
    """A training that can't start reports the reason; no generated text is lost."""
    one = harness(scripted_settings(sections="min_examples = 100000", train=12, test=6))
    failed = cli("-w", one.workspace.root, "run")
    assert failed.returncode == 3
    assert "min_examples" in failed.stdout
    assert json.loads(cli("-w", one.workspace.root, "status", "--json").stdout)["iteration"]["counts"]["attempts"] == 12


def test_without_a_workspace_every_command_says_how_to_make_one(tmp_path: Path) -> None:
    """One clear message, exit code 1, and the check creates nothing."""
    for command in ("status", "run", "pause", "resume", "stop", "approve"):
        refused = cli("-w", tmp_path / "none", command)
        assert refused.returncode == 1, command
        assert "reflectevo init" in refused.stderr and "Traceback" not in refused.stderr
    assert not (tmp_path / "none").exists()


def test_init_keeps_what_is_there(tmp_path: Path) -> None:
    """A second init never overwrites settings that an operator edited."""
    workspace = tmp_path / "w"
    assert cli("init", "-w", workspace).returncode == 0
    settings = workspace / "reflectevo.toml"
    settings.write_text(settings.read_text() + "\n# mine\n")
    again = cli("init", "-w", workspace)
    assert again.returncode == 0 and "not changed" in again.stdout
    assert "# mine" in settings.read_text()
    assert (workspace.stat().st_mode & 0o777, settings.stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_wrong_setting_names_file_line_and_nearest_key(harness: Make) -> None:
    """The engine is not started with invalid settings."""
    one = harness(scripted_settings())
    file = one.workspace.settings_file
    file.write_text(file.read_text().replace("batch_size", "bach_size"))
    line = file.read_text().splitlines().index("bach_size = 2") + 1
    refused = cli("-w", one.workspace.root, "run")
    assert refused.returncode == 1
    assert f"{file}, line {line}" in refused.stderr and "did you mean 'batch_size'?" in refused.stderr
    assert one.engine_pid() is None


def test_an_unknown_recipe_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    """A misspelt recipe creates no workspace."""
    refused = cli("init", "-w", tmp_path / "w", "--recipe", "demo")
    assert refused.returncode == 1 and "demo-cpu" in refused.stderr
    assert not (tmp_path / "w").exists()


def test_without_a_terminal_the_application_says_what_to_use(harness: Make) -> None:
    """A cron job that calls `reflectevo` alone gets a message, not a traceback."""
    refused = cli("-w", harness(scripted_settings()).workspace.root)
    assert refused.returncode == 1
    assert "not a terminal" in refused.stderr and "status --json" in refused.stderr


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_without_a_cursor_is_refused(harness: Make, term: str) -> None:
    """TERM=dumb would only fill the screen with escape sequences."""
    one = harness(scripted_settings())
    controller, terminal = pty.openpty()
    try:
        refused = subprocess.run(
            [PROGRAM, "-w", str(one.workspace.root)],
            stdin=terminal,
            stdout=terminal,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env={**os.environ, "TERM": term},
        )
    finally:
        os.close(controller)
        os.close(terminal)
    assert refused.returncode == 1 and "TERM" in refused.stderr


def test_doctor_gives_findings_with_fixes(harness: Make) -> None:
    """Every finding that isn't ok has a fix."""
    one = harness(scripted_settings())
    findings = json.loads(cli("doctor", "-w", one.workspace.root, "--json").stdout)
    assert any(finding["what"] == "the database is intact" for finding in findings)
    assert all(finding["fix"] for finding in findings if finding["level"] != "ok")
    one.workspace.database.write_bytes(b"not a database at all" * 100)
    broken = cli("doctor", "-w", one.workspace.root)
    assert broken.returncode == 1 and "was not changed" in broken.stdout
    assert one.workspace.database.read_bytes().startswith(b"not a database")


def test_help_names_every_command_and_the_exit_codes() -> None:
    """The help is the first text that a new user reads."""
    shown = cli("--help")
    assert shown.returncode == 0
    for command in ("init", "run", "status", "approve", "pause", "resume", "stop", "doctor"):
        assert command in shown.stdout
    assert "Exit codes" in shown.stdout
