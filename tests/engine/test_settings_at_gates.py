"""Tests that a gate's dialog offers exactly the settings that the engine allows an operator to change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.supervisor.directives import apply_directive
from reflectevo_tui.state.settings_form import form_fields, leaf_keys, open_keys, value_at, with_value
from store.control.directives import find, issue, pending
from store.database.connection import write
from store.records import StageState
from store.runs import iterations
from store.runs.stages import OPERATIONAL_SETTINGS, STAGE_OF_SECTION, STAGES, open_settings
from store.settings import RunSettings
from store.settings.run import FIXED_SETTINGS
from tests.support.directives import tell
from tests.support.rows import TASK, Rows, run_settings

_CANDIDATES = (
    *(0.25, 1, 2, 3, 5, 64, 512, "other", "en", "all", "vllm", "mine.toml"),
    *(["train"], ["q_proj"], ["none"], {"enable_thinking": False}),
)
"""Candidates for another value of a setting; the first valid one is used."""

_EXPERIMENT = {"series": [{"name": "one"}]}

_WHOLE: dict[str, Any] = {"tasks": [{**TASK, "dev": 7}], "experiment": _EXPERIMENT}
"""Other values of settings that are not leaves of the model."""

State = tuple[StageState, bool, int]
"""A stage's state, whether it was ever started, and the number of items done."""

_STATES = st.sampled_from(
    [(state, started, done) for state in get_args(StageState) for started in (False, True) for done in (0, 3)]
)


@pytest.fixture
def rows(tmp_path: Path) -> Iterator[Rows]:
    """The third iteration of a run, which reuses texts of the first."""
    made = Rows(tmp_path / "reflectevo.db", _SETTINGS)
    stored = made.settings.model_dump(mode="json")
    for _ in range(2):
        iterations.update_iteration(made.connection, made.iteration, state="done")
        made.iteration = iterations.add_iteration(made.connection, made.run, made.policy, stored, 0)
    yield made
    made.connection.close()


def _set_states(rows: Rows, states: Iterable[State]) -> None:
    for name, (state, started, done) in zip(STAGES, states, strict=True):
        rows.connection.execute(
            "UPDATE stages SET state = ?, started = ?, done = ? WHERE iteration_id = ? AND name = ?",
            (state, 1.0 if started else None, done, rows.iteration, name),
        )


_SETTINGS = run_settings(
    tasks=[{**TASK, "dev": 5}],
    reuse={"iteration": 1},
    evaluation={"split": "dev"},
    correction={"temperature": 0.7, "samples": 2},
)


@cache
def _another(key: str) -> dict[str, Any]:
    """A change of one setting to another valid value, as the arguments of `set_settings`."""
    values = _SETTINGS.model_dump(mode="json")
    if key in _WHOLE:
        return {key: _WHOLE[key]}
    now = value_at(values, key)
    choices = form_fields([key])[0].choices
    for value in (not now, *choices, *_CANDIDATES):
        changed = with_value(values, key, value)
        try:
            new = RunSettings.model_validate(changed).model_dump(mode="json")
        except ValidationError:
            continue
        if new != values:
            return with_value({}, key, value)
    raise AssertionError(f"no other valid value of {key} among the candidates; add one")


def _all_keys() -> list[str]:
    return [*leaf_keys(name for name in RunSettings.model_fields if name not in _WHOLE), *_WHOLE]


def _accepted(rows: Rows, key: str) -> bool:
    """Return whether the engine allows a setting to change; leave the iteration unchanged."""
    states = [(stage.state, stage.started is not None, stage.done) for stage in rows.stages().values()]
    issue(rows.connection, "set_settings", {"settings": _another(key)}, issued_by="me@here")
    (directive,) = pending(rows.connection)
    with write(rows.connection):
        accepted = apply_directive(rows.connection, directive)
    iterations.update_iteration(rows.connection, rows.iteration, settings=rows.settings.model_dump(mode="json"))
    _set_states(rows, states)
    answered = find(rows.connection, directive.uuid)
    assert answered is not None
    assert accepted or "can't change" in (answered.outcome or ""), f"{key}: {answered.outcome}"
    return accepted


