"""Fixtures shared by all tests, and the hypothesis profiles: the default draws the same cases each time, so that a
failing run can be repeated; `HYPOTHESIS_PROFILE=explore` draws new ones."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.support.engines import EngineHarness

hypothesis.settings.register_profile("repeat", derandomize=True, deadline=None)
hypothesis.settings.register_profile("explore", derandomize=False, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeat"))


def pytest_configure() -> None:
    """Limit computations to one thread: more tests run at a time than there are cores, and a second thread, which waits
    for a core that another test uses, makes every step two to three times slower (measured: training a tiny model,
    generating with vLLM). Read when torch and vLLM are imported, here and in the processes that tests start."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")


LONGEST = (
    "faults/test_promises.py",
    "engine/test_vllm_same_texts.py",
    "engine/test_real_iteration.py",
    "engine/test_experiment_run.py",
    "engine/test_analyses_run.py",
    "engine/test_dev_questions.py",
    "engine/test_vllm.py",
    "engine/test_evaluation_run.py",
    "engine/test_training_iterations.py",
    "faults/test_kill.py",
    "tui/test_cli_control.py",
    "tui/test_cli.py",
    "engine/test_controls_run.py",
    "tui/test_staying_open.py",
    "engine/test_supervision.py",
    "engine/test_training_settings_smollm2.py",
    "engine/test_training_kto.py",
    "engine/test_training_resume.py",
    "engine/test_exchange_export.py",
    "engine/test_exchange_import_again.py",
    "faults/test_takeover.py",
    "engine/test_curation_stage.py",
    "engine/test_render_prompt.py",
)
"""Files with the longest-running tests, longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the longest files first, so that no worker is left with one of them when the others have finished."""
    place = {Path(__file__).parent / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path, len(place)))


def pytest_collection_finish() -> None:
    """Exempt what collection has made from garbage collection: it lives until the end, and searching its million
    objects would take a second of every full collection (statsmodels, the training stage and Textual ask for some)."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Callable[[str], EngineHarness]]:
    """Build workspaces from settings; any engine still running in one is terminated afterwards."""
    made: list[EngineHarness] = []

    def make(settings: str) -> EngineHarness:
        root = tmp_path / f"engine{len(made)}"
        root.mkdir()
        made.append(EngineHarness(root, settings))
        return made[-1]

    yield make
    for one in made:
        one.shut_down()
