"""The frame shared by all screens: header, tab bar, notice and key hints. Passes snapshots to the frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding
from textual.widget import Widget

from reflectevo_tui.screens.registry import SCREENS
from reflectevo_tui.state.messages import SnapshotWanted
from reflectevo_tui.state.snapshot import Snapshot
from reflectevo_tui.terminal.immediate_repaint import ImmediateScreen
from reflectevo_tui.widgets.header_line import HeaderLine
from reflectevo_tui.widgets.key_hints import KeyHints
from reflectevo_tui.widgets.notice_line import NoticeLine
from reflectevo_tui.widgets.screen_tabs import ScreenTabs
from store.workspace import Workspace


class FramedScreen(ImmediateScreen[None]):
    """Base class of the numbered screens. Subclasses define `mode` and compose their body."""

    mode: ClassVar[str] = ""
    tab_prefix: ClassVar[str] = ""
    """`F` where the number keys have another meaning, so that the tab bar shows the function keys instead."""
    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012  # textual declares it without ClassVar
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]  # noqa: RUF012  # textual declares it without ClassVar

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    def compose(self) -> ComposeResult:
        """Compose frame and body."""
        yield HeaderLine()
        yield ScreenTabs(tuple(SCREENS.values()), self.mode, self.tab_prefix)
        yield from self.compose_body()
        yield NoticeLine()
        yield KeyHints()

    def compose_body(self) -> ComposeResult:
        """Compose the widgets between the tab bar and the notice."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Show the key hints and request the current snapshot: the one sent on resume may have preceded the frame."""
        self.query_one(KeyHints).show_bindings(self.own_bindings())
        self.post_message(SnapshotWanted())

    def on_screen_resume(self) -> None:
        """Request the current snapshot when the screen becomes active again."""
        self.post_message(SnapshotWanted())

    def own_bindings(self) -> Iterable[Binding]:
        """Yield the bindings declared by this screen."""
        for binding in type(self).BINDINGS:
            if isinstance(binding, Binding):
                yield binding

    @property
    def stands(self) -> bool:
        """Whether the frame is composed and not being removed, so that it can be updated."""
        return bool(self.query(KeyHints))

    def help_groups(self) -> list[tuple[str, list[Binding]]]:
        """Return titles and bindings for the help: those of this screen, then those of its widgets."""
        groups = [(SCREENS[self.mode].title, list(self.own_bindings()))]
        for widget in self.query("*").results(Widget):
            own = [one for one in type(widget).__dict__.get("BINDINGS", ()) if isinstance(one, Binding)]
            if own and widget.can_focus and type(widget).__module__.startswith("reflectevo_tui."):
                groups.append((widget.BINDING_GROUP_TITLE or "", own))
        return groups

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot; subclasses extend this for their body."""
        self.query_one(HeaderLine).show_snapshot(snapshot)
        self.query_one(NoticeLine).show_snapshot(snapshot)

    def tick(self) -> None:
        """Update what depends on the clock; called once per second."""
        self.query_one(HeaderLine).tick()
