"""Fixtures of the fault tests."""

from __future__ import annotations

from tests.tui.conftest import until_fixture

__all__ = ["until_fixture"]
