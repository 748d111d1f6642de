r"""Compares two mathematical answers: words, quantities, lists, sets, tuples, intervals and expressions.

The outermost structure is compared here, exactly; the remaining single expressions are compared by math-verify. Only
its LaTeX grammar parses the text, because its parser for plain expressions calls sympy's `parse_expr`, which evaluates
text as Python. Its timeouts need signals in the main thread and are switched off. Independent of replies.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from functools import lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from engine.errors import EngineError
from engine.tasks.answers.clock_time import clock_time
from engine.tasks.answers.extraction import cleaned
from engine.tasks.answers.latex import bracketed, split_outside, tidy, without_text
from engine.tasks.answers.number_words import as_fraction, restated, with_digits
from engine.tasks.answers.quantities import quantity, without_unit
from engine.tasks.answers.remarks import sole_number, without_decoration, without_lead, without_remark

_FLOAT_PLACES = 12
"""Decimal places to which math-verify rounds floats; with its default of 6, 3.141593 would equal π."""

_DIGITS, _RELATIVE = 30, 1e-11
"""Significant digits to which numbers are evaluated, and the largest relative difference of equal ones."""

_COMMA = re.compile(r"[,;]|\b(?:or|and)\b")
_MOST_PARTS = 32
"""Maximum number of elements of a list or set that are matched against each other."""

_LEFT_TO_DO = re.compile(r"[\d)}]\s*(?:[-+*]|\\times(?!\s*10\s*\^)|\\cdot(?!\s*10\s*\^)|\\div)\s*[\d({\\]")
_COMMAS = r",(?!\d{3}(?!\d))|(?<!\d),|;|\\(?:text|mathrm)\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b"
_ANY_COMMA = r",|;|\\(?:text|mathrm)\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b"
_NAME = re.compile(r"(?:\\?[a-zA-Z]+)(?:_\{?\w+\}?)?'?(?:\s*\([a-zA-Z](?:\s*,\s*[a-zA-Z])*\))?")
_EQUALS = r"(?<![<>!\\])=(?!=)"
_INEQUALITY = re.compile(r"[<>]|\\(?:le|ge|lt|gt)(?![a-zA-Z])")
_OR = r"\\(?:text|mathrm)\s*\{\s*or\s*\}|\bor\b"
_UNION = r"\\cup(?![a-zA-Z])"
_MEMBER = re.compile(r"[a-zA-Z]\s*\\in\s*(?=[^\s])")
_WORDS = re.compile(r"[A-Za-z][A-Za-z'’.\- ]*")
_TAIL = re.compile(
    r"[A-Za-z][\w' ,]*?\b(?:is|are|was|were|equals|will be|would be|must be"
    r"|falls on)\s+(?:equal\s+to\s+)?(.+)",
    re.DOTALL,
)
_ARTICLE = re.compile(r"(?:an?|the)\s+", re.IGNORECASE)
_DECIMAL = re.compile(r"(?<![\w.])(\d*)\.(\d+)(?![\d.])")
_COMMAS_IN_NUMBERS = re.compile(r"(?<![\d,])\d{1,3}(?:,\d{3})+(?![\d,])")


_PRIME = re.compile(r"(?<=[\d)}])\s?(?:['’”′″]|\x22|\^\s?\{?\\prime\}?)+$")
_DIGIT_GAP = re.compile(r"(?<=\d)\s+(?=\d)")
_RATIO_WORD = re.compile(r"(?<=\d)\s+(?:to|is to|\\text\s?\{\s?to\s?\})\s+(?=\d)")
_NESTED_LIST = re.compile(r"\[\[([^\[\]]{1,200}(?:\],\[[^\[\]]{1,200}){0,31})\]\]")
_RATIO = re.compile(r"\d+\s?:\s?\d+")
_EMPTY_SET = re.compile(r"\\emptyset|\\\{\s*\\\}|\{\s*\}")
_NO_SOLUTION = frozenset(
    "no solution|no solutions|no real solution|no real solutions|there is no solution|there are no solutions|empty set|"
    "empty|none|does not exist|no such number exists".split("|")
)


class Comparison(NamedTuple):
    """Whether an answer equals the reference, and how that was decided."""

    same: bool | None
    """None if the reference can't be parsed, so that equality is undecided."""
    how: str
    """The method of comparison, or the difference found, for the operator."""


