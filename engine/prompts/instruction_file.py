"""Reads an operator's own instruction parts from a TOML file: arrays `verify`, `locate` and `plan` of sentences."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path

from engine.errors import EngineError
from engine.prompts.instructions import BUILT_IN
from engine.tasks.base import normalised
from store.runs.instruction_parts import PARTS

MOST_PARTS = 9
"""Limit of own sentences per kind. The pool is the product of the three lists, so more would dilute the yields."""


def load_parts(path: Path) -> dict[str, tuple[str, ...]]:
    """Return the sentences of each kind, in order; a kind that the file omits is empty.

    Raises:
        EngineError: When the file cannot be read or is not TOML, and for a key that is not a kind, a value that is not
            a list of sentences, an empty or duplicate sentence, or more than nine of a kind.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EngineError(f"reflection.parts: {path} can't be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EngineError(f"reflection.parts: {path} is not TOML ({error})") from error
    for name in found:
        if name not in PARTS:
            near = difflib.get_close_matches(name, PARTS, n=1, cutoff=0.0)[0]
            raise EngineError(f"reflection.parts: {path} has a key {name!r}; the nearest that is known is {near!r}")
    parts = {part: _sentences(path, part, found.get(part, [])) for part in PARTS}
    if not any(parts.values()):
        raise EngineError(f"reflection.parts: {path} holds no sentence; list some under verify, locate or plan")
    return parts


def _sentences(path: Path, part: str, value: object) -> tuple[str, ...]:
    place = f"reflection.parts: {path}, {part}"
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise EngineError(f'{place}: must be a list of sentences, e.g. {part} = ["Read the question once more."]')
    if len(value) > MOST_PARTS:
        raise EngineError(f"{place}: {len(value)} sentences, at most {MOST_PARTS} of a kind can be added")
    known = {normalised(text) for text in getattr(BUILT_IN, part)}
    sentences = []
    for position, text in enumerate(value, start=1):
        sentence = " ".join(text.split())
        if not sentence:
            raise EngineError(f"{place}: sentence {position} is empty")
        if normalised(sentence) in known:
            raise EngineError(f"{place}: sentence {position} ({sentence!r}) is in the pool already")
        known.add(normalised(sentence))
        sentences.append(sentence)
    return tuple(sentences)
