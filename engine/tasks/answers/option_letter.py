r"""Finds the single option of a multiple-choice question that an answer names, by its letter or its text.

`B`, `(b)`, `B. text`, `option B`, `\textbf{(B)}\ text`, `text (option B)`, "B, because …", "not A but B", "the
second option". Two options, a letter with another option's text, and a negated option name none. Independent of replies
and of the right option.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.tasks.answers.extraction import cleaned
from engine.tasks.answers.number_words import with_digits
from engine.tasks.answers.remarks import without_decoration, without_lead, without_remark

_LONGEST = 600
"""Maximum number of characters that an answer has beside the text of an option."""

_LATEX = re.compile(
    r"\\(?:text|textbf|textit|mathbf|mathrm|mathit|textrm|operatorname|emph|boxed|mbox)\s{0,4}\{([^{}]*)\}"
)
_COMPUTED = re.compile(r"[\d(][\d\s.,()+*/×÷·^−-]{2,80}=\s{0,3}([-+−]?\d[\d.,]*)")
"""A computation, whose result is meant: `14 - 2 = 12`."""
_LATEX_SPACE = re.compile(r"\\[ ,;:!]|~|\\quad(?![a-z])")
_MARKUP = re.compile(r"\*\*|__|`|\$|\\[()\[\]]")
_BARE = re.compile(r"[(\[{<]{0,2}([A-Ja-j])[)\]}>]{0,2}[.:)]?")
_LABELLED = re.compile(r"(?i:(?:option|choice|letter|answer)s?)\s{1,3}[\"'“‘(\[]{0,2}([A-Ja-j])[)\]\"'”’]{0,2}[.:]?")
_OPENING = re.compile(
    r"(?:(?i:option|choice|letter|answer)\s+)?(?:[(\[]([A-Ja-j])[)\]][.:,]?|([A-J])\)|([A-J])[.:,;](?=\s)"
    r"|([A-J])(?=\s+[-–—=]|\s+\())"
)
_LABELLED_OPENING = re.compile(r"(?i:option|choice|letter)\s+([A-Ja-j])(?=[,.:;]?\s|$)")
_CLOSING = re.compile(
    r"(?s)(.+?)[\s,]{1,3}(?:[-–—=:]\s|→\s)?[(\[]?\s?(?:(?i:option|choice|answer|letter"
    r"|which is)\s+)*(?:(?i:option|choice)\s+)?[(\[]?([A-J])[)\]]{0,2}"
)
_PREFERRED = re.compile(
    r"(?is)(.+?),?\s+(?:over|rather than|instead of|as opposed to|and not|but not|not"
    r"|unlike)\s+(?:option\s+)?[(\[]?[A-J]\b.*"
)
_NOT_BUT = re.compile(r"(?is)not\s+(?:option\s+)?(.{1,80}?),?\s+but\s+(?:rather\s+|instead\s+)?(.+)")
_NEGATED = re.compile(
    r"(?is)(?:(?:definitely|certainly|clearly|probably|is|it['’]s)\s+)*(?:not|neither|never|none of)\b.*"
    r"|[(\[]?[A-J][)\]]?(?:\s+(?:is|was|can|could|would|does)\b)?\s*(?:n['’]t|not|wrong|incorrect|cannot|can['’]t|false)\b.*"
    r"|(?:any|all|anything|everything)\s+(?:thing\s+)?(?:but|except)\b.*"
)
_PLACE = re.compile(
    r"(?i)(?:the\s+)?(first|second|third|fourth|fifth|last)\s+(?:option|choice|answer|statement|one|alternative)"
)
_PLACES = {"first": 0, "second": 1, "third": 2, "fourth": 3, "fifth": 4, "last": -1}
_HEDGE = r"(?:also|alternatively|otherwise|else|maybe|perhaps|possibly|even|option|choice|probably|likely)"
_OTHER = re.compile(
    rf"(?i:\b(?:and|or|nor|{_HEDGE})\b|[,/&;+|])\s*(?i:{_HEDGE}\s+)*[(\[]?([A-J])\b[)\]]?(?!['’\w])(?!\s+(?i:is|are|was)\b)"
)


def single_letter(answer: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the single option that an answer names; None if it names no option or more than one.

    Args:
        answer: the extracted answer.
        options: letter → text, for the options whose text is known.
    """
    if len(answer) > _LONGEST + 2 * max(map(len, options.values()), default=0):
        return None
    text = re.sub(r"^[-–•]\s+", "", _plain(answer))
    forms = dict.fromkeys(
        (text, text.removeprefix("that "), without_remark(text), without_lead(text), without_remark(without_lead(text)))
    )
    if computed := _COMPUTED.fullmatch(without_remark(text)):
        forms = {computed.group(1): None}
    for form in forms:
        if named := _by_text(form, options):
            return named
    for form in forms:
        if _NEGATED.fullmatch(form) and (but := _NOT_BUT.fullmatch(form)):
            return _named(but.group(2), options)
    if any(_NEGATED.fullmatch(form) for form in forms):
        return None
    for form in forms:
        letter = _named(form, options)
        if letter is not None:
            # A reason may mention other options, but what was cut off must not add one as an alternative.
            return letter if not _alternatives(text, letter, options) else None
    return None


