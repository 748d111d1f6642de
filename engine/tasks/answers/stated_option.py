r"""Detects reflections that state the right option of a question: by its letter, position or text, or by excluding all
others.

The options are replaced by marks first, however the text refers to them (`(B)`, "option B", "the second option", the
full text of B), so that each pattern is written once. Describing the attempt ("I chose B too fast", "I ruled out B too
early") and mentioning options without a preference ("I never compared B, C and D") state nothing. Linear in the length
of the text, in which runs of blanks are expected to be collapsed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from engine.tasks.answers.extraction import cleaned
from engine.tasks.base import normalised

_SHORTEST_TELLING_TEXT = 4
_SHORTEST_TELLING_OPTION = 12
_MOST_OPTIONS = 26

_MARK = r"⟦[A-Z]⟧"
_OPEN = r"(?:[\"'“‘(*`\[]{0,4}(?:the )?(?:(?:option|choice|answer|letter|statement|possibility)s? )?[\"'“‘(*`\[]{0,4})"
_CLOSE = r"[\"'”’)*`\]]{0,4}"
_ONE = rf"{_OPEN}{_MARK}{_CLOSE}"
_LIST = rf"{_ONE}(?:(?: ?, ?| ?/ ?| )?(?:(?:and|or|nor|not|&) ){{0,2}}{_ONE}){{0,25}}"
_WEIGHED = rf"{_ONE}(?:(?: ?, ?| ?/ ?| )?(?:(?:and|or|nor|with|against|from|to|versus|vs\.?) ){{0,2}}{_ONE}){{0,25}}"
_RIGHT = (
    r"(?:the |a |an )?(?:only |most |one |single |really |actually )?"
    r"(?:correct|right|true|answer|solution|possible|valid|supported|accurate|it\b|best|the one|an option|plausible)"
)
_DENIED = (
    rf"(?:(?:is|are|was|were|be|seems?|would be|could be|can|could|must|does|do|may|might)(?: not|n['’]t)"
    rf"(?: (?:be|both|possibly|really|actually|all|either)){{0,2}}(?: {_RIGHT}| (?:fit|follow|work|hold|apply|match))|"
    rf"(?:cannot|can['’]t)(?: (?:be|both|possibly|really|actually|all|either)){{0,2}}(?: {_RIGHT}| (?:fit|"
    rf"follow|work|hold|apply|match))|"
    r"(?:cannot|can['’]t|does not|doesn['’]t|do not|don['’]t|could not|couldn['’]t)"
    r" (?:explain|account for|support|justify|satisfy|answer)\b|"
    r"(?:is|are|was|were|must be|can be|should be|seems?|would be|have been|has been)"
    r"(?: (?:both|all|also|clearly|certainly|therefore|thus|then|obviously|definitely|each|plainly)){0,2}"
    r" (?:wrong|incorrect|false|impossible|ruled out|excluded|eliminated|out\b|invalid|contradicted)|"
    r"contradicts?|(?:is|are|was|were) not it\b)"
)
_ELIMINATING = (
    re.compile(rf"(?i)\b(?:neither(?: of)?|none of)(?: the options)? (?P<list>{_LIST})"),
    re.compile(
        r"(?i)(?:\b(?:is|was|are|be|can|could|must|should|does|do|would|will)(?: not|n['’]t)|\bcannot|"
        r"\bcan['’]t|\bnot|\bnever)"
        rf"(?: (?:be|both|possibly|either))? (?P<list>{_LIST})(?= ?(?:[.,;:!?)]|$|\n)| (?:and|or|nor|but|"
        rf"because|since|as|so)\b)"
    ),
    re.compile(rf"(?i)(?P<list>{_LIST}) {_DENIED}"),
    re.compile(
        r"(?i)(?<!I )(?<!I have )(?<!I had )\b(?:(?:rul|cross)(?:e|es|ing)? out|eliminat(?:e|es|ing)|"
        r"exclud(?:e|es|ing)|"
        rf"discard(?:s|ing)?|reject(?:s|ing)?)(?: both| all)? (?P<list>{_LIST})"
    ),
)
"""Patterns whose group `list` names options that the text excludes."""

_CHOSEN = (
    r"(?:(?:should|must|could|would|ought to|will|to|'ll|’ll|I'd|can)(?: have| now| instead| rather| simply)?"
    r" (?:choose|chosen|pick(?:ed)?|select(?:ed)?|go with|gone with|go for|gone for|take|taken|opt(?:ed)? for|"
    r"answer(?:ed)?(?: with)?|say|said|prefer(?:red)?|mark(?:ed)?|been|switch to|change(?: \w+){0,3} to|settle on|use)"
    r"|(?:^|[.!?:;,\n] ?|\band |\bso |\bthen |\binstead )(?:please )?(?:choose|pick|select|go with|opt for|switch to)"
    r"|\b(?:answer|option|choice|solution|result|it|that|this|letter)"
    r" (?:is|was|must be|should be|should have been|has to be|would be|will be|can only be|could only be|ought to be)"
    r"(?: (?:actually|really|indeed|therefore|clearly|in fact|then|thus|definitely|only|just|simply)){0,2}"
    r"|\b(?:leaves?|leaving|points? to|remains?|remaining(?: option| one)?(?: is)?)(?: us|"
    r" me)?(?: with)?(?: only| just)?)"
)
_FITS = (
    r"(?:(?:is|was|must be|should be|should have been|has to be|would be|seems(?: to be)?|would have been|'s|’s)"
    r"(?: (?:actually|really|indeed|therefore|clearly|in fact|then|thus|definitely|also|probably|likely)){0,2}"
    r" (?:the |a )?(?:only |one |most |much )?(?:correct|right|true|best|better|answer|accurate|supported|"
    r"proper|intended|"
    r"appropriate|logical|one\b(?! of)|solution|left)|fits|follows|holds|works|matches|applies|remains|is what)"
)
_OTHER = (
    r"(?:the |an? )?(?:only )?(?:(?:other|opposite|remaining|alternative) (?:option|answer|choice|one|"
    r"alternative|statement|"
    r"possibility|letter|label|value|word|conclusion)\b|(?:opposite|other|alternative)(?=[.,;:!?)]| ?$|\n"
    r"| (?:is|was|must|should|fits|follows|holds|works|because|since|as|instead)\b))"
)
_NUMBERED = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
_POSITION = re.compile(
    rf"(?i)\b(?:the|his|her|its) ({'|'.join(_NUMBERED)}|last|final)(?: (?:listed|given|possible))?"
    r" (?:(?:option|choice|alternative)\b|(?:\w{1,20} )?(?:in|on|of) (?:the|this) (?:list|options)\b)"
    rf"|\bthe ({'|'.join(_NUMBERED)}|last|final) (?:explanation|answer)(?= (?:is|was) (?:the )?(?:correct|right))"
    rf"|(?<=choice is )the ({'|'.join(_NUMBERED)}|last)(?= ?(?:[.,;!)]|$))"
    rf"|(?<=(?:option|answer) is )the ({'|'.join(_NUMBERED)}|last)(?= ?(?:[.,;!)]|$))"
    r"|\b(?:option|choice|alternative) (?:number )?([1-9]|one|two|three|four|five)(?!\w|\.\d)"
)
_CARDINALS = ("one", "two", "three", "four", "five")
_LETTER = re.compile(
    r"(?i:\b(?:options?|choices?|letters?|answers?) )[\"'“‘(*`\[]{0,4}(?P<labelled>[A-Z])\b(?!['’])"
    r"|(?i:\b(?:option|choice|letter) )(?P<small>[a-z])(?![\w'’])"
    r"|[\"'“‘(*`\[](?P<quoted>[A-Z])[\"'”’)*`\]]"
    r"|(?<![\w'’⟦.])(?P<bare>[B-HJ-Z])(?![\w'’⟧]|\.\w)"
    r"|(?<![\w'’⟦.])(?P<listed>[AI])(?= ?(?:[,;:!?)/]|\.(?!\w)|$|\n)| (?:and|or|nor|is|are|was|can|cannot|"
    r"does|has|must|but|"
    r"because|since|contradicts|fits|follows)\b)"
)
_NAMING = (
    r"(?:\b(?:answer|result|solution|option|choice|letter|conclusion|label)\b(?: \w{1,20}){0,2}?"
    r"(?: (?:is|was|are|be|isn['’]t|wasn['’]t|cannot be|can['’]t be)\b| ?[:=])(?: (?:actually|really|not|indeed))? ?|"
    r"\b(?:should|must|cannot|can['’]t|could not|couldn['’]t)(?: not)? (?:be|have been) )[\"'“‘(*`$\[{]{0,4}"
)
_NEUTRAL = re.compile(
    r"(?i)\b(?:whether|compared?|comparing|between|either|if|might|moving forward|going forward|"
    r"confus\w{1,5}|distinguish\w{0,4})\b"
)
_SHORT_NAME = re.compile(r"[A-Z][a-z]{2}")
_SENTENCE = re.compile(r"[.!?](?=\s|$)|\n")
_EXCEPTED = re.compile(
    rf"(?i)\b(?:all|every\w*|any\w*|none|nothing|no)\b(?: \w{{1,20}}){{0,3}}? (?:but|except(?: for)?|"
    rf"besides|other than|"
    rf"apart from|save) {_OPEN}⟦([A-Z])⟧"
)
_UNDECIDED = re.compile(
    r"(?i)\b(?:whether|if|(?:assum|claim|suppos|believ|conclud|decid|judg)(?:e?d|ing)|thought|said|assertion|"
    r"(?:assum|suppos|presum)ption)\b[^.;!?\n]*?(?=[.;!?\n]|$| but | however)"
)
"""Clauses that report what the attempt assumed, or leave open which option is right."""
_OWN_ANSWER = re.compile(
    rf"(?i)\b(?:my|I)\b[^.!?\n⟦]{{0,40}}{_OPEN}{_MARK}{_CLOSE}(?:,? ?which)? (?:is|was) (?:wrong|incorrect|false|not)\b"
)


class OptionMarks:
    """A text with its references to options replaced by marks.

    Args:
        text: the text; its runs of blanks are collapsed.
        options: the options of the question by letter, in order.
    """

    def __init__(self, text: str, options: Mapping[str, str]) -> None:
        self.options = dict(list(options.items())[:_MOST_OPTIONS])
        self.text = _marked(text, self.options)

    def excluded(self) -> frozenset[str]:
        """Return the letters of the options that the text excludes."""
        text = _EXCEPTED.sub(" ", _UNDECIDED.sub(" ", _OWN_ANSWER.sub(" ", self.text)))
        return frozenset(
            letter
            for pattern in _ELIMINATING
            for match in pattern.finditer(text)
            for letter in re.findall(r"⟦([A-Z])⟧", match["list"])
        )

    def preferred(self) -> frozenset[str]:
        """Return the letters of the options that the text prefers, e.g. `B` for "I should have chosen B"."""
        text = _UNDECIDED.sub(" ", self.text)
        found = re.findall(rf"(?i){_CHOSEN} {_OPEN}⟦([A-Z])⟧(?!{_CLOSE} ?(?:,|and|or|nor) {_ONE})", text)
        found += re.findall(rf"(?i)⟦([A-Z])⟧{_CLOSE} (?:alone |instead )?{_FITS}", text)
        found += _EXCEPTED.findall(text)
        return frozenset(letter.upper() for letter in found)

    def prefers_other(self) -> bool:
        """Check whether the text prefers the option that was not chosen, without naming it."""
        return (
            re.search(rf"(?i)(?:{_CHOSEN}) {_OTHER}(?! (?:than|hand|words?|day|part))", self.text) is not None
            or re.search(rf"(?i)\b{_OTHER} {_FITS}", self.text) is not None
        )

    def weighs_all(self) -> bool:
        """Check whether the text names all options of the question only side by side, as in "compare A and B"."""
        lists = [set(re.findall(r"⟦([A-Z])⟧", match.group())) for match in re.finditer(_WEIGHED, self.text)]
        return bool(lists) and all(found == set(self.options) for found in lists)


def states_option(
    text: str, letter: str, options: Mapping[str, str], *, stem: str, attempt_text: str, attempted: str | None
) -> bool:
    """Check whether a text states the right option by its text, its position or by excluding the others.

    Args:
        text: the reflection, with runs of blanks collapsed.
        letter: the letter of the right option.
        options: the options by letter, in order; with fewer than two nothing is stated.
        stem: the question without its options.
        attempt_text: the attempt that is reflected on.
        attempted: the letter that the attempt answers, which is known to be wrong, or None.
    """
    if len(options) < 2 or letter not in options:
        return False
    marks = OptionMarks(text, options)
    excluded = marks.excluded()
    if letter not in excluded:
        if letter in marks.preferred():
            return True
        known = {attempted} if attempted and len(options) > 2 else set()
        if excluded and set(options) - excluded - known == {letter}:
            return True
        if len(options) == 2 and marks.prefers_other():
            return True
    return letter not in excluded and _quotes(text, letter, options, stem=stem, attempt_text=attempt_text)


def _quotes(text: str, letter: str, options: Mapping[str, str], *, stem: str, attempt_text: str) -> bool:
    """Check whether the text quotes the right option while at most one other is quoted or weighed against it."""
    option = bare(options[letter])
    if not _occurs(option, text):
        return False
    others = [bare(other) for name, other in options.items() if name != letter]
    if len(option) >= _SHORTEST_TELLING_OPTION:
        # An option that is part of a longer one is not quoted by quoting the longer one.
        rest = normalised(text)
        for other in others:
            if normalised(option) in normalised(other):
                rest = rest.replace(normalised(other), " ")
        return _occurs(option, rest) and sum(_occurs(other, text) for other in others if other not in option) <= 1
    if (len(option) < _SHORTEST_TELLING_TEXT and not _SHORT_NAME.fullmatch(option)) or normalised(option) in _COMMON:
        return False
    if _occurs(option, stem) or _occurs(option, attempt_text):
        return False
    sentences = [sentence for sentence in _SENTENCE.split(text) if _occurs(option, sentence)]
    if all(_is_listed(option, others, sentence) for sentence in sentences):
        return False
    mentioned = sum(_occurs(other, text) for other in others)
    return mentioned <= 1 and not all(_NEUTRAL.search(sentence) for sentence in sentences)


def _is_listed(option: str, others: Sequence[str], sentence: str) -> bool:
    """Check whether a sentence names an option only beside another one: "I considered Mars and Jupiter"."""
    text, one = normalised(sentence), re.escape(normalised(option))
    joined = r"\W{1,3}(?:(?:and|or|nor) )?(?:the )?"
    return any(
        re.search(rf"(?<!\w)(?:{one}{joined}{two}|{two}{joined}{one})(?!\w)", text) is not None
        for two in (re.escape(normalised(other)) for other in others)
    )


def bare(option: str) -> str:
    """Return the text of an option without an article, markup or a full stop."""
    return re.sub(r"(?i)^(?:the|an?) (?=\S)", "", cleaned(option))


def _occurs(part: str, text: str) -> bool:
    part, text = normalised(part), normalised(text)
    return bool(part) and part in text and re.search(rf"(?<!\w){re.escape(part)}(?!\w)", text) is not None


def _marked(text: str, options: Mapping[str, str]) -> str:
    """Replace every reference to an option by its mark. Full texts come first, the longest before its parts."""
    letters = "".join(options)
    texts = {normalised(bare(option)): letter for letter, option in options.items()}
    short_names = {
        normalised(bare(option)) for option in options.values() if _SHORT_NAME.fullmatch(bare(option))
    } - _COMMON
    for option in sorted((option for option in texts if option), key=len, reverse=True):
        pattern = r"\s".join(re.escape(word) for word in option.split())
        if option in short_names:
            text = re.sub(rf"(?<![\w⟦]){option.capitalize()}(?![\w⟧])", f"⟦{texts[option]}⟧", text)
        elif len(option) >= _SHORTEST_TELLING_TEXT and option not in _COMMON:
            text = re.sub(rf"(?i)(?:\bthe )?(?<![\w⟦]){pattern}(?![\w⟧])", f"⟦{texts[option]}⟧", text)
        else:
            mark = f"⟦{texts[option]}⟧"
            text = re.sub(rf"(?i)({_NAMING}){pattern}(?![\w⟧])", rf"\g<1>{mark}", text)
            text = re.sub(
                rf"(?i)(?<![\w⟦]){pattern}(?![\w⟧])(?=[\"'”’]?,? (?:is|was|can['’]t|cannot|must be) "
                r"(?:wrong|incorrect|not (?:correct|right|the answer)|be (?:right|correct|the answer)|the (?:right|"
                r"correct)|"
                r"right|correct))",
                mark,
                text,
            )
            text = re.sub(rf"[\"“‘'*`]{pattern}[\"”’'*`]", mark, text, flags=re.IGNORECASE)

    def position(match: re.Match[str]) -> str:
        *ordinals, cardinal = match.groups()
        word = next(filter(None, ordinals), "").casefold()
        if cardinal:
            place = (int(cardinal) if cardinal.isdigit() else _CARDINALS.index(cardinal.casefold()) + 1) - 1
        else:
            place = len(letters) - 1 if word in ("last", "final") else _NUMBERED.index(word)
        return f"⟦{letters[place]}⟧" if place < len(letters) else match.group()

    def lettered(match: re.Match[str]) -> str:
        name = match.lastgroup
        letter = match.group(name or 0)
        if letter.upper() not in options:
            return match.group()
        start, end = (place - match.start() for place in match.span(name or 0))
        whole = match.group()
        return f"{whole[:start]}⟦{letter.upper()}⟧{whole[end:]}"

    return _LETTER.sub(lettered, _POSITION.sub(position, text))


_COMMON = frozenset(
    "true false both none neither some many most more less same other always never maybe unknown uncertain higher "
    "lower greater smaller equal correct incorrect right wrong valid invalid possible impossible positive "
    "negative good all any yes the one two six ten not now can may red day".split()
)
"""Words that are options of some questions and common in any text."""
