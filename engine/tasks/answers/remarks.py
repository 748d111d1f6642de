"""Separates an answer from what a model writes around it: a lead ("it is …"), a reason, a closing remark, an emoji.

Each function removes one kind of addition and leaves a text without it unchanged; none of them removes a second answer
("13 or 14"), a bound ("more than 13") or a negation ("not 13"). Independent of task kinds and of references.
"""

from __future__ import annotations

import re
import unicodedata

YES_NO = frozenset({"yes", "no", "true", "false"})
_DOUBT = re.compile(r"(?i)^\s*(?:or|and|but)\b|\b(?:perhaps|maybe|possibly|not sure|unsure|i guess)\b")
_KEPT_SYMBOLS = "°℃℉%‰"
_LONGEST = 600
"""Characters of a text in which additions are looked for; longer texts are no short answers."""

_REASON_WORDS = (
    r"because|since|as\s(?!well)|for\s(?:the\s)?(?:reason|example)|see|i\.e\.|e\.g\.|that is|which"
    r"|where|by|from|rounded|"
    r"approx\.?|approximately|given|due|note|using|after|according|so|it|this|they|the other|not|explained|based|"
    r"I\b|we\b|final|my|answer|correct"
)
_PARENTHESIS = re.compile(
    rf"(?i)\s?\((?:{_REASON_WORDS})(?!\w)[^()]{{0,200}}(?:\([^()]{{0,80}}\)[^()]{{0,200}})?\)[.!]?$"
)
_REASON = re.compile(
    r"(?is)(?:\s{0,2}[,;:–—-]\s{0,2}|\s)(?:because|since|as opposed to|rather than|instead of|given that|due to|"
    r"in order to|owing to)\b.*$"
    r"|\s{0,2}[,;]\s{0,2}(?:as|so|which|where|hence|thus|therefore|for|this|that is|i\.e\.|namely"
    r"|giving|making|based on|"
    r"according to|after|by|not)\b.*$"
    r"|\s[-–—]\s(?:as|so|it|this|that|the|we|i)\s.*$"
)
_CLOSING = re.compile(
    r"(?i)\s{0,2},?\s{1,2}(?:altogether|in total|in all|total|overall|respectively|combined|i (?:think|believe|guess)|"
    r"i['’]m (?:sure|certain)|right|of course|indeed|exactly|instead|in the end|as (?:requested|required|expected)|"
    r"final answer|as (?:the|a|my) (?:final )?answer)$"
)
_SENTENCE = re.compile(
    r"(?s)(?<=[\w)\]}$*\"”%])(?<!\b[A-Za-z])(?<!\bSt)(?<!\bDr)(?<!\bMr)(?<!\bMrs)(?<!\bMt)[.!?]\s{1,3}"
    r"(?=[A-Z(“\"]).*$"
)
_LEAD = re.compile(
    r"(?i)(?:so|thus|hence|therefore|well|okay|ok|then|clearly|finally|now),?\s{1,3}"
    r"|(?:i|we)\s(?:(?:would|will|do|can)\s)?(?:think|believe|guess|say|conclude|get|find|am sure"
    r"|['’]d say|choose|pick|"
    r"go with|have)(?:\sthat)?:?,?\s"
    r"|i['’]d\s(?:say|choose|pick|go with|guess)(?:\sthat)?:?\s"
    r"|(?:it|that|this|there|he|she)['’]s\s"
    r"|(?:it|that|this|there|he|she|they|the|its|his|her|their|my|our|a|an|these|those)\b[\w'’, ]{0,80}?\s?\b"
    r"(?:is|are|was|were|equals|will be|would be|must be|should be|has to be|has|have|becomes|appears"
    r"|comes to|comes out to)"
    r"(?=\W):?\s{0,2}(?:equal to\s|exactly\s)?"
    r"|(?:therefore|thus|definitely|clearly|probably|likely|most likely|certainly|simply|just"
    r"|obviously|actually|indeed|"
    r"exactly|option|choice|number|letter)\s"
)
_EQUALS_LEAD = re.compile(r"^(?:[A-Za-z][\w ()]{0,40}\s?|[A-Za-z]{2,20}\([\w ,]{1,60}\)\s?)?(?:=|:)\s{0,2}(?=\S)")
_DETERMINER = re.compile(r"(?i)^(?:the|an?|his|her|their|its|my|your|our)\s{1,2}(?=\S)")
_NUMBER = re.compile(
    r"(?<![\w.,/])[-−+]?(?:[$€£]\s?)?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?![\d/^*×+=<>:]|\.\d|,\d"
    r"|\s?[/^*×+=<>]\s?\d)(?!\w)"
)
_ANY_DIGITS = re.compile(r"\d+(?:[.,]\d+)*")
_UNCERTAIN = re.compile(
    r"(?i)\b(?:not|never|no|nor|neither|cannot|or|and|either|between|more|less|fewer|greater|least|most|over|under|above|below|"
    r"than|up to|plus|minus|"
    r"mod|squared|cubed|dozens?|hundreds?|thousands?|millions?|billions?|half"
    r"|halves|third|quarter|"
    r"percent|"
    r"two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|maybe|might|could|if|when|unless|wrong|incorrect|"
    r"square|root|power|"
    r"multiples?|divisible|nearly|almost|other than|"
    r"factorial|versus|vs|through|twice|double|log|except|without|first|second|step)\b|n['’]t\b|[≤≥<>≠~±√^]"
)


