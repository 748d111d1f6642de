"""Formats of the paper's published data: raw reflections, D+, D± and Dpref.

| format | a record is |
|---|---|
| `raw` | a question with `output`: the first trial, then one trial a reflection |
| `d-plus` | a question, the first trial, one reflection and the second trial it led to, and their prompts |
| `d-pm` | a question, the first trial, a chosen and a rejected reflection with the second trial of each |
| `d-pref` | the same; both sides led to a correct answer |

Files differ in field names (`trail`, `scratchpad`), and in whether a text is a string or a list of strings. `normal`
normalises a record; unknown fields stay unchanged.

Pure: independent of files, rows and databases. Source: ReflectEvo (ACL 2025 Findings, arXiv 2505.16475), section 3.2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, get_args

from store.records import Verdict

Format = Literal["raw", "d-plus", "d-pm", "d-pref"]
FORMATS: tuple[Format, ...] = get_args(Format)
PROMPT_FIELDS = ("reason_prompt", "reflect_prompt", "reflection_prompt")

Json = dict[str, Any]

_OBSERVED = re.compile(r"Observation:\s*Answer is (IN)?CORRECT\W*\Z")
_WORDS: Mapping[object, Verdict] = {
    True: "correct",
    False: "incorrect",
    "true": "correct",
    "false": "incorrect",
    "correct": "correct",
    "incorrect": "incorrect",
}


class Unfit(Exception):
    """A record that cannot be imported; the message gives the reason."""


def detect(records: Iterable[object]) -> Format | None:
    """Return the format of the first records of a file; None when it is not a published one, or is ambiguous.

    D± and Dpref have the same fields: a rejected side with a wrong second answer means D±, with a right one Dpref.
    """
    votes = dict.fromkeys(FORMATS, 0)
    for record in records:
        if not isinstance(record, dict):
            continue
        keys = {_spelt(key) for key in record}
        if isinstance(record.get("output"), list):
            votes["raw"] += 1
        elif {"reflection_chosen", "reflection_rejected"} <= keys:
            verdict = second_verdict(_renamed(record), "_rejected")[0]
            votes["d-pm"] += verdict == "incorrect"
            votes["d-pref"] += verdict == "correct"
        elif "second_trial_reasoning" in keys and ("reflections" in keys or "reflection" in keys):
            votes["d-plus"] += 1
    best = max(FORMATS, key=lambda one: votes[one])
    return best if votes[best] else None


def normal(record: object, file_format: Format) -> Json:
    """Return a record in the normal form of its format. Raises Unfit, with the reason, when it cannot be imported."""
    if not isinstance(record, dict):
        raise Unfit("it is no JSON object")
    found = _renamed(record)
    _require(found, "question", "answer")
    if file_format == "raw":
        return _normal_raw(found)
    if file_format == "d-plus":
        if "reflections" not in found and "reflection" in found:
            found["reflections"] = found.pop("reflection")
        sides, reflections = [""], ["reflections"]
    else:
        sides, reflections = ["_chosen", "_rejected"], ["reflection_chosen", "reflection_rejected"]
    _require(found, *reflections)
    for name in ("first_trial_reasoning", *(f"second_trial_reasoning{side}" for side in sides)):
        if name not in found:
            raise Unfit(f"it has no field {name!r}")
    return found


def _normal_raw(record: Json) -> Json:
    trials = record.get("output")
    if not isinstance(trials, list) or not trials:
        raise Unfit("it has no trials in 'output'")
    made = []
    for position, trial in enumerate(trials):
        if not isinstance(trial, dict):
            raise Unfit(f"trial {position + 1} of 'output' is no JSON object")
        trial = _renamed(trial)
        if isinstance(trial.get("reflections"), str):
            trial["reflections"] = [trial["reflections"]] if trial["reflections"] else []
        made.append(trial)
    if trial_number(made[0], 0) != 1:
        raise Unfit("its first trial is missing")
    return {**record, "output": made}


def _require(record: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if name not in record:
            raise Unfit(f"it has no field {name!r}")
        if not text_of(record[name]).strip():
            raise Unfit(f"its field {name!r} is empty")


def _renamed(record: Mapping[str, Any]) -> Json:
    """Return the record with the usual field names; a record that has both spellings keeps both."""
    if not any("trail" in key or "scratchpad" in key for key in record):
        return dict(record)
    return {key if _spelt(key) in record else _spelt(key): value for key, value in record.items()}


def _spelt(key: str) -> str:
    return key.replace("trail", "trial").replace("scratchpad", "reasoning")


def text_of(value: object) -> str:
    """Return a field as one text: a list of texts is joined."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n\n".join(text_of(one) for one in value)
    return "" if value is None else str(value)


def trial_number(trial: Mapping[str, Any], position: int) -> int:
    """Return the number of a trial; without one, 1 in the first position and 2 in any other."""
    number = trial.get("trial")
    if isinstance(number, str) and number.isdecimal():
        number = int(number)
    if isinstance(number, int) and not isinstance(number, bool) and 0 < number < 1000:
        return number
    return 1 if position == 0 else 2


def trial_verdict(trial: Mapping[str, Any]) -> tuple[Verdict, str]:
    """Return the verdict stated for a raw trial and its source; `unverified` when none is stated."""
    return _verdict(trial.get("is_correct"), "is_correct", text_of(trial.get("reasoning")))


def first_verdict(record: Mapping[str, Any]) -> tuple[Verdict, str]:
    """Return the verdict of the first trial of a D+, D± or Dpref record, and its source."""
    name = "first_trial_is_correct"
    return _verdict(record.get(name), name, text_of(record.get("first_trial_reasoning")))


def second_verdict(record: Mapping[str, Any], side: str = "") -> tuple[Verdict, str]:
    """Return the verdict of a second trial and its source; `side` is `_chosen`, `_rejected`, or empty for D+."""
    name = f"second_trial_is_correct{side}"
    return _verdict(record.get(name), name, text_of(record.get(f"second_trial_reasoning{side}")))


def _verdict(stated: object, name: str, reasoning: str) -> tuple[Verdict, str]:
    word = stated.strip().lower() if isinstance(stated, str) else stated
    if isinstance(word, int | str) and word in _WORDS:
        return _WORDS[word], f"as published ({name})"
    observed = _OBSERVED.search(reasoning, max(0, len(reasoning) - 64))
    if observed is not None:
        return "incorrect" if observed.group(1) else "correct", "as published (observation)"
    return "unverified", "the record does not say"
