"""Fixtures that all tests share, and how hypothesis draws: the same cases each time, so that a run that fails can be
repeated. `HYPOTHESIS_PROFILE=explore` draws new ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.engines import EngineHarness

hypothesis.settings.register_profile("repeat", derandomize=True)
hypothesis.settings.register_profile("explore", derandomize=False)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


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