def without_decoration(text: str) -> str:
    """Strip emoji and check marks at both ends of a text, and a final comma, colon, question or exclamation mark."""
    current = text.strip()
    while current:
        shorter = current.rstrip(" \t,;?…").rstrip()
        if shorter.endswith("!") and not re.search(r"[\d)]!+$", shorter):
            shorter = shorter[:-1].rstrip()
        shorter = shorter.removesuffix(":").rstrip()
        if shorter and _is_symbol(shorter[-1]):
            shorter = shorter[:-1].rstrip()
        if shorter and _is_symbol(shorter[0]):
            shorter = shorter[1:].lstrip()
        if shorter == current:
            return current
        current = shorter
    return text.strip()


def without_remark(text: str) -> str:
    """Strip a reason, a remark in parentheses that gives one, a closing phrase and further sentences."""
    current = text.strip()
    if len(current) > _LONGEST:
        return current
    for pattern in (_SENTENCE, _REASON, _PARENTHESIS, _CLOSING):
        shorter = pattern.sub("", current, count=1).strip()
        current = shorter or current
    return without_decoration(current)


def without_lead(text: str, *, equations: bool = True) -> str:
    """Strip the beginning of a sentence that states an answer, e.g. "I think it is" or "The GCD is".

    With `equations` also "x =", whatever the name.

    A negation stays: "It is not 13" becomes "not 13".
    """
    current = text.strip()
    if len(current) > _LONGEST:
        return current
    for _ in range(4):
        match = _LEAD.match(current) or (_EQUALS_LEAD.match(current) if equations else None)
        if match is None or not current[match.end() :].strip():
            break
        current = current[match.end() :].strip()
    return current


def yes_no_head(text: str) -> str | None:
    """Return the yes, no, true or false with which a text begins, before a comma; None if it is anything else, or if a
    doubt or the opposite follows ("Yes, perhaps")."""
    head, comma, rest = text.partition(",")
    word = head.strip(" *_`\"'")
    if not comma or word.casefold() not in YES_NO or _DOUBT.search(rest):
        return None
    others = YES_NO - {word.casefold()}
    return None if others & set(re.findall(r"\w+", rest.casefold())[:3]) else word


def without_determiner(text: str) -> str:
    """Strip an article or a possessive pronoun before a word."""
    return _DETERMINER.sub("", text.strip(), count=1)


def sole_number(text: str) -> str | None:
    """Return the only number in a sentence, e.g. "5" in "The letter appears 5 times."; None if it has several, or if
    the sentence negates, bounds, scales or combines the number."""
    if len(text) > _LONGEST or _UNCERTAIN.search(text):
        return None
    found = [match.group() for match in _NUMBER.finditer(text)]
    return found[0] if len(found) == 1 == len(_ANY_DIGITS.findall(text)) else None


def _is_symbol(character: str) -> bool:
    """Check whether a character is an emoji or another pictograph, or a modifier of one."""
    if character in _KEPT_SYMBOLS:
        return False
    return unicodedata.category(character) == "So" or character in "\ufe0f\u200d"
