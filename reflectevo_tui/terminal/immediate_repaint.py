"""Repaints in response to a key immediately, without waiting for the next frame, and only once.

Textual paints at a fixed frame rate; over SSH it is 15 per second, so a key shortly after a repaint would wait up to
66 ms for its own, and a page that arrives later as long again. The screens of this module paint changes caused by a
key immediately. A key that is held down keeps the frame rate: nobody reads 30 lists per second.

In addition, Textual paints the complete screen four times when a dialog closes, then an empty list, then the requested
page. Callers that expect further content hold the repaint until it has arrived. Independent of the content shown.
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
"""Maximum immediate repaints after a key: a closed dialog, the screen below it, its list, a page, a detail."""

PROMPT_SECONDS = 0.3
"""Seconds after a key during which repaints are immediate."""

HOLD_SECONDS = 0.1
"""Maximum seconds after a key that its repaint is held for pending content; longer would feel unresponsive."""

REPEAT_SECONDS = 0.045
"""Interval in seconds below which keys come from a key held down or from a paste: keyboards repeat 25 to 40 times per
second, and nobody types 20."""

Result = TypeVar("Result")


class KeyLatency:
    """Limits the immediate repaints after a key, in number and time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = 0
        self._key = -1.0

    def key(self) -> None:
        """Record that a key was pressed or repeated."""
        now = self._clock()
        self._left = PROMPT_FRAMES if now - self._key > REPEAT_SECONDS else 0
        self._key = now

    def rested(self) -> float:
        """Return the seconds since the last key."""
        return self._clock() - self._key

    def patience(self) -> float:
        """Return the seconds that the repaint of the last key can still be held; paint at 0 or less."""
        return HOLD_SECONDS - self.rested() if self._left else 0.0

    def take(self) -> bool:
        """Return whether the next repaint can be immediate, and count it."""
        if not self._left or self.rested() > PROMPT_SECONDS:
            return False
        self._left -= 1
        return True


class HeldRepaints:
    """Holds repaints, by name, until content requested by a key has arrived; never beyond the latency budget of a key.

    Content that the operator waits for is painted even if other repaints are held; those are held again afterwards.
    """

    def __init__(self, app: App[None], promptness: KeyLatency) -> None:
        self._app, self._promptness = app, promptness
        self._held: dict[str, tuple[Timer, ExitStack]] = {}
        self._awaited: set[str] = set()

    def hold(self, what: str, seconds: float | None = None) -> None:
        """Hold repaints until `release`, for at most `seconds`, by default the remaining time of the last key.

        Nothing is held when neither is left.
        """
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
        """End one hold, because its content arrived or its time is over; paint unless another one is held."""
        self._awaited.discard(what)
        if what in self._held:
            self._lift(what)

    def paint(self, what: str) -> None:
        """Paint now, because the content of a hold arrived; other holds continue afterwards."""
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
        # Nothing else notifies the screen that it can paint now.
        self._app.screen.check_idle()

    def _hold_again(self) -> None:
        for what in self._awaited:
            self._hold(what, self._promptness.patience())


def hold_repaint(node: DOMNode, what: str) -> None:
    """Hold the repaint after the key just pressed until `paint_held` is called or the hold expires."""
    if isinstance(repaints := getattr(node.app, "repaints", None), HeldRepaints):
        repaints.hold(what)


def paint_held(node: DOMNode, what: str) -> None:
    """Paint the content that `hold_repaint` held back."""
    if isinstance(repaints := getattr(node.app, "repaints", None), HeldRepaints):
        repaints.paint(what)


def paint_promptly(screen: Screen[Result], event: events.Idle) -> None:
    """Paint immediately after a key; Textual's own handler, which waits for a frame, is skipped in this case."""
    promptness = getattr(screen.app, "promptness", None)
    if screen.app._batch_count or not screen.is_current or not isinstance(promptness, KeyLatency):
        return
    owed = screen._layout_required or screen._scroll_required or screen._repaint_required or screen._dirty_widgets
    if owed and promptness.take():
        event.prevent_default()
        screen._on_timer_update()


def may_render(screen: Screen[Result]) -> bool:
    """Check whether a screen should be rendered now, and merge its pending repaint into one rendering.

    Textual also renders a screen while repaints are held, and discards the result; and when both a new layout and a
    repaint are pending, it renders and writes the complete screen for each of them.
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
        """Skip restyling when returning to the screen; a theme changed in the meantime is applied without it."""
        event.refresh_styles = event.refresh_styles and not self._seen
        self._seen = True

    def _compositor_refresh(self) -> None:
        if may_render(self):
            super()._compositor_refresh()


class Dialog(ModalScreen[Result]):
    """A modal window that closes with a result. Not an ImmediateScreen, since styles come from the first base."""

    async def on_idle(self, event: events.Idle) -> None:
        paint_promptly(self, event)

    def _compositor_refresh(self) -> None:
        if may_render(self):
            super()._compositor_refresh()
