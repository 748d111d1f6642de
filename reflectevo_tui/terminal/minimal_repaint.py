"""What stands between the screens and the terminal: writes only the cells that changed, and no control characters;
answers a key without waiting for the next frame.

Textual (8.2) repaints from the left edge of a widget up to the last changed cell. Over SSH a clock at the right
edge of a line would cost the whole line each second; here a change costs itself. Knows nothing of our screens.
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
from reflectevo_tui.text.display import LastNet


def _may_be_cut(strip: Strip) -> bool:
    """Whether every character is one cell wide, so that a cut falls between two of them."""
    return all(len(segment.text) == cell_len(segment.text) for segment in strip)


_FIRST_FRAME = "the first frame"

FIRST_FRAME_SECONDS = 0.5
"""Empty panels are not painted when what they show is about to be read; but something is seen soon."""

MASKED_SECONDS = 0.005
"""How long a change of screens is masked at most."""


_divide = Strip.divide


def _divide_without_cycle(strip: Strip, cuts: Iterable[int]) -> Sequence[Strip]:
    """As `Strip.divide`, but a strip that stays whole is not kept in its own cache.

    Textual keeps the list of pieces with the strip. A line that nothing lies on is one piece, the strip itself, which
    then only the garbage collector can free: 15 of 105 MB after a few minutes in the list (measured).
    """
    cuts = list(cuts)
    return [strip] if cuts == [strip.cell_length] else _divide(strip, cuts)


Strip.divide = _divide_without_cycle  # type: ignore[assignment]


class ExactUpdate(ChopsUpdate):
    """An update that begins at the first changed cell of each stretch."""

    def render_segments(self, console: Console) -> str:
        """The bytes for the terminal, as text."""
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
    """Base of the application.

    Args:
        collector: the garbage collector of this process, if it is this application's alone.
    """

    def __init__(self, collector: IdleCollector | None = None) -> None:
        super().__init__()
        self._collector = collector
        self._last_net = LastNet()
        self.promptness = KeyLatency()
        self.repaints = HeldRepaints(self, self.promptness)
        self._first_variables: dict[str, str] | None = None
        self._first_frame_shown = False

    def on_load(self) -> None:
        """Paint the first frame when there is something to see on it, and read the style sheet once."""
        variables = self.get_css_variables()
        self.stylesheet.set_variables(variables)
        self._first_variables = variables
        self.repaints.hold(_FIRST_FRAME, FIRST_FRAME_SECONDS)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's own filters, and last the one that no model's control character passes."""
        return [*super().get_line_filters(), self._last_net]

    def show_first_frame(self) -> None:
        """What it shows is there: the answer to the key that started the application. Once; later calls do nothing."""
        if self._first_frame_shown:
            return
        self._first_frame_shown = True
        self.promptness.key()
        self.repaints.release(_FIRST_FRAME)

    def refresh_css(self, animate: bool = True) -> None:
        """Style everything anew; Textual asks for it once for the theme it starts with, whose styles were just read."""
        first, self._first_variables = self._first_variables, None
        if first is None or first != self.get_css_variables():
            super().refresh_css(animate)

    async def on_event(self, event: events.Event) -> None:
        """Note that the operator acts, before the event does anything."""
        if isinstance(event, (events.Key, events.MouseDown)) and not event.is_forwarded:
            self.promptness.key()
        await super().on_event(event)

    def stand(self) -> None:
        """Everything that stays is loaded: from now on garbage is collected, between keys."""
        if self._collector is not None:
            self._collector.stand()
            self.set_interval(REST_SECONDS, self._rest)

    def _rest(self) -> None:
        if self._collector is not None:
            self._collector.rest(self.promptness.rested(), settled=len(self.screen_stack) == 1)

    def delay_update(self, delay: float = MASKED_SECONDS) -> None:
        """Hold repaints back while one screen gives way to another; Textual does so for as long as a key may take."""
        super().delay_update(min(delay, MASKED_SECONDS))

    def pop_screen(self) -> AwaitComplete:
        """Close a dialog; what lies under it is painted once, when the dialog is gone."""
        self.repaints.hold("dialog")
        return super().pop_screen()

    async def _replace_screen(self, screen: Screen[object]) -> Screen[object]:
        try:
            return await super()._replace_screen(screen)
        finally:
            # Later: Textual asks for one more layout by a callback of its own.
            self.call_later(self.repaints.release, "dialog")

    def _load_screen_css(self, screen: Screen[object]) -> None:
        super()._load_screen_css(screen)
        # A new screen is styled as it is mounted. Textual would read the whole style sheet again for it, 80 ms.
        screen._css_update_count = self._css_update_count

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        if type(renderable) is ChopsUpdate:
            renderable = ExactUpdate(renderable.chops, renderable.spans, renderable.chop_ends)
        super()._display(screen, renderable)
