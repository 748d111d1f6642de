"""Tests that results on the test questions stand apart from those that decide, and that further samples are counted as
such, on Monitor, in the status and in its JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.engine_client.follow import _summary
from reflectevo_tui.engine_client.status import describe_status, training_status
from reflectevo_tui.widgets.reported_accuracy import REMARK, ReportedAccuracy
from store.settings.toml_file import parse_settings
from tests.engine.test_dev_questions import dev_run
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

Make = Callable[[str], EngineHarness]


async def test_test_questions_have_a_panel_of_their_own(harness: Make, tmp_path: Path) -> None:
    """Both accuracies, floor and own retry of each policy, with what they are for; Acc of dev questions elsewhere."""
    sections = (
        '[evaluation]\npromote = "always"\n\n[attempt]\nsamples = 3\n\n[correction]\nsamples = 2\ntemperature = 0.7'
    )
    one = harness(dev_run(tmp_path, sections=sections))
    one.start()
    one.run()
    one.wait(lambda: len(one.rows("SELECT 1 FROM iterations WHERE state = 'done'")) == 2)
    status = one.status()
    reported = status["iteration"]["reported"]
    assert set(reported) == {"p00", "p01"}
    for metrics in reported.values():
        assert all(metrics[name]["value"] is not None for name in ("acc_t1", "acc_t2", "acc_retry", "floor_t2"))
    words = describe_status(status)
    assert words.count("nothing is decided on these") == 2 and "test       p01 · Acc@t1" in words
    for size in ((160, 50), (80, 24)):
        terminal = ReflectEvoApp(one.workspace)
        async with terminal.run_test(size=size) as pilot:
            while terminal.snapshot is None:
                await pilot.pause(0.05)
            await pilot.pause()
            panel = terminal.screen.query_one(ReportedAccuracy)
            assert panel.display, size
            assert {point.policy for point in terminal.snapshot.reported} == {"p00", "p01"}
            if size[0] == 160:
                shown = str(panel.render())
                assert all(word in shown for word in ("Acc@t1", "floor", "own retry", "p00", "p01", REMARK[:40]))
    trained = training_status(one.workspace)
    assert trained is not None
    counts, questions = trained["counts"], 12
    assert (counts["attempts"], counts["attempt_samples"]) == (questions, 3 * questions)
    assert counts["corrections"] == counts["reflections"] and counts["correction_samples"] > 0
    notes = {stage["name"]: stage["note"] for stage in trained["stages"]}
    assert f"{questions} first, {3 * questions} sampled beside them" in notes["attempt"]
    assert "without a reflection" in notes["correct"]
    said: list[str] = []
    _summary(trained, said.append)
    assert any(f"{3 * questions} further sampled attempts" in line for line in said)


async def test_decided_on_test_questions_there_is_no_such_panel(harness: Make, tmp_path: Path) -> None:
    """They are then the only ones, and stand where the numbers that decide stand."""
    text = quiz_settings(tmp_path, train=2, test=2)
    one = harness(text)
    one.start()
    one.issue("evaluate", settings=parse_settings(text).model_dump(mode="json"))
    one.wait(lambda: (one.status()["iteration"] or {}).get("state") == "done")
    assert one.status()["iteration"]["reported"] == {}
    terminal = ReflectEvoApp(one.workspace)
    async with terminal.run_test(size=(160, 50)) as pilot:
        while terminal.snapshot is None:
            await pilot.pause(0.05)
        assert not terminal.screen.query_one(ReportedAccuracy).display
