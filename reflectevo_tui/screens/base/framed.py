"""What every screen has around its body: header, bar of screens, notice, keys. Hands snapshots to the frame."""

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
    """Base of the numbered screens. A screen names its `mode` and composes its body."""

    mode: ClassVar[str] = ""
    tab_prefix: ClassVar[str] = ""
    """`F` where the number keys mean something else, so that the bar says what switches."""
    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012  # textual declares it without ClassVar
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]  # noqa: RUF012  # textual declares it without ClassVar

    def __init__(self, workspace: Workspace) -> None:
        super().__init__()
        self.workspace = workspace

    def compose(self) -> ComposeResult:
        """Frame and body."""
        yield HeaderLine()
        yield ScreenTabs(tuple(SCREENS.values()), self.mode, self.tab_prefix)
        yield from self.compose_body()
        yield NoticeLine()
        yield KeyHints()

    def compose_body(self) -> ComposeResult:
        """The widgets between the bar of screens and the notice."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Show the keys, and how things stand: the snapshot of coming into view may have found no frame yet."""
        self.query_one(KeyHints).show_bindings(self.own_bindings())
        self.post_message(SnapshotWanted())

    def on_screen_resume(self) -> None:
        """Back in view: whatever happened meanwhile is to be shown."""
        self.post_message(SnapshotWanted())

    def own_bindings(self) -> Iterable[Binding]:
        """The bindings of this screen, as they were written down."""
        for binding in type(self).BINDINGS:
            if isinstance(binding, Binding):
                yield binding

    @property
    def stands(self) -> bool:
        """Whether the frame is composed and not being torn down, so that it can show something."""
        return bool(self.query(KeyHints))

    def help_groups(self) -> list[tuple[str, list[Binding]]]:
        """Titles and keys for the help: this screen's, then those of its parts that have keys of their own."""
        groups = [(SCREENS[self.mode].title, list(self.own_bindings()))]
        for widget in self.query("*").results(Widget):
            own = [one for one in type(widget).__dict__.get("BINDINGS", ()) if isinstance(one, Binding)]
            if own and widget.can_focus and type(widget).__module__.startswith("reflectevo_tui."):
                groups.append((widget.BINDING_GROUP_TITLE or "", own))
        return groups

    def show_snapshot(self, snapshot: Snapshot) -> None:
        """Show a newer snapshot; screens extend this for their body."""
        self.query_one(HeaderLine).show_snapshot(snapshot)
        self.query_one(NoticeLine).show_snapshot(snapshot)

    def tick(self) -> None:
        """Once a second: renew what depends on the clock."""
        self.query_one(HeaderLine).tick()
