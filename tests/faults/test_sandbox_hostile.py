"""Tests real hostile programs in the real sandbox: every program × tier × root and ordinary user (promise 7).

No escape, termination within the limit plus a second, nothing left running. A tier or a user that isn't available on
this machine is skipped with the reason.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import pytest

from engine.tasks.sandbox import probe, seccomp
from engine.tasks.sandbox.tiers import TIERS
from tests.faults.hostile_attacks import ATTACKING
from tests.faults.hostile_programs import EXHAUSTING
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
PROGRAMS = {**EXHAUSTING, **ATTACKING}
NOBODY = 65534
USERS = ("root", "ordinary user") if os.geteuid() == 0 else ("ordinary user",)


@dataclass(frozen=True)
class Batch:
    """Outcomes of all programs in one tier, started by one user."""

    report: dict[str, Any]
    secret: str
    left: list[str]
    """Command lines of the processes that still ran afterwards."""


@pytest.fixture(scope="module", params=[(tier, user) for tier in TIERS for user in USERS], ids="-".join)
def batch(request: pytest.FixtureRequest) -> Batch:
    """Run all programs in one tier as one user; they share a few threads, so that the sleepers sleep concurrently."""
    tier, user = request.param
    if user == "root" or os.geteuid() != 0:
        broken = next((one.reason for one in probe() if one.name == tier and not one.works), None)
        if broken is not None:
            pytest.skip(f"{tier} doesn't work here: {broken}")
    found = run_batch(tier, user)
    broken = next((one["reason"] for one in found.report["probe"] if one["name"] == tier and not one["works"]), None)
    if broken is not None:
        pytest.skip(f"{tier} doesn't work here for an {user}: {broken}")
    return found


@cache
def ordinary_python() -> str:
    """Return a Python that an ordinary user can run, when the tests run as root: root's own may be in root's home."""
    for candidate in (os.path.realpath(getattr(sys, "_base_executable", sys.executable)), "/usr/bin/python3"):
        check = [candidate, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        try:
            if subprocess.run(check, user=NOBODY, group=NOBODY, extra_groups=[], cwd="/").returncode == 0:
                return candidate
        except OSError:
            continue
    pytest.skip("no Python 3.11 that an ordinary user may run")


def run_batch(tier: str, user: str) -> Batch:
    """Start the batch as a user, with a copy of the package that the user can read."""
    tag, secret = f"reflectevo-test-{secrets.token_hex(6)}", secrets.token_hex(16)
    todo = {
        "tier": tier,
        "tag": tag,
        "numbers": dict(seccomp.TABLES[seccomp.processor() or "x86_64"]),
        "programs": {
            name: {"source": one.source, "stdin": one.stdin, "limits": one.limits} for name, one in PROGRAMS.items()
        },
    }
    other = os.geteuid() == 0 and user != "root"
    python = ordinary_python() if other else sys.executable
    identity: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if other else {}
    with tempfile.TemporaryDirectory(prefix="reflectevo-tests-", dir="/tmp") as folder:
        errors = ("engine/__init__.py", "engine/errors.py", "store/__init__.py", "store/errors.py")
        for name in (*errors, "tests/support/sandbox_batch.py"):
            Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, Path(folder, name))
        shutil.copytree(
            ROOT / "engine/tasks/sandbox", Path(folder, "engine/tasks/sandbox"), ignore=shutil.ignore_patterns("__pyc*")
        )
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        finished = subprocess.run(
            [python, "-B", "-m", "tests.support.sandbox_batch", secret],
            input=json.dumps(todo),
            env={"PYTHONPATH": folder, "REFLECTEVO_TEST_SECRET": secret, "PATH": os.environ["PATH"]},
            cwd="/",
            capture_output=True,
            text=True,
            start_new_session=True,
            **identity,
        )
    assert finished.returncode == 0, finished.stderr[-3000:]
    return Batch(json.loads(finished.stdout), secret, running(tag))


def running(tag: str) -> list[str]:
    """Return the command lines of the processes that carry a tag."""
    return [
        f"{process.pid}: {' '.join(process.info['cmdline'])[:200]}"
        for process in psutil.process_iter(["cmdline"])
        if any(tag in part for part in process.info["cmdline"] or ())
    ]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_hostile_program_is_held(batch: Batch, name: str) -> None:
    """The program ends as expected and soon after its limit, and none of its attempts succeeded.

    A minute is for a loaded machine; a program that was not ended would run until the batch is. `make faults` holds it
    to a second.
    """
    hostile, outcome = PROGRAMS[name], batch.report["outcomes"][name]
    assert outcome["state"] in hostile.ends, outcome
    assert hostile.says in outcome["reason"], outcome
    assert outcome["seconds"] <= hostile.limits["wall_seconds"] + 60.0
    printed, complained = (
        base64.b64decode(outcome[stream]).decode("utf-8", "replace") for stream in ("stdout", "stderr")
    )
    assert "ESCAPED" not in printed + complained
    assert batch.secret not in printed + complained
    if outcome["state"] == "finished":
        assert hostile.prints in printed, "it proves nothing if it never tried"
        assert (outcome["exit_code"], complained) == (0, ""), "it has to get to its end"


def test_nobody_was_reached_and_nothing_is_left(batch: Batch) -> None:
    """No listener was contacted, no process harmed, no file created or changed, and nothing still runs."""
    assert batch.left == []
    assert batch.report["contacts"] == []
    assert batch.report["victim_lives"]
    assert batch.report["untouched"], "a file or the priority of a process was changed"
    assert [Path(path).name for path in batch.report["made"]] == [".ssh", "id_ed25519"]


def test_the_batches_ran_as_whom_they_say(batch: Batch, request: pytest.FixtureRequest) -> None:
    """The ordinary user's batch really ran as that user, not as root."""
    assert (batch.report["user"] == 0) == ("root" in request.node.name)


@pytest.fixture(params=TIERS)
def tier(request: pytest.FixtureRequest) -> str:
    """Return each tier that works here."""
    broken = next((one.reason for one in probe() if one.name == request.param and not one.works), None)
    if broken is not None:
        pytest.skip(f"{request.param} doesn't work here: {broken}")
    return str(request.param)


@pytest.fixture
def sleeper(tier: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start a process whose sandboxed program sleeps for a minute; yield it and the tag of its sandbox."""
    tag = f"reflectevo-test-{secrets.token_hex(6)}"
    source = f"""
from engine.tasks.sandbox import Limits, runner
from tests.support.sandboxed import run_python
runner.TAG = {tag!r}
run_python("import time; time.sleep(60)", limits=Limits(wall_seconds=60), tier={tier!r})
"""
    engine = subprocess.Popen([sys.executable, "-c", source], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        yield engine, tag
    finally:
        engine.kill()
        engine.wait()


def test_a_program_dies_with_its_engine(sleeper: tuple[subprocess.Popen[bytes], str]) -> None:
    """After a SIGKILL of the engine no hostile program continues unsupervised."""
    engine, tag = sleeper
    wait_until(lambda: running(f"{tag}:"), describe=lambda: "the sandbox starts")
    engine.kill()
    engine.wait()
    wait_until(lambda: not running(f"{tag}:"), describe=lambda: "the program ends")
