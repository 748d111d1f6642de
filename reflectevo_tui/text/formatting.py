"""Number formats of the screens: those of `store.evaluation.number_format`, and sizes, clocks, bars and sparklines.

Pure text, no widgets.
"""

from __future__ import annotations

from collections.abc import Sequence

from store.evaluation.number_format import count, duration, interval, percent, signed

__all__ = [
    "bar",
    "clock",
    "compact",
    "count",
    "duration",
    "gibibytes",
    "interval",
    "meter",
    "percent",
    "signed",
    "sparkline",
]

_BLOCKS = "▁▂▃▄▅▆▇█"


def compact(number: float) -> str:
    """Format a number compactly, e.g. `11.8k`, `83`, `0.4`."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:.1f}M"
    if number >= 10_000:
        return f"{number / 1000:.1f}k"
    if number >= 10:
        return f"{number:,.0f}"
    return f"{number:.1f}"


def clock(seconds: float) -> str:
    """Format seconds as `02:14:09`, preceded by days from 24 hours."""
    whole = max(int(seconds), 0)
    days, rest = divmod(whole, 86_400)
    shown = f"{rest // 3600:02d}:{rest // 60 % 60:02d}:{rest % 60:02d}"
    return f"{days}d {shown}" if days else shown


def gibibytes(size: float) -> str:
    """Format bytes in GiB without the unit, e.g. `7.2`, `71`."""
    value = size / 2**30
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def bar(share: float, width: int) -> tuple[str, str]:
    """Return the filled and the empty part of a progress bar of `width` cells."""
    halves = round(2 * width * min(max(share, 0.0), 1.0))
    filled = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return filled, "─" * (width - len(filled))


def meter(share: float, width: int = 10) -> tuple[str, str]:
    """Return the filled and the empty part of a gauge of `width` cells."""
    filled = round(width * min(max(share, 0.0), 1.0))
    return "▇" * filled, "░" * (width - filled)


def sparkline(values: Sequence[float], width: int) -> str:
    """Return the newest `width` values as block glyphs, scaled from 0 to their maximum."""
    shown = values[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return ""
    return "".join(_BLOCKS[min(int(8 * max(value, 0.0) / top), 7)] for value in shown)
