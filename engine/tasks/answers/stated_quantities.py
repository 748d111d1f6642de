r"""Finds the quantities that a text states, in any notation, e.g. `42`, `forty-two`, `1/2`, `\frac{1}{2}`, `½`, `50 %`.

A quantity has every value it can stand for: `50 %` is 50 and 1/2. Numbers that only count or number the parts of the
text ("step 2", "two mistakes", "2-digit") are no quantities. Linear in the length of the text, in which runs of blanks
are expected to be collapsed; independent of references and questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

LONGEST_NUMBER = 100
"""Maximum length of a number in characters; longer ones are ignored, as no answer has as many digits."""

_ONES = {
    word: value
    for value, word in enumerate(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen".split()
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)
} | {"fourty": 40}
_SCALES = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_PARTS = {
    name: value
    for value, names in enumerate(
        (
            "half halves",
            "third thirds",
            "quarter quarters fourth fourths",
            "fifth fifths",
            "sixth sixths",
            "seventh sevenths",
            "eighth eighths",
            "ninth ninths",
            "tenth tenths",
        ),
        start=2,
    )
    for name in names.split()
} | {"twelfth": 12, "twelfths": 12, "hundredth": 100, "hundredths": 100}
_GLYPHS = dict(
    zip("½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞", "1/2 1/3 2/3 1/4 3/4 1/5 2/5 3/5 4/5 1/6 5/6 1/8 3/8 5/8 7/8".split(), strict=True)
)

_SIGN = r"(?:(?<![\w)\]}.%])[-−])?"
_DIGITS = r"(?:\d{1,3}(?:,\d{3}){1,8}|\d{1,3}(?: \d{3}){1,8}(?!\d)|\d{1,100})(?:\.\d{1,100})?|(?<!\d)\.\d{1,100}"
_POWER = r"(?:[eE](?P<exponent>[+-]?\d{1,2})| ?(?:×|\\times|\\cdot|\*) ?10 ?\^ ?\{?(?P<power>[+-]?\d{1,2})\}?)?"
_END = r"(?!\w|\.\d|,\d{3}(?!\d)|-[A-Za-z])"
_PERCENT = r"(?P<percent> ?\\?%| ?per ?cent\b)?"
_NUMERAL = re.compile(
    rf"(?P<sign>{_SIGN})(?:"
    r"\\[dt]?frac ?\{? ?(?P<over>\d{1,20}) ?\}? ?\{? ?(?P<under>\d{1,20}) ?\}?"
    rf"|(?<![\w.])(?:(?P<whole>\d{{1,20}}) )?(?P<numerator>\d{{1,20}}) ?/ ?(?P<denominator>\d{{1,20}}){_END}(?! ?/)"
    rf"|(?<![\w.])(?P<mixed>\d{{1,20}})? ?(?P<glyph>[{''.join(_GLYPHS)}])"
    rf"|(?<![\w.])(?P<decimal>{_DIGITS}){_POWER}{_END}"
    rf"){_PERCENT}"
)
_WORD = "|".join(sorted((*_ONES, *_TENS, *_SCALES, "dozen"), key=len, reverse=True))
_DIGIT_WORD = "|".join(list(_ONES)[:10])
_PART = "|".join(sorted(_PARTS, key=len, reverse=True))
_SPELLED = re.compile(
    rf"(?i)(?<![\w-])(?P<sign>(?:minus|negative) )?(?:"
    rf"(?P<number>(?:an? (?=hundred|thousand|million|dozen))?(?:{_WORD})(?:(?: ?- ?| and | )(?:{_WORD})(?![\w]))*)"
    rf"(?: and (?:an? |one )(?P<rest>{_PART})|(?: |-)(?P<parts>{_PART})"
    rf"|(?P<decimals>(?: point)(?: (?:{_DIGIT_WORD})\b)+))?"
    rf"|(?P<article>an? )?(?P<part>{_PART})"
    rf")(?![\w'’]|-[A-Za-z]){_PERCENT}"
)
_LABEL = re.compile(
    r"(?im)^ ?\(?\d{1,9}[.):]\s|\b(?:step|line|part|point|stage|sentence|word|term|equation|paragraph|"
    r"premise|rule|case|"
    r"option|choice|question|example|number|clue|hint|digit|row|column)s? (?:\d{1,9}|one|two|three|four|five|six)\b"
)
_META = frozenset(
    "mistake error step thing reason way problem issue point cause flaw check attempt try possibility case part idea "
    "fact detail aspect condition option choice answer solution claim piece sentence statement argument assumption "
    "question place correction reflection".split()
)
"""Nouns that a reflection counts in its own text: "two mistakes" states no answer unless the question asks for them."""
_ADJECTIVE = r"(?:(?:different|main|possible|small|big|key|important|separate|more|other|major|such|wrong|missing) )?"
_COUNTED = re.compile(rf" ?{_ADJECTIVE}([A-Za-z]+?)(?:s|es)?(?![A-Za-z])")
_STATING = re.compile(
    r"(?i)(?:\b(?:is|are|was|were|be|been|equals?|equal to|makes?|gives?|gets?|got|leaves?|left with|only|exactly|just|"
    r"total of|comes? to|number of|value of|to|yields?|have|has|had|contains?)|=|:) ?(?:(?:a|an|in fact|"
    r"actually|really|"
    r"therefore|simply|indeed|still|then|now|up to|about) ?)?$"
)
_ASKED = re.compile(r"(?i)\bhow (?:many|much) (\w{1,30}(?: \w{1,30}){0,2})")
_IS_RIGHT = re.compile(r" (?:is|was|would be|must be) (?:right|correct|the (?:answer|result|right|correct))")
_LARGEST_COUNTING_WORD = 12
_NO_NUMERAL_AFTER = re.compile(r" ?(?:[.,;:!?)\]\"”’*]|$| (?:because|since|as|not|and|but|instead|rather|in total)\b)")


@dataclass(frozen=True)
class Quantity:
    """A quantity in a text."""

    values: frozenset[Fraction]
    """The values that it can stand for."""
    start: int
    """Its position, in characters."""
    end: int
    """The position after it."""
    spelled: bool
    """Whether it is written in words."""
    stated: bool
    """Whether it is certainly a quantity. False for words such as `one` or `half` where nothing says so."""


def quantities(text: str, counted: str = "") -> Iterator[Quantity]:
    """Yield the quantities of a text, first the numerals and then those in words, each kind in order.

    Args:
        text: the text; its runs of blanks are collapsed.
        counted: the text of the question. What it names can be counted: with "How many mistakes", "two mistakes" is a
            quantity.
    """
    asked = {word.casefold() for match in _ASKED.finditer(counted) for word in match.group(1).split()}
    labels = {position for match in _LABEL.finditer(text) for position in range(match.start(), match.end())}
    for match in _NUMERAL.finditer(text):
        if match.end() - 1 in labels or _counts_itself(text, match.end(), counted):
            continue
        if values := _numeral_values(match):
            yield Quantity(values, match.start(), match.end(), spelled=False, stated=True)
    for match in _SPELLED.finditer(text):
        labelled = match.end() - 1 in labels and match["decimals"] is None
        if labelled or _counts_itself(text, match.end(), counted):
            continue
        if values := _spelled_values(match):
            stated = _is_quantity(text, match, max(values)) or _is_asked(text, match, asked)
            yield Quantity(values, match.start(), match.end(), True, stated)


def is_followed_as_number(text: str, end: int) -> bool:
    """Check whether a word at the end of a number is followed as a number is: `one` in "is one." but not in "is one of
    them"."""
    return _NO_NUMERAL_AFTER.match(text, end) is not None


