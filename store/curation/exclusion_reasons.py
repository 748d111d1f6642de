"""Reasons for leaving a reflection out of a training set that don't concern its own text, and those of answers.

A setting that trains on every verified reflection takes rows with some of these reasons as well
(`TrainingSettingEntry.left_out_reasons`).
"""

from __future__ import annotations

CORRECTION_INCORRECT = "correction incorrect"
OVER_QUESTION_CAP = "above max_per_question"
OVER_INSTRUCTION_CAP = "above max_per_instruction"
OVER_TASK_CAP = "above max_per_task"
OVER_TASK_SHARE = "above max_task_share"
OVER_SET_SIZE = "above max_examples"

CAPS = (OVER_QUESTION_CAP, OVER_INSTRUCTION_CAP, OVER_TASK_CAP, OVER_TASK_SHARE, OVER_SET_SIZE)
"""The caps on the size of a set. A reflection above one of them has passed every filter on its text."""

OVER_RIGHT_ATTEMPTS = "above max_right_per_wrong"
"""The set has as many rows on right attempts of the task as its rows on wrong ones allow."""

BELOW_MIN_LIFT = "lift below min_lift"

ANSWER_TRUNCATED = "answer truncated"
ANSWER_REPETITION = "answer repetition"
ANSWER_ECHO = "answer echoes the prompt"

UNFIT_ANSWER = (ANSWER_TRUNCATED, ANSWER_REPETITION, ANSWER_ECHO)
"""Why an answer (a correction or a first attempt) is not trained on although it is right, in the order of the checks.

A reflection that is left out of D+ for one of them, i.e. for its correction, has passed every filter on its own text.
"""
