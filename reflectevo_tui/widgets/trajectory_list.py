"""A virtual list of trajectories: holds a few pages of millions of rows and requests those about to be displayed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.style import Style
from textual.visual import Visual

from reflectevo_tui.state.trajectory_reader import PAGE_ROWS
from reflectevo_tui.terminal.immediate_repaint import hold_repaint, paint_held
from reflectevo_tui.text import display, formatting
from reflectevo_tui.text.display import Part
from reflectevo_tui.text.lift_words import lift_mark, lift_style
from reflectevo_tui.widgets.newest_trajectories import TRANSITION_STYLES
from store.records import ReviewState, TrajectoryRow

KEPT_PAGES = 6
_PAGE = "a page of the list"
REVIEW_GLYPHS: Mapping[ReviewState, str] = {"accept": "✓", "reject": "✗", "flag": "⚑"}


def column_titles(width: int, lifts: bool) -> Content:
    """Return the column titles; with `lifts` there is a column for the lift of the reflection."""
    task = 20 if width >= 100 else 12
    lift = " lift  " if lifts else ""
    title = f"   {'id':>9}  {'task':<{task}}  {'trans':<5}  {lift}{'instr':<6}  rev reflection"
    return display.line((title, "$quiet"))


def row_line(row: TrajectoryRow, width: int, chosen: bool, lifts: bool) -> Content:
    """Format one row: marker, id, task, transition, lift where there are any, instruction, review, excerpt."""
    task = 20 if width >= 100 else 12
    lift: list[Part] = [(f"{lift_mark(row.lift):>5}  ", lift_style(row.lift))] if lifts else []
    return display.line(
        (" ▸ " if chosen else "   ", "bold $accent"),
        f"{formatting.count(row.id):>9}  ",
        (display.fitted(row.task, task), "$quiet"),
        (f"  {row.transition:<5}  ", TRANSITION_STYLES.get(row.transition, "")),
        *lift,
        (f"{row.instruction:<7} ", "$quiet"),
        f"{REVIEW_GLYPHS.get(row.review, ' ')}   ",
        display.one_line(row.excerpt),
    )


class TrajectoryList(ScrollView, can_focus=True):
    """Rows by position, with 0 for the oldest. Appended rows never move the cursor."""

    ALLOW_SELECT = False
    BINDING_GROUP_TITLE = "In the list"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "step(-1)", "up", show=False),
        Binding("down,j", "step(1)", "down", show=False),
        Binding("pageup,ctrl+b", "leap(-1)", "page up", show=False),
        Binding("pagedown,ctrl+f", "leap(1)", "page down", show=False),
        Binding("home", "oldest", "oldest", show=False),
        Binding("end,G", "newest", "newest", show=False),
    ]

    class PageWanted(Message):
        """Posted when a page that is not loaded is about to be displayed."""

        def __init__(self, number: int) -> None:
            super().__init__()
            self.number = number

    class CursorMoved(Message):
        """Posted when the cursor moves to another trajectory; None for a row that is not loaded or does not exist."""

        def __init__(self, row: TrajectoryRow | None) -> None:
            super().__init__()
            self.row = row

        def can_replace(self, message: Message) -> bool:
            """Return whether this message replaces `message`: only the latest cursor position matters."""
            return isinstance(message, TrajectoryList.CursorMoved)

    def __init__(self) -> None:
        super().__init__(id="trajectory-list")
        self._pages: OrderedDict[int, tuple[TrajectoryRow, ...]] = OrderedDict()
        self._asked: set[int] = set()
        self._told: int | None = None
        self.total = 0
        self.counted = False
        self.lifts = False
        self.cursor = 0
        self._to_the_end = False

    def reset(self) -> None:
        """Clear the list for another filter, whose first page has been requested."""
        hold_repaint(self, _PAGE)
        self._pages.clear()
        self._asked.clear()
        self._told, self.cursor, self._to_the_end = None, 0, False
        self.set_total(0, counted=False)
        self.scroll_to(y=0, animate=False, immediate=True)

    def show_lifts(self, lifts: bool) -> None:
        """Show or hide the column of the lifts."""
        if lifts != self.lifts:
            self.lifts = lifts
            self.refresh()

    def read_again(self) -> None:
        """Request the displayed pages again, because values of their rows have changed; the cursor stays."""
        self._pages.clear()
        self._asked.clear()
        self._told = None
        self.move_to(self.cursor)

    def set_total(self, total: int, *, counted: bool = True) -> None:
        """Set the number of rows; the last page is requested again if it has grown.

        Until `counted` is true, `total` is only the number of rows known so far, and a move to the end of the list is
        repeated when the count is complete.
        """
        self.counted = counted
        if total != self.total:
            grown = min(self.total, total) // PAGE_ROWS
            for number in [number for number in self._pages if number > grown or len(self._pages[number]) < PAGE_ROWS]:
                del self._pages[number]
        before, self.total = self.total, total
        self.cursor = min(self.cursor, max(total - 1, 0))
        self.virtual_size = Size(self.scrollable_content_region.width, total)
        if total < before:
            self.refresh()
        elif before < self.scroll_offset.y + self.size.height:
            # Rows appended beyond the window only change the scroll bar.
            self.refresh_lines(before, total - before)
        if counted and self._to_the_end:
            self.move_to(total - 1)

    def put_page(self, number: int, rows: Sequence[TrajectoryRow]) -> None:
        """Store a requested page."""
        self._asked.discard(number)
        self._pages[number] = tuple(rows)
        while len(self._pages) > KEPT_PAGES:
            self._pages.popitem(last=False)
        first = number * PAGE_ROWS
        self.refresh_lines(first, PAGE_ROWS)
        if first <= self.cursor < first + PAGE_ROWS:
            self._tell()
        if not self._missing_pages():
            paint_held(self, _PAGE)

    def row_at(self, position: int) -> TrajectoryRow | None:
        """Return the row at a position; None if its page is not loaded."""
        number, offset = divmod(position, PAGE_ROWS)
        rows = self._pages.get(number)
        return rows[offset] if rows is not None and offset < len(rows) else None

    def page_rows(self, number: int) -> tuple[TrajectoryRow, ...]:
        """Return the rows of a page; empty if it is not loaded."""
        return self._pages.get(number, ())

    def move_to(self, position: int) -> None:
        """Move the cursor to a position and scroll it into view."""
        before, self._to_the_end = self.cursor, False
        self.cursor = min(max(position, 0), max(self.total - 1, 0))
        height = max(self.scrollable_content_region.height, 1)
        top = round(self.scroll_offset.y)
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, immediate=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, immediate=True)
        self.refresh_lines(before, 1)
        self.refresh_lines(self.cursor, 1)
        # Load every page in the window, not only that of the cursor, so that the window is painted once.
        for number in self._missing_pages():
            hold_repaint(self, _PAGE)
            self._ask(number)
        self._ask(self.cursor // PAGE_ROWS)
        self._tell()

    def _missing_pages(self) -> list[int]:
        """Return the pages of the rows in the window that are not loaded."""
        top, height = round(self.scroll_offset.y), max(self.scrollable_content_region.height, 1)
        end = min(top + height, self.total)
        return [number for number in range(top // PAGE_ROWS, -(-end // PAGE_ROWS)) if number not in self._pages]

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Move the cursor with the window when the scroll bar or the mouse wheel is used."""
        super().watch_scroll_y(old_value, new_value)
        top, height = round(new_value), max(self.scrollable_content_region.height, 1)
        inside = min(max(self.cursor, top), top + height - 1, max(self.total - 1, 0))
        if inside != self.cursor:
            self.cursor, self._to_the_end = inside, False
            self._ask(inside // PAGE_ROWS)
            self._tell()

    def _tell(self) -> None:
        row = self.row_at(self.cursor)
        found = row.id if row is not None else None
        if found != self._told:
            self._told = found
            self.post_message(self.CursorMoved(row))

    def _ask(self, number: int) -> None:
        if self.total and number not in self._pages and number not in self._asked:
            self._asked.add(number)
            self.post_message(self.PageWanted(number))
        elif number in self._pages:
            self._pages.move_to_end(number)

    def render_line(self, y: int) -> Strip:
        """Render the row at a line of the window."""
        position = y + self.scroll_offset.y
        width, style = self.scrollable_content_region.width, self.visual_style
        if position >= self.total:
            return Strip.blank(width, style.rich_style)
        number = position // PAGE_ROWS
        self._ask(number)
        row = self.row_at(position)
        chosen = position == self.cursor
        content = display.line(("   …", "$quiet")) if row is None else row_line(row, width, chosen, self.lifts)
        if chosen and self.has_focus:
            style += Style.from_styles(self.get_component_styles("trajectory-list--cursor"))
        strips = Visual.to_strips(self, content, width, 1, style, pad=True)
        return (strips[0] if strips else Strip.blank(width)).adjust_cell_length(width, style.rich_style)

    COMPONENT_CLASSES: ClassVar[set[str]] = {"trajectory-list--cursor"}

    def action_step(self, by: int) -> None:
        """Move by rows."""
        self.move_to(self.cursor + by)

    def action_leap(self, direction: int) -> None:
        """Move by one screenful."""
        self.move_to(self.cursor + direction * max(self.scrollable_content_region.height - 1, 1))

    def action_oldest(self) -> None:
        """Move to the first row."""
        self.move_to(0)

    def action_newest(self) -> None:
        """Move to the last row, immediately or as soon as the list is counted."""
        self.move_to(self.total - 1)
        self._to_the_end = not self.counted

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the clicked row."""
        self.move_to(event.y + round(self.scroll_offset.y))

    def on_resize(self) -> None:
        """Fit the virtual size to the window width: the list scrolls only vertically."""
        self.virtual_size = Size(self.scrollable_content_region.width, self.total)
        if self.total:
            self.call_after_refresh(self.move_to, self.cursor)
