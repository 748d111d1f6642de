"""The tree of policies: training setting, state, dataset sizes and accuracies. Space marks two for comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.line_panel import LinePanel
from store.evaluation.floors import FLOOR
from store.evaluation.number_format import counted
from store.records import PolicyState
from store.runs.lineage import LineageNode

STATES: Mapping[PolicyState, tuple[str, str]] = {
    "promoted": ("✓ promoted", "$success"),
    "rejected": ("✗ rejected", "$error"),
    "candidate": ("◆ candidate", "bold $warning"),
}
APART = "≠"
"""Marks accuracies that were measured differently from those of the other policies."""
WIDE = 110


def branch_glyphs(node: LineageNode) -> str:
    """Return the branch lines in front of a name."""
    if not node.depth:
        return ""
    above = "".join("│  " if goes_on else "   " for goes_on in node.branches[1:])
    return f"{above}{'└─ ' if node.last else '├─ '}"


def accuracy_words(metric: Mapping[str, float | None] | None, *, wide: bool) -> str:
    """Format an accuracy such as `53.0 % (48.1–57.8)`; without the interval on a small terminal."""
    if metric is None:
        return "–"
    value = metric.get("value")
    return formatting.interval(value, metric.get("low"), metric.get("high")) if wide else formatting.percent(value)


def node_line(node: LineageNode, mark: str, chosen: bool, current: bool, width: int) -> Content:
    """Format one policy."""
    wide = width >= WIDE
    policy = node.policy
    metrics = node.shown.metrics if node.shown else {}
    first, second = (accuracy_words(metrics.get(name), wide=wide) for name in ("acc_t1", "acc_t2"))
    floor = formatting.percent((metrics.get(FLOOR) or {}).get("value"))
    state, style = STATES[policy.state]
    branch = branch_glyphs(node)
    name = policy.name + (" ◀" if current else "")
    parts: list[Part] = [
        ("▸ " if chosen else "  ", "bold $accent"),
        (f"{mark:<2}", "bold $accent"),
        (branch, "$quiet"),
        (display.fitted(name, max((26 if wide else 16) - len(branch), 6)), "bold"),
        (display.fitted(policy.setting, 15), "$quiet"),
        (display.fitted(state, 13), style),
        f"{first:>{20 if wide else 7}} {second:>{20 if wide else 7}}",
        (f" {floor:>7}", "$quiet"),
        (f" {APART if node.apart else ' '}", "$warning"),
    ]
    if wide:
        examples = policy.details.get("examples")
        size = counted(examples, "example") if isinstance(examples, int) else ""
        parts.append((f" {size:>15}  ", "$quiet"))
        parts.append((display.one_line(policy.reason)[:200], "$quiet"))
    return display.line(*parts)


def measured_words(nodes: Sequence[LineageNode], width: int) -> str:
    """Describe how the accuracies of the tree were measured, and explain the sign of a different measurement."""
    alike = next((node.shown for node in nodes if node.shown and not node.apart), None)
    words = ""
    if alike is not None and width >= WIDE:
        oracle = "oracle-free protocol" if alike.protocol.startswith("oracle-free") else "oracle protocol"
        words = f" · {oracle}, {alike.n:,} questions"
    return words + (f" · {APART} other protocol" if any(node.apart for node in nodes) else "")


def heads(width: int) -> Content:
    """Return the column titles."""
    wide = width >= WIDE
    cells = 20 if wide else 7
    sizes = f"   {'trained on':>15}  why" if wide else ""
    name = display.fitted("policy", 26 if wide else 16)
    return display.line(
        (f"    {name}{'setting':<15}{'state':<13}{'Acc@t1':>{cells}} {'Acc@t2':>{cells}} {'floor':>7}{sizes}", "$quiet")
    )


class LineageTree(LinePanel, can_focus=True):
    """Arrow keys move the cursor, space marks, enter opens the answers of the policy."""

    BINDING_GROUP_TITLE = "In the tree"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "up", show=False),
        Binding("down,j", "move(1)", "down", show=False),
        Binding("home", "move(-999999)", "first", show=False),
        Binding("end,G", "move(999999)", "newest", show=False),
    ]

    class Moved(Message):
        """Posted when the cursor moves to another policy."""

    def __init__(self) -> None:
        super().__init__("Policies", id="lineage-tree", classes="panel")
        self._policies: tuple[LineageNode, ...] = ()
        self._marks: tuple[int, ...] = ()
        self._current: int | None = None
        self._cursor = self._top = 0

    @property
    def node(self) -> LineageNode | None:
        """The policy under the cursor."""
        return self._policies[self._cursor] if self._policies else None

    def show_nodes(self, nodes: Sequence[LineageNode], marks: Sequence[int], current: int | None) -> None:
        """Show the tree.

        Args:
            nodes: The policies, in tree order.
            marks: Ids of the policies to compare; the first one is the baseline of the second.
            current: Id of the policy the next iteration starts from.
        """
        kept = self.node.policy.id if self.node else None
        first = not self._policies
        self._policies, self._marks, self._current = tuple(nodes), tuple(marks), current
        ids = [node.policy.id for node in self._policies]
        if kept in ids:
            self._cursor = ids.index(kept)
        else:
            self._cursor = max(len(ids) - 1, 0) if first else min(self._cursor, max(len(ids) - 1, 0))
        self._draw()

    def _draw(self) -> None:
        if not self._policies:
            words = "No policy yet. 7 launches a run, which starts from its base model."
            self.show_lines([display.line((words, "$quiet"))])
            return
        room = self.size.height - 1 if self.size.height > 2 else len(self._policies)
        self._top = max(min(self._top, self._cursor), self._cursor - room + 1, 0)
        lines = [heads(self.size.width)]
        for place in range(self._top, min(self._top + room, len(self._policies))):
            node = self._policies[place]
            mark = "AB"[self._marks.index(node.policy.id)] if node.policy.id in self._marks else ""
            current = node.policy.id == self._current
            lines.append(node_line(node, mark, place == self._cursor, current, self.size.width))
        self.show_lines(lines)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        """Return one row per policy plus the column titles."""
        return len(self._policies) + 1

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        super().on_resize()
        self._draw()

    def action_move(self, by: int) -> None:
        """Move the cursor."""
        self._cursor = min(max(self._cursor + by, 0), max(len(self._policies) - 1, 0))
        self._draw()
        self.post_message(self.Moved())

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked policy."""
        self.action_move(self._top + event.y - 2 - self._cursor)
