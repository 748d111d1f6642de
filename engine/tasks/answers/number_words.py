"""Replaces numbers that are written as words by digits: "twenty-nine" → "29". Independent of task kinds."""

from __future__ import annotations

import re

_UNITS = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_WORD = "|".join([*_UNITS, *_TENS])
_RUN = re.compile(rf"(?i)\b(?:{_WORD})(?:(?:[ \t-]|\sand\s)(?:{_WORD}|hundred|thousand|million|billion)){{0,12}}\b")


_PARTS = dict(
    zip(
        "half third quarter fourth fifth sixth seventh eighth ninth tenth".split(),
        (2, 3, 4, 4, 5, 6, 7, 8, 9, 10),
        strict=True,
    )
)
_FRACTION = re.compile(rf"(?i)({_WORD}|an?)[ -]({'|'.join(_PARTS)}|halve)s?")


def as_fraction(text: str) -> str:
    """Return a fraction in words, e.g. "three quarters", as `3/4`; any other text unchanged."""
    match = _FRACTION.fullmatch(text.strip())
    if match is None:
        return text
    over, under = (word.casefold() for word in match.groups())
    return f"{_UNITS.get(over, _TENS.get(over, 1))}/{_PARTS.get(under, 2)}"


_TWICE = re.compile(r"([-+−]?[\d.,]+)\s?\(([-+−]?[\d.,]+)\)")
_TURNED = re.compile(r"([-+−]?\d[\d.,]*)\s{0,3}=\s{0,3}[\d(][\d\s()+*/×÷·^−-]{2,60}")


def restated(text: str) -> list[str]:
    """Return the number of a text that writes it twice (`5 (5)`), or then explains it (`7 = 5 + 2`)."""
    twice, turned = _TWICE.fullmatch(text), _TURNED.fullmatch(text)
    if twice is not None and twice.group(1) == twice.group(2):
        return [twice.group(1)]
    return [] if turned is None else [turned.group(1)]


def with_digits(text: str) -> str:
    """Return a text with digits instead of number words, from zero to billions; other words are unchanged."""
    return _RUN.sub(lambda match: _digits(match.group()), text)


def _digits(run: str) -> str:
    total = part = 0
    last = 10**12
    for word in re.split(r"[\s-]+", run.casefold()):
        if word == "and":
            continue
        if word in _SCALES:
            part = max(part, 1) * _SCALES[word]
            if _SCALES[word] > 100:
                total, part = total + part, 0
            last = _SCALES[word]
            continue
        value = _UNITS.get(word, _TENS.get(word, 0))
        # "two three" is two numbers, "twenty three" one.
        if last < 10 or (last < 100 and value >= 10) or (10 <= last < 20):
            return run
        part += value
        last = value if value else 1
    return str(total + part)
