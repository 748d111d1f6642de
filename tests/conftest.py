"""Fixtures that all tests share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.engines import EngineHarness


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Callable[[str], EngineHarness]]:
    """Makes workspaces from settings; whatever engine still runs in one is ended afterwards."""
    made: list[EngineHarness] = []

    def make(settings: str) -> EngineHarness:
        root = tmp_path / f"engine{len(made)}"
        root.mkdir()
        made.append(EngineHarness(root, settings))
        return made[-1]

    yield make
    for one in made:
        one.shut_down()
