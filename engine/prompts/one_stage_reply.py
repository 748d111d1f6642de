"""Splits a one-stage reply into its reflection and its second try (paper, section 3.3). Pure.

A policy trained with a setting that learns both texts as one reply is asked for both in one prompt. Its reply is
divided at the line that `one_stage_messages` asks for.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.prompts.rollout import SECOND_TRY

# Small models decorate the line (`**Second try:**`, `## second try:`), or continue on it with the answer.
_LINE = re.compile(r"^[ \t>*_#]*second[ \t]+try[ \t*_]*:[*_]*", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OneStageReply:
    """The two parts of a reply, without surrounding whitespace."""

    reflection: str
    """Everything before the first line `SECOND_TRY`; the complete reply if it has no such line."""
    correction: str | None
    """Everything after it; None without the line."""
    reflection_share: float
    """Share of the reply's characters up to and including the line, by which its tokens are divided; from 0 to 1."""

    def tokens(self, completion_tokens: int) -> tuple[int, int]:
        """Divide the tokens of the reply between reflection and correction; the parts add up to the whole.

        They are divided by length, because a generator reports only their total.
        """
        first = round(completion_tokens * self.reflection_share)
        return first, completion_tokens - first


def split_one_stage(reply: str) -> OneStageReply:
    """Divide a one-stage reply at its first line `SECOND_TRY`; case and Markdown around the line are ignored."""
    line = _LINE.search(reply)
    if line is None:
        return OneStageReply(reply.strip(), None, 1.0)
    return OneStageReply(reply[: line.start()].strip(), reply[line.end() :].strip(), line.end() / len(reply))


def no_second_try(finish_reason: str, max_tokens: int) -> str:
    """Return the detail of the verdict on a reply without a second try, which counts as a reply without an answer."""
    if finish_reason == "length":
        return f"the reply reached its limit of {max_tokens} tokens before the line {SECOND_TRY!r}"
    return f"the reply has no line {SECOND_TRY!r}, so it contains no second attempt"
