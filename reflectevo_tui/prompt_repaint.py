"""The repaint that answers a key does not wait for the next frame.

Textual paints on a grid of frames; over SSH there are 15 a second, so a key that follows a repaint would wait up to
66 ms for its own, and a page that arrives after it as long again. Screens with this class paint at once what follows
from a key. A key that is held down stays on the grid: nobody reads 30 lists a second. Knows nothing of what is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from textual import events
from textual.screen import ModalScreen, Screen

PROMPT_FRAMES = 8
"""Repaints that may follow a key at once: a dialog that goes, the screen under it, its list, a page, a detail."""

PROMPT_SECONDS = 0.3
"""For how long after a key."""

HELD_SECONDS = 0.045
"""Keys that follow one another as fast come from a key that is held down or from a paste: keyboards repeat 25 to 40
times a second, and nobody types 20."""

Result = TypeVar("Result")


class Promptness:
    """Counts the repaints that a key has a right to."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left = 0
        self._key = -1.0

    def key(self) -> None:
        """A key was pressed, or repeats itself."""
        now = self._clock()
        self._left = PROMPT_FRAMES if now - self._key > HELD_SECONDS else 0
        self._key = now

    def rested(self) -> float:
        """Seconds since the last key."""
        return self._clock() - self._key

    def take(self) -> bool:
        """True when what is to be painted now may be painted at once."""
        if not self._left or self.rested() > PROMPT_SECONDS:
            return False
        self._left -= 1
        return True


def paint_promptly(screen: Screen[Result], event: events.Idle) -> None:
    """Paint what a key has a right to at once; Textual's own handler, which waits for a frame, is left out then."""
    promptness = getattr(screen.app, "promptness", None)
    if screen.app._batch_count or not screen.is_current or not isinstance(promptness, Promptness):
        return
    owed = screen._layout_required or screen._scroll_required or screen._repaint_required or screen._dirty_widgets
    if owed and promptness.take():
        event.prevent_default()
        screen._on_timer_update()


class PromptScreen(Screen[Result]):
    """Base of the numbered screens."""

    async def _on_idle(self, event: events.Idle) -> None:
        paint_promptly(self, event)


class Dialog(ModalScreen[Result]):
    """A window over a screen that closes with a result. (Not a PromptScreen: styles come from the first base alone.)"""

    async def _on_idle(self, event: events.Idle) -> None:
        paint_promptly(self, event)