def _counts_itself(text: str, end: int, counted: str) -> bool:
    match = _COUNTED.match(text, end)
    if match is None:
        return False
    noun = match.group(1).casefold()
    return noun in _META and noun not in counted.casefold()


def _numeral_values(match: re.Match[str]) -> frozenset[Fraction]:
    part = match.groupdict()
    if part["decimal"] is not None:
        if len(part["decimal"]) > LONGEST_NUMBER:
            return frozenset()
        value = Fraction(part["decimal"].replace(",", "").replace(" ", ""))
        value *= Fraction(10) ** int(part["exponent"] or part["power"] or 0)
    elif part["glyph"] is not None:
        value = Fraction(_GLYPHS[part["glyph"]]) + int(part["mixed"] or 0)
    else:
        over, under = part["over"] or part["numerator"], part["under"] or part["denominator"]
        if int(under) == 0:
            return frozenset()
        value = Fraction(int(over), int(under)) + int(part["whole"] or 0)
    return _with_percent(-value if part["sign"] else value, bool(part["percent"]))


def _spelled_values(match: re.Match[str]) -> frozenset[Fraction]:
    part = match.groupdict()
    if part["part"] is not None:
        value = Fraction(1, _PARTS[part["part"].casefold()])
    else:
        words = re.findall(r"[a-z]+", part["number"].casefold())
        whole = _cardinal(words)
        if whole is None:
            return frozenset()
        value = Fraction(whole)
        if part["parts"] is not None:
            value /= _PARTS[part["parts"].casefold()]
        if part["rest"] is not None:
            value += Fraction(1, _PARTS[part["rest"].casefold()])
        if part["decimals"] is not None:
            digits = "".join(str(_ONES[word]) for word in part["decimals"].casefold().split()[1:])
            value += Fraction(int(digits[:LONGEST_NUMBER]), 10 ** len(digits[:LONGEST_NUMBER]))
    return _with_percent(-value if part["sign"] else value, bool(part["percent"]))


