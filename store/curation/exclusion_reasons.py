"""Reasons for leaving a reflection out of D+ that concern its outcome or a cap, not its text.

A setting that trains on every verified reflection takes these rows as well (`TrainingSettingEntry.left_out_reasons`).
"""

from __future__ import annotations

CORRECTION_INCORRECT = "correction incorrect"
OVER_QUESTION_CAP = "above max_per_question"
OVER_INSTRUCTION_CAP = "above max_per_instruction"
OVER_TASK_CAP = "above max_per_task"
OVER_TASK_SHARE = "above max_task_share"

CAPS = (OVER_QUESTION_CAP, OVER_INSTRUCTION_CAP, OVER_TASK_CAP, OVER_TASK_SHARE)
"""The caps on the size of a set. A reflection above one of them has passed every filter on its text."""
