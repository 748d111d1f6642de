"""Tests the token view of Datasets with the real engine and a real (tiny) tokenizer.

Nothing between key and screen is mocked, so that the command, its JSON and the dialog are tested together.
"""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("transformers")

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.dialogs.example_tokens import ExampleDialog
from reflectevo_tui.widgets.paged_list import PagedList
from store.curation.curated import NewCurated, replace_curated
from store.database.connection import write
from store.runs import iterations
from store.workspace import Workspace
from tests.engine.tiny_model import build_tiny_model
from tests.support.rows import Rows, run_settings


@pytest.fixture
def curated_workspace(tmp_path: Path) -> Workspace:
    """Build one D+ row under a policy whose weights and tokenizer are on disk."""
    model = build_tiny_model(tmp_path / "model")
    workspace = Workspace(tmp_path / "workspace").create()
    settings = run_settings(
        generation={"generator": "transformers"}, training={"max_length": 800}, correction={"max_tokens": 8}
    )
    rows = Rows(workspace.database, settings)
    with write(rows.connection):
        rows.connection.execute("UPDATE policies SET path = ?1, base_model = ?1", (str(model),))
        question = rows.question("Is an ångström longer than a metre? 🙂", reference="B")
        attempt = rows.attempt(question, text="Answer: A")
        good, correction = rows.corrected(attempt, question, text="Think of the größe of atoms.", sample=0)
        replace_curated(
            rows.connection, rows.iteration, [NewCurated("d_plus", good, None, correction, True, "included")]
        )
        iterations.set_stage(rows.connection, rows.iteration, "curate", "done")
    rows.connection.close()
    return workspace


@pytest.mark.slow
@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_the_tokens_of_a_row_come_from_the_engine(curated_workspace: Workspace, until, screen_text, size) -> None:
    app = ReflectEvoApp(curated_workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("4")
        await until(pilot, lambda: app.current_mode == "datasets" and app.screen.query(PagedList))
        await until(pilot, lambda: app.screen.query_one(PagedList).key)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, ExampleDialog) and "✓ fits" in screen_text(app))
        # The tokens get their height in a later layout: until then only their first lines are visible.
        words = ("<|im_start|>", "of 800 tokens", "trained on", "ångström")
        await until(pilot, lambda: all(word in screen_text(app) for word in words))
        await pilot.press("end")
        await until(pilot, lambda: "⟦" in screen_text(app) and "größe" in screen_text(app))
        assert "⟧" in screen_text(app)
