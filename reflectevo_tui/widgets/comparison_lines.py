"""Formats a paired comparison of two policies: accuracies, differences, intervals, p-values, flips. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from reflectevo_tui.text import display, formatting
from store.evaluation.comparisons import Difference, PairedAnswer, Turn
from store.evaluation.number_format import signed_interval
from store.evaluation.repeat_noise import RepeatNoise
from store.records import Verdict

Differences = Mapping[tuple[str, Turn], Difference]
TURNS: tuple[tuple[Turn, str], ...] = (("t1", "Acc@t1"), ("t2", "Acc@t2"))
GLYPHS: dict[Verdict | None, tuple[str, str]] = {
    "correct": ("✓", "$success"),
    "incorrect": ("✗", "$error"),
    "unverified": ("?", "$warning"),
    None: ("·", "$quiet"),
}


def points(difference: Difference) -> tuple[str, str]:
    """Return a difference such as `+6.2 (+1.1 to +11.3)` points and its style, coloured if the interval excludes 0."""
    if difference.value is None or difference.low is None or difference.high is None:
        return "–", "$quiet"
    style = "bold $success" if difference.low > 0 else "bold $error" if difference.high < 0 else "bold"
    return signed_interval(difference.value, difference.low, difference.high), style


def sureness(difference: Difference) -> str:
    """Return ▲ for better, ▼ for worse, = for no significant difference: the meaning of the colour without colour."""
    if difference.low is None or difference.high is None:
        return " "
    return "▲" if difference.low > 0 else "▼" if difference.high < 0 else "="


def comparison_lines(
    first: str, second: str, protocol: str, differences: Differences, noise: RepeatNoise | None = None
) -> list[Content]:
    """Format the table: all tasks together and each task, for both turns, and the noise of a repeated measurement."""
    lines = [
        display.line(
            ("A ", "bold $accent"), (first, "bold"), "   ", ("B ", "bold $accent"), (second, "bold"), f"   {protocol}"
        ),
        display.line(),
    ]
    if not differences:
        return [*lines, display.line(("no common question under this protocol", "$quiet"))]
    head = f"{'task':<14}{'turn':<8}  {'B − A in points':<24} {'p':>6} {'n':>6} {'shows':>6} {'gained':>7} {'lost':>5}"
    lines.append(display.line((head, "$quiet")))
    for task in dict.fromkeys(task for task, _ in differences):
        for turn, name in TURNS:
            one = differences[task, turn]
            words, style = points(one)
            p = "–" if one.p is None else "<.001" if one.p < 0.001 else f"{one.p:.3f}"
            label = display.fitted(task or "all tasks", 13) if turn == "t1" else " " * 13
            lines.append(
                display.line(
                    (label, "bold" if not task else ""),
                    f" {name:<8}",
                    (f"{sureness(one)} {words:<24}", style),
                    f" {p:>6} {formatting.count(one.n):>6} {_shows(one):>6} {len(one.gained):>7} {len(one.lost):>5}",
                )
            )
    lines.append(display.line())
    for turn, name in TURNS:
        if differences["", turn].includes_zero:
            lines.append(display.line((f"{name}, all tasks: no difference shown; {differences['', turn].power}", "")))
    if noise is not None:
        lines.append(display.line((noise.words, "")))
    lines.append(display.line(("▲ B better  ▼ B worse  = no significant difference", "$quiet")))
    lines.append(display.line(("95 % paired score interval, McNemar's p; n shows this many points or more", "$quiet")))
    return lines


def _shows(difference: Difference) -> str:
    """The smallest difference that the questions show, in points."""
    smallest = difference.smallest
    return "–" if smallest is None else f"{100 * smallest:.1f}"


def flip_line(pair: PairedAnswer, turn: Turn, gained: bool) -> Content:
    """Format a question that only one of the two policies answers correctly."""
    sides = [
        (GLYPHS[pair.a.t1], GLYPHS[pair.a.t2]),
        (GLYPHS[pair.b.t1], GLYPHS[pair.b.t2]),
    ]
    return display.line(
        ("+ gained " if gained else "− lost   ", "bold $success" if gained else "bold $error"),
        f"{turn} ",
        (f"{formatting.count(pair.question_id):>8} ", ""),
        (display.fitted(pair.task, 16), "$quiet"),
        " A ",
        *sides[0],
        "  B ",
        *sides[1],
    )