def same_option(one: str, other: str) -> bool:
    """Check whether two texts are the same option, ignoring markup, case, spacing and a final mark."""
    left, right = (" ".join(cleaned(text).casefold().rstrip(".!?;, ").split()) for text in (one, other))
    return bool(left) and left == right


def _plain(answer: str) -> str:
    """Return an answer without LaTeX commands, emphasis and emoji."""
    current = answer
    while (shorter := _LATEX.sub(r" \1 ", current)) != current:
        current = shorter
    current = _MARKUP.sub("", _LATEX_SPACE.sub(" ", current))
    return cleaned(without_decoration(" ".join(current.split())))


def _by_text(text: str, options: Mapping[str, str]) -> str | None:
    """Return the letter of the only option with this text; None if there is none."""
    named = [letter for letter, option in options.items() if same_option(text, option)]
    if not named and (digits := with_digits(text)) != text:
        named = [letter for letter, option in options.items() if same_option(digits, option)]
    return named[0] if len(named) == 1 else None


def _named(text: str, options: Mapping[str, str]) -> str | None:
    """Return the single option that a text names by a letter, alone or with the option's text."""
    text = cleaned(without_decoration(text))
    for pattern in (_BARE, _LABELLED):
        if match := pattern.fullmatch(text):
            return match.group(1).upper()
    if letter := _by_text(text, options):
        return letter
    if place := _PLACE.fullmatch(text):
        letters, index = sorted(options), _PLACES[place.group(1).lower()]
        return letters[index] if len(letters) > max(index, 0) else None
    if preferred := _PREFERRED.fullmatch(text):
        return _named(preferred.group(1), options)
    match = _OPENING.match(text) or _LABELLED_OPENING.match(text)
    if match is not None:
        return _with_text(match, text, options)
    if (closing := _CLOSING.fullmatch(text)) and closing.group(2) in options:
        named = _by_text(without_lead(closing.group(1)).strip(" ,:;-–—("), options)
        return closing.group(2) if named == closing.group(2) else None
    return _followed(text, options)


def _with_text(match: re.Match[str], text: str, options: Mapping[str, str]) -> str | None:
    """Return the letter at the beginning of a text; None if the text of another option or another letter follows."""
    letter = next(group for group in match.groups() if group).upper()
    rest = text[match.end() :].strip(" -–—=:,.;")
    inner = rest[1:-1] if rest.startswith("(") and rest.endswith(")") else rest
    for shown in (rest, inner, without_remark(rest)):
        if letter in options and same_option(shown, options[letter]):
            return letter
        if any(same_option(shown, other) for other in options.values()):
            return None
    return letter


def _followed(text: str, options: Mapping[str, str]) -> str | None:
    """Return the option whose text begins a longer text, up to a comma, colon, semicolon or dash; the longest
    counts."""
    folded = " ".join(text.casefold().split())
    found: list[tuple[int, str]] = []
    for letter, option in options.items():
        start = " ".join(cleaned(option).casefold().rstrip(".!?;, ").split())
        if start and re.match(r"\s?[,;:.(]|\s[-–—]\s", folded[len(start) :]) and folded.startswith(start):
            found.append((len(start), letter))
    if not found:
        return None
    size, letter = max(found)
    rest = folded[size:].strip(" ,;:.(-–—)")
    others = [" ".join(cleaned(text).casefold().split()) for other, text in options.items() if other != letter]
    second = re.match(r"(?:or|and|maybe|perhaps|also)\b", rest)
    listed = any(other and rest.startswith(other) for other in others)
    return None if second or listed else letter


def _alternatives(text: str, letter: str, options: Mapping[str, str]) -> set[str]:
    """Return the other letters that a text gives as alternatives to a letter, outside a reason."""
    bare = without_remark(without_lead(text))
    if preferred := _PREFERRED.fullmatch(bare):
        bare = preferred.group(1)
    if known := " ".join(options.get(letter, "").split()):
        bare = re.sub(re.escape(known), " ", bare, flags=re.IGNORECASE)
    return {other.group(1).upper() for other in _OTHER.finditer(bare)} - {letter}
