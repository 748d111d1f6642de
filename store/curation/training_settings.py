"""The training settings of the paper: their names, and the curated set that each trains on. Knows no settings file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

TrainingSetting = Literal["sft-one-stage", "sft-two-stage", "dpo-verdict", "dpo-judge", "sft-qa"]

SetName = Literal["d_plus", "d_pm", "d_pref"]

SET_OF: Mapping[TrainingSetting, SetName | None] = {
    "sft-one-stage": "d_plus",
    "sft-two-stage": "d_plus",
    "dpo-verdict": "d_pm",
    "dpo-judge": "d_pref",
    "sft-qa": None,
}
"""The curated set that each training setting trains on; `sft-qa` takes the questions themselves."""

PREFERENCE_SETTINGS: tuple[TrainingSetting, ...] = ("dpo-verdict", "dpo-judge")
