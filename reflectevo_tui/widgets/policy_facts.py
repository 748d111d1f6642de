"""Formats the details of one policy: the reason for its state, and its measurements under each protocol."""

from __future__ import annotations

from collections.abc import Sequence

from textual.content import Content

from reflectevo_tui.text import display, formatting
from reflectevo_tui.widgets.line_panel import LinePanel
from store.evaluation.floors import floor_words
from store.records import Evaluation
from store.runs.lineage import LineageNode


def policy_facts(node: LineageNode, width: int) -> list[Content]:
    """Format the complete reason, one line for each of its parts, and one line per measurement, newest first.

    `width` is in cells; 0 before the panel has its layout.
    """
    policy = node.policy
    lines = [display.line((policy.name, "bold"), (f"  {policy.setting} · {policy.state}", "$quiet"))]
    for part in policy.reason.split("; ") if policy.reason else ():
        lines += [display.line(one) for one in display.folded(display.one_line(part), width or display.FOLD_CELLS)]
    lines.append(display.line())
    newest = sorted(node.measured.values(), key=lambda one: (one.created, one.id), reverse=True)
    lines += [line for one in newest for line in _measured_lines(one)] or [display.line(("not measured", "$quiet"))]
    return lines


def _measured_lines(one: Evaluation) -> list[Content]:
    oracle = "oracle-free" if one.protocol.startswith("oracle-free") else "oracle"
    first, second = (formatting.percent(one.metrics.get(name, {}).get("value")) for name in ("acc_t1", "acc_t2"))
    lines = [
        display.line(
            (f"{oracle:<12}{one.split:<5}{f'n = {one.n:,}':<10}", "$quiet"), f"Acc@t1 {first:>7}  Acc@t2 {second:>7}"
        )
    ]
    if floor := floor_words(one.protocol, one.metrics):
        lines.append(display.line((f"{'':<27}{floor}", "$quiet")))
        retry = one.metrics.get("acc_retry", {}).get("value")
        if retry is not None:
            lines.append(display.line((f"{'':<27}own retry {formatting.percent(retry)}", "$quiet")))
    unreadable = [one.metrics.get(name, {}).get("value") for name in ("unreadable_t1", "unreadable_t2")]
    if any(unreadable):
        shares = " → ".join(formatting.percent(share) for share in unreadable)
        lines.append(display.line((f"{'':<27}no readable answer {shares}", "$quiet")))
    return lines


class PolicyPanel(LinePanel):
    """Shows the details of a policy, folded to the width of the panel; or arbitrary lines, like any panel."""

    _told: tuple[LineageNode, tuple[Content, ...]] | None = None

    def tell(self, node: LineageNode, below: Sequence[Content]) -> None:
        """Show the details of a policy, with further lines below them."""
        self._told = (node, tuple(below))
        self._fold()

    def show_lines(self, lines: Sequence[Content]) -> None:
        """Show lines unchanged, in place of a policy."""
        self._told = None
        super().show_lines(lines)

    def _fold(self) -> None:
        if self._told is not None:
            node, below = self._told
            super().show_lines([*policy_facts(node, self.size.width), display.line(), *below])

    def on_resize(self) -> None:
        """Fold the text to the new width."""
        super().on_resize()
        self._fold()
