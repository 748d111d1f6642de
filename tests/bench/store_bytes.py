"""Size of a trajectory in the database as a linear function: bytes of its row, and bytes per byte of its texts.

    python -m tests.bench.store_bytes

Two synthetic stores that differ in the length of their texts give the function; the disk estimate uses it. Every
trajectory counts its attempt, although siblings share one: the search index stores it once for each of them.
"""

from __future__ import annotations

import tempfile
from contextlib import closing
from pathlib import Path
from unittest import mock

from reflectevo_tui.commands.demo import prose
from reflectevo_tui.commands.demo.synthetic_store import DemoStore
from store.database.connection import checkpoint, open_writer
from store.workspace import Workspace

ROWS = 20_000
LENGTHS = (1, 4)
"""Repetitions of each text within a stored text, for the short and the long store."""

_TEXTS = """
SELECT avg(length(CAST(a.reasoning AS BLOB)) + coalesce(length(CAST(r.text AS BLOB)), 0)
    + coalesce(length(CAST(c.reasoning AS BLOB)), 0))
FROM trajectories t JOIN attempts a ON a.id = t.attempt_id
LEFT JOIN reflections r ON r.id = t.reflection_id LEFT JOIN attempts c ON c.id = t.correction_id
"""


def measure() -> tuple[float, float]:
    """Return the bytes of a row without its texts, and the bytes for each byte of text."""
    (short, few), (long, many) = (_store(times) for times in LENGTHS)
    slope = (many - few) / (long - short)
    return few - slope * short, slope


def _store(times: int) -> tuple[float, float]:
    """Return the mean bytes of text and of database of a trajectory."""
    attempt, reflection, corrected = prose.attempt, prose.reflection, prose.corrected

    def longer(text: str, again: list[str]) -> str:
        return "\n".join([*again, text])

    with (
        tempfile.TemporaryDirectory() as directory,
        mock.patch.object(
            prose,
            "attempt",
            lambda draw, right: longer(attempt(draw, right), [attempt(draw, right) for _ in range(times - 1)]),
        ),
        mock.patch.object(
            prose,
            "reflection",
            lambda draw, key: longer(reflection(draw, key), [reflection(draw, key) for _ in range(times - 1)]),
        ),
        mock.patch.object(prose, "corrected", corrected),
    ):
        workspace = Workspace(Path(directory) / "workspace")
        for _ in DemoStore(workspace, ROWS, 0).make():
            pass
        with closing(open_writer(workspace.database)) as connection:
            checkpoint(connection)
            [texts] = connection.execute(_TEXTS).fetchone()
            [rows] = connection.execute("SELECT count(*) FROM trajectories").fetchone()
        size = workspace.database.stat().st_size / rows
        print(f"texts × {times}: {texts:.0f} bytes of text, {size:.0f} bytes of database a trajectory ({rows:,} rows)")
        return texts, size


if __name__ == "__main__":
    row, factor = measure()
    print(f"a trajectory takes {row:.0f} bytes and {factor:.2f} bytes for each byte of its texts")
