"""Fixtures of the tests under faults."""

from __future__ import annotations

from tests.tui.conftest import until_fixture

__all__ = ["until_fixture"]
