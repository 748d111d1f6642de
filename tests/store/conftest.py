"""Fixtures of the store's tests: real SQLite files in a temporary directory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rows import Rows


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """Return a database with one run, ready to be filled."""
    made = Rows(tmp_path / "reflectevo.db")
    yield made
    made.connection.close()
