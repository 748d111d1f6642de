"""Formats numbers for sentences and tables: counts, percentages with intervals, signed differences, durations.

The minus sign is U+2212, thousands are separated by commas, and a missing value is shown as missing, never as 0.
`store.plural` formats a count with its noun.
"""

from __future__ import annotations

NOTHING = "–"
"""Placeholder for a missing number."""

_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


def count(number: float) -> str:
    """Format a number rounded to an integer: `7,376`, `−3`."""
    return _decimal(number, 0)


def percent(share: float | None, digits: int = 1, *, missing: str = NOTHING) -> str:
    """Format a share in percent: `41.2 %` for 0.412; `missing` for None."""
    return missing if share is None else f"{_decimal(100 * share, digits)} %"


def share_of(part: int, whole: int, *, missing: str = NOTHING) -> str:
    """Format `part` of `whole` in percent; `missing` when `whole` is 0."""
    return percent(part / whole if whole else None, missing=missing)


def interval(
    value: float | None, low: float | None, high: float | None, digits: int = 1, *, missing: str = NOTHING
) -> str:
    """Format a share with its confidence interval, `41.2 % (38.0–44.4)`; without one, the share alone."""
    if value is None or low is None or high is None:
        return percent(value, digits, missing=missing)
    return f"{percent(value, digits)} ({_decimal(100 * low, digits)}–{_decimal(100 * high, digits)})"


def signed(value: float, digits: int = 1) -> str:
    """Format a difference with its sign: `+3.3`, `−4.2`; a value that rounds to zero has none."""
    text = f"{abs(value):,.{digits}f}"
    if not text.strip("0.,"):
        return text
    return f"{'+' if value > 0 else '−'}{text}"


def signed_interval(value: float, low: float, high: float, unit: str = "") -> str:
    """Format a difference of shares in percentage points with its confidence interval: `+6.2 (+1.1 to +11.3)`."""
    return f"{signed(100 * value)}{unit} ({signed(100 * low)} to {signed(100 * high)})"


def duration(seconds: float) -> str:
    """Format a duration given in seconds: `45 s`, `1 min 30 s`, `18 min`, `2 h 05 min`, `3 d 4 h`.

    Seconds are shown below 10 minutes, minutes below a day. The value is rounded to the last unit shown; a duration
    above 0 is at least 1 s.
    """
    whole = max(round(seconds), int(seconds > 0))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < 10 * _MINUTE:
        return _two(*divmod(whole, _MINUTE), "min", "s")
    minutes = round(seconds / _MINUTE)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < _DAY // _MINUTE:
        return _two(*divmod(minutes, 60), "h", "min")
    return _two(*divmod(round(seconds / _HOUR), 24), "d", "h", pad=1)


def _two(large: int, small: int, unit: str, smaller: str, pad: int = 2) -> str:
    return f"{large} {unit} {small:0{pad}d} {smaller}" if small else f"{large} {unit}"


def _decimal(value: float, digits: int) -> str:
    text = f"{abs(value):,.{digits}f}"
    return f"−{text}" if value < 0 and text.strip("0.,") else text


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Format a count with its noun: `1 worked example`, `1,176 worked examples`.

    Args:
        number: the count; thousands are separated by commas.
        noun: the singular.
        plural: the plural, unless it is the singular with an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
