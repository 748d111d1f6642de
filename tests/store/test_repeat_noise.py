"""Tests of the noise between two measurements of the base policy."""

from __future__ import annotations

import pytest

from store.evaluation.held_out_answers import is_oracle
from store.evaluation.repeat_noise import repeat_noise, repeat_protocol
from tests.support.measured import ORACLE, answer_held_out
from tests.support.rows import Rows


def test_the_base_measured_twice_shows_its_noise(rows: Rows) -> None:
    """One of four answers changed; the repetition is compared with the first measurement and not with a child's."""
    questions = [rows.question(f"q{n}", split="test") for n in range(4)]
    child = rows.add_policy("p01", parent=rows.policy, state="candidate")
    for policy in (rows.policy, child):
        answer_held_out(rows, policy, ORACLE, dict.fromkeys(questions, ("incorrect", "incorrect")))
    run = rows.connection.execute("SELECT run_id FROM policies WHERE id = ?", (rows.policy,)).fetchone()[0]
    assert repeat_noise(rows.connection, run, ORACLE) is None, "not measured twice"
    again = dict.fromkeys(questions, ("incorrect", "incorrect")) | {questions[2]: ("incorrect", "correct")}
    answer_held_out(rows, rows.policy, repeat_protocol(ORACLE), again)  # type: ignore[arg-type]
    found = repeat_noise(rows.connection, run, ORACLE)
    assert found is not None and is_oracle(repeat_protocol(ORACLE))
    assert (found.comparison.t1.value, found.comparison.t2.value) == (0.0, pytest.approx(0.25))
    assert found.comparison.t2.gained == (questions[2],)
    assert found.words.startswith(
        "p00 measured twice: Acc@t1 0.0 (−49.0 to +49.0), 0 verdicts of 4 changed; Acc@t2 +25.0 "
    )
    assert found.words.endswith("1 verdict of 4 changed")
