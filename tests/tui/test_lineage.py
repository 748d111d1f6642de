"""Lineage: the tree is the stored one, two policies are compared on the same questions, decisions are directives."""

from __future__ import annotations

import re
from typing import Any

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.dialogs.confirm import ConfirmDialog
from reflectevo_tui.screens.lineage import LineageScreen
from reflectevo_tui.state.messages import TrajectoriesWanted, TrajectoryWanted
from reflectevo_tui.widgets.line_panel import LinePanel
from reflectevo_tui.widgets.lineage_tree import LineageTree
from reflectevo_tui.widgets.paged_list import PagedList
from store.control import directives
from store.database.connection import write
from store.rollouts import attempts
from store.rollouts.attempts import NewAttempt, NewGeneration
from store.runs import policies, runs
from tests.support.built_workspaces import Built

SIZES = [(160, 50), (80, 24)]
PROTOCOL = "oracle/abc"


def answer_held_out(built: Built, policy: int, verdicts: str) -> None:
    """Answers of a policy to the held-out questions, `c` or `i` each."""
    with write(built.writer):
        for number, verdict in enumerate(verdicts):
            runs.add_questions(
                built.writer,
                built.run,
                [("chain_sum", "reasoning", "test", f"held out {number}", [], "1", {}, f"held-{number}")],
            )
            question = built.writer.execute(
                "SELECT id FROM questions WHERE content_hash = ?", (f"held-{number}",)
            ).fetchone()[0]
            made = NewGeneration(None, policy, PROTOCOL, 0, "an answer", 10, 5, "stop", 1, "v1", "ab", 0.1, None)
            word = "correct" if verdict == "c" else "incorrect"
            attempt = attempts.insert_attempt(built.writer, NewAttempt(made, question, 1, None, "1", word, "", None))
            attempts.finish_trajectory(built.writer, attempt, None, None)


def measured(built: Built) -> int:
    """A child that gains two questions and loses one."""
    child = built.add_child()
    answer_held_out(built, built.policy, "cciiii")
    answer_held_out(built, child, "ciccii")
    return child


def issued(built: Built) -> list[tuple[str, dict[str, Any]]]:
    """Directives, oldest first."""
    return [(one.kind, dict(one.arguments)) for one in directives.pending(built.writer)]


async def opened(app: ReflectEvoApp, pilot: Any, until: Any) -> LineageScreen:
    """The screen with its tree."""
    await until(pilot, lambda: app.snapshot)
    await pilot.press("5")
    await until(pilot, lambda: isinstance(app.screen, LineageScreen) and app.screen.query_one(LineageTree).node)
    assert isinstance(app.screen, LineageScreen)
    return app.screen


@pytest.mark.parametrize("size", SIZES)
async def test_two_marked_policies_stand_side_by_side(build, until, screen_text, size) -> None:
    built = build(10)
    measured(built)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        screen = await opened(app, pilot, until)
        await until(pilot, lambda: "└─ p01" in screen_text(app))
        assert "◆ candidate" in screen_text(app) and "p00 ◀" in screen_text(app)
        await pilot.press("up", "space", "down", "space")
        panel = screen.query_one("#comparison", LinePanel)
        await until(pilot, lambda: any("all tasks" in line.plain for line in panel.lines))
        text = "\n".join(line.plain for line in panel.lines)
        assert "A p00   B p01" in text and "+16.7 (" in text and "= " in text
        assert re.search(r"1\.000 +6 +\d+\.\d +2 +1", text), "McNemar's p, n, the difference it shows, gained, lost"
        assert "Acc@t1, all tasks: no difference shown; n = 6 " in text
        await pilot.press("t", "tab")
        await until(pilot, lambda: screen.query_one("#flips", PagedList).has_focus)
        flips = "\n".join(line.plain for line in screen.query_one("#flips", PagedList).lines)
        assert flips.count("+ gained") == 2 and flips.count("− lost") == 1