def _with_percent(value: Fraction, percent: bool) -> frozenset[Fraction]:
    return frozenset({value, value / 100}) if percent else frozenset({value})


def _cardinal(words: list[str]) -> int | None:
    """Return the value of a cardinal number in words, or None if they are no single one, as in "four two"."""
    total = current = 0
    last = 10**12
    for word in words:
        if word in ("and", "a", "an"):
            continue
        if word == "dozen":
            current = max(current, 1) * 12
            last = 1
        elif word in _SCALES:
            scale = _SCALES[word]
            if scale == 100:
                current = max(current, 1) * 100
            else:
                total, current = total + max(current, 1) * scale, 0
            last = scale
        else:
            value = _TENS.get(word, _ONES.get(word, 0))
            size = 10 if word in _TENS else 1
            if size >= last or (size == 1 and last == 10 and not 0 < value < 10):
                return None
            current += value
            last = size
    return total + current


def _is_quantity(text: str, match: re.Match[str], value: Fraction) -> bool:
    """Check whether words are a quantity. `forty-two` always is; `one`, `two` or `half` only where a verb says so."""
    if value > _LARGEST_COUNTING_WORD or any(match[part] for part in ("parts", "rest", "decimals", "percent")):
        return True
    before = text[max(match.start() - 40, 0) : match.start()]
    word = match.group().casefold()
    if (match["part"] and "hal" in word) or word == "one":
        return bool(_STATING.search(before)) and is_followed_as_number(text, match.end())
    return bool(_STATING.search(before))


def _is_asked(text: str, match: re.Match[str], asked: set[str]) -> bool:
    """Check whether a word counts what the question asks for, as in "seven birds remain", or is called right."""
    following = re.match(r" (\w{1,30})", text[match.end() : match.end() + 32])
    if following is not None and match["part"] is None and match.group().casefold() != "one":
        noun = following.group(1).casefold()
        if noun in asked and noun not in ("is", "are", "of", "do", "does", "in"):
            return True
    return _IS_RIGHT.match(text, match.end()) is not None and match.group().casefold() != "one"
