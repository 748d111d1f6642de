r"""Parses numbers with units in common notations, e.g. `1,000`, `\$5`, `12\text{ cm}^2`, `0.\overline{3}`, `10\%`.

Exact: a value is a fraction, never a float, so that `0.333` is not a third. Expressions with variables or roots, and
anything else that is not a single quantity, give None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from engine.tasks.answers.latex import without_text

LONGEST = 200
"""Maximum length of a text that is parsed, in characters; no plain number is longer."""

_LARGEST_EXPONENT = 400

_DIGITS = r"\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?:[ ]\d{3})+(?![\d])|\d+"
_DECIMAL = rf"(?:(?:{_DIGITS})(?:\.\d+)?\.?|\.\d+)"
_SIMPLE = re.compile(rf"[-+]?\s*{_DECIMAL}")
_NUMBER = re.compile(
    rf"""(?P<sign>[-+])?\s*
    (?:
        (?P<whole>\d+)?\s*\\frac\{{(?P<over>[^{{}}]+)\}}\{{(?P<under>[^{{}}]+)\}}
      | (?:(?P<plain_whole>\d+)\s+(?=[1-9]))?(?P<plain_over>{_DECIMAL})\s*/\s*(?P<plain_under>-?{_DECIMAL})
      | (?P<fixed>\d*\.\d*)(?:\\overline\s*\{{(?P<over_line>\d+)\}}|(?P<dots>\.\.\.|…|\\ldots|\\dots))
      | (?P<decimal>{_DECIMAL})
        (?:\s*(?:\\times|\\cdot|\*)\s*10\s*\^\s*(?:\{{(?P<braced>[-+]?\d+)\}}|(?P<bare>[-+]?\d+))|[eE](?P<letter>[-+]?\d+))?
    )""",
    re.VERBOSE,
)
_OF_WHOLE = re.compile(r"(?i)\s*((?:%|percent)?)\s*of (?:the|an?|all(?: the)?|his|her|their|its) [a-z][a-z ]{0,60}\.?")
"""What a share is taken of, as in `3/4 of the cake`."""

_SMALLER = re.compile(r"\s*([A-Za-z]+)\s*,?\s*(?:and\s+)?(\d+(?:\.\d+)?)\s*([A-Za-z]+)\.?")
_BASE = re.compile(r"(\w+)\s*_\s*(?:\{\s*(\w+)\s*\}|(\d+))")
_ORDINAL = re.compile(r"\s*\^?\s*\{?\s*(?:st|nd|rd|th)\s*\}?(?![a-zA-Z])")
_REMARK = re.compile(r"\s\([a-z][a-z \-]{2,}\)$|(?<=[a-z]{3})\s\(\$?\d[\d\s.,$=+*/×·÷-]*\)$")
"""A remark or a computation in parentheses after a unit; after a bare number parentheses are a product."""
_APPROXIMATELY = re.compile(r"(?:\\approx|\\sim|approximately|about|roughly|around|exactly)\s*")
_CURRENCY = {"$": "dollar", "€": "euro", "£": "pound", "¥": "yen"}
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_BASES = {
    name: value
    for value, name in enumerate(
        "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen".split(), start=2
    )
}
_UNITS = {
    alias: unit
    for unit, aliases in {
        "mm": "mm millimeter millimetre",
        "cm": "cm centimeter centimetre",
        "m": "m meter metre",
        "km": "km kilometer kilometre",
        "inch": "in inch inche",
        "foot": "ft foot feet",
        "yard": "yd yard",
        "mile": "mi mile",
        "second": "s sec second",
        "minute": "min minute",
        "hour": "h hr hour",
        "day": "day",
        "week": "week",
        "month": "month",
        "year": "yr year",
        "mg": "mg milligram",
        "g": "g gram",
        "kg": "kg kilogram",
        "ounce": "oz ounce",
        "pound": "lb pound",
        "ml": "ml milliliter millilitre",
        "liter": "l liter litre",
        "gallon": "gal gallon",
        "dollar": "dollar usd buck",
        "cent": "cent",
        "euro": "euro eur",
        "yen": "yen jpy",
        "degree": "degree deg",
        "radian": "radian rad",
        "unit": "unit",
    }.items()
    for alias in aliases.split()
}
_MEASURED = re.compile(
    r"(.+?)\s*(?:\\(?:text|mathrm|mbox)\s*\{[^{}]*\}|%|\s(?:(?:square|cubic|sq|cu)\s+)?(?:"
    + "|".join(sorted(alias for alias in _UNITS if len(alias) > 1))
    + r")s?)\s*(?:\^\s*\{?[23]\}?)?"
)
_NO_UNITS = frozenset(
    "or and to plus minus times over more less than least most not of pi sin cos tan log ln sqrt exp mod between "
    "is are was isn wrong incorrect false either neither divided "
    "half third quarter hundred dozen squared cubed point if when where because".split()
)


_PARTS = {
    ("dollar", "cent"): 100,
    ("euro", "cent"): 100,
    ("hour", "minute"): 60,
    ("minute", "second"): 60,
    ("day", "hour"): 24,
    ("week", "day"): 7,
    ("year", "month"): 12,
    ("foot", "inch"): 12,
    ("yard", "foot"): 3,
    ("pound", "ounce"): 16,
    ("m", "cm"): 100,
    ("km", "m"): 1000,
    ("kg", "g"): 1000,
    ("liter", "ml"): 1000,
}
"""How many of a smaller unit make a larger one, for quantities such as `12 dollars and 50 cents`."""


@dataclass(frozen=True)
class Quantity:
    """One number with its percent sign, base and unit."""

    value: Fraction
    percent: bool = False
    base: int | None = None
    """Base of the digits, if given as a subscript; `value` then reads the digits as decimal."""
    unit: str | None = None
    """Canonical unit, e.g. `cm^2` or `mile/hour`; empty for none, None for words that are not known units."""

    def same(self, other: Quantity) -> bool:
        """Check whether a reply's quantity (`other`) equals this reference.

        With a percent sign on one side only, `10%` equals both `10` (sign omitted) and `0.1` (its value). Units and
        bases are compared only if both sides have them.
        """
        if self.base is not None and other.base is not None and self.base != other.base:
            return False
        if self.unit and other.unit and self.unit != other.unit:
            return False
        if self.percent == other.percent:
            return self.value == other.value
        return self.value == other.value or self.share == other.share

    @property
    def share(self) -> Fraction:
        """The value with a percent sign taken as hundredths."""
        return self.value / 100 if self.percent else self.value


def quantity(text: str, *, variables: bool = False) -> Quantity | None:
    r"""Parse a text normalised by `tidy` as a single quantity, or return None.

    With `variables`, which is meant for references, a single letter after a number is a variable (`5m`) unless it is
    wrapped in `\text{}`.
    """
    if len(text) > LONGEST:
        return None
    bare = re.sub(r"\s*\^\s*(?:\\circ|\{\s*\\circ\s*\}|\\degree)", r" degrees ", text).replace("\\degree", " degrees ")
    bare = _REMARK.sub("", bare.strip())
    bare = re.sub(r"(?i)^(?:negative|minus)\s+(?=[\d.$\\])", "-", bare)
    bare = re.sub(r"^(\d+)\s+(?:out of(?: every)?|in)\s+(\d+)(?=\D|$)", r"\1/\2", bare)
    bare = re.sub(r"^(-?\d+)\s+(?:and|\\text\s?\{\s?and\s?\})\s+(\d+\s?/\s?\d+|\\frac)", r"\1 \2", bare)
    bare = re.sub(r"^=\s*", "", bare)
    bare = _APPROXIMATELY.sub("", bare, count=1) if _APPROXIMATELY.match(bare) else bare
    if match := _BASE.fullmatch(without_text(bare)):
        return _in_base(match)
    bare, currency = _without_currency(bare)
    match = _NUMBER.match(bare)
    if match is None:
        return None
    value = _value(match)
    if value is None:
        return None
    rest = bare[match.end() :]
    if match.group("decimal") and (ordinal := _ORDINAL.match(without_text(rest))):
        rest = without_text(rest)[ordinal.end() :]
    if part := _OF_WHOLE.fullmatch(without_text(rest)):
        rest = part.group(1)
    return _compound(value, rest) or _with_rest(value, rest, currency, variables)


def without_unit(text: str) -> str:
    r"""Strip the unit or percent sign after an expression, as in `5\sqrt2\text{ cm}` and `9\pi square inches`."""
    match = _MEASURED.fullmatch(text)
    return match.group(1) if match else text


def _with_rest(value: Fraction, rest: str, currency: str, variables: bool) -> Quantity | None:
    """Combine a number with the text after it; None if that text is more than a percent sign, a scale and a unit."""
    worded = r"\text" in rest or r"\mathrm" in rest or r"\mbox" in rest
    words = without_text(rest).strip(" .\\")
    if percent := re.match(r"(?:%|percent(?:age)?\b|per cent\b)\s*", words):
        words = words[percent.end() :]
    scale = re.match(r"[a-z]+", words)
    if scale and scale.group() in _SCALES:
        value *= 10 ** _SCALES[scale.group()]
        words = words[scale.end() :].strip()
    if not words:
        return Quantity(value, bool(percent), unit=currency)
    if not re.fullmatch(r"[A-Za-z]+(?:[ ./\-]+[A-Za-z]+|\s*\^\s*\{?[23]\}?)*", words):
        return None
    tokens = re.findall(r"[A-Za-z]+", words.casefold())
    if not _NO_UNITS.isdisjoint(tokens) or len(tokens) > 6:
        return None
    if len(tokens[0]) == 1 and not worded and (variables or tokens[0] not in _UNITS):
        return None
    return Quantity(value, bool(percent), unit=currency or _canonical(words.casefold()))


def _compound(value: Fraction, rest: str) -> Quantity | None:
    """Return the sum of a quantity in two units, in the larger one; None if the text after the number is no second
    quantity in a smaller unit."""
    match = _SMALLER.fullmatch(without_text(rest))
    if match is None:
        return None
    larger, smaller = (_canonical(match.group(group).casefold()) for group in (1, 3))
    parts = _PARTS.get((larger or "", smaller or ""))
    return None if parts is None else Quantity(value + Fraction(match.group(2)) / parts, unit=larger)


def _canonical(words: str) -> str | None:
    """Return the canonical unit of words, e.g. `square centimeters` → `cm^2`; None if they are not known units."""
    words = re.sub(r"\bmph\b", "miles per hour", words)
    words = re.sub(r"\b(?:kph|km/h)\b", "km per hour", words)
    parts = []
    for part in re.split(r"\s*(?:/|\bper\b)\s*", words):
        power = re.search(r"\^\s*\{?([23])", part)
        exponent = power.group(1) if power else ""
        tokens = re.findall(r"[a-z]+", part)
        for word, stands_for in (("square", "2"), ("sq", "2"), ("cubic", "3"), ("cu", "3")):
            if tokens[:1] == [word]:
                exponent, tokens = stands_for, tokens[1:]
        if len(tokens) != 1:
            return None
        unit = _UNITS.get(tokens[0]) or _UNITS.get(tokens[0].removesuffix("s"))
        if unit is None:
            return None
        parts.append(f"{unit}^{exponent}" if exponent else unit)
    return "/".join(parts)


def _without_currency(text: str) -> tuple[str, str]:
    match = re.match(r"([-+]?)\s*([$€£¥])\s*", text)
    if match is None:
        return text.removesuffix("$").rstrip() if text.count("$") == 1 else text, ""
    return match.group(1) + text[match.end() :].replace("$", ""), _CURRENCY[match.group(2)]


def _in_base(match: re.Match[str]) -> Quantity | None:
    digits, written = match.group(1), match.group(2) or match.group(3)
    base = _BASES.get(written.casefold()) or (int(written) if written.isdecimal() and len(written) < 3 else None)
    return Quantity(Fraction(int(digits)), base=base, unit="") if base and digits.isdecimal() else None


def _value(match: re.Match[str]) -> Fraction | None:
    """Return the exact value of a matched number; None for a zero denominator or an absurdly large exponent."""
    part = match.groupdict()
    sign = -1 if part["sign"] == "-" else 1
    if part["over"] is not None:
        fraction = _ratio(part["over"], part["under"])
        return None if fraction is None else sign * (int(part["whole"] or 0) + fraction)
    if part["plain_over"] is not None:
        fraction = _ratio(part["plain_over"], part["plain_under"])
        return None if fraction is None else sign * (int(part["plain_whole"] or 0) + fraction)
    if part["fixed"] is not None:
        return _repeating(part["fixed"], part["over_line"], sign)
    exponent = int((part["braced"] or part["bare"] or part["letter"] or "0")[:6])
    if abs(exponent) > _LARGEST_EXPONENT:
        return None
    return sign * _plain(part["decimal"]) * Fraction(10) ** exponent


def _ratio(over: str, under: str) -> Fraction | None:
    values = []
    for text in (over, under):
        if not _SIMPLE.fullmatch(text.strip()):
            return None
        values.append(_plain(text))
    return values[0] / values[1] if values[1] else None


def _plain(text: str) -> Fraction:
    return Fraction("".join(text.replace(",", "").split()).removesuffix("."))


def _repeating(fixed: str, over_line: str | None, sign: int) -> Fraction | None:
    """Return the value of `0.1` followed by `\\overline{6}`, or of `0.333...`, whose last digit repeats."""
    whole, _, places = fixed.partition(".")
    if over_line is None:
        if len(places) < 3 or len(set(places[-3:])) > 1:
            return None
        places, over_line = places[:-1], places[-1]
    once = int(whole + places + over_line or "0") - int(whole + places or "0")
    return sign * Fraction(once, (10 ** len(over_line) - 1) * 10 ** len(places))