@pytest.mark.parametrize(("key", "side"), [("enter", 1), ("a", 0)])
async def test_a_flip_opens_in_trajectories(build, until, key, side) -> None:
    built = build(10)
    child = measured(built)
    wanted: list[int] = []
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(
        size=(160, 50),
        message_hook=lambda m: wanted.append(m.trajectory_id) if isinstance(m, TrajectoryWanted) else None,
    ) as pilot:
        screen = await opened(app, pilot, until)
        await pilot.press("t", "up", "space", "down", "space")
        flips = screen.query_one("#flips", PagedList)
        await until(pilot, lambda: flips.key)
        question = flips.key
        await pilot.press("tab", key)
        await until(pilot, lambda: app.current_mode == "trajectories")
    row = built.writer.execute("SELECT policy_id, question_id FROM trajectories WHERE id = ?", (wanted[0],)).fetchone()
    assert tuple(row) == ((built.policy, child)[side], question)


async def test_turns_protocols_and_unmarking(build, until, screen_text) -> None:
    built = build(10)
    measured(built)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        screen = await opened(app, pilot, until)
        await pilot.press("space", "up", "space")
        await until(pilot, lambda: "Flips at turn 2 · " in screen_text(app))
        await pilot.press("t")
        await until(pilot, lambda: "Flips at turn 1 · 3" in screen_text(app))
        await pilot.press("o")
        await until(pilot, lambda: screen._compared is not None)
        await pilot.press("x")
        await until(pilot, lambda: "Mark two policies with space" in screen_text(app))


async def test_policies_measured_apart_are_not_compared(build, until, screen_text) -> None:
    built = build(10)
    child = built.add_child()
    built.writer.execute("UPDATE evaluations SET protocol = 'oracle/other' WHERE policy_id = ?", (child,))
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await pilot.press("space", "up", "space")
        await until(pilot, lambda: "not measured under a common protocol" in screen_text(app))


@pytest.mark.parametrize(
    ("key", "kind", "asks"),
    [("P", "promote", False), ("R", "reject", False), ("Z", "rollback", True), ("B", "branch", True)],
)
async def test_decisions_are_directives_and_ask_only_where_nothing_undoes_them(build, until, key, kind, asks) -> None:
    built = build(10)
    child = built.add_child()
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(160, 50)) as pilot:
        await opened(app, pilot, until)
        await pilot.press(key)
        if asks:
            await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
            await pilot.press("n")
            await pilot.pause(0.1)
            assert issued(built) == []
            await pilot.press(key)
            await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
            await pilot.press("y")
        await until(pilot, lambda: issued(built))
    assert issued(built) == [(kind, {"policy": child})]


async def test_settling_a_waiting_child_ends_its_iteration_and_is_asked(build, until) -> None:
    built = build(10)
    child = built.add_child()
    built.wait_at("none")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: app.snapshot and app.snapshot.gate == "promote")
        await pilot.press("P")
        await until(pilot, lambda: isinstance(app.screen, ConfirmDialog))
        await pilot.press("y")
        await until(pilot, lambda: issued(built))
    assert issued(built) == [("promote", {"policy": child})]


@pytest.mark.parametrize(("key", "kind"), [("Z", "rollback"), ("B", "branch")])
async def test_while_a_gate_waits_the_question_says_what_is_put_aside(build, until, screen_text, key, kind) -> None:
    built = build(10)
    built.wait_at("train")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: app.snapshot and app.snapshot.gate == "train")
        await pilot.press(key)
        await until(pilot, lambda: "Iteration 1 is ended here, at gate train" in screen_text(app))
        await pilot.press("y")
        await until(pilot, lambda: issued(built))
    assert issued(built) == [(kind, {"policy": built.policy, "put_aside": built.iteration, "stage": "train"})]


async def test_enter_opens_what_the_policy_answered(build, until) -> None:
    built = build(10)
    built.add_child()
    wanted: list[int | None] = []
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(
        size=(80, 24),
        message_hook=lambda m: wanted.append(m.wanted.policy) if isinstance(m, TrajectoriesWanted) else None,
    ) as pilot:
        await opened(app, pilot, until)
        await pilot.press("home", "enter")
        await until(pilot, lambda: app.current_mode == "trajectories")
    assert wanted[0] == built.policy


async def test_a_deep_tree_keeps_its_lines(build, until, screen_text) -> None:
    built = build(4)

    def add(name: str, parent: int, state: str) -> int:
        return policies.add_policy(
            built.writer, run_id=built.run, parent_id=parent, iteration_id=None, name=name, setting="dpo-verdict",
            path=name, base_model="m", state=state, details={},
        )  # fmt: skip

    one = add("p01", built.policy, "promoted")
    add("p02", one, "rejected")
    add("p03", one, "promoted")
    add("p04", built.policy, "rejected")
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(app, pilot, until)
        for words in ("├─ p01", "│  ├─ p02", "│  └─ p03 ◀", "└─ p04"):
            await until(pilot, lambda words=words: words in screen_text(app))


