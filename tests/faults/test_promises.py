"""The ten promises with few trials, so that a change that breaks one is seen at once; `make faults` runs all of them.

Figures that depend on the clock are not judged here: a slow machine is no broken promise.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults import (
    promise_01_kills,
    promise_02_resume,
    promise_03_takeover,
    promise_04_one_engine,
    promise_05_terminals,
    promise_06_directives,
    promise_09_browsing,
    promise_10_disk,
)
from tests.faults.allowed_bytes import findings
from tests.faults.hostile_text import strings
from tests.faults.scenes import straight
from tests.support.large_store import make_large_store


def test_kills_lose_nothing_and_the_run_ends_as_an_uninterrupted_one() -> None:
    """Promises 1 and 2, twenty kills."""
    assert (result := promise_01_kills.run(20, 7)).passed, result.line()
    assert (result := promise_02_resume.run(20, 7)).passed, result.line()


def test_a_takeover_leaves_no_orphan() -> None:
    """Promise 3; how long it takes is for `make faults`."""
    result = promise_03_takeover.run(3, 7)
    assert "no orphan left" in result.detail, result.line()


def test_of_two_engines_one_wins_and_the_other_names_it() -> None:
    """Promise 4."""
    assert (result := promise_04_one_engine.run(4, 7)).passed, result.line()


def test_the_engine_lives_on_whatever_happens_to_its_terminals() -> None:
    """Promise 5: the same engine goes on storing texts; by how much its pace changes is for `make faults`."""
    for what in promise_05_terminals.observe(3, window=2.5, stall=2.5, slots=8, text_seconds=0.1):
        assert what.same_engine, what.name
        assert what.stored_after > 0, what.name


def test_directives_are_applied_once_across_kills() -> None:
    """Promise 6."""
    result = promise_06_directives.run(60, 7, kills=3)
    assert (result.reached, "state stands" in result.detail) == (60, True), result.line()


def test_browsing_while_rows_arrive_keeps_the_wal_small(tmp_path: Path) -> None:
    """Promise 9: every figure is taken; those that a clock decides are judged by `make faults`."""
    workspace = make_large_store(tmp_path / "workspace", 20_000)
    figures, written = promise_09_browsing.measure(workspace, 2.0, answers=6)
    assert figures.keys() == promise_09_browsing.BUDGETS.keys()
    assert figures["WAL"] <= promise_09_browsing.BUDGETS["WAL"][0]
    assert figures["memory"] <= promise_09_browsing.BUDGETS["memory"][0]
    assert written > 0


def test_every_write_site_waits_out_every_error(tmp_path: Path) -> None:
    """Promise 10, injected: each site meets BUSY, IOERR, FULL and READONLY at its begin and at its commit."""
    wanted = straight(tmp_path / "straight", **promise_10_disk.QUIZ)
    sites, met, same, words = promise_10_disk.injected(tmp_path, wanted)
    assert same, words
    assert sites >= 15
    assert met >= 7 * sites


@pytest.mark.parametrize("trouble", ["full disk", "file limit"])
def test_a_real_trouble_of_the_disk_is_named_and_waited_out(trouble: str, tmp_path: Path) -> None:
    """Promise 10, for real: a small tmpfs that fills up, and a limit on the size of files."""
    if trouble == "full disk" and not promise_10_disk.can_mount(tmp_path / "probe"):
        pytest.skip("a tmpfs can't be mounted here (needs root)")
    wanted = straight(tmp_path / "straight", **promise_10_disk.QUIZ)
    assert promise_10_disk.REAL[trouble](tmp_path / "place", wanted) == ""


@pytest.mark.parametrize(
    "text",
    [
        *(
            one
            for one in strings(300, 7)
            if any((ord(c) < 0x20 and c not in "\r\n\t") or c in "\x7f\x9b\u202e" for c in one)
        )
    ],
    ids=lambda text: ascii(text)[:30],
)
def test_the_allow_list_sees_hostile_bytes(text: str) -> None:
    """What checks the fuzzer's bytes finds each string that was let through as it is."""
    harmless = b"\x1b[2;3Hhello \x1b[1;38;2;1;2;3mworld\x1b[0m\r\n"
    assert findings(harmless) == []
    allowed = text.replace("\x1b[31m", "").replace("\x1b[2J", "").replace("\x1b[H", "").replace("\x1b[?1049l", "")
    allowed = allowed.replace("\x1b[?1000h", "")
    if any((ord(c) < 0x20 and c not in "\r\n") or c in "\x7f\x9b\u202e" for c in allowed):
        assert findings(harmless + text.encode("utf-8", "surrogatepass"))