def _one_key_each() -> dict[str, str]:
    """One key of each section that can change at all."""
    return {key.partition(".")[0]: key for key in reversed(_all_keys()) if key not in FIXED_SETTINGS}


@pytest.mark.parametrize("state", [("pending", False, 0), ("done", True, 3)])
def test_the_dialog_offers_the_keys_that_the_engine_accepts(rows: Rows, state: State) -> None:
    """Every key of the settings: of all sections before anything has started, of none but the operational ones
    later.
    """
    _set_states(rows, [state] * len(STAGES))
    offered = set(open_keys(rows.stages().values(), "training"))
    assert {key for key in _all_keys() if _accepted(rows, key)} == offered


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.tuples(*[_STATES] * len(STAGES)))
def test_the_dialog_offers_the_sections_that_the_engine_accepts(rows: Rows, states: tuple[State, ...]) -> None:
    """The dialog agrees with the engine whatever the stages have done."""
    _set_states(rows, states)
    offered = open_settings(rows.stages().values())
    assert {section for section in STAGE_OF_SECTION if _accepted(rows, _one_key_each()[section])} == {*offered} - {
        *OPERATIONAL_SETTINGS
    }


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("state", get_args(StageState))
@pytest.mark.parametrize("done", [0, 3])
def test_a_section_follows_its_stage(rows: Rows, name: str, state: StageState, done: int) -> None:
    """Each state of each stage, the others not started: one key of each section is sent to the engine."""
    started = state in ("running", "done", "failed")
    _set_states(rows, [(state, started, done) if one == name else ("pending", False, 0) for one in STAGES])
    accepted = {section for section in STAGE_OF_SECTION if _accepted(rows, _one_key_each()[section])}
    assert accepted == set(open_settings(rows.stages().values())) - set(OPERATIONAL_SETTINGS)


NOT_BEGUN: State = ("pending", False, 0)
DONE: State = ("done", True, 3)
WAITING: State = ("waiting", False, 0)

_ALL = set(STAGE_OF_SECTION)


@pytest.mark.parametrize(
    ("states", "sections"),
    [
        # Gate `reflect`: the attempts exist.
        ([DONE, WAITING, *[NOT_BEGUN] * 4], _ALL - {"attempt", "reuse"}),
        # Gate `train`, also the judge: an exhausted budget can be raised.
        ([*[DONE] * 4, WAITING, NOT_BEGUN], {"judge", "training", "evaluation"}),
        # Gate `promote`: all is done.
        ([DONE] * 6, set()),
        # A failed training restarts with other settings, whatever its progress.
        ([*[DONE] * 4, ("failed", True, 30), NOT_BEGUN], {"judge", "training", "evaluation"}),
        # An evaluation that failed half way keeps its settings.
        ([*[DONE] * 5, ("failed", True, 30)], set()),
        # A skipped stage has produced nothing.
        ([*[DONE] * 5, ("skipped", False, 0)], {"evaluation"}),
        # The judge ranks pairs while `curate` runs.
        ([*[DONE] * 3, ("running", True, 0), NOT_BEGUN, NOT_BEGUN], {"training", "evaluation"}),
        # Curation runs again for a changed judge.
        ([*[DONE] * 3, ("pending", True, 3), NOT_BEGUN, NOT_BEGUN], {"judge", "training", "evaluation"}),
    ],
)
def test_what_may_change_by_hand(rows: Rows, states: list[State], sections: set[str]) -> None:
    """Cases listed explicitly; operational settings may change in each of them."""
    _set_states(rows, states)
    assert set(open_settings(rows.stages().values())) == sections | set(OPERATIONAL_SETTINGS)


def test_texts_can_be_taken_over_from_an_earlier_iteration_only(rows: Rows) -> None:
    """The iteration itself, or one that the run doesn't have, would fail later."""
    for wanted in (3, 9):
        accepted, outcome = tell(rows, "set_settings", settings={"reuse": {"iteration": wanted}})
        assert not accepted and f"reuse.iteration is {wanted}" in outcome
    assert tell(rows, "set_settings", settings={"reuse": {"iteration": 2}})[0]
    assert tell(rows, "set_settings", settings={"reuse": None})[0]
    assert rows.current().settings["reuse"] is None
