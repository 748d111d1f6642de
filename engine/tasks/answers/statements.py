r"""Finds the statements of an answer in a reply, with their positions, and decides which of them commit to it.

A mark (`Answer: x`, `\boxed{x}`, `#### x`, `<answer>x</answer>`) always commits. A phrase ("the answer is x") does
not if it is negated ("I don't think …"), hypothetical ("if it rained …"), attributed to somebody else ("a student
might say …"), or a question. An explicit retraction ("wait, that is wrong") withdraws everything before it.
Independent of task kinds and of references.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from engine.tasks.answers.replacements import REPLACEMENT

_CONTEXT = 240
"""Maximum number of characters before a phrase in which its clause is looked for."""

_MOST_PHRASES = 64
"""Phrases that are looked at from the end of a reply; a looping model repeats one thousands of times."""

_LONGEST_PHRASE = 1000
"""Maximum number of characters of an answer after a phrase."""

_EMPHASIS = r"(?:\*{1,3}|_{1,3})?"
_WHOSE = r"(?:(?:the|my|final|correct|best|corrected|revised)[ \t]+){0,3}"
_MARKER = re.compile(
    rf"(?im)(?P<colon>\banswer[ \t]{{0,4}}{_EMPHASIS}[ \t]{{0,4}}[:：=](?!['\"’”`]+(?:\s|$)){_EMPHASIS})"
    rf"|^[ \t]{{0,8}}(?:\#{{1,6}}[ \t]{{0,4}}{_EMPHASIS}|\*{{1,3}}"
    rf"|_{{1,3}}){_WHOSE}answer[ \t]{{0,4}}{_EMPHASIS}[ \t]*$"
    rf"|^[ \t]{{0,8}}[*_]{{0,3}}{_WHOSE}answer{_EMPHASIS}[ \t]{{1,4}}(?:[-–—]|->|→|=>)[ \t]{{1,4}}(?=\S)"
    rf"|^[ \t]{{0,8}}(?:{_WHOSE}answer)[ \t]{{0,4}}$(?=\n)"
    r"|答案\s?[是为為]?\s?[:：]"
)
_OPENED = re.compile(rf"(?i)(?<![*_])([*_]{{1,3}})[ \t]{{0,2}}{_WHOSE}$")
_LETTER_MARKER = re.compile(r"(?m)^[ \t]{0,4}[*_]{0,2}(?:A|Ans|ANS|ans)\.?[*_]{0,2}:[*_]{0,2}[ \t]{1,4}(?=\S)")
_TAGGED = re.compile(r"(?i)[<\[](?:final_?)?(?:answer|solution)[>\]]")
_TAG_END = re.compile(r"(?i)[<\[]/(?:final_?)?(?:answer|solution)[>\]]")
_BOXED = re.compile(r"\\(?:boxed|fbox)\s{0,4}\{")
_BARE_BOX = re.compile(r"\\boxed\s{1,4}(-?\w+)")
_BRACE = re.compile(r"\\[\s\S]|[{}]")
_JSON_FIELD = re.compile(
    r"[\"'](?:final[_ ]?)?answer[\"']\s{0,4}:\s{0,4}"
    r"(?:\"([^\"\n]{1,400})\"|'([^'\n]{1,400})'|(-?[\d.]{1,40}|true|false)(?=\s{0,4}[,}\n]))",
    re.IGNORECASE,
)
_HASHES = re.compile(r"(?m)^#{4}[ \t]{0,4}([-+−$€£]{0,3}[ \t]?[\d.\\][^\n]*)$")
_FENCE = re.compile(r"```[^\n`]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_CELL_RULE = re.compile(r"^[\s$\\\[\]*_|:>-]*$")
_ADVERB = (
    r"(?:(?:therefore|thus|hence|then|indeed|clearly|actually|simply|just|now|definitely|certainly|in fact|probably|"
    r"most likely|likely|instead|also|obviously),?\s{1,4}|,\s?(?:therefore|thus|hence|then),?\s{1,4})?"
)
_VERB = (
    rf"(?:,?\s{{1,4}}{_ADVERB}(?:is|must be|should be|has to be"
    rf"|(?:would|will) be(?!\s[^.\n]{{0,80}}?\bif\b))(?=\W)\s{{0,3}}:?\s{{0,3}}{_ADVERB}"
    r"(?:equal\s{1,3}to\s{1,3})?(?::\s{0,3})?)"
)
_STRONG = re.compile(rf"(?i)\banswer{_VERB}")
_CORRECTION = re.compile(
    r"(?im)(?:^|(?<=[.!?]\s))[ \t]{0,4}[*_]{0,3}(?:correction|corrected|correcting|edit|revised"
    r"|update)[*_]{0,3}\s?[:：]"
    r"[*_]{0,3}\s{1,3}"
    r"|\b(?:no|wait|actually|sorry|rather|oops|scratch that)[,:;—–-]{0,2}\s{1,3}(?:(?:no|wait|actually"
    r"|sorry),?\s{1,3})?"
    r"(?:it(?:['’]s|\s{1,3}(?:is|must be|should be))|that(?:['’]s|\s{1,3}should be)|i\s{1,3}mean[t]?|make that)\s{1,3}"
    r"|\b(?:but|however|wait|actually|hmm)\b[^.!?\n]{1,100}?,?\s{1,3}(?:so|therefore|hence)\s{1,3}"
    r"(?:it(?:['’]s|\s{1,3}(?:is|must be|should be))|that(?:['’]s|\s{1,3}(?:makes|gives)))\s{1,3}(?=[\d$\\(−-])"
    r"|\banswer\s{1,3}(?:is\s{1,3}not|isn['’]t|was\s{1,3}not|wasn['’]t)\s{1,3}[^.;,!?\n]{1,60}[.;,]\s{1,3}"
    r"(?:it(?:['’]s|\s{1,3}(?:is|must be|should be))|but)\s{1,3}(?!not\b)"
)
_WEAK = re.compile(
    rf"(?im)\b(?:result|solution){_VERB}|^[ \t*_]{{0,6}}(?:final\s)?(?:result"
    rf"|solution)[*_]{{0,3}}[:：][*_]{{0,3}}\s{{0,3}}"
)
CONCLUSIONS = (
    re.compile(
        r"(?i)\b(?:the|its)\s{1,3}(?:final\s{1,3})?value\s{1,3}(?:of\s{1,3}[^.\n]{1,40}?\s{1,3})?(?:is"
        r"|equals)\s{1,3}(?:equal to\s{1,3})?"
    ),
)
"""Phrases that state the answer of a problem whose result is a value."""

_END = re.compile(
    r"(?=[\n!?.])(?:\n|[!?]+(?=[\s)\"”]|$)"
    r"|(?<!\bSt)(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bMt)(?<!\bvs)\.(?=[\s)\"”]|$))"
)
_CLAUSE = re.compile(
    r"(?i)[,;:—]\s|\s[-–]\s|[,;]?\s(?:so|therefore|thus|hence|but|and thus|and so|and therefore"
    r"|which means(?: that)?)\s"
    r"|^(?:so|therefore|thus|hence|but)\s"
)
_CONCLUSION = re.compile(r"(?i)(?:^|\W)(?:so|therefore|thus|hence|then|which means(?: that)?|but)\W")
_NEGATION = re.compile(
    r"(?i)\b(?:not(?!\s{1,3}(?:only|sure))|never|neither|nor|no longer|nothing|nobody|no one|"
    r"no (?:reason|evidence|way)|doubtful|refuse|cannot|hardly|unlikely|(?<!no )doubt|deny"
    r"|disagree|impossible|"
    r"incorrect(?:ly)?|wrong(?:ly)?|false(?:ly)?|rule out|mistake)\b|n['’]t\b(?!\s{1,3}sure)"
)
_HYPOTHESIS = re.compile(r"(?i)\b(?:if(?!\s{1,3}i\s{1,3}(?:had|have)\s{1,3}to)|suppose|supposing|assuming|unless)\b")
_ATTRIBUTION = re.compile(
    r"(?i)\b(?:at first|initially|originally|it (?:might|may|could|would) seem|it is tempting|tempting to)\b"
    r"|\b(?:students?|someone|somebody|some|many|most|people|others|another|one|you|they|he|she|we|i|friend|classmate|"
    r"textbook|book|teacher|reader)\b[^.!?\n]{0,40}?\b(?:might|may|could|would)\s{1,3}(?:\w{1,12}\s{1,3})?"
    r"(?:say|think|believe|argue|claim|guess|assume|conclude|answer|choose|pick|expect|suggest)"
    r"|\b(?:students?|someone|somebody|some|many|most|people|others|another|they|he|she|friend|classmate|textbook|"
    r"teacher)\b[^.!?\n]{0,40}?\b(?:say|says|said|thinks?|thought|believes?|believed|argues?|argued|claims?|claimed|"
    r"guess(?:es|ed)?|assumes?|assumed|conclude[sd]?|answer(?:s|ed)|suggests?|suggested)\b"
    r"|\bi\s{1,3}(?:\w{1,10}\s{1,3})?(?:thought|said|assumed|believed|guessed)\b"
)
_ASKING = re.compile(
    r"(?i)^\W*(?:so\s|and\s|but\s)?\s?(?:which|what|why|how|who|where|when|is|are|was|could|can|does|do|did|would|should|"
    r"whether)\b"
)
_WRONG = (
    r"(?:wrong|incorrect|mistaken|not (?:right|correct|true|possible)|a mistake|an error|can['’]?t be"
    r"|cannot be|can not be)"
)
_RETRACTION = re.compile(
    r"(?i)(?:^|[.!?\n…]\s{0,3})(?:but\s|however,?\s|wait[,.!—-]{0,2}\s|actually,?\s|hmm+[,.]{0,3}\s|no[,.]\s|oops[,.!]?\s|"
    r"sorry[,.]?\s|hold on[,.]?\s|on (?:closer |second )?(?:reflection|inspection|thought)s?,?\s){0,3}"
    r"(?:on (?:closer |second )?(?:reflection|inspection|thoughts?),?\s)?"
    r"(?:(?:that|this|it|my (?:first )?answer|the (?:answer|student|above)|i|they|he|she)\b(?:['’]s)?[^.!?\n,]{0,24}?\b"
    rf"{_WRONG}(?=\s*(?:[.,;:!]|$|\n)|,?\s(?:since|because|as)\b)|scratch that)"
    r"|(?:^|[.!?\n…]\s{0,3})(?:but |wait,? |actually,? |hmm+,? |no,? |oops,? "
    r"|sorry,? ){1,3}i (?:\w{1,8} )?made (?:an?|some) "
)


class Statement(NamedTuple):
    """One statement of an answer."""

    start: int
    """Position of its mark or phrase in the reply."""
    end: int
    """Position behind the text of the answer."""
    rule: str
    """`answer line`, `answer tag`, `boxed`, `hash line` or `phrase`."""
    text: str
    """The answer as written, without surrounding whitespace."""
    aside: bool = False
    """Whether a phrase stands in parentheses or quotation marks, so that it counts only if nothing else is stated."""


def marked(reply: str, *, multiline: bool = False, letter_mark: bool = False) -> list[Statement]:
    """Return the marked answers of a reply, in order of position.

    Args:
        reply: the reply without thoughts.
        multiline: let an answer line extend to the end of the reply.
        letter_mark: also accept `A: 12` on the last line, which in a multiple-choice reply would be an option.
    """
    found = [*_answer_lines(reply, multiline, letter_mark), *boxes(reply), *_tagged(reply), *_hash_lines(reply)]
    return sorted((*found, *_json_fields(reply)), key=lambda one: one.start)


def phrased(reply: str, patterns: Sequence[re.Pattern[str]]) -> Iterator[Statement]:
    """Yield the answers that phrases commit to, from the last to the first.

    The answer is the text between a match of a pattern and the end of its sentence, or the pattern's group `answer`, if
    it has one. Of several matches with the same end the longest counts.
    """
    matches: dict[int, re.Match[str]] = {}
    for pattern in patterns:
        for match in pattern.finditer(reply):
            key = match.start("answer") if "answer" in match.re.groupindex else match.end()
            if key not in matches or match.start() < matches[key].start():
                matches[key] = match
    if not matches:
        return
    ends = list(_END.finditer(reply))
    stops = [end.start() for end in ends]
    for _, match in sorted(matches.items(), reverse=True)[:_MOST_PHRASES]:
        after, before = bisect_left(stops, match.end()), bisect_left(stops, match.start())
        start = max(ends[before - 1].end() if before else 0, match.start() - _CONTEXT)
        statement = _committed(reply, match, reply[start : match.start()], ends[after] if after < len(ends) else None)
        if statement is not None:
            yield statement


def strong_phrases(reply: str, extra: Sequence[re.Pattern[str]] = ()) -> Iterator[Statement]:
    """Yield the answers stated by "the answer is", a correction or one of the extra phrases, last first."""
    return phrased(reply, (_STRONG, _CORRECTION, REPLACEMENT, *extra))


def weak_phrases(reply: str) -> Iterator[Statement]:
    """Yield the answers stated by "the result is" and similar phrases, which do not replace a marked answer."""
    return phrased(reply, (_WEAK,))


def last_retraction(reply: str) -> int:
    """Return the position of the last explicit retraction ("wait, that is wrong"); -1 if there is none."""
    return max((match.end() for match in _RETRACTION.finditer(reply)), default=-1)


def boxes(text: str) -> list[Statement]:
    r"""Return every `\boxed{}` with balanced braces in order. A single pass, because looping replies contain thousands
    of boxes."""
    opened_boxes = {match.end() - 1: match.start() for match in _BOXED.finditer(text)}
    found = [Statement(match.start(), match.end(), "boxed", match.group(1)) for match in _BARE_BOX.finditer(text)]
    opened: list[int] = []
    for brace in _BRACE.finditer(text) if opened_boxes else ():
        if brace.group() == "{":
            opened.append(brace.start())
        elif brace.group() == "}" and opened:
            start = opened.pop()
            content = text[start + 1 : brace.start()].strip()
            if start in opened_boxes and content:
                found.append(Statement(opened_boxes[start], brace.end(), "boxed", content))
    return sorted(found, key=lambda one: one.start)


def ends_in_statement(reply: str) -> bool:
    """Check whether a reply ends inside a statement of an answer, so that its limit on tokens may have cut the answer.

    True for a marker without text, an unclosed box or tag, and an answer whose line or sentence is not finished.
    """
    if not reply.strip() or reply.rstrip(" \t").endswith("\n"):
        return False
    if any(match.end() >= len(reply.rstrip()) for match in _MARKER.finditer(reply)):
        return True
    closed = {one.start for one in boxes(reply)}
    if any(match.start() not in closed for match in _BOXED.finditer(reply)):
        return True
    tags = [tag.end() for tag in _TAGGED.finditer(reply)]
    if tags and _TAG_END.search(reply, tags[-1]) is None:
        return True
    lines = [one for one in _answer_lines(reply, False, True) if one.end >= len(reply.rstrip())]
    if lines and not any(box.start >= lines[-1].start and box.end <= len(reply) for box in boxes(reply)):
        return True
    spoken = next(strong_phrases(reply), None)
    return spoken is not None and spoken.end >= len(reply.rstrip())


def _answer_lines(reply: str, multiline: bool, letter_mark: bool) -> list[Statement]:
    """Return every marked answer. A marker without text after it is ignored."""
    markers = list(_MARKER.finditer(reply))
    if letter_mark:
        start = reply.rstrip().rfind("\n") + 1
        markers += [match for match in _LETTER_MARKER.finditer(reply, start) if not _MARKER.search(reply, start)]
    found = []
    for number, marker in enumerate(markers):
        end = markers[number + 1].start() if number + 1 < len(markers) else len(reply)
        rest = reply[marker.end() : end]
        inner = rest.lstrip()
        if fence := _FENCE.match(inner):
            text, last = fence.group(1), end - len(inner) + fence.end()
        elif multiline:
            text, last = rest.strip("\n"), end
        else:
            text, last = _first_line(rest, marker.end())
        if text.strip():
            found.append(Statement(marker.start(), last, "answer line", _without_closing(reply, marker.start(), text)))
    return found


def _first_line(rest: str, offset: int) -> tuple[str, int]:
    """Return the first line with an answer in it, and the position of its end."""
    position = 0
    for line in rest.split("\n"):
        position += len(line) + 1
        if not _CELL_RULE.fullmatch(line) or line.strip() in {"-", "+", "*", ">"}:
            return _without_bullet(line), offset + position - 1
    return "", offset


def _without_closing(reply: str, start: int, text: str) -> str:
    """Return an answer without the closing mark of an emphasis that was opened before its marker: `**Answer: x**`."""
    opened = _OPENED.search(reply, reply.rfind("\n", 0, start) + 1, start)
    text = text.strip()
    return text.removesuffix(opened.group(1)).rstrip() if opened and text.count(opened.group(1)) == 1 else text


def _without_bullet(line: str) -> str:
    return re.sub(r"^\s{0,8}[*•]\s{1,4}(?=\S)", "", line)


def _tagged(reply: str) -> Iterator[Statement]:
    """Yield the answers in `<answer>` tags; an unclosed last tag extends to the end of the reply."""
    opened = list(_TAGGED.finditer(reply))
    if not opened:
        return
    starts = [tag.start() for tag in opened]
    last = 0
    for closing in _TAG_END.finditer(reply):
        place = bisect_left(starts, closing.start()) - 1
        if place >= 0 and (text := reply[opened[place].end() : closing.start()].strip()) and starts[place] >= last:
            yield Statement(starts[place], closing.end(), "answer tag", text)
        last = closing.end()
    if starts[-1] >= last and (text := reply[opened[-1].end() :].strip()):
        yield Statement(starts[-1], len(reply), "answer tag", text)


def _hash_lines(reply: str) -> list[Statement]:
    """Return a number after `####` on the last line, as in GSM8K's solutions; other headings are no answers."""
    bare = reply.rstrip()
    start = bare.rfind("\n") + 1
    return [
        Statement(match.start(), match.end(), "hash line", match.group(1)) for match in _HASHES.finditer(bare, start)
    ]


