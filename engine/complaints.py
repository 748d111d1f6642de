"""Says a word into the log of a process, also when the log lies on the very disk that is full."""

from __future__ import annotations

import sys
from contextlib import suppress


def complain(words: str) -> None:
    """Write one line to standard error. A log that takes no more is no reason to fail."""
    with suppress(OSError, ValueError):
        print(words, file=sys.stderr, flush=True)
