"""Matches a short replacement of an answer without a verb. Independent of task kinds and of references."""

from __future__ import annotations

import re

_PRONOUN = (
    r"(?!(?:[IA]|[Ii]t|[Tt]h(?:at|is|ere|ey|e)|[Ww]e|[YyHh]ou|[HhSs]he|[Ll]et|[Ww]ait|[Nn]o|[Nn]ot|[Ss]o|[Bb]ut)['’ ])"
)
REPLACEMENT = re.compile(
    r"(?:(?i:\banswer\b)[^\n]{1,80}?(?:[.?!…]|\s[-–—]|—)\s{1,3}(?i:hmm+[,.]{0,3}\s|but\s)?(?i:no)[,.—–-]{1,3}\s{1,3}"
    r"|(?:^|(?<=[.?!…\n]\s)|(?<=\n))(?i:hmm+[,.]{0,3}\s|but\s)?"
    r"(?i:no,?\swait|wait,?\sno|actually,?\sno|no,?\sactually|on (?:second|closer) thoughts?"
    r"|scratch that|oops|correction)[,.:!—–-]{1,3}\s{1,3})"
    rf"{_PRONOUN}(?P<answer>(?=[(\[*_$\\\d+−A-Z-])[^\s.!?]+(?:\.\d+)?(?:[ ][^\s.!?]+){{0,3}})(?=[.!]?[ \t]*(?:$|\n))"
)
"""A short replacement of an answer without a verb: "Answer: 9? No, 8."; "On second thought, B."."""
