"""Compares short texts: SQuAD's normalisation, except where it would make different answers equal.

Lower case, no punctuation, no articles, single spaces (Rajpurkar et al. 2016, section 6.1). Kept are the sign and the
separators of numbers (`-5`, `10:30`, `3.5`, `1/2`), symbols that belong to a word (`C++`, `C#`), comparison signs
before a number, a minus behind one or two letters (`A-`), and an article at the end (`vitamin A`). Composed and
decomposed letters are equal (NFC), an accent is ignored where the reference has none, as are spaces between brackets.
Number words equal their digits, and a date equals the same date in another order. Independent of replies.
"""

from __future__ import annotations

import re
import string
import unicodedata

from engine.tasks.answers.extraction import cleaned
from engine.tasks.answers.number_words import with_digits
from engine.tasks.answers.region_names import is_region
from engine.tasks.answers.remarks import without_decoration, without_lead, without_remark, yes_no_head

_QUOTES = str.maketrans({"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "-", "−": "-", "×": "x", "…": "."})
_THOUSANDS = re.compile(r"(?<![\d.,])\d{1,3}(?:,\d{3})+(?![\d,])")
_AMPERSAND = re.compile(r"\s&\s")
_KEPT = re.compile(
    r"(?<=\d)[:./-](?=\d)|(?<![\w)])-(?=\.?\d)|(?<=\w)[+#]+(?!\w)|[<>=≤≥≠]+(?=\s?\.?\d)|\^(?=\w)"
    r"|(?<=\w)\*(?=\w)|(?<=^[a-z])-$|(?<=^[a-z]{2})-$"
)
_PUNCTUATION = frozenset(string.punctuation + "¿¡«»·•")
_ARTICLE = re.compile(r"\b(?:a|an|the)\b(?=\s+\S)")
_ISO_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})")
_MONTHS = {
    name: number
    for number, names in enumerate(
        "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|september sep sept|october oct|"
        "november nov|december dec".split("|"),
        start=1,
    )
    for name in names.split()
}
_HYPHEN = re.compile(r"(?<=[^\W\d])[-‐‑](?=[^\W\d])")
"""A hyphen between letters, which is as often written as a blank: "mother in law"."""
_BRACKETS = re.compile(r"[()\[\]{}<>\s]+")
_YEARS = re.compile(r"\s\((?:born |b\. )?\d{4}(?:\s?[–—-]\s?(?:\d{4})?)?\)$")
_APPOSITION = re.compile(r"\s(?:an?|the)(?!.*\b(?:and|or|not|nor)\b)(?:\s[a-z-]+|\s(?:of|in|from)\s[A-Z][\w-]+){1,6}")
"""What an answer is, after a comma: "Marie Curie, a physicist"."""
_NUMBER = re.compile(r"(-?\d+)\.0+")


def simplified(text: str) -> str:
    """Normalise a text: lower case, without articles and without punctuation that does not change the meaning."""
    current = _wide(unicodedata.normalize("NFC", text)).translate(_QUOTES).lower()
    current = _THOUSANDS.sub(lambda match: match.group().replace(",", ""), with_digits(current))
    current = _AMPERSAND.sub(" and ", current).replace("per cent", "percent").replace("%", " percent ")
    kept = {position for match in _KEPT.finditer(current) for position in range(*match.span())}
    bare = "".join(
        letter if position in kept or letter not in _PUNCTUATION else "" if letter != "," else " "
        for position, letter in enumerate(current)
    )
    words = _ARTICLE.sub(" ", " ".join(bare.split())).split()
    if len(words) == 2 and words[1] == "percent":
        words = words[:1]
    return " ".join(_NUMBER.sub(r"\1", word) if _NUMBER.fullmatch(word) else word for word in words)


def exact_match(answer: str, reference: str) -> bool:
    """Check whether two texts are equal once normalised; if normalisation empties both, compare them unchanged."""
    one, other = simplified(answer), simplified(reference)
    if not one and not other:
        joint = "" if _BRACKETS.fullmatch(reference) else " "
        return joint.join(answer.lower().split()) == joint.join(reference.lower().split())
    if one == other or (other.isascii() and _without_accents(one) == other):
        return True
    if _HYPHEN.search(answer) or _HYPHEN.search(reference):
        spaced = (simplified(_HYPHEN.sub(" ", text)) for text in (answer, reference))
        if next(spaced) == next(spaced):
            return True
    date = _date(one)
    return date is not None and date == _date(other)


def answer_forms(answer: str, *, sentence: bool = True) -> list[str]:
    """Return the forms of an answer without decoration, a lead ("it is"), a reason or a region, the fullest first.

    A form never leaves out another answer or a negation. With `sentence`, the beginning of a sentence is a lead.
    """
    forms = [answer, without_decoration(answer), without_remark(answer)]
    if sentence:
        forms += [without_lead(form) for form in forms] + [without_remark(without_lead(answer))]
    found = list(dict.fromkeys(cleaned(form) for form in forms if form))
    found += [shorter for form in found if (shorter := _YEARS.sub("", form)) != form]
    for form in tuple(found):
        head, comma, rest = form.partition(",")
        if comma and (is_region(rest) or _APPOSITION.fullmatch(rest)):
            found.append(head.strip())
        if (word := yes_no_head(form)) is not None:
            found.append(word)
    return found


def _without_accents(text: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKD", text) if not unicodedata.combining(letter))


def _date(text: str) -> tuple[int, ...] | None:
    """Return (month, sorted other numbers) of a normalised date such as `june 5 1944`; None for other texts."""
    if iso := _ISO_DATE.fullmatch(text):
        year, month, day = (int(part) for part in iso.groups())
        return (month, *sorted((day, year)))
    words = [word for word in text.split() if word not in {"of", "on", "in", "the"}]
    months = [word for word in words if word in _MONTHS]
    numbers = [re.sub(r"(?<=\d)(?:st|nd|rd|th)$", "", word) for word in words if word not in _MONTHS]
    if len(months) != 1 or not numbers or not all(number.isdecimal() and len(number) < 5 for number in numbers):
        return None
    return (_MONTHS[months[0]], *sorted(map(int, numbers)))


def _wide(text: str) -> str:
    """Replace full-width letters and digits by the usual ones."""
    return "".join(
        unicodedata.normalize("NFKC", letter) if unicodedata.decomposition(letter).startswith("<wide>") else letter
        for letter in text
    )
