"""The arms of a control measurement: what stands in the place of the reflection when a wrong first answer is corrected.

Each wrong first answer is corrected once per arm, greedily, after one verdict. The engine generates the arms listed
here, and the analysis compares them by these names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Arm = Literal[
    "own",
    "own-repeat",
    "none",
    "generic",
    "shuffled-1",
    "shuffled-2",
    "shuffled-3",
    "foreign",
    "parent-reflection",
    "parent-correction",
    "other-answer",
    "told",
]
"""Name of an arm, as stored."""


@dataclass(frozen=True, slots=True)
class ControlArm:
    """What an arm is, for tables and help."""

    title: str
    """What stands in the place of the reflection."""
    shows: str
    """What the difference from `own` shows."""


ARMS: Mapping[Arm, ControlArm] = MappingProxyType(
    {
        "own": ControlArm("the policy's reflection on this answer", "the policy as evaluated"),
        "own-repeat": ControlArm("the same reflection, corrected a second time", "noise between two identical runs"),
        "none": ControlArm("no reflection, the retry prompt", "whether reflecting helps at all"),
        "generic": ControlArm("one fixed sentence of the mean length of `own`", "length and place of the text"),
        "shuffled-1": ControlArm("the reflection on another wrong answer of the task", "the content"),
        "shuffled-2": ControlArm("a second draw of `shuffled-1`", "the content"),
        "shuffled-3": ControlArm("a third draw of `shuffled-1`", "the content"),
        "foreign": ControlArm("a reflection on a question of another task", "the form of a reflection"),
        "parent-reflection": ControlArm("the parent's reflection, corrected by the policy", "the policy as reflector"),
        "parent-correction": ControlArm("the policy's reflection, corrected by the parent", "the policy as corrector"),
        "other-answer": ControlArm("first answers sampled until one differs", "exclusion of the wrong answer"),
        "told": ControlArm("the right answer, stated", "whether the corrector follows the text"),
    }
)
"""Every arm, in the order of tables."""

SHUFFLED: tuple[Arm, ...] = ("shuffled-1", "shuffled-2", "shuffled-3")
"""Draws of the arm `shuffled`, which is the mean over them."""
