"""The ten promises with few trials, to detect a broken promise early; `make faults` runs all trials.

Figures that depend on the clock are not checked here: a slow machine is not a broken promise.
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


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The outcome of promise 10's run without any fault."""
    return straight(tmp_path_factory.mktemp("straight"), **promise_10_disk.QUIZ)


def test_kills_lose_nothing_and_the_run_ends_as_an_uninterrupted_one() -> None:
    """Promises 1 and 2, eight kills: the seed draws each of the seven targets."""
    assert (result := promise_01_kills.run(8, 64)).passed, result.line()
    assert set(promise_01_kills.toll(8, 64).spots) >= {"child", "migration"}
    assert (result := promise_02_resume.run(8, 64)).passed, result.line()


def test_a_takeover_leaves_no_orphan() -> None:
    """Promise 3; `make faults` checks the duration."""
    result = promise_03_takeover.run(3, 7)
    assert "no orphan left" in result.detail, result.line()


def test_of_two_engines_one_wins_and_the_other_names_it() -> None:
    """Promise 4."""
    assert (result := promise_04_one_engine.run(4, 7)).passed, result.line()


def test_the_engine_lives_on_whatever_happens_to_its_terminals() -> None:
    """Promise 5: the same engine continues to store texts; `make faults` checks the change of its pace."""
    for what in promise_05_terminals.observe(3, window=1.5, stall=1.5, slots=8, text_seconds=0.1, settle=1.5):
        assert what.same_engine, what.name
        assert what.stored_after > 0, what.name


def test_directives_are_applied_once_across_kills() -> None:
    """Promise 6."""
    result = promise_06_directives.run(60, 7, kills=3)
    assert (result.reached, "state stands" in result.detail) == (60, True), result.line()


def test_browsing_while_rows_arrive_keeps_the_wal_small(tmp_path: Path) -> None:
    """Promise 9: every figure is measured; `make faults` checks those that depend on the clock."""
    workspace = make_large_store(tmp_path / "workspace", 20_000)
    figures, written = promise_09_browsing.measure(workspace, 1.0, answers=5, settle=1.5)
    assert figures.keys() == promise_09_browsing.BUDGETS.keys()
    assert figures["WAL"] <= promise_09_browsing.BUDGETS["WAL"][0]
    assert figures["memory"] <= promise_09_browsing.BUDGETS["memory"][0]
    assert written > 0


def test_every_write_site_waits_out_every_error(tmp_path: Path, wanted: dict[str, object]) -> None:
    """Promise 10, injected: each site gets a full disk at its begin and at its commit; `make faults` adds BUSY, IOERR
    and READONLY.
    """
    sites, met, same, words = promise_10_disk.injected(tmp_path, wanted, ("FULL",))
    assert same, words
    assert sites >= 15
    assert met >= 2 * sites - 2


@pytest.mark.parametrize("trouble", ["full disk", "file limit"])
def test_a_real_trouble_of_the_disk_is_named_and_waited_out(
    trouble: str, tmp_path: Path, wanted: dict[str, object]
) -> None:
    """Promise 10, with real faults: a small tmpfs that fills up, and a limit on the size of files."""
    if trouble == "full disk" and not promise_10_disk.can_mount(tmp_path / "probe"):
        pytest.skip("a tmpfs can't be mounted here (needs root)")
    assert promise_10_disk.REAL[trouble](tmp_path / "place", wanted) == ""


def test_the_allow_list_sees_hostile_bytes() -> None:
    """The check of the fuzzer's output finds each string printed unchanged, unless the program itself uses that
    sequence.
    """
    harmless = b"\x1b[2;3Hhello \x1b[1;38;2;1;2;3mworld\x1b[0m\r\n"
    assert findings(harmless) == []
    own = ("\x1b[31m", "\x1b[2J", "\x1b[H", "\x1b[?1049l", "\x1b[?1000h")
    checked = 0
    for text in strings(400, 7):
        rest = text
        for sequence in own:
            rest = rest.replace(sequence, "")
        if any((ord(c) < 0x20 and c not in "\r\n") or c in "\x7f\x9b\u202e\u200b" for c in rest):
            checked += 1
            assert findings(harmless + text.encode("utf-8", "surrogatepass")), ascii(text)
    assert checked > 100