@pytest.mark.parametrize("size", SIZES)
async def test_accuracies_stand_beside_each_other_only_when_measured_alike(build, until, screen_text, size) -> None:
    """p01 was measured without an oracle since, p02 only so: the first keeps its number, the second is marked."""
    built = build(4)
    built.evaluate(built.policy, 0.41, 0.47)
    child = built.add_child()
    other = policies.add_policy(
        built.writer, run_id=built.run, parent_id=child, iteration_id=None, name="p02", setting="dpo-verdict",
        path="p02", base_model="m", state="candidate", details={},
    )  # fmt: skip
    for policy, second in ((child, 0.31), (other, 0.29)):
        metrics = {name: {"value": value, "n": 400} for name, value in (("acc_t1", 0.43), ("acc_t2", second))}
        policies.put_evaluation(
            built.writer, policy_id=policy, iteration_id=None, protocol="oracle-free/x", task="", n=400, metrics=metrics
        )
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await opened(app, pilot, until)
        await until(pilot, lambda: "p02" in screen_text(app))
        lines = screen_text(app).splitlines()
        (first,) = (line for line in lines if "─ p01" in line)
        (second,) = (line for line in lines if "─ p02" in line)
        assert "52.0 %" in first and "≠" not in first
        assert "29.0 %" in second and "≠" in second
        (title,) = (line for line in lines if "the next iteration starts here" in line)
        assert "≠ other protocol" in title
        assert ("oracle protocol, 120 questions" in title) == (size[0] > 100)


@pytest.mark.parametrize("size", SIZES)
async def test_without_two_marks_the_policy_under_the_cursor_is_told_whole(build, until, screen_text, size) -> None:
    built = build(4)
    built.evaluate(built.policy, 0.41, 0.47)
    child = built.add_child()
    reason = "worse than its parent; Acc@t1 -3.1 points (-6.2 to -0.6), p = 0.062, n = 160; Acc@t2 \x1b[31m-0.6"
    policies.decide_policy(built.writer, child, "rejected", reason)
    metrics = {name: {"value": value} for name, value in (("acc_t1", 0.4), ("acc_t2", 0.31))}
    policies.put_evaluation(
        built.writer, policy_id=child, iteration_id=None, protocol="oracle-free/x", task="", n=4000, metrics=metrics
    )
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        screen = await opened(app, pilot, until)
        panel = screen.query_one("#comparison", LinePanel)

        def told() -> str:
            return "\n".join(line.plain for line in panel.lines)

        await until(pilot, lambda: "p01  sft-one-stage · rejected" in told())
        whole = "\nAcc@t1 -3.1 points (-6.2 to -0.6), p = 0.062, n = 160\n"
        await pilot.resize_terminal(40, 24)
        await until(pilot, lambda: whole not in told())
        assert "n = 160" in told().replace("\n", ""), "folded, not cut"
        await pilot.resize_terminal(*size)
        await until(pilot, lambda: whole in told())
        assert "\nworse than its parent\nAcc@t1 -3.1 points (-6.2 to -0.6), p = 0.062, n = 160\n" in told()
        assert "\x1b" not in told()
        assert told().index("oracle-free test n = 4,000 Acc@t1  40.0 %  Acc@t2  31.0 %") < told().index(
            "oracle      test n = 120"
        )
        await pilot.press("up")
        await until(pilot, lambda: told().startswith("p00  base"))
        await pilot.press("space", "down", "space")
        await until(pilot, lambda: "p01  sft-one-stage" not in told())


@pytest.mark.parametrize("size", SIZES)
async def test_without_policies_it_says_what_makes_one(empty, until, screen_text, size) -> None:
    app = ReflectEvoApp(empty)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot)
        await pilot.press("5")
        await until(pilot, lambda: "No policy yet." in screen_text(app))
        await pilot.press("space", "enter", "tab", "P", "R", "Z", "B", "t", "o", "a", "b", "x", "up", "end")