def compare(answer: str, reference: str) -> Comparison:
    """Compare an answer with the reference. Not symmetric: the form of the reference determines the rule.

    The answer is compared as written, then without what a model writes around it: a reason, a lead such as "it is", and
    for a number the words of its sentence.

    Raises:
        EngineError: if an expression has to be compared and math-verify is not installed.
    """
    gold = tidy(cleaned(reference))
    first: Comparison | None = None
    for form in _forms(answer, gold):
        comparison = _compare_form(form, reference, gold)
        if comparison.same or comparison.same is None:
            return comparison
        first = first or comparison
    assert first is not None
    return first


def _forms(answer: str, gold: str) -> list[str]:
    """Return the forms of an answer that are compared, the fullest first."""
    bare = without_decoration(answer)
    short = without_remark(bare)
    forms = [answer, bare, short, without_lead(short, equations=False)]
    forms.append(without_remark(without_lead(bare, equations=False)))
    if quantity(gold) is not None:
        forms += [with_digits(short), as_fraction(short), *restated(with_digits(short))]
        if len(re.findall(r"[A-Za-z]{2,}", bare)) > 1 and (number := sole_number(short)):
            forms.append(number)
    return list(dict.fromkeys(cleaned(form) for form in forms if form.strip()))


def _compare_form(answer: str, reference: str, gold: str) -> Comparison:
    guess = tidy(answer)
    if (guess or gold) and _same_text(guess, gold):
        return Comparison(True, "the same text")
    if _PRIME.search(guess) and "'" not in gold and r"\prime" not in gold:
        return Comparison(False, "a prime that the reference does not have")
    tail = _TAIL.fullmatch(guess)
    if tail:
        guess = cleaned(tail.group(1))
    if (time := clock_time(gold)) is not None and (other := clock_time(guess)) is not None:
        return Comparison(time.same(other), "compared as times of day")
    if _EMPTY_SET.fullmatch(gold):
        return Comparison(_plain_words(guess) in _NO_SOLUTION or bool(_EMPTY_SET.fullmatch(guess)), "compared as words")
    if words := _words(reference, gold):
        said = _plain_words(guess)
        return Comparison(
            said in (words, f"on {words}", f"in {words}")
            or (words in _NO_SOLUTION and said in (*_NO_SOLUTION, r"\emptyset")),
            "compared as words",
        )
    if ":" in gold:
        guess = _RATIO_WORD.sub(":", guess)
    elif gold.isdecimal() and _RATIO.fullmatch(guess):
        return Comparison(False, "a ratio instead of a number")
    if "matrix}" in gold and (rows := _NESTED_LIST.fullmatch("".join(guess.split()))):
        guess = r"\begin{pmatrix}" + rows.group(1).replace("],[", r"\\").replace(",", "&") + r"\end{pmatrix}"
    if (equations := _equations(guess, gold)) is not None:
        return equations
    return _compared(guess, gold)


def _compared(guess: str, gold: str) -> Comparison:
    gold, guess = _without_name(gold, guess)
    target, value = quantity(gold, variables=True), quantity(guess)
    if target is None and value and value.unit:
        target = quantity(gold)
    if target and value:
        return Comparison(target.same(value), "compared as numbers")
    if target and _LEFT_TO_DO.search(guess):
        return Comparison(False, "a calculation left undone")
    by_structure = _compare_structure(guess, gold)
    if by_structure is not None:
        return by_structure
    return _by_meaning(guess, gold)


