"""Tests of the gate dialog at `promote`: the rule, the table by task and the flips, at both sizes of terminal."""

from __future__ import annotations

import pytest

from reflectevo_tui.app import ReflectEvoApp
from reflectevo_tui.screens.dialogs.gate import FLIPS_SHOWN, gate_lines
from reflectevo_tui.state.snapshot import read_gate, read_snapshot
from store.database.connection import open_reader, write
from store.records import Verdict
from store.rollouts import attempts
from store.rollouts.attempts import NewAttempt, NewGeneration, NewReflection
from store.runs import iterations, policies, runs
from tests.support.built_workspaces import Built

DEV, TEST = "oracle/1111111111", "oracle/2222222222"
RULE = "the rule leaves it to you: can't tell with n = 40 whether Acc@t1 fell by more than 4 points"


def answered(built: Built, policy: int, protocol: str, verdicts: dict[int, Verdict]) -> None:
    """Store a policy's answers at both turns: a wrong first answer stays wrong."""
    for question, verdict in verdicts.items():

        def made(protocol: str = protocol, policy: int = policy) -> NewGeneration:
            return NewGeneration(None, policy, protocol, 0, "a try", 10, 5, "stop", 1, "1", "hash", 0.1, None)

        attempt = attempts.insert_attempt(built.writer, NewAttempt(made(), question, 1, None, None, verdict, "", None))
        if verdict == "incorrect":
            thought = attempts.insert_reflection(built.writer, NewReflection(made(), attempt, "general", ""))
            attempts.insert_attempt(built.writer, NewAttempt(made(), question, 2, thought, None, "incorrect", "", None))


def at_promote_gate(built: Built, flips: int = 6) -> None:
    """Child and parent answered 40 dev questions of two tasks, and the child's test evaluation is stored too."""
    with write(built.writer):
        child = built.add_child()
        hashes = [f"held-out-{number}" for number in range(40)]
        for number, identity in enumerate(hashes):
            task = ("chain_sum", "letter_counting")[number % 2]
            runs.add_questions(built.writer, built.run, [(task, "reasoning", "dev", identity, (), "1", {}, identity)])
        found = [
            built.writer.execute("SELECT id FROM questions WHERE content_hash = ?", (one,)).fetchone()[0]
            for one in hashes
        ]
        before: dict[int, Verdict] = {one: "correct" if place % 3 else "incorrect" for place, one in enumerate(found)}
        turned: dict[Verdict, Verdict] = {"correct": "incorrect", "incorrect": "correct", "unverified": "unverified"}
        after = {one: turned[v] if place < flips else v for place, (one, v) in enumerate(before.items())}
        for policy, verdicts in ((built.policy, before), (child, after)):
            answered(built, policy, DEV, verdicts)
            right = sum(verdict == "correct" for verdict in verdicts.values()) / 40
            share = {"value": right, "low": right - 0.1, "high": right + 0.1, "n": 40}
            for protocol, split in ((DEV, "dev"), (TEST, "test")):
                policies.put_evaluation(
                    built.writer,
                    policy_id=policy,
                    iteration_id=built.iteration,
                    protocol=protocol,
                    task="",
                    n=40,
                    metrics={"acc_t1": share, "acc_t2": share, "acc_retry": share},
                    split=split,  # type: ignore[arg-type]
                )
        settings = dict(iterations.get_iteration(built.writer, built.iteration).settings)
        settings["evaluation"] = {**settings.get("evaluation", {}), "split": "dev"}  # type: ignore[dict-item]
        iterations.update_iteration(built.writer, built.iteration, settings=settings)
        built.wait_at("none")
        iterations.update_iteration(
            built.writer, built.iteration, reason=f"{RULE}; Acc@t1 −5.0 points; decided on dev questions"
        )


def lines(built: Built) -> list[str]:
    """The lines of the dialog, as text."""
    connection = open_reader(built.workspace.database)
    snapshot = read_snapshot(connection, built.workspace)
    facts = read_gate(connection, snapshot, built.workspace)
    connection.close()
    return [line.plain for line in gate_lines(snapshot, "promote", facts)]


def test_the_dialog_compares_on_the_questions_that_decide(build) -> None:
    """The rule's reason, each task at both turns, and every question that only one of the two answers right."""
    built = build(4)
    at_promote_gate(built)
    shown = lines(built)
    assert shown[:3] == [RULE, "Acc@t1 −5.0 points", "decided on dev questions"]
    table = next(place for place, line in enumerate(shown) if line.startswith("A p00"))
    assert "dev questions, oracle" in shown[table]
    rows = [line.split()[0] for line in shown[table:] if "Acc@t1" in line]
    assert rows == ["all", "chain_sum", "letter_counti…"] or len(rows) == 3
    gained = [line for line in shown if line.startswith("+ gained t1")]
    lost = [line for line in shown if line.startswith("− lost   t1")]
    assert (len(gained), len(lost)) == (2, 4)
    assert not any("Lineage" in line for line in shown)


def test_many_flips_are_cut_and_counted(build) -> None:
    """The dialog stays readable; the Lineage screen lists all of them."""
    built = build(4)
    at_promote_gate(built, flips=40)
    shown = lines(built)
    assert sum(line.startswith("− lost   t1") for line in shown) == FLIPS_SHOWN
    (head,) = [line for line in shown if line.startswith("Flips")]
    assert "of 80 shown" in head and "5 Lineage" in head


def test_without_a_common_protocol_there_is_no_table(build) -> None:
    """A skipped evaluation leaves nothing to compare."""
    built = build(4)
    built.add_child()
    built.wait_at("none")
    assert not any("Flips" in line or line.startswith("A p00") for line in lines(built))


@pytest.mark.parametrize("size", [(160, 50), (80, 24)])
async def test_the_gate_shows_rule_table_and_flips_on_both_terminals(build, until, screen_text, size) -> None:
    """On the small terminal the body scrolls; the keys to approve and reject are always visible."""
    built = build(4)
    at_promote_gate(built)
    app = ReflectEvoApp(built.workspace)
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.snapshot and app.snapshot.gate == "promote")
        await pilot.press("g")
        await until(pilot, lambda: "the rule leaves it to you" in screen_text(app))
        assert "a approve" in screen_text(app) and "r reject" in screen_text(app)
        await until(pilot, lambda: "all tasks" in screen_text(app) or size[1] < 30)
        for _ in range(12):
            if "gained t1" in screen_text(app):
                break
            await pilot.press("pagedown")
            await pilot.pause(0.1)
        assert "gained t1" in screen_text(app)
        await pilot.press("r")
        await until(pilot, lambda: built.writer.execute("SELECT kind FROM directives").fetchall())
    assert built.writer.execute("SELECT kind FROM directives").fetchone()[0] == "reject"
