"""The 2 × 8 × 2 heatmap: yield of each reflection instruction as a shade, with its share and n; a cursor selects one.

Rows are the error locations (l), columns the verification and planning styles (v, p). Each shade is also a glyph, so
that it is readable without colour. A dot marks an instruction that was never used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.message import Message

from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.widgets.line_panel import LinePanel
from store.curation.reviews import LOCATE_KINDS
from store.rollouts.instruction_yield import InstructionYield

SHADES = ("░", "▒", "▓", "█")
"""Glyphs from the lowest to the highest yield."""

STYLES = ("$error", "$warning", "$accent", "$success")
VERIFY_WORDS = ("step by step", "quick pass")
PLAN_WORDS = ("why", "what to change")


def shade(share: float, low: float, high: float) -> int:
    """Return which of the four shades a yield has between the lowest and the highest of the map.

    If all yields are equal, the shade is the third, or the first if they are 0.
    """
    if high <= low:
        return 2 if share > 0 else 0
    return min(int(4 * (share - low) / (high - low)), 3)


def key_parts(key: str) -> tuple[int, int, int] | None:
    """Return v, l and p of a key; None for the general instruction or an unknown format."""
    parts = key.split("-")
    if len(parts) != 3 or not all(part.isdecimal() for part in parts):
        return None
    return int(parts[0]), int(parts[1]), int(parts[2])


class Heatmap(LinePanel, can_focus=True):
    """Arrow keys or `hjkl` move the cursor, enter opens the trajectories of the instruction."""

    BINDING_GROUP_TITLE = "In the heatmap"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1, 0)", "up", show=False),
        Binding("down,j", "move(1, 0)", "down", show=False),
        Binding("left,h", "move(0, -1)", "left", show=False),
        Binding("right,l", "move(0, 1)", "right", show=False),
        Binding("enter", "open", "the trajectories behind the number", show=False),
    ]

    class Moved(Message):
        """Posted when the cursor moves to another instruction."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    class Opened(Message):
        """Posted when the operator opens the trajectories of an instruction."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    def __init__(self) -> None:
        super().__init__("Yield", id="heatmap", classes="panel")
        self._yields: Mapping[str, InstructionYield] = {}
        self._rows, self._columns = 8, [(1, 1), (1, 2), (2, 1), (2, 2)]
        self._row = self._column = 0

    @property
    def key(self) -> str:
        """The key of the instruction under the cursor."""
        verify, plan = self._columns[self._column]
        return f"{verify}-{self._row + 1}-{plan}"

    def show_yields(self, title: str, yields: Mapping[str, InstructionYield], pool: Mapping[str, list[str]]) -> None:
        """Show the yields of a task; parts that operators added to the pool get additional rows and columns."""
        known = [parts for parts in map(key_parts, yields) if parts]
        verify = max([2, len(pool.get("verify", ())), *(parts[0] for parts in known)])
        plan = max([2, len(pool.get("plan", ())), *(parts[2] for parts in known)])
        self._rows = max([8, len(pool.get("locate", ())), *(parts[1] for parts in known)])
        self._columns = [(v, p) for v in range(1, verify + 1) for p in range(1, plan + 1)]
        self._row, self._column = min(self._row, self._rows - 1), min(self._column, len(self._columns) - 1)
        self._yields = yields
        self.set_title(display.line((title, "bold")))
        self._draw()

    def _width(self) -> tuple[int, int]:
        """Return the widths, in cells, of the row labels and of one map cell."""
        words = 25 if self.size.width >= 100 else 3
        return words, max((self.size.width - words - 2) // max(len(self._columns), 1), 12)

    def _draw(self) -> None:
        words, width = self._width()
        shares = [one.share for one in self._yields.values() if one.share is not None]
        low, high = min(shares, default=0.0), max(shares, default=0.0)
        lines = self._heads(words, width)
        for row in range(self._rows):
            name = LOCATE_KINDS[row] if row < len(LOCATE_KINDS) else "of your own"
            parts: list[Part] = [(f"{row + 1} {display.fitted(name, words - 2)}" if words > 3 else f"{row + 1}  ", "")]
            for column, (verify, plan) in enumerate(self._columns):
                parts += self._cell(f"{verify}-{row + 1}-{plan}", (row, column), width, (low, high))
            lines.append(display.line(*parts))
            if self.size.height >= 2 * self._rows + 4:
                lines.append(display.line())
        lines.append(self._legend(low, high))
        self.show_lines(lines)

    def _heads(self, words: int, width: int) -> list[Content]:
        upper: list[Part] = [" " * words]
        lower: list[Part] = [(f"{'look for':<{words}}" if words > 3 else "   ", "$quiet")]
        for verify, plan in self._columns:
            names = VERIFY_WORDS[verify - 1] if verify <= 2 else "own"
            plans = PLAN_WORDS[plan - 1] if plan <= 2 else "own"
            upper.append((display.fitted(f" v{verify} {names}", width), "bold $primary" if plan == 1 else "$quiet"))
            lower.append((display.fitted(f" p{plan} {plans}", width), "$quiet"))
        return [display.line(*upper), display.line(*lower)]

    def _cell(self, key: str, place: tuple[int, int], width: int, span: tuple[float, float]) -> list[Part]:
        chosen = place == (self._row, self._column)
        found = self._yields.get(key)
        left, right = ("▸", "◂") if chosen else (" ", " ")
        reverse = f"bold {'reverse' if self.has_focus else 'underline'} " if chosen else ""
        if found is None or found.share is None:
            return [(left, "bold $accent"), (display.fitted("· not used", width - 3), f"{reverse}$quiet"), right, " "]
        step = shade(found.share, *span)
        body = display.fitted(f"{100 * found.share:4.1f} % n {formatting.count(found.n)}", width - 6)
        return [
            (left, "bold $accent"),
            (SHADES[step] * 2, STYLES[step]),
            (f" {body}", f"{reverse}{STYLES[step]}"),
            (right, "bold $accent"),
            " ",
        ]

    def _legend(self, low: float, high: float) -> Content:
        if not self._yields:
            return display.line(("i→c share of each instruction; none was used yet", "$quiet"))
        parts: list[Part] = [("i→c share, from ", "$quiet"), formatting.percent(low), ("  ", "")]
        parts += [(glyph * 2, style) for glyph, style in zip(SHADES, STYLES, strict=True)]
        return display.line(*parts, ("  to ", "$quiet"), formatting.percent(high))

    def on_focus(self) -> None:
        """Redraw the cursor, which is highlighted only while the widget has the focus."""
        self._draw()

    def on_blur(self) -> None:
        """Redraw the cursor; see `on_focus`."""
        self._draw()

    def on_resize(self) -> None:
        """Fit the map cells to the new width."""
        super().on_resize()
        self._draw()

    def action_move(self, rows: int, columns: int) -> None:
        """Move the cursor."""
        self._row = min(max(self._row + rows, 0), self._rows - 1)
        self._column = min(max(self._column + columns, 0), len(self._columns) - 1)
        self._draw()
        self.post_message(self.Moved(self.key))

    def action_open(self) -> None:
        """Open the trajectories of the instruction under the cursor."""
        self.post_message(self.Opened(self.key))
