"""A panel of fixed lines that repaints only the cells that changed, which keeps the terminal traffic over SSH low."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.style import Style
from textual.content import Content
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.visual import Visual
from textual.widget import Widget

from reflectevo_tui.text import display


def _cells(strip: Strip) -> Iterator[tuple[str, Style | None]]:
    """Yield one entry per terminal cell; the second half of a wide character is an empty text."""
    for segment in strip:
        for character in segment.text:
            width = cell_len(character)
            yield character, segment.style
            for _ in range(width - 1):
                yield "", segment.style


NEAR_CELLS = 12
"""Changes less than this many cells apart are painted as one span: moving the cursor costs about as many bytes."""


def changed_spans(before: Strip, after: Strip, width: int) -> list[tuple[int, int]]:
    """Return start and end (exclusive) column of each differing span of two lines; empty if the lines are equal."""
    old, new = list(_cells(before)), list(_cells(after))
    if len(old) != len(new):
        return [(0, width)]
    spans: list[tuple[int, int]] = []
    for column, (left, right) in enumerate(zip(old, new, strict=True)):
        if left == right:
            continue
        start = column
        # Never split a wide character.
        while start > 0 and (new[start][0] == "" or old[start][0] == ""):
            start -= 1
        end = column + 1
        while end < len(new) and (new[end][0] == "" or old[end][0] == ""):
            end += 1
        if spans and start - spans[-1][1] < NEAR_CELLS:
            spans[-1] = (spans[-1][0], end)
        else:
            spans.append((start, end))
    return spans


class LinePanel(Widget):
    """Shows lines of content, cropped to its size. The title is part of the border."""

    ALLOW_SELECT = False

    def __init__(self, title: str = "", *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes, markup=False)
        self._title = display.line(title)
        if title:
            self.border_title = self._title
        self._lines: tuple[Content, ...] = ()
        self._strips: dict[int, Strip] = {}

    @property
    def lines(self) -> tuple[Content, ...]:
        """The lines most recently passed to `show_lines`."""
        return self._lines

    def set_title(self, title: Content) -> None:
        """Show content in the border, unless it is already there."""
        if not self._title.is_same(title):
            self._title = title
            self.border_title = title

    def show_lines(self, lines: Sequence[Content]) -> None:
        """Replace the lines and repaint the differences."""
        before, after = self._lines, tuple(lines)
        width, height = self.size
        self._lines = after
        if not width or (len(before) != len(after) and self.styles.is_auto_height):
            self._strips.clear()
            self.refresh(layout=True)
            return
        regions: list[Region] = []
        for y in range(min(max(len(before), len(after)), height)):
            if y < len(before) and y < len(after) and before[y].is_same(after[y]):
                continue
            old = self._strips.pop(y, None)
            if old is None:
                regions.append(Region(0, y, width, 1))
                continue
            spans = changed_spans(old, self._strip(y), width)
            # Textual writes complete segments, so they are split where changes begin and end.
            cuts = sorted({cut for span in spans for cut in span if cut} | {width})
            self._strips[y] = Strip.join(self._strips[y].divide(cuts))
            regions.extend(Region(start, y, end - start, 1) for start, end in spans)
        if regions:
            self.refresh(*regions)

    def _strip(self, y: int) -> Strip:
        width = self.size.width
        strip = self._strips.get(y)
        # The compositor may paint at another width before this widget receives its resize event.
        if strip is None or strip.cell_length != width:
            style = self.visual_style
            if y < len(self._lines) and width:
                rendered = Visual.to_strips(self, self._lines[y], width, 1, style)
                strip = rendered[0] if rendered else Strip.blank(width, style.rich_style)
            else:
                strip = Strip.blank(width, style.rich_style)
            strip = strip.adjust_cell_length(width, style.rich_style)
            self._strips[y] = strip
        return strip

    def render_line(self, y: int) -> Strip:
        """Render one line of the panel."""
        return self._strip(y)

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Return the width of the longest line, in cells."""
        return max((one.cell_length for one in self._lines), default=0)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Return one row per line."""
        return len(self._lines)

    def on_resize(self) -> None:
        """Crop the lines to the new width."""
        self._strips.clear()

    def notify_style_update(self) -> None:
        """Discard the strips rendered with the previous colours."""
        self._strips.clear()
        super().notify_style_update()

    def render(self) -> Content:
        """Return all lines, for callers that render the complete panel."""
        return display.stacked(self._lines)
