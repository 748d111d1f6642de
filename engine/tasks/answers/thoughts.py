"""Removes the thoughts of a reasoning model from its reply: only what follows them is its answer.

Models mark thoughts with `<think>…</think>` or a similar pair of tags. A chat template may already have opened the
thought, so that the reply has the closing tag only. A thought that is not closed has no answer after it, whatever it
contains. Text processing only; independent of task kinds.
"""

from __future__ import annotations

import re

_NAMES = r"think|thinking|thoughts?|reasoning|scratchpad"
_TAG = re.compile(
    rf"(?i)<(?P<close>/)?(?:{_NAMES})>|\[(?P<close_square>/)?THINK\]|◁(?P<close_kimi>/)?think▷"
    r"|<\|(?:begin|(?P<close_named>end))_of_thought\|>"
)


def split_thought(reply: str, *, opened: bool = False) -> tuple[str, str]:
    """Divide a reply into the thought that it begins with, as written, and what follows it.

    Args:
        reply: the complete reply.
        opened: whether its prompt ends inside a thought, so that the reply begins in it.

    Returns:
        The thought with its tags and the blanks after it, and the rest; joined they are the reply. A thought that does
        not end leaves no rest. Without a thought at its beginning the first part is empty.
    """
    first = _TAG.search(reply)
    closes = first is not None and any(first.groupdict().values())
    if not opened and not closes and (first is None or reply[: first.start()].strip()):
        return "", reply
    for tag in _TAG.finditer(reply):
        if any(tag.groupdict().values()):
            rest = reply[tag.end() :]
            end = tag.end() + len(rest) - len(rest.lstrip())
            return reply[:end], reply[end:]
    return reply, ""


def without_thoughts(reply: str) -> str:
    """Return a reply without its thoughts; empty if the reply ends inside one.

    Text before a closing tag that was never opened is a thought as well. Linear in the length of the reply.
    """
    if _TAG.search(reply) is None:
        return reply
    kept: list[str] = []
    position, inside = 0, False
    for tag in _TAG.finditer(reply):
        if any(tag.groupdict().values()):
            if not inside:
                kept.clear()
            inside, position = False, tag.end()
        elif not inside:
            kept.append(reply[position : tag.start()])
            inside = True
    if not inside:
        kept.append(reply[position:])
    return "\n".join(part.strip("\n") for part in kept if part.strip())
