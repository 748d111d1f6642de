"""Tests of import hygiene: the supervisor loads no model library, and reading the store loads no data library."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.waiting import run

ROOT = Path(__file__).resolve().parents[2]
MODELS = {"torch", "transformers", "vllm", "trl", "peft", "datasets", "accelerate", "sympy"}
DATA = {"pandas", "numpy"}
SCREEN = {"textual", "rich"}
STORE = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "store").rglob("*.py")
    if path.stem != "__init__"
)


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages in `sys.modules` after a statement ran in a new interpreter."""
    finished = run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"],
        cwd=ROOT,
        check=True,
    )
    return set(finished.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "engine.supervisor.supervisor",
        "engine.supervisor.serve",
        "engine.stages.worker",
        "engine.commands.render_prompt",
        "engine",
    ],
)
def test_what_stays_alive_beside_a_training_loads_no_model_library(module: str) -> None:
    """The supervisor runs for weeks and starts in a second; torch alone would cost it a gigabyte and ten seconds."""
    assert not loaded_by(f"import {module}") & (MODELS | SCREEN)


def test_the_store_is_light_and_stands_alone() -> None:
    """A terminal over SSH imports the store: neither data libraries nor the engine may be loaded with it."""
    loaded = loaded_by("\n".join(f"import {name}" for name in STORE))
    assert not loaded & (MODELS | DATA | SCREEN | {"sqlite_utils", "engine", "reflectevo_tui"})
    assert len(STORE) > 10


def test_opening_a_current_database_loads_no_migration_library(tmp_path: Path) -> None:
    """Only a database that has to be migrated loads the migration library."""
    prepare = (
        "from pathlib import Path; from store.database.connection import open_writer\n"
        "from store.database.migrations import migrate\n"
        f"migrate(open_writer(Path({str(tmp_path / 'reflectevo.db')!r})))"
    )
    assert "sqlite_utils" in loaded_by(prepare)
    assert not loaded_by(prepare) & ({"sqlite_utils"} | DATA)