def _json_fields(reply: str) -> Iterator[Statement]:
    """Yield the values of `"answer"` fields, in replies that are a JSON object."""
    for match in _JSON_FIELD.finditer(reply):
        yield Statement(match.start(), match.end(), "answer line", next(filter(None, match.groups())).strip())


def _committed(reply: str, match: re.Match[str], sentence: str, ends: re.Match[str] | None) -> Statement | None:
    """Return the statement of a phrase; None if it does not commit to an answer.

    Args:
        reply: the reply.
        match: the phrase.
        sentence: the part of its sentence before it.
        ends: the end of its sentence; None for the end of the reply.
    """
    if "answer" in match.re.groupindex:
        text, end = match.group("answer"), match.end()
    else:
        end = ends.start() if ends else len(reply)
        text = reply[match.end() : min(end, match.end() + _LONGEST_PHRASE)].strip()
    if not text or _does_not_commit(sentence, ends):
        return None
    opened = sentence.count("(") > sentence.count(")") or sentence.count("“") > sentence.count("”")
    return Statement(match.start(), end, "phrase", text.strip(), opened or sentence.count('"') % 2 == 1)


def _does_not_commit(sentence: str, ends: re.Match[str] | None) -> bool:
    """Check whether the part of a sentence before a phrase negates it, makes it a hypothesis, attributes it to somebody
    else, or makes it a question. `ends` is the end of the sentence."""
    clause = _last_part(_CLAUSE, sentence)
    if _NEGATION.search(clause):
        return True
    concluded = _CONCLUSION.search(sentence) is not None
    if _HYPOTHESIS.search(sentence) and not concluded:
        return True
    if _ATTRIBUTION.search(sentence) and not concluded:
        return True
    asking = ends is not None and "?" in ends.group()
    return asking and (not sentence.strip() or _ASKING.search(sentence) is not None)


def _last_part(pattern: re.Pattern[str], text: str) -> str:
    """Return the text behind the last match of a pattern."""
    return text[max((match.end() for match in pattern.finditer(text)), default=0) :]
