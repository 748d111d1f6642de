"""The repaint that answers a key does not wait for the next frame, and comes once.

Textual paints on a grid of frames; over SSH there are 15 a second, so a key that follows a repaint would wait up to
66 ms for its own, and a page that arrives after it as long again. Screens with this class paint at once what follows
from a key. A key that is held down stays on the grid: nobody reads 30 lists a second.

And Textual paints the whole screen four times when a dialog closes, then an empty list, then the page it asked for.
Whoever knows that more is on its way holds the repaint until it is there. Knows nothing of what is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TypeVar

from textual import events, on
from textual.app import App
from textual.dom import DOMNode
from textual.screen import ModalScreen, Screen
from textual.timer import Timer

PROMPT_FRAMES = 8
"""Repaints that may follow a key at once: a dialog that goes, the screen under it, its list, a page, a detail."""

PROMPT_SECONDS = 0.3
"""For how long after a key."""

HOLD_SECONDS = 0.1
"""How long after a key its repaint may be held for what is on its way; longer would feel as if nothing happened."""

REPEAT_SECONDS = 0.045
"""Keys that follow one another as fast come from a key that is held down or from a paste: keyboards repeat 25 to 40
times a second, and nobody types 20."""

Result = TypeVar("Result")


class KeyLatency:
    """Counts the repaints that a key has a right to."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = 0
        self._key = -1.0

    def key(self) -> None:
        """A key was pressed, or repeats itself."""
        now = self._clock()
        self._left = PROMPT_FRAMES if now - self._key > REPEAT_SECONDS else 0
        self._key = now

    def rested(self) -> float:
        """Seconds since the last key."""
        return self._clock() - self._key

    def patience(self) -> float:
        """Seconds that the repaint of the last key may still be held; 0 or less: paint."""
        return HOLD_SECONDS - self.rested() if self._left else 0.0

    def take(self) -> bool:
        """True when what is to be painted now may be painted at once."""
        if not self._left or self.rested() > PROMPT_SECONDS:
            return False
        self._left -= 1
        return True


class HeldRepaints:
    """Holds repaints until what a key asked for is there, each by a name; never for longer than a key may take.

    What somebody waits to read is painted whatever else is still held, and that is held again after it.
    """

    def __init__(self, app: App[None], promptness: KeyLatency) -> None:
        self._app, self._promptness = app, promptness
        self._held: dict[str, tuple[Timer, ExitStack]] = {}
        self._awaited: set[str] = set()

    def hold(self, what: str, seconds: float | None = None) -> None:
        """Paint nothing until `release`, at most so long: as long as the last key may wait, unless `seconds` are given.
        Without either nothing is held."""
        if self._hold(what, self._promptness.patience() if seconds is None else seconds):
            self._awaited.add(what)

    def _hold(self, what: str, seconds: float) -> bool:
        if seconds <= 0 or what in self._held:
            return False
        batch = ExitStack()
        batch.enter_context(self._app.batch_update())
        self._held[what] = self._app.set_timer(seconds, lambda: self.release(what)), batch
        return True

    def release(self, what: str) -> None:
        """It is there, or has waited long enough: paint, unless something else is held."""
        self._awaited.discard(what)
        if what in self._held:
            self._lift(what)

    def paint(self, what: str) -> None:
        """It is there: paint it now."""
        self._awaited.discard(what)
        if what not in self._held:
            return
        for held in list(self._held):
            self._lift(held)
        if self._awaited:
            self._app.screen.call_after_refresh(self._hold_again)

    def _lift(self, what: str) -> None:
        timer, batch = self._held.pop(what)
        timer.stop()
        batch.close()
        # Nobody else tells the screen that it may paint now.
        self._app.screen.check_idle()

    def _hold_again(self) -> None:
        for what in self._awaited:
            self._hold(what, self._promptness.patience())


def hold_repaint(node: DOMNode, what: str) -> None:
    """What follows from the key just pressed is painted when `paint_held` is called, or soon."""
    if isinstance(repaints := getattr(node.app, "repaints", None), HeldRepaints):
        repaints.hold(what)


def paint_held(node: DOMNode, what: str) -> None:
    """What was waited for is there."""
    if isinstance(repaints := getattr(node.app, "repaints", None), HeldRepaints):
        repaints.paint(what)


def paint_promptly(screen: Screen[Result], event: events.Idle) -> None:
    """Paint what a key has a right to at once; Textual's own handler, which waits for a frame, is left out then."""
    promptness = getattr(screen.app, "promptness", None)
    if screen.app._batch_count or not screen.is_current or not isinstance(promptness, KeyLatency):
        return
    owed = screen._layout_required or screen._scroll_required or screen._repaint_required or screen._dirty_widgets
    if owed and promptness.take():
        event.prevent_default()
        screen._on_timer_update()


def may_render(screen: Screen[Result]) -> bool:
    """Whether a screen is to be rendered now, and then once.

    Textual renders a screen also while repaints are held, and throws it away; and when a screen has both a new layout
    and a repaint to come, it renders and writes all of it for either.
    """
    if screen.app._batch_count:
        screen._repaint_required = True
        return False
    if screen._repaint_required:
        screen._repaint_required = False
        screen._compositor.update_widgets({screen})
    return True


class ImmediateScreen(Screen[Result]):
    """Base of the numbered screens."""

    _seen = False

    async def on_idle(self, event: events.Idle) -> None:
        paint_promptly(self, event)

    @on(events.ScreenResume)
    def _keep_styles(self, event: events.ScreenResume) -> None:
        """Don't style everything anew on the way back. A theme that changed meanwhile is taken up without this."""
        event.refresh_styles = event.refresh_styles and not self._seen
        self._seen = True

    def _compositor_refresh(self) -> None:
        if may_render(self):
            super()._compositor_refresh()


class Dialog(ModalScreen[Result]):
    """A window over a screen that closes with a result. (No ImmediateScreen: styles come from the first base.)"""

    async def on_idle(self, event: events.Idle) -> None:
        paint_promptly(self, event)

    def _compositor_refresh(self) -> None:
        if may_render(self):
            super()._compositor_refresh()
