r"""Reads JSON records from a file of any size: one per line, concatenated, or inside one array.

The published files are concatenated pretty-printed objects. The file is never loaded completely: a window slides over
it, and each record has its byte span, so that a reader can resume after it. Damaged parts are reported with their
position and skipped; reading resumes at the next text that begins like the last good record.

Independent of the meaning of a record.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20
LARGEST_RECORD = 16 << 20
"""Largest record, in characters; a longer one is reported as damage."""

CUT_OFF = "it is cut off at the end of the file"

_BETWEEN = re.compile(r"[\s,\[\]\ufeff]*")
_FIRST_KEY = re.compile(r'\{\s*"(?:[^"\\]|\\.)*"')
_LINE_START = re.compile(r"(?<=\n)\{")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_TAIL = 64
"""Distance from the end of the window, in characters, within which an error may be an incomplete record."""
_LONGEST_BEGINNING = 1024


@dataclass(frozen=True, slots=True)
class Found:
    """A record. `start` and `end` are byte positions in the file; reading continues at `end`.

    `replaced` is True if it contained bytes that are not UTF-8, each of which became U+FFFD.
    """

    value: object
    start: int
    end: int
    replaced: bool


@dataclass(frozen=True, slots=True)
class Damaged:
    """A part of the file that is not JSON, and the reason; reading continues at `end`."""

    reason: str
    start: int
    end: int


class _Window:
    """The part of the file that is in memory, as text, and the current position in it.

    `place` is an index into `text`, `byte` the same position in the file.
    """

    def __init__(self, path: Path, start: int) -> None:
        self._file = path.open("rb")
        self._file.seek(start)
        # Bytes that are not UTF-8 become lone surrogates, which encode to the same bytes: positions stay exact.
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self.text = ""
        self.place = 0
        self.byte = start
        self.ended = False

    def more(self) -> bool:
        """Read more text; return False at the end of the file. The window doubles, so a long record is linear time."""
        if self.ended:
            return False
        self.text, self.place = self.text[self.place :], 0
        raw = self._file.read(max(CHUNK_BYTES, len(self.text)))
        self.ended = not raw
        self.text += self._decode(raw, final=not raw)
        return True

    def advance(self, place: int) -> None:
        """Move to a later character of `text`."""
        passed = self.text[self.place : place]
        self.byte += len(passed) if passed.isascii() else len(passed.encode("utf-8", "surrogateescape"))
        self.place = place

    def close(self) -> None:
        self._file.close()


def read_records(path: Path, start: int = 0) -> Iterator[Found | Damaged]:
    """Yield the records of a file from a byte position on, which must be 0 or the `end` of an earlier record.

    Raises OSError when the file cannot be read. A truncated last record is yielded as `Damaged`.
    """
    window = _Window(path, start)
    try:
        yield from _records(window)
    finally:
        window.close()


def _records(window: _Window) -> Iterator[Found | Damaged]:
    decoder = json.JSONDecoder()
    beginning, again = "", _LINE_START
    while True:
        between = _BETWEEN.match(window.text, window.place)
        window.advance(between.end() if between else window.place)
        if window.place == len(window.text):
            if not window.more():
                return
            continue
        start = window.byte
        try:
            value, end = decoder.raw_decode(window.text, window.place)
        except (ValueError, RecursionError) as error:
            if _may_go_on(error, window) and window.more():
                continue
            reason = _words(error, window)
            _skip_damage(window, again)
            yield Damaged(reason, start, window.byte)
            continue
        if end == len(window.text) and not isinstance(value, dict) and window.more():
            continue  # a number at the end of the window may be incomplete
        replaced = not window.text.isascii() and _NOT_UTF8.search(window.text, window.place, end) is not None
        if replaced:
            value = json.loads(_NOT_UTF8.sub("\ufffd", window.text[window.place : end]))
        key = _FIRST_KEY.match(window.text, window.place, end)
        if key is not None and key.group() != beginning:
            beginning = key.group()
            again = re.compile(r"\{\s*" + re.escape(beginning[1:].lstrip()))
        window.advance(end)
        yield Found(value, start, window.byte, replaced)


def _may_go_on(error: Exception, window: _Window) -> bool:
    """Check whether the text in memory may be the beginning of a longer record."""
    if not isinstance(error, json.JSONDecodeError) or len(window.text) - window.place > LARGEST_RECORD:
        return False
    return error.msg.startswith("Unterminated string") or error.pos >= len(window.text) - _TAIL


def _skip_damage(window: _Window, again: re.Pattern[str]) -> None:
    """Move to the next text that begins like the last good record, or to the end of the file."""
    searched = window.place + 1
    while (found := again.search(window.text, searched)) is None:
        # A beginning may extend across the end of the window.
        window.advance(max(searched, len(window.text) - _LONGEST_BEGINNING))
        searched = 0
        if not window.more():
            window.advance(len(window.text))
            return
    window.advance(found.start())


def _words(error: Exception, window: _Window) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if not isinstance(error, json.JSONDecodeError):
        return f"it is no JSON ({error})"
    whole = len(window.text.rstrip())
    cut = error.msg.startswith("Unterminated string") or error.pos >= whole - len("false")
    if window.ended and cut and window.text.startswith("{", window.place):
        return CUT_OFF
    return f"it is no JSON ({error.msg})"