def _compare_structure(guess: str, gold: str) -> Comparison | None:
    """Compare the parts separated by brackets or commas; None if both are single expressions or differ in form."""
    left, right = (_MEMBER.sub("", text, count=1) for text in (guess, gold))
    parts, wanted = split_outside(left, _UNION), split_outside(right, _UNION)
    if len(parts) == 1 < len(wanted) and _INEQUALITY.search(left):
        parts = split_outside(left, _OR)
    if len(parts) == len(wanted) > 1 and _matched(parts, wanted):
        return Comparison(True, "the same union")
    mine, theirs = bracketed(left), bracketed(right)
    if mine and theirs and "{" not in (mine.opening, theirs.opening):
        parts, wanted = (split_outside(each.inner, _ANY_COMMA) for each in (mine, theirs))
        if len(wanted) > 1 or len(parts) > 1:
            same = (mine.opening, mine.closing, len(parts)) == (theirs.opening, theirs.closing, len(wanted))
            return Comparison(same and all(map(_same_part, parts, wanted)), "compared in order")
    if ":" in left and ":" in right and "\\" not in left + right:
        parts, wanted = left.split(":"), right.split(":")
        return Comparison(len(parts) == len(wanted) and all(map(_same_part, parts, wanted)), "compared as a ratio")
    wanted = _elements(right)
    parts = _elements(left) if len(wanted) < 2 else _elements(left, any_comma=len(wanted) > 1)
    if len(wanted) > 1 and not (mine and mine.opening != "{"):
        if len(parts) != len(wanted):
            return Comparison(False, f"{len(parts)} instead of {len(wanted)} elements")
        return Comparison(_matched(parts, wanted), "compared as a set")
    if len(parts) > 1 and quantity(right, variables=True):
        same = all(_same_part(part, right) for part in parts[:_MOST_PARTS])
        return Comparison(same, f"{len(parts)} elements instead of one" if not same else "several forms of one number")
    return None


def _elements(text: str, *, any_comma: bool = False) -> list[str]:
    r"""Return the elements of a set or list of solutions with `\pm` expanded; one element for a single expression.

    The name in `x = 1, x = 2` is dropped; different names, as in `x = 1, y = 2`, are kept.
    """
    inside = bracketed(text)
    body = inside.inner if inside and inside.opening == "{" else text
    parts = split_outside(body, _ANY_COMMA if any_comma else _COMMAS)
    names = {"".join(sides[0].split()) for part in parts if len(sides := split_outside(part, _EQUALS)) > 1}
    found: list[str] = []
    for part in parts:
        bare = _without_name(part, "")[0] if len(names) < 2 else part
        if r"\pm" in bare or r"\mp" in bare:
            upper = bare.replace(r"\pm", "+").replace(r"\mp", "-")
            lower = bare.replace(r"\pm", "-").replace(r"\mp", "+")
            found += [upper.strip().removeprefix("+").strip(), lower.strip().removeprefix("+").strip()]
        else:
            found.append(bare)
    return found[: _MOST_PARTS + 1]


