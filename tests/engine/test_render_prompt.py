"""Tests of rendering stored prompts: each one renders again to its stored hash, in every setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from engine.commands.render_prompt import rerender
from engine.errors import EngineError
from engine.prompts.rollout import prompt_hash
from store.database.connection import open_writer
from tests.support.engines import EngineHarness
from tests.support.quiz import quiz_settings

Make = Callable[[str], EngineHarness]

KINDS = """
SELECT CASE WHEN i.kind = 'evaluation' THEN 'asked for' WHEN protocol = '' THEN 'training' || i.number
            ELSE substr(protocol, 1, instr(protocol, '/') - 1) END
       || CASE WHEN turn = 1 AND sample > 0 THEN ' vote' WHEN turn = 1 THEN ' attempt'
               WHEN reflection_id IS NULL THEN ' retry' ELSE ' correction' || turn END
       || CASE WHEN reused_from IS NULL THEN '' ELSE ' taken over' END, a.id
FROM attempts a JOIN iterations i ON i.id = a.iteration_id
"""

EVERYTHING = """
rounds = 2

[evaluation]
protocol = "both"
rounds = 2
retry_samples = 2
vote_samples = 2
promote = "always"
"""


def _all_settings(tmp_path: Path) -> str:
    """Rounds, both protocols, sampled baselines and a separate reflector combined."""
    settings = quiz_settings(tmp_path, 'reflector = "another"', "", train=8, test=6)
    head, _, tail = settings.partition("samples = 2\n")
    return f"{head}samples = 2\n{EVERYTHING}{tail}"


def test_the_prompt_of_every_row_renders_again_over_all_settings(harness: Make, tmp_path: Path) -> None:
    """Prompts are not stored and can be shown only if they render again. Settings may change between iterations,
    policies reflect for others, rounds build on rounds, and copies keep the hash of their original.
    """
    one = harness(_all_settings(tmp_path))
    one.start()
    one.run()
    one.wait_state("done")
    settings = one.rows("SELECT settings FROM runs")[0][0]
    changed = json.loads(settings)
    changed |= {"reuse": {"iteration": 1}}
    changed["correction"] |= {"show_previous_attempt": False}
    changed["reflection"] |= {"instructions": ["2-8-2", "1-1-1"]}
    one.issue("branch", policy=1, settings=changed)
    one.wait(lambda: one.status()["iteration"]["number"] == 2 and one.status()["iteration"]["state"] == "done")
    changed["evaluation"] |= {"rounds": 1, "protocol": "oracle-free"}
    changed["correction"] |= {"show_previous_attempt": "quoted"}
    one.issue("evaluate", settings=changed, policy="p02")
    one.wait(lambda: one.status()["iteration"]["kind"] == "evaluation" and one.status()["iteration"]["state"] == "done")

    seen: dict[str, list[dict[str, Any]]] = {}
    for kind, row in one.rows(KINDS):
        seen.setdefault(kind, []).append(rerender(one.workspace, attempt_id=row, reflection_id=None))
    for (row,) in one.rows("SELECT id FROM reflections"):
        seen.setdefault("reflection", []).append(rerender(one.workspace, attempt_id=None, reflection_id=row))
    measured = ("attempt", "correction2", "correction3", "retry", "vote")
    assert set(seen) == {
        *("training1 attempt", "training1 correction2", "training1 correction3"),
        *("training2 attempt taken over", "training2 correction2", "training2 correction3"),
        *(f"oracle {kind}" for kind in measured),
        *(f"oracle-free {kind}" for kind in measured if kind not in ("attempt", "vote")),
        *("oracle-free attempt taken over", "oracle-free vote taken over"),
        *("asked for attempt", "asked for correction2", "asked for retry", "asked for vote"),
        "reflection",
    }
    for kind, answers in seen.items():
        assert all(answer["matches"] for answer in answers), kind
        assert len({answer["hash"] for answer in answers}) > 1, f"{kind}: one prompt for all would prove nothing"
    writers = one.rows(
        "SELECT p.name, p.roles, count(*) FROM reflections r JOIN policies p ON p.id = r.policy_id GROUP BY 1"
    )
    assert [(name, roles) for name, roles, _ in writers] == [("reflector", "reflector")]


def test_a_prompt_from_other_inputs_is_told_apart(harness: Make, tmp_path: Path) -> None:
    """A hash that matched every prompt would prove nothing."""
    one = harness(quiz_settings(tmp_path, train=16, test=2))
    one.start()
    one.run()
    one.wait_state("done")
    tampered = one.rows("SELECT id FROM attempts WHERE turn = 2 LIMIT 1")[0][0]
    assert rerender(one.workspace, attempt_id=tampered, reflection_id=None)["matches"] is True
    with closing(open_writer(one.workspace.database)) as connection:
        connection.execute(
            "UPDATE reflections SET text = text || '.' WHERE id = (SELECT reflection_id FROM attempts WHERE id = ?)",
            (tampered,),
        )
    assert rerender(one.workspace, attempt_id=tampered, reflection_id=None)["matches"] is False
    for missing in ({"attempt_id": 10**6, "reflection_id": None}, {"attempt_id": None, "reflection_id": 10**6}):
        with pytest.raises(EngineError, match="no such attempt or reflection"):
            rerender(one.workspace, **missing)


def test_prompts_of_version_1_still_render_to_their_hashes(harness: Make, tmp_path: Path) -> None:
    """Workspaces of earlier releases keep their proof: the wording without an oracle was another one."""
    one = harness(quiz_settings(tmp_path, sections='[evaluation]\nprotocol = "both"', train=16, test=4))
    one.start()
    one.run()
    one.wait_state("done")
    texts = one.rows(
        "SELECT 'attempt_id', id, policy_id FROM attempts WHERE protocol LIKE 'oracle-free/%' AND turn = 2"
        " UNION ALL SELECT 'reflection_id', id, policy_id FROM reflections WHERE protocol LIKE 'oracle-free/%'"
    )
    base = min(policy for _, _, policy in texts)
    for kind, number, policy in texts:
        # The base policy is asked in two prompts, as every policy was in version 1.
        if policy != base:
            continue
        asked = {"attempt_id": None, "reflection_id": None} | {kind: number}
        table = "attempts" if kind == "attempt_id" else "reflections"
        with closing(open_writer(one.workspace.database)) as connection:
            connection.execute(f"UPDATE {table} SET prompt_version = '1' WHERE id = ?", (number,))
        found = rerender(one.workspace, **asked)
        assert found["matches"] is False, "the hash is that of version 2"
        assert "may be wrong" in str(found["messages"]) and "right or wrong" not in str(found["messages"])
        with closing(open_writer(one.workspace.database)) as connection:
            connection.execute(
                f"UPDATE {table} SET prompt_hash = ? WHERE id = ?",
                (prompt_hash(found["messages"]), number),  # type: ignore[arg-type]
            )
        assert rerender(one.workspace, **asked)["matches"] is True
        with closing(open_writer(one.workspace.database)) as connection:
            connection.execute(f"UPDATE {table} SET prompt_version = '99' WHERE id = ?", (number,))
        assert rerender(one.workspace, **asked)["matches"] is False, "a version that nobody knows proves nothing"
