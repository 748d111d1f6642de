"""Detects questions that repeat a held-out question, also if they are only reworded.

Exact, without sampling: an index of the rarest word 3-grams of the held-out questions finds every candidate, and each
candidate is then compared in full. Two questions are

- identical if their words, numbers and operators are equal, regardless of case, spacing and punctuation;
- nearly identical if they share 70 % of their word 3-grams, or one contains 90 % of those of a long held-out question.

The second rule does not apply where it would confuse different questions: texts below twelve words; different numbers,
operators or single letters (two instances of a template); a complete phrase that differs (two questions on one
passage); a different answer, unless only function words or spellings differ. Generated questions come from templates,
so for them only identical ones count. Independent of files, databases and models.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import ceil

from engine.tasks.answers.extraction import extract
from engine.tasks.base import Example, Question, normalised, render_question

SHARED = 0.7
"""Jaccard similarity of word 3-grams at which two questions are nearly identical."""

CONTAINED = 0.9
"""Share of a long held-out question's word 3-grams at which another text counts as containing it."""

_LEAST_WORDS = 12
_LEAST_WORDS_CONTAINED = 24
_LONGEST_REWORDING = 3
"""Longest run of words that a rewording replaces; a longer one is a different question on the same text."""

_TOKEN = re.compile(r"-?\d+(?:[.,]\d+)*|[^\W\d_]+(?:['’][^\W\d_]+)*|[-+*/^=<>(){}|\\](?!\s)|[+*/^=<>]")
_FACT = re.compile(r"-?\d.*|[+*/^=<>]|[b-hj-z]")
_SMALL_WORDS = frozenset(
    "a an the this that these those is are was were be of in on at to for from by with and or so then please now "
    "following given below above what which who how find determine compute calculate evaluate question".split()
)
_SAME_SPELLING = 0.75


@dataclass(frozen=True)
class Asked:
    """A question in the form used for comparison."""

    task: str
    text: str
    """As asked, with its options."""
    answer: str
    generated: bool
    """Whether it comes from a template, so that similarity is meaningless."""


@dataclass(frozen=True)
class Match:
    """The held-out question that another question repeats; `exact` if both are identical."""

    held: Asked
    exact: bool


def asked_by(question: Question, *, generated: bool) -> Asked:
    """Convert a question for comparison; the answer of a multiple-choice question is the option's text, if known."""
    options = question.payload.get("options")
    answer = options.get(question.reference, question.reference) if isinstance(options, dict) else question.reference
    return Asked(question.task, render_question(question.text, question.options), str(answer), generated)


def shown_by(task: str, example: Example, *, generated: bool) -> Asked:
    """Convert a worked example for comparison."""
    answer = extract(example.answer, multiline=True).answer or example.answer
    return Asked(task, example.question, answer, generated)


class HeldOut:
    """An index of held-out questions that finds the one which another question repeats."""

    def __init__(self, questions: Iterable[Asked]) -> None:
        self._held = tuple(questions)
        self._tokens = [tokens(one.text) for one in self._held]
        self._exact: dict[tuple[str, ...], int] = {}
        for place, found in enumerate(self._tokens):
            self._exact.setdefault(tuple(found), place)
        self._grams = [_grams(found) for found in self._tokens]
        spread = Counter(gram for grams in self._grams for gram in grams)
        self._places: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for place, grams in enumerate(self._grams):
            if self._held[place].generated or len(self._tokens[place]) < _LEAST_WORDS:
                continue
            # A text that shares at least SHARED of these grams must contain one of the rarest of them.
            rarest = sorted(grams, key=lambda gram: (spread[gram], gram))
            for gram in rarest[: len(rarest) - ceil(SHARED * len(rarest)) + 1]:
                self._places[gram].append(place)

    def match(self, asked: Asked) -> Match | None:
        """Return the held-out question that `asked` repeats, or None; identical ones before nearly identical ones."""
        found = tokens(asked.text)
        exact = self._exact.get(tuple(found))
        if exact is not None and found:
            return Match(self._held[exact], True)
        if asked.generated or len(found) < _LEAST_WORDS:
            return None
        grams = _grams(found)
        for place in sorted({place for gram in grams for place in self._places.get(gram, ())}):
            if self._nearly(place, asked, found, grams):
                return Match(self._held[place], False)
        return None

    def _nearly(self, place: int, asked: Asked, found: list[str], grams: frozenset[tuple[str, ...]]) -> bool:
        held, wanted, known = self._held[place], self._tokens[place], self._grams[place]
        shared = len(known & grams)
        facts, own = _facts(wanted), _facts(found)
        contained = len(wanted) >= _LEAST_WORDS_CONTAINED and shared >= CONTAINED * len(known) and facts <= own
        alike = shared >= SHARED * len(known | grams) and facts == own
        if not (contained or alike):
            return False
        replaced = _replaced(wanted, found)
        if any(min(len(one), len(other)) > _LONGEST_REWORDING for one, other in replaced):
            return False
        return normalised(held.answer) == normalised(asked.answer) or all(_trivial(*pair) for pair in replaced)


def tokens(text: str) -> list[str]:
    """Return the words, numbers and operators of a text, case-folded."""
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).casefold())


def _grams(found: Sequence[str]) -> frozenset[tuple[str, ...]]:
    return frozenset(tuple(found[start : start + 3]) for start in range(len(found) - 2))


def _facts(found: Sequence[str]) -> Counter[str]:
    """Count the tokens by which two instances of one template differ."""
    return Counter(token for token in found if _FACT.fullmatch(token))


def _replaced(wanted: list[str], found: list[str]) -> list[tuple[list[str], list[str]]]:
    """Return the runs of words in which two texts differ; runs with fewer than three words in between are merged."""
    runs: list[tuple[list[str], list[str]]] = []
    equal_before = 3
    for tag, start, end, other_start, other_end in SequenceMatcher(None, wanted, found, autojunk=False).get_opcodes():
        if tag == "equal":
            equal_before = end - start
            continue
        run = (wanted[start:end], found[other_start:other_end])
        if runs and equal_before < 3:
            run = (runs[-1][0] + run[0], runs[-1][1] + run[1])
            runs.pop()
        runs.append(run)
    return runs


def _trivial(one: list[str], other: list[str]) -> bool:
    """Check whether two runs differ only in function words or spelling."""
    left, right = ([word for word in run if word not in _SMALL_WORDS] for run in (one, other))
    if len(left) != len(right):
        return False
    return all(SequenceMatcher(None, a, b).ratio() >= _SAME_SPELLING for a, b in zip(left, right, strict=True))
