"""Allow-list of terminal output: printable characters and the few control sequences that the program itself uses.

Anything else in the bytes of a pty is a finding.
"""

from __future__ import annotations

import re
import unicodedata

_SEQUENCES = re.compile(
    rb"\x1b\[[\d;:]*m"  # colours and styles
    rb"|\x1b\[\d*(?:;\d+)?[HfABCDGd]"  # cursor
    rb"|\x1b\[\d?[JK]"  # erase
    rb"|\x1b\[\?(?:25|7|12|1000|1002|1003|1004|1006|1015|1016|1049|2004|2026|2048|2031)[hl]"  # modes of the application
    rb"|\x1b\[\?(?:2026|2048)\$p"  # queries whether the terminal supports a mode
    rb"|\x1b\[[<>=]\d*u"  # keyboard protocol
    rb"|\x1b\[(?:8;\d+;\d+|14|16|18)t"  # sizes
    rb"|\x1b\]22;[a-z-]+\x07"  # shape of the mouse pointer
    rb"|\r|\n"
)
_REPORTED = 3


def findings(received: bytes) -> list[str]:
    """Return the disallowed bytes with their surroundings; empty when there are none."""
    found = []
    text = received.decode("utf-8", "surrogateescape")
    rest = _SEQUENCES.sub(b"", received).decode("utf-8", "surrogateescape")
    for position, character in enumerate(rest):
        if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp"):
            found.append(f"U+{ord(character):04X} in {rest[max(0, position - 20) : position + 30]!r}")
            if len(found) >= _REPORTED:
                break
    if "Traceback" in text or ("╭───" in text and "Error" in text and "locals" in text):
        found.append(f"an exception was shown: {text[-300:]!r}")
    return found
