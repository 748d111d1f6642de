"""Tests that no process started by the terminal imports a module from the operator's working directory."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from reflectevo_tui.engine_client.process import engine_command
from tests.support.quiz import quiz_settings
from tests.support.waiting import run

SCRIPT = Path(sys.executable).parent / "reflectevo"
DECOYS = {
    "a file engine.py": ("engine.py",),
    "a folder engine": ("engine/__init__.py",),
    "a folder engine that runs": ("engine/__init__.py", "engine/__main__.py"),
    "a file store.py": ("store.py",),
    "a folder store": ("store/__init__.py", "store/workspace.py"),
    "names of the standard library": ("json.py", "typing.py", "statistics.py", "sqlite3/__init__.py"),
    "names of dependencies": ("torch.py", "pydantic/__init__.py", "tomlkit.py", "datasets/__init__.py"),
}


def with_decoys(directory: Path, names: Iterable[str]) -> Path:
    """Create a directory with modules that leave a file `ran` behind when one of them is imported."""
    for name in names:
        decoy = directory / name
        decoy.parent.mkdir(parents=True, exist_ok=True)
        decoy.write_text(f"open({str(directory / 'ran')!r}, 'a').write(__name__)\nraise SystemExit('a decoy ran')\n")
    return directory


@pytest.mark.parametrize("case", DECOYS)
def test_the_engine_is_found_where_it_is_installed(case: str, tmp_path: Path) -> None:
    here = with_decoys(tmp_path / "here", DECOYS[case])
    done = run(engine_command("--help"), cwd=here)
    assert done.returncode == 0 and "usage" in done.stdout, done.stdout + done.stderr
    assert not (here / "ran").exists()


def test_no_command_imports_from_the_callers_directory(tmp_path: Path) -> None:
    """Covers every command that starts a process: queries, the engine with its workers, an export, an import."""
    if not SCRIPT.exists():
        pytest.skip("the console script is not installed beside this Python (make test installs it)")
    here = with_decoys(tmp_path / "here", {name for names in DECOYS.values() for name in names})
    settings = tmp_path / "quiz.toml"
    settings.write_text(quiz_settings(tmp_path, train=6, test=2))
    workspace, exported = tmp_path / "workspace", tmp_path / "exported"

    def reflectevo(*arguments: str | Path) -> str:
        command = [SCRIPT, "-w", workspace, *arguments]
        done = run(command, cwd=here)
        # `doctor` exits with 1 where this machine lacks something.
        assert done.returncode == 0 or arguments[0] == "doctor", done.stdout + done.stderr
        assert not (here / "ran").exists(), (here / "ran").read_text()
        return done.stdout

    reflectevo("init", "--settings", settings)
    assert "the engine is stopped" in reflectevo("doctor")
    assert "the run can start" in reflectevo("run", "--dry-run")
    reflectevo("estimate")
    try:
        reflectevo("run")
        reflectevo("eval")
        reflectevo("export", "--run", "scripted", "--format", "published-raw", "--to", exported)
    finally:
        reflectevo("shutdown")
    [published] = (path for path in exported.rglob("*.json*") if "reflection" in path.read_text())
    reflectevo("import", published)
