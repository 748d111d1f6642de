"""Base of the application that writes only changed cells and no control characters, and repaints after a key promptly.

Textual (8.2) repaints from the left edge of a widget up to the last changed cell. Over SSH a clock at the right
edge of a line would cost the complete line each second; here only the changed cells are written. Independent of the
application's screens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.control import Control
from textual import events
from textual._compositor import ChopsUpdate
from textual.app import App
from textual.await_complete import AwaitComplete
from textual.filter import LineFilter
from textual.screen import Screen
from textual.strip import Strip

from reflectevo_tui.terminal.idle_gc import REST_SECONDS, IdleCollector
from reflectevo_tui.terminal.immediate_repaint import HeldRepaints, KeyLatency
from reflectevo_tui.text.display import SanitisingFilter


def _may_be_cut(strip: Strip) -> bool:
    """Check whether every character is one cell wide, so that the strip can be cut at any cell."""
    return all(len(segment.text) == cell_len(segment.text) for segment in strip)


_FIRST_FRAME = "the first frame"

FIRST_FRAME_SECONDS = 0.5
"""Maximum seconds that the first frame is held for the first snapshot, instead of painting empty panels."""

MASKED_SECONDS = 0.005
"""Maximum seconds that repaints are held during a change of screens."""


_divide = Strip.divide


def _divide_without_cycle(strip: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
    """Divide like `Strip.divide`, but don't cache an undivided strip in itself.

    Textual caches the list of pieces in the strip. A line without overlapping widgets is a single piece, the strip
    itself, a reference cycle that only the garbage collector can free: 15 of 105 MB after a few minutes in the list
    (measured).
    """
    cuts = list(cuts)
    return [strip] if cuts == [strip.cell_length] else _divide(strip, cuts)


Strip.divide = _divide_without_cycle  # type: ignore[assignment]


class ExactUpdate(ChopsUpdate):
    """A screen update that begins at the first changed cell of each span."""

    def render_segments(self, console: Console) -> str:
        """Return the output for the terminal as text."""
        written: list[str] = []
        for y, first, last in self.spans:
            for end, (x, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                if strip is None or x >= last or end <= first:
                    continue
                start = max(first - x, 0) if _may_be_cut(strip) else 0
                written.append(Control.move_to(x + start, y).segment.text)
                written.append(strip.crop(start, min(end, last) - x).render(console))
        return "".join(written)


class MinimalRepaintApp(App[None]):
    """Base class of the application.

    Args:
        collector: the garbage collection of this process; None when the application shares the process.
    """

    def __init__(self, collector: IdleCollector | None = None) -> None:
        super().__init__()
        self._collector = collector
        self._last_net = SanitisingFilter()
        self.promptness = KeyLatency()
        self.repaints = HeldRepaints(self, self.promptness)
        self._first_variables: dict[str, str] | None = None
        self._first_frame_shown = False

    def on_load(self) -> None:
        """Hold the first frame until it has content, and parse the style sheet only once."""
        variables = self.get_css_variables()
        self.stylesheet.set_variables(variables)
        self._first_variables = variables
        self.repaints.hold(_FIRST_FRAME, FIRST_FRAME_SECONDS)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return Textual's own filters, followed by the one that removes control characters."""
        return [*super().get_line_filters(), self._last_net]

    def show_first_frame(self) -> None:
        """Paint the first frame, because its content has arrived. Only the first call has an effect."""
        if self._first_frame_shown:
            return
        self._first_frame_shown = True
        self.promptness.key()
        self.repaints.release(_FIRST_FRAME)

    def refresh_css(self, animate: bool = True) -> None:
        """Restyle everything, except on Textual's first call for the initial theme, whose styles were just parsed."""
        first, self._first_variables = self._first_variables, None
        if first is None or first != self.get_css_variables():
            super().refresh_css(animate)

    async def on_event(self, event: events.Event) -> None:
        """Record operator input before the event is handled."""
        if isinstance(event, (events.Key, events.MouseDown)) and not event.is_forwarded:
            self.promptness.key()
        await super().on_event(event)

    def stand(self) -> None:
        """Start garbage collection between keys; called when all permanent objects are loaded."""
        if self._collector is not None:
            self._collector.stand()
            self.set_interval(REST_SECONDS, self._rest)

    def _rest(self) -> None:
        if self._collector is not None:
            self._collector.rest(self.promptness.rested(), settled=len(self.screen_stack) == 1)

    def delay_update(self, delay: float = MASKED_SECONDS) -> None:
        """Hold repaints during a change of screens, for less time than Textual, which exhausts the latency of a key."""
        super().delay_update(min(delay, MASKED_SECONDS))

    def pop_screen(self) -> AwaitComplete:
        """Close a dialog; the screen below it is painted once, after the dialog is removed."""
        self.repaints.hold("dialog")
        return super().pop_screen()

    async def _replace_screen(self, screen: Screen[object]) -> Screen[object]:
        try:
            return await super()._replace_screen(screen)
        finally:
            # Deferred, because Textual requests one more layout in a callback.
            self.call_later(self.repaints.release, "dialog")

    def _load_screen_css(self, screen: Screen[object]) -> None:
        super()._load_screen_css(screen)
        # A new screen is styled on mount. Textual would parse the complete style sheet again for it, 80 ms.
        screen._css_update_count = self._css_update_count

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if type(renderable) is ChopsUpdate:
            renderable = ExactUpdate(renderable.chops, renderable.spans, renderable.chop_ends)
        super()._display(screen, renderable)
