"""Tests of how policies share a device: one generator for equal weights, half of the memory each for different ones."""

from __future__ import annotations

import asyncio
import importlib.util
from pathlib import Path

import pytest

from engine.errors import EngineError
from engine.generation.serving import Serving, serve, share
from engine.models.weights import PolicyWeights
from store.settings import GenerationSection
from tests.support.rollout_plans import FakeGenerator

SETTINGS = GenerationSection(memory_gib=3.0, gpu_memory_share=0.8)


def weights(policy_id: int, path: str) -> PolicyWeights:
    return PolicyWeights(policy_id, f"p{policy_id:02d}", Path(path), Path(path))


class _Made:
    """Creates generators and records their arguments."""

    def __init__(self) -> None:
        self.settings: list[GenerationSection] = []
        self.generators: list[FakeGenerator] = []

    def __call__(self, weights: PolicyWeights, settings: GenerationSection, seed: int) -> FakeGenerator:
        self.settings.append(settings)
        self.generators.append(FakeGenerator())
        return self.generators[-1]


def test_one_policy_is_loaded_once() -> None:
    """The same weights in two roles need no second copy in memory."""
    made = _Made()
    serving = Serving(made, weights(1, "/m"), weights(1, "/m"), SETTINGS, 0)
    assert serving.reasoner is serving.reflector
    assert made.settings == [SETTINGS]


def test_two_policies_share_the_memory_and_follow_every_word() -> None:
    """Together they must not request more memory than the settings allow for one."""
    made = _Made()
    serving = Serving(made, weights(1, "/m"), weights(2, "/n"), SETTINGS, 0)
    assert serving.reasoner is not serving.reflector
    assert [(one.memory_gib, one.gpu_memory_share) for one in made.settings] == [(1.5, 0.4)] * 2
    assert share(SETTINGS, weights(1, "/m"), weights(1, "/m")) is SETTINGS

    async def follow() -> None:
        await serving.start()
        await serving.set_paused(False)
        await serving.set_paused(True)
        await serving.set_paused(True)
        await serving.set_paused(False)
        await serving.close()

    asyncio.run(follow())
    assert [generator.calls for generator in made.generators] == [["pause", "resume"]] * 2


def test_one_that_can_not_be_closed_does_not_keep_the_other_open() -> None:
    """The device's memory is freed whatever happens."""
    made = _Made()
    serving = Serving(made, weights(1, "/m"), weights(2, "/n"), SETTINGS, 0)
    closed = []

    async def broken() -> None:
        raise RuntimeError("gone already")

    async def close() -> None:
        closed.append(True)

    made.generators[0].close = broken  # type: ignore[method-assign]
    made.generators[1].close = close  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="gone already"):
        asyncio.run(serving.close())
    assert closed == [True]


def test_a_pause_is_followed_once_and_a_resume_too() -> None:
    """The desired state is polled continuously; the generator is called only on a change."""
    made = _Made()
    serving = Serving(made, weights(1, "/m"), weights(1, "/m"), SETTINGS, 0)
    wishes, states = [False, True, True, False, False], []

    async def follow() -> None:
        done = asyncio.Event()

        def looked() -> None:
            states.append(serving.paused)
            if not wishes:
                done.set()

        following = asyncio.create_task(serving.follow(lambda: wishes.pop(0) if wishes else False, looked))
        await done.wait()
        following.cancel()

    asyncio.run(follow())
    assert made.generators[0].calls == ["pause", "resume"]
    assert states[:5] == [False, True, True, False, False]


def test_the_chosen_generator_is_checked_before_anything_is_loaded(tmp_path: Path) -> None:
    """Rollouts and a judging policy follow the same rule: scripted needs no weights, the others do."""
    warnings: list[str] = []
    missing = weights(1, str(tmp_path / "gone"))
    scripted = serve(GenerationSection(generator="scripted"), missing, missing, 0, warnings.append)
    assert (scripted.name, scripted.paused, warnings) == ("scripted", False, [])
    if importlib.util.find_spec("transformers") is None:
        pytest.skip("transformers is not installed")
    with pytest.raises(EngineError, match="gone"):
        serve(GenerationSection(generator="transformers"), missing, missing, 0, warnings.append)
