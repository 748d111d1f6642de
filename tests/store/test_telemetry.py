"""Tests the telemetry rows: heartbeats, events, metrics, live text and capabilities."""

from __future__ import annotations

import math
import time

from store.control.telemetry import (
    add_event,
    add_metrics,
    beat,
    capabilities,
    end_heartbeat,
    events,
    heartbeats,
    live_texts,
    metrics,
    put_capability,
    put_live_text,
)
from store.records import LiveText
from tests.support.rows import Rows


def test_a_heartbeat_is_one_row_a_slot(rows: Rows) -> None:
    """A week of heartbeats must not become a table of a million rows."""
    before = time.time()
    for number in range(3):
        beat(rows.connection, "rollout", 7, 1.0, "running", {"tokens_per_s": number})
    beat(rows.connection, "engine", 8, 1.0, "idle")
    found = heartbeats(rows.connection)
    assert set(found) == {"rollout", "engine"}
    assert found["rollout"].detail == {"tokens_per_s": 2}
    assert before <= found["rollout"].beat <= time.time()
    end_heartbeat(rows.connection, "rollout")
    assert set(heartbeats(rows.connection)) == {"engine"}


def test_events_are_read_after_a_cursor_oldest_first(rows: Rows) -> None:
    """A poller that reconnects gets the newest lines, in order, and none twice."""
    for number in range(5):
        add_event(rows.connection, "info", "engine", f"event {number} \ud800", rows.iteration)
    newest = events(rows.connection, limit=3)
    assert [event.text for event in newest] == [f"event {number} \ufffd" for number in (2, 3, 4)]
    assert events(rows.connection, after=newest[-1].id) == []
    assert [event.text[:7] for event in events(rows.connection, after=newest[0].id)] == ["event 3", "event 4"]


def test_a_step_done_again_replaces_its_values(rows: Rows) -> None:
    """A training resumed from its checkpoint repeats steps; its curve must not get two points for one step."""
    add_metrics(rows.connection, rows.iteration, "train", 1, {"loss": 2.0, "lr": 0.1})
    add_metrics(rows.connection, rows.iteration, "train", 2, {"loss": 1.5})
    add_metrics(rows.connection, rows.iteration, "train", 2, {"loss": 1.0})
    points = metrics(rows.connection, rows.iteration, "train", ["loss"])
    assert [(point.step, point.value) for point in points] == [(1, 2.0), (2, 1.0)]
    assert len(metrics(rows.connection, rows.iteration, "train")) == 3
    assert [point.step for point in metrics(rows.connection, rows.iteration, "train", ["loss"], limit=1)] == [2]


def test_a_loss_that_is_not_a_number_is_stored_as_none(rows: Rows) -> None:
    """A diverged training reports NaN; the row must be stored, and shown as a gap."""
    add_metrics(rows.connection, rows.iteration, "train", 1, {"loss": math.nan})
    assert [point.value for point in metrics(rows.connection, rows.iteration, "train")] == [None]


def test_live_text_is_replaced_whole(rows: Rows) -> None:
    """Only texts in generation are shown; an idle slot disappears."""
    put_live_text(rows.connection, [LiveText(slot, "attempt", 1, "quiz", "", f"{slot} \ud800", 0.0) for slot in (1, 0)])
    assert [text.text for text in live_texts(rows.connection)] == ["0 \ufffd", "1 \ufffd"]
    put_live_text(rows.connection, [])
    assert live_texts(rows.connection) == []


def test_capabilities_are_any_json_and_the_last_word_counts(rows: Rows) -> None:
    """Forms and `doctor` read the capabilities that the engine published at its last start."""
    put_capability(rows.connection, "gpus", [])
    put_capability(rows.connection, "gpus", [{"name": "H100"}])
    put_capability(rows.connection, "trainer", True)
    assert capabilities(rows.connection) == {"gpus": [{"name": "H100"}], "trainer": True}


def test_a_damaged_json_column_hides_only_itself(rows: Rows) -> None:
    """One corrupted row must not keep the Monitor from showing the others."""
    beat(rows.connection, "engine", 1, 0.0, "idle")
    beat(rows.connection, "rollout", 2, 0.0, "running", {"a": 1})
    rows.connection.execute("UPDATE heartbeats SET detail = '{\"a' WHERE slot = 'engine'")
    found = heartbeats(rows.connection)
    assert found["engine"].detail == {}
    assert found["rollout"].detail == {"a": 1}