def _matched(parts: list[str], wanted: list[str]) -> bool:
    """Check whether the parts match the wanted ones one to one, in any order."""
    if len(parts) != len(wanted) or len(parts) > _MOST_PARTS:
        return False
    left = list(wanted)
    for part in parts:
        found = next((other for other in left if _same_part(part, other)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _same_part(part: str, wanted: str) -> bool:
    return _same_text(part, wanted) or bool(_compared(part, wanted).same)


def _without_name(gold: str, guess: str) -> tuple[str, str]:
    """Strip a leading `x =` from both texts, and from the answer also the steps before its last `=`.

    Both are returned unchanged if the reference is an equation whose left side is more than a name, or if the names
    differ.
    """
    wanted, found = split_outside(gold, _EQUALS), split_outside(guess, _EQUALS)
    named = [sides[0] for sides in (wanted, found) if len(sides) == 2 and _NAME.fullmatch(sides[0])]
    if len(wanted) > 1 and not _NAME.fullmatch(wanted[0]):
        return gold, guess
    if len(named) == 2 and "".join(named[0].split()) != "".join(named[1].split()):
        return gold, guess
    if len(found) > 1 and not split_outside(guess, _COMMAS)[1:]:
        guess = found[0] if _NAME.fullmatch(found[-1]) and not _NAME.fullmatch(found[0]) else found[-1]
    if len(wanted) > 1 and not split_outside(gold, _COMMAS)[1:]:
        gold = wanted[-1]
    return gold, guess


def _by_meaning(guess: str, gold: str) -> Comparison:
    """Compare two expressions with math-verify. Raises EngineError if it is not installed."""
    wanted, found = _parsed(gold), _parsed(guess)
    if not any(not isinstance(part, str) for part in wanted):
        return Comparison(None, f"math-verify can't read the reference {gold!r}")
    if not any(not isinstance(part, str) for part in found):
        return Comparison(False, "math-verify can't read the answer")
    _, verify, _ = _math_verify()
    same = verify(wanted, found, float_rounding=_FLOAT_PLACES, allow_set_relation_comp=True, timeout_seconds=None)
    return Comparison(bool(same) and not _differ_relatively(wanted, found), "compared by math-verify")


def _differ_relatively(wanted: list[Any], found: list[Any]) -> bool:
    """Check whether two numbers differ by more than rounding relative to their size.

    math-verify rounds to decimal places, so that two different numbers below 10^-12 are equal to it.
    """
    one, other = (next((part for part in parts if not isinstance(part, str)), None) for parts in (wanted, found))
    if not (getattr(one, "is_number", False) and getattr(other, "is_number", False)):
        return False
    try:
        left, right = one.evalf(_DIGITS), other.evalf(_DIGITS)  # type: ignore[union-attr]
        return bool(abs(left - right) > _RELATIVE * max(abs(left), abs(right)))
    except (TypeError, ValueError, ArithmeticError, AttributeError):
        return False


def _equations(guess: str, gold: str) -> Comparison | None:
    """Compare two equations, which are the same if one is a constant multiple of the other; None for other texts."""
    sides = [split_outside(text, _EQUALS) for text in (guess, gold)]
    if any(len(parts) != 2 for parts in sides) or _COMMA.search(guess + gold):
        return None
    if _NAME.fullmatch(sides[0][0]) and sides[0][0] == sides[1][0]:
        return None
    try:
        (left, right), (wanted_left, wanted_right) = ([_expression(part) for part in parts] for parts in sides)
        if None in (left, right, wanted_left, wanted_right):
            return None
        found, wanted = left - right, wanted_left - wanted_right
        if not (wanted.free_symbols and found.free_symbols == wanted.free_symbols) or len(wanted.free_symbols) < 2:
            return None
        ratio = (found / wanted).cancel()
    except Exception:  # noqa: BLE001  sympy may raise anything on a malformed expression
        return None
    same = not ratio.free_symbols and ratio.is_number and ratio != 0
    return Comparison(True, "the same equation") if same else None


def _expression(text: str) -> Any:
    return next((part for part in _parsed(text) if not isinstance(part, str)), None)


def _parsed(text: str) -> list[Any]:
    """Parse a text with math-verify's LaTeX grammar; returns sympy objects followed by the text itself."""
    parse, _, targets = _math_verify()
    exact = _COMMAS_IN_NUMBERS.sub(lambda match: match.group().replace(",", ""), text)
    exact = _DECIMAL.sub(
        lambda match: rf"\frac{{{match.group(1)}{match.group(2)}}}{{1{'0' * len(match.group(2))}}}", exact
    )
    parsed: list[Any] = parse(f"${without_unit(exact)}$", extraction_config=targets, parsing_timeout=None)
    return parsed


def _same_text(guess: str, gold: str) -> bool:
    """Check whether two texts are equal, ignoring spaces except those between digits."""
    left, right = (_DIGIT_GAP.sub("_", text) for text in (guess, gold))
    return "".join(left.split()) == "".join(right.split())


def _words(reference: str, gold: str) -> str | None:
    r"""Normalise a reference that consists of words; None for mathematics.

    Words are wrapped in `\text{}`, or include one of more than three letters, which is no product of variables.
    """
    wrapped = re.fullmatch(r"\\(?:text|mathrm|textrm|mbox|textbf|mathbf|textit)\s*\{.*\}", reference.strip(" $."))
    plain = _plain_words(gold)
    if wrapped and not re.search(r"\d", plain):
        return plain
    long = _WORDS.fullmatch(gold) and any(len(word) > 3 for word in gold.split())
    return plain if long else None


def _plain_words(text: str) -> str:
    bare = cleaned(without_text(text)).strip(" .!")
    if inside := bracketed(bare):
        bare = inside.inner
    return " ".join(_ARTICLE.sub("", bare, count=1).split()).casefold()


@lru_cache(maxsize=1)
def _math_verify() -> tuple[Any, Any, list[Any]]:
    """Return math-verify's `parse` and `verify`, and the extraction configuration in use."""
    try:
        library = import_module("math_verify")
    except ImportError as error:
        message = f"judging math answers needs math-verify: pip install 'reflectevo[engine]' ({error})"
        raise EngineError(message) from error
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    plain = library.LatexExtractionConfig()
    # Its default list of units would remove the variables of `5m` or `3h`.
    return (
        library.parse,
        library.verify,
        [replace(plain, normalization_config=replace(plain.normalization_config, units=False))],
    )
