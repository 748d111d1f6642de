"""The terminal application."""

from reflectevo_tui.app.app import EXIT_STORE_LOST, ReflectEvoApp

__all__ = ["EXIT_STORE_LOST", "ReflectEvoApp"]
