"""Registry of the numbered screens: key, mode, titles and class. Tab bar, bindings, palette and help are built from it.

Stores class names instead of importing the classes, so that the first frame loads only one screen.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from reflectevo_tui.widgets.screen_tabs import ScreenTab
from store.registry import Registry


@dataclass(frozen=True, slots=True)
class ScreenEntry(ScreenTab):
    """A numbered screen: its entry in the tab bar and the location of its class."""

    module: str
    """Name of the module; imported when the screen is opened, or soon after the first frame."""
    screen: str
    """Name of the class in that module: a `FramedScreen` with the same mode."""

    def load(self) -> Any:
        """Import the module and return the class."""
        return getattr(import_module(self.module), self.screen)


_HERE = "reflectevo_tui.screens"

_ENTRIES = (
    ScreenEntry("1", "monitor", "Monitor", "Monitor", f"{_HERE}.monitor", "MonitorScreen"),
    ScreenEntry("2", "trajectories", "Trajectories", "Traject.", f"{_HERE}.trajectories", "TrajectoriesScreen"),
    ScreenEntry("3", "review", "Review", "Review", f"{_HERE}.review", "ReviewScreen"),
    ScreenEntry("4", "datasets", "Datasets", "Data", f"{_HERE}.datasets", "DatasetsScreen"),
    ScreenEntry("5", "lineage", "Lineage", "Lineage", f"{_HERE}.lineage", "LineageScreen"),
    ScreenEntry("6", "instructions", "Instructions", "Instr.", f"{_HERE}.instructions", "InstructionsScreen"),
    ScreenEntry("7", "launch", "Launch", "Launch", f"{_HERE}.launch", "LaunchScreen"),
    ScreenEntry("8", "logs", "Logs", "Logs", f"{_HERE}.logs", "LogsScreen"),
)

SCREENS: Registry[ScreenEntry] = Registry("screen", {entry.mode: entry for entry in _ENTRIES})
"""The screens by mode, in the order of the tab bar. Each is opened by its number key and its function key; the first
is shown at start-up."""


def register_screen(entry: ScreenEntry) -> None:
    """Add a screen to every application created from now on.

    Raises:
        ValueError: If the key or the mode is already registered.
    """
    taken = next((other for other in SCREENS.values() if other.key == entry.key), None)
    if taken is not None:
        raise ValueError(f"key {entry.key} opens screen {taken.mode!r} already; choose another key")
    SCREENS.register(entry.mode, entry)
