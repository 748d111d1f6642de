"""Reads the options of a multiple-choice row and the correct one, in the formats that datasets use.

Options are given as a list of texts, an object of `text` and `label` lists, a list of such objects, one field each, or
lines of the question. The correct one is given as a letter, a label, an index, a text, or a one-hot list. A row without
exactly one correct option is refused. Independent of replies.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from engine.tasks.answers.extraction import cleaned, lettered_options
from engine.tasks.answers.option_letter import same_option
from engine.tasks.loading.fields import RowRefused, field, is_text, kind_of, text_field
from store.settings.tasks import ChoiceTask

LETTERS = "ABCDEFGHIJ"
"""Letters that can name an option."""


class Options(NamedTuple):
    """The options of one question."""

    listed: tuple[str, ...]
    """Texts of options stored in separate fields; empty if they are part of the question or unknown."""
    known: Mapping[str, str]
    """Letter → text, for the options whose text is known."""
    labels: tuple[str, ...]
    """The dataset's labels of the options in order, e.g. `1`, `2`, `3`; empty if it has none."""

    @property
    def letters(self) -> str:
        """The letters that can name an option of this question."""
        return LETTERS[: LETTERS.index(max(self.known)) + 1] if self.known else LETTERS


def options_of(settings: ChoiceTask, row: Mapping[str, object], question: str) -> Options:
    """Return the options of a row. Raises RowRefused if a field that should contain them doesn't."""
    if settings.options_field is None:
        return Options((), lettered_options(question), ())
    labels: list[str] = []
    if isinstance(settings.options_field, list):
        name = "options_field"
        texts = [text_field(row, one) for one in settings.options_field]
    else:
        name = settings.options_field
        texts, labels = _listed(name, field(row, name))
    if not 2 <= len(texts) <= len(LETTERS):
        raise RowRefused(f"field {name!r} holds {len(texts)} options, not 2 to {len(LETTERS)}")
    bare = lettered_options("\n".join(texts))
    if list(bare) == list(LETTERS[: len(texts)]):
        texts = list(bare.values())
    if not all(texts):
        raise RowRefused(f"field {name!r} holds an empty option")
    return Options(tuple(texts), dict(zip(LETTERS, texts, strict=False)), tuple(labels))


def right_letter(settings: ChoiceTask, row: Mapping[str, object], options: Options) -> str:
    """Return the letter of the correct option. Raises RowRefused if the row names none, or more than one."""
    name, way = settings.answer_field, settings.answer_is
    value = field(row, name)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list):
        return _marked(name, value, options)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowRefused(f"field {name!r} is empty: the row names no right option")
    if not is_text(value):
        raise RowRefused(f"field {name!r} holds {kind_of(value)}, not one option")
    text = str(value).strip()
    if way in ("index0", "index1"):
        letter = _indexed(text, way == "index1")
    elif way == "text":
        letter = _only(_named(text, options))
    elif way == "letter":
        letter = _letter(text)
    else:
        letter = _labelled(text, options) or _letter(text) or _only(_named(text, options))
    if letter is None or letter not in options.letters:
        asked = {"index0": "an index from 0", "index1": "an index from 1", "text": "one option's text"}
        hint = "" if way != "auto" or not text.isdecimal() else "; if it is an index, set answer_is to index0 or index1"
        what = asked.get(way, "one option's letter")
        raise RowRefused(f"field {name!r} holds {text[:40]!r}, which is not {what}{hint}")
    return letter


def _listed(name: str, value: object) -> tuple[list[str], list[str]]:
    """Return the texts and labels in the value of a field."""
    if isinstance(value, Mapping):
        texts, labels = value.get("text", value.get("choices")), value.get("label")
    elif isinstance(value, list) and value and all(isinstance(part, Mapping) for part in value):
        texts, labels = [part.get("text") for part in value], [part.get("label") for part in value]
    else:
        texts, labels = value, None
    if not isinstance(texts, list) or not all(is_text(text) for text in texts):
        raise RowRefused(f"field {name!r} is not a list of texts")
    known = labels if isinstance(labels, list) and len(labels) == len(texts) and all(map(is_text, labels)) else []
    return [str(text).strip() for text in texts], [str(label).strip() for label in known]


def _marked(name: str, values: list[object], options: Options) -> str:
    """Return the letter of the option that a one-hot list marks."""
    if values and all(value in (0, 1) for value in values):
        if sum(value == 1 for value in values) != 1 or len(values) != len(options.listed or options.known):
            raise RowRefused(f"field {name!r} marks {sum(value == 1 for value in values)} options as right, not one")
        return LETTERS[values.index(1)]
    raise RowRefused(f"field {name!r} holds {len(values)} answers, not one")


def _indexed(text: str, from_one: bool) -> str | None:
    whole = text.removesuffix(".0")
    index = int(whole) - from_one if whole.isdecimal() and len(whole) < 4 else -1
    return LETTERS[index] if 0 <= index < len(LETTERS) else None


def _labelled(text: str, options: Options) -> str | None:
    return LETTERS[options.labels.index(text)] if options.labels.count(text) == 1 else None


def _letter(text: str) -> str | None:
    bare = cleaned(text).strip("().: ").upper()
    return bare if len(bare) == 1 and bare in LETTERS else None


def _named(text: str, options: Options) -> list[str]:
    return [letter for letter, option in options.known.items() if same_option(text, option)]


def _only(letters: list[str]) -> str | None:
    return letters[0] if len(letters) == 1 else None
