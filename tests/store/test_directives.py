"""Tests the directives from operators to the engine: issued once, found again, finished with an outcome."""

from __future__ import annotations

import sqlite3

import pytest

from store.control.directives import KINDS, find, finish, issue, operator_name, pending
from store.database.connection import write
from store.errors import DirectiveRefused
from tests.support.issued_directives import recent
from tests.support.rows import Rows


def test_the_same_uuid_is_one_directive(rows: Rows) -> None:
    """A terminal that is unsure whether its directive arrived may send it again without its being applied twice."""
    for _ in range(3):
        assert issue(rows.connection, "pause", {"iteration": 1}, uuid="abc") == "abc"
    issue(rows.connection, "resume", {"iteration": 1}, uuid="abc")
    (only,) = pending(rows.connection)
    assert (only.kind, only.arguments) == ("pause", {"iteration": 1})


def test_directives_wait_in_order_until_each_has_an_outcome(rows: Rows) -> None:
    """The engine applies directives in the order of issue; finished ones are not applied again but can be read."""
    sent = [issue(rows.connection, kind) for kind in ("pause", "resume", "stop")]
    assert len(set(sent)) == 3
    assert [one.uuid for one in pending(rows.connection)] == sent
    first = pending(rows.connection)[0]
    assert (first.claimed, first.done, first.accepted, first.outcome) == (None, None, None, None)
    with write(rows.connection):
        finish(rows.connection, first.id, False, "no: half \ud800 an emoji")
    assert [one.uuid for one in pending(rows.connection)] == sent[1:]
    done = find(rows.connection, sent[0])
    assert done is not None and done.done is not None and done.claimed is not None
    assert (done.accepted, done.outcome) == (False, "no: half \ufffd an emoji")
    assert [one.uuid for one in recent(rows.connection, 2)] == [sent[2], sent[1]]
    assert find(rows.connection, "unknown") is None


def test_an_outcome_is_rolled_back_with_what_it_is_the_outcome_of(rows: Rows) -> None:
    """A directive that was applied but not acknowledged, or the reverse, would be applied twice or never."""
    uuid = issue(rows.connection, "stop")
    with pytest.raises(sqlite3.OperationalError), write(rows.connection):
        finish(rows.connection, pending(rows.connection)[0].id, True, "stopped")
        raise sqlite3.OperationalError("disk I/O error")
    assert [one.uuid for one in pending(rows.connection)] == [uuid]


def test_an_unknown_kind_is_refused_before_it_is_stored(rows: Rows) -> None:
    """A misspelt directive is refused immediately, with the list of known kinds."""
    with pytest.raises(DirectiveRefused, match=r"unknown directive 'stpo'.*shut_down"):
        issue(rows.connection, "stpo")
    assert pending(rows.connection) == []


def test_who_issued_it_is_kept(rows: Rows) -> None:
    """Two people may operate one engine: each directive names its user and host."""
    issue(rows.connection, "stop")
    (one,) = pending(rows.connection)
    assert one.issued_by == operator_name()
    assert "@" in one.issued_by


def test_the_kinds_are_those_of_the_design() -> None:
    """Terminals and the engine share this list; a kind missing here could no longer be issued."""
    words = (
        "start_run start_iteration run_stage pause resume save_now stop approve reject promote rollback branch"
        " evaluate retry_failed set_settings shut_down skip"
    )
    assert set(words.split()) == set(KINDS)
