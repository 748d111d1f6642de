"""Tests that a number has the same format on every screen, in every report and in every message of the engine."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.evaluation.number_format import count, duration, interval, percent, share_of, signed

_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}

_SECONDS = st.floats(min_value=0, max_value=1e8, allow_nan=False)


def _seconds(words: str) -> int:
    """Return the seconds that a formatted duration states."""
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+) (min|[shd])", words))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.02, "1 s"),
        (48.2, "48 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (65, "1 min 05 s"),
        (90, "1 min 30 s"),
        (599.4, "9 min 59 s"),
        (599.6, "10 min"),
        (1080, "18 min"),
        (3569, "59 min"),
        (3571, "1 h"),
        (7500, "2 h 05 min"),
        (86_369, "23 h 59 min"),
        (86_371, "1 d"),
        (273_600, "3 d 4 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@given(_SECONDS, _SECONDS)
def test_a_longer_time_never_reads_shorter(one: float, other: float) -> None:
    shorter, longer = sorted((one, other))
    assert _seconds(duration(shorter)) <= _seconds(duration(longer))


@given(_SECONDS)
def test_a_duration_is_near_and_well_formed(seconds: float) -> None:
    """No `0 min`, no `60 s`, at most two units; the error is at most half of the last unit shown."""
    words = duration(seconds)
    said = _seconds(words)
    step = 1 if said < 600 else 60 if said < 86_400 else 3600
    assert abs(said - seconds) <= max(step / 2 + 1e-6, 1.0 if 0 < seconds < 1 else 0.0)
    parts = re.findall(r"(\d+) (min|[shd])", words)
    assert words == " ".join(f"{number} {unit}" for number, unit in parts) and len(parts) in (1, 2)
    assert all(int(number) < {"s": 60, "min": 60, "h": 24, "d": 10_000}[unit] for number, unit in parts)
    assert words == "0 s" or all(int(number) > 0 for number, _ in parts)


def test_percentages() -> None:
    assert percent(0.412) == "41.2 %" and percent(0.412, 0) == "41 %" and percent(0.0) == "0.0 %"
    assert percent(None) == "–" and percent(None, missing="not measured") == "not measured"
    assert interval(0.412, 0.38, 0.444) == "41.2 % (38.0–44.4)"
    assert interval(0.412, None, 0.5) == "41.2 %" and interval(None, None, None) == "–"
    assert interval(0.71, 0.594, 0.81, 0) == "71 % (59–81)"
    assert share_of(1, 8) == "12.5 %" and share_of(0, 0) == "–"


def test_signs_and_thousands() -> None:
    assert [signed(value) for value in (3.31, -4.2, 0.04, -0.04, 0)] == ["+3.3", "−4.2", "0.0", "0.0", "0.0"]
    assert (count(1176), count(-1200), signed(-1234.5)) == ("1,176", "−1,200", "−1,234.5")


@given(st.floats(-1, 1, allow_nan=False))
def test_a_minus_is_never_a_hyphen(share: float) -> None:
    assert "-" not in percent(share) + signed(100 * share) + interval(share, share, share) + count(1e5 * share)
