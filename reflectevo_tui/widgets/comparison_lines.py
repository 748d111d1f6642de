"""Formats a paired comparison of two policies: accuracies, differences, intervals, p-values, flips. Pure functions."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from reflectevo_tui.text import display, formatting
from store.evaluation.comparisons import Difference, PairedAnswer, Turn
from store.evaluation.floors import FLOOR, floor_and_position
from store.evaluation.held_out_answers import is_oracle
from store.evaluation.number_format import signed_interval
from store.evaluation.repeat_noise import RepeatNoise
from store.evaluation.transfer import TRAINED, TRANSFER
from store.records import Verdict

EvaluationMetrics = Mapping[str, Mapping[str, float | None]]
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
    first: str,
    second: str,
    protocol: str,
    differences: Differences,
    metrics: tuple[EvaluationMetrics, EvaluationMetrics] | None = None,
    *,
    noise: RepeatNoise | None = None,
    narrow: bool = False,
) -> list[Content]:
    """Format the table: all tasks together and each task, for both turns; below it floors and own retries.

    Args:
        first: name of policy A.
        second: name of policy B.
        protocol: the protocol of both.
        differences: B − A by task and turn.
        metrics: the metrics of A and B over all tasks.
        noise: the difference between two measurements of the base policy.
        narrow: whether the table has no p values.
    """
    lines = [
        display.line(
            ("A ", "bold $accent"), (first, "bold"), "   ", ("B ", "bold $accent"), (second, "bold"), f"   {protocol}"
        ),
        display.line(),
    ]
    floors = _floor_lines(metrics) if metrics is not None and is_oracle(protocol) else []
    if not differences:
        return [*lines, display.line(("no common question under this protocol", "$quiet")), *floors]
    wide, apart = (11, 22) if narrow else (13, 24)
    head_p = "" if narrow else f" {'p':>6}"
    head_shows = "" if narrow else f" {'shows':>6}"
    head = (
        f"{'task':<{wide}} {'turn':<8}  {'B − A in points':<{apart}}{head_p} {'n':>4}{head_shows} "
        f"{'gained':>6} {'lost':>4}"
    )
    lines.append(display.line((head, "$quiet")))
    # The rows below that of all transfer tasks are the single ones.
    every = TRAINED if (TRANSFER, "t1") in differences else "all tasks"
    for task in dict.fromkeys(task for task, _ in differences):
        for turn, name in TURNS:
            one = differences[task, turn]
            words, style = points(one)
            p = "–" if one.p is None else "<.001" if one.p < 0.001 else f"{one.p:.3f}"
            shown_p = "" if narrow else f" {p:>6}"
            shown_smallest = "" if narrow else f" {_shows(one):>6}"
            label = display.fitted(task or every, wide) if turn == "t1" else " " * wide
            lines.append(
                display.line(
                    (label, "bold" if task in ("", TRANSFER) else ""),
                    f" {name:<8}",
                    (f"{sureness(one)} {words:<{apart}}", style),
                    f"{shown_p} {formatting.count(one.n):>4}{shown_smallest} {len(one.gained):>6} {len(one.lost):>4}",
                )
            )
    lines.append(display.line())
    for turn, name in TURNS:
        if ("", turn) in differences and differences["", turn].includes_zero:
            lines.append(display.line((f"{name}, {every}: no difference shown; {differences['', turn].power}", "")))
    if noise is not None:
        lines.append(display.line((noise.words, "")))
    lines.append(display.line(("▲ B better  ▼ B worse  = no significant difference", "$quiet")))
    note = "" if narrow else ", McNemar's p; n shows this many points or more"
    lines.append(display.line((f"95 % paired score interval{note}", "$quiet")))
    return [*lines, *floors]


def _floor_lines(metrics: tuple[EvaluationMetrics, EvaluationMetrics]) -> list[Content]:
    return [display.line(), *(_floor_line(name, policy) for name, policy in zip("AB", metrics, strict=True))]


def _floor_line(name: str, metrics: EvaluationMetrics) -> Content:
    second, floor, retry = (metrics.get(key) for key in ("acc_t2", FLOOR, "acc_retry"))
    words = f"Acc@t2 {formatting.percent((second or {}).get('value'))} · {floor_and_position(second, floor)}"
    again = f" · own retry {formatting.percent(retry.get('value'))}" if retry else ""
    return display.line((f"{name} ", "bold $accent"), f"{words}{again}")


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
