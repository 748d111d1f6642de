"""Protects the proof of what was asked: every stored prompt renders again to the same hash."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.errors import EngineError
from engine.rerender import rerender
from store.connection import open_writer
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

Make = Callable[[str], EngineHarness]

KINDS = """
SELECT (CASE WHEN protocol = '' THEN 'training' ELSE 'held-out' END)
       || CASE WHEN turn = 1 THEN ' attempt' WHEN reflection_id IS NULL THEN ' retry' ELSE ' correction' END, id
FROM attempts ORDER BY id
"""


@pytest.mark.parametrize("protocol", ["oracle", "oracle-free"])
def test_the_prompt_of_every_row_of_a_run_renders_again(harness: Make, tmp_path: Path, protocol: str) -> None:
    """Prompts are not stored; that they can be shown at all rests on this."""
    one = harness(quiz_settings(tmp_path, sections=f'[evaluation]\nprotocol = "{protocol}"', train=8, test=6))
    one.start()
    one.run()
    one.wait_state("done")
    seen: dict[str, list[dict[str, Any]]] = {}
    for kind, row in one.rows(KINDS):
        seen.setdefault(kind, []).append(rerender(one.workspace, attempt_id=row, reflection_id=None))
    for (row,) in one.rows("SELECT id FROM reflections"):
        seen.setdefault("reflection", []).append(rerender(one.workspace, attempt_id=None, reflection_id=row))
    assert set(seen) == {
        "training attempt",
        "training correction",
        "held-out attempt",
        "held-out correction",
        "held-out retry",
        "reflection",
    }
    for kind, answers in seen.items():
        assert all(answer["matches"] for answer in answers), kind
        assert len({answer["hash"] for answer in answers}) > 1, f"{kind}: one prompt for all would prove nothing"
    # A prompt that was rendered from other inputs is told apart.
    tampered = one.rows("SELECT id FROM attempts WHERE turn = 2 LIMIT 1")[0][0]
    with closing(open_writer(one.workspace.database)) as connection:
        connection.execute("UPDATE attempts SET prompt_hash = 'other' WHERE id = ?", (tampered,))
    assert rerender(one.workspace, attempt_id=tampered, reflection_id=None)["matches"] is False
    for missing in ({"attempt_id": 10**6, "reflection_id": None}, {"attempt_id": None, "reflection_id": 10**6}):
        with pytest.raises(EngineError, match="no such attempt or reflection"):
            rerender(one.workspace, **missing)
