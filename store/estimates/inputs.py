"""The figures (inputs) of an estimate: their names and units, and reference values for those not yet measured.

A figure comes from the settings, from a measurement in this workspace, from the operator, or from a named reference.
Without any of these it is unknown, and the estimate shows a formula instead of a guess. Values only: no SQL.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from store.errors import StoreError
from store.estimates import symbolic
from store.estimates.model_config import PUBLISHED, Architecture
from store.estimates.symbolic import Symbolic
from store.settings import Decoding, RunSettings
from store.settings.rollout import GENERAL_INSTRUCTION

Origin = Literal["measured", "given", "settings", "reference", "unknown"]

FILE_NAME = "estimate.toml"
"""File in a workspace with the operator's own figures, one `name = value` per line."""

MEANINGS: dict[str, str] = {
    "train_questions": "training questions of an iteration",
    "held_out_questions": "questions a policy is measured on",
    "reported_questions": "test questions a promoted policy is measured on, where others decide",
    "reflections_per_attempt": "reflections on one attempt: instructions × samples",
    "wrong_share": "share of first attempts that are wrong",
    "held_out_wrong_share": "share of first attempts that are wrong on held-out questions",
    "yield_share": "share of reflections whose correction is right (i→c)",
    "examples_per_attempt": "training examples per wrong attempt after curation",
    "question_tokens": "tokens of a question",
    "attempt_tokens": "generated tokens of an attempt",
    "reflection_tokens": "generated tokens of a reflection",
    "correction_tokens": "generated tokens of a correction",
    "attempt_prompt_tokens": "prompt tokens of an attempt, worked examples included",
    "reflection_prompt_tokens": "prompt tokens of a reflection",
    "correction_prompt_tokens": "prompt tokens of a correction",
    "attempt_overhead_tokens": "tokens that prompt and chat template add to a question",
    "shot_overhead_tokens": "tokens that prompt and chat template add to a worked example",
    "reflection_overhead_tokens": "tokens of the request for a reflection",
    "correction_overhead_tokens": "tokens of the request for a correction",
    "generation_tokens_per_s": "generated tokens/s of one GPU, prompts and verdicts included",
    "training_tokens_per_s": "training tokens/s of one GPU",
    "load_s": "seconds from the start of a generating process to its first request",
    "training_start_s": "seconds of training before its first and after its last step",
    "curated_per_s": "trajectories curated per second",
    "gpus": "GPUs for generation; 0 for a CPU",
    "training_gpus": "GPUs for training; 0 for a CPU",
    "price_per_gpu_hour": "price of one GPU hour",
    "trajectory_bytes": "bytes of the database per trajectory, search index included",
    "row_bytes": "bytes of the database per trajectory without its texts",
    "text_bytes_per_token": "bytes of the database per token of text, search index included",
    "parameters": "parameters of the model",
    "cached_values": "cached keys and values per token, all layers",
    "adapter_parameters": "parameters of the LoRA adapter",
    "weight_bytes": "bytes per parameter while generating",
    "cache_bytes": "bytes per cached key or value",
    "training_weight_bytes": "bytes per parameter of the frozen base model while training",
    "activation_bytes_per_token": "bytes of activations per token of a training batch",
}
"""Description of each figure, with its unit. Shares are between 0 and 1."""

_ZERO_IS_FINE = frozenset(
    {
        "gpus",
        "training_gpus",
        "load_s",
        "training_start_s",
        "price_per_gpu_hour",
        "held_out_questions",
        "reported_questions",
    }
)

_PAPER = "ReflectEvo, Findings of ACL 2025"
PAPER_TOKENS = {"question_tokens": 130, "attempt_tokens": 189, "reflection_tokens": 250, "correction_tokens": 237}
"""Mean lengths in tokens in the paper's dataset."""
PAPER_YIELD = 0.139
"""Share of the paper's reflections that led to a correct answer."""
PAPER_RIGHT = {
    ("meta-llama-3-8b", "logiqa"): 0.302,
    ("meta-llama-3-8b", "math"): 0.144,
    ("meta-llama-3-8b", "mbpp"): 0.284,
    ("mistral-7b", "logiqa"): 0.288,
    ("mistral-7b", "math"): 0.092,
    ("mistral-7b", "mbpp"): 0.204,
}
"""Acc@t1 of the untrained models on the paper's tasks (main table), by a part of the model's name and the preset."""

_PROMPTS = "our prompts in SmolLM2's tokenizer and template, mean of five task types"
_STORE = "measured on a synthetic store (docs/scaling.md)"
ROW_BYTES = 900
"""Bytes of the database per trajectory without its texts, measured by `tests.bench.store_bytes`."""
TEXT_FACTOR = 1.34
"""Bytes of the database per byte of a trajectory's texts, measured by the same benchmark."""
BYTES_PER_TOKEN = 5.1
"""Bytes of text per token of SmolLM2's tokenizer, measured on 50 published attempts and reflections."""

_POOL = 32
_AND_GENERAL = f"+{GENERAL_INSTRUCTION}"
_DRAWN = re.compile(r"[a-z]+:(\d+)")


class EstimateRefused(StoreError):
    """A figure for an estimate is invalid; the text names it and the reason."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One input of an estimate: its value (None if unknown) and its origin."""

    value: float | None
    origin: Origin
    source: str


class Figures:
    """All inputs of an estimate by name; later sources take precedence over earlier ones."""

    def __init__(self, *sources: Mapping[str, Figure]) -> None:
        self._figures: dict[str, Figure] = {}
        for source in sources:
            self._figures.update(source)

    def __getitem__(self, name: str) -> Figure:
        missing = "not given" if name == "price_per_gpu_hour" else "not measured"
        return self._figures.get(name, Figure(None, "unknown", missing))

    def term(self, name: str) -> Symbolic:
        """Return the figure as a number, or as a symbol if it is unknown."""
        value = self[name].value
        return symbolic.name(name) if value is None else symbolic.number(value, name)

    def has(self, name: str) -> bool:
        """Return whether the figure is known."""
        return self[name].value is not None


def assumed(settings: RunSettings, architecture: Architecture | None, *, model_source: str = "") -> dict[str, Figure]:
    """Return the figures that follow from the settings, and reference values for others.

    Args:
        settings: of the run.
        architecture: of the model, if known; otherwise the published one of that name is used.
        model_source: where the architecture was read from.
    """
    figures = {
        "train_questions": Figure(sum(task.train for task in settings.tasks), "settings", "tasks.train"),
        "held_out_questions": Figure(
            sum(getattr(task, settings.evaluation.split) for task in settings.tasks),
            "settings",
            f"tasks.{settings.evaluation.split}",
        ),
        "reported_questions": Figure(sum(task.test for task in settings.tasks), "settings", "tasks.test"),
        "yield_share": Figure(PAPER_YIELD, "reference", f"{_PAPER}: of its whole dataset"),
        "gpus": Figure(1, "reference", "what one engine drives"),
        "training_gpus": Figure(1, "reference", "what one engine drives"),
        **_overheads(settings),
        **_reflections(settings),
        **_lengths(settings),
        **_wrong(settings),
        **_sizes(settings, architecture, model_source),
    }
    return figures


def _overheads(settings: RunSettings) -> dict[str, Figure]:
    shown = settings.correction.show_previous_attempt
    tokens = {
        "attempt_overhead_tokens": 48,
        "shot_overhead_tokens": 29,
        "reflection_overhead_tokens": 81,
        "correction_overhead_tokens": 46 if shown is True else 21 if shown else 15,
    }
    figures = {name: Figure(value, "reference", _PROMPTS) for name, value in tokens.items()}
    sizes = {"row_bytes": ROW_BYTES, "text_bytes_per_token": round(TEXT_FACTOR * BYTES_PER_TOKEN, 1)}
    return figures | {name: Figure(value, "reference", _STORE) for name, value in sizes.items()}


def _reflections(settings: RunSettings) -> dict[str, Figure]:
    drawn = settings.reflection.instructions
    general = 0
    if isinstance(drawn, str) and drawn.endswith(_AND_GENERAL):
        drawn, general = drawn.removesuffix(_AND_GENERAL), 1
    if drawn == GENERAL_INSTRUCTION:
        keys: int | None = 1
    elif isinstance(drawn, list):
        keys = len(drawn)
    elif drawn == "all":
        # An operator's own parts enlarge the pool, and their number is only known from another file.
        keys = None if settings.reflection.parts else _POOL
    else:
        match = _DRAWN.fullmatch(drawn)
        keys = int(match.group(1)) if match else None
    if keys is None:
        return {}
    source = "reflection.instructions × reflection.samples"
    return {"reflections_per_attempt": Figure((keys + general) * settings.reflection.samples, "settings", source)}


def _lengths(settings: RunSettings) -> dict[str, Figure]:
    limits: dict[str, tuple[str, Decoding]] = {
        "attempt_tokens": ("attempt", settings.attempt),
        "reflection_tokens": ("reflection", settings.reflection),
        "correction_tokens": ("correction", settings.correction),
    }
    figures = {"question_tokens": Figure(PAPER_TOKENS["question_tokens"], "reference", f"{_PAPER}: mean length")}
    for name, (section, decoding) in limits.items():
        mean = PAPER_TOKENS[name]
        capped = f", at most {section}.max_tokens" if mean > decoding.max_tokens else ""
        figures[name] = Figure(min(mean, decoding.max_tokens), "reference", f"{_PAPER}: mean length{capped}")
    return figures


def _wrong(settings: RunSettings) -> dict[str, Figure]:
    """Shares of wrong answers; known from the paper only if it measured this model on every task of the run."""
    right = []
    for task in settings.tasks:
        preset = getattr(task, "preset", None)
        found = [
            share
            for (model, name), share in PAPER_RIGHT.items()
            if model in settings.model.lower() and preset is not None and name == preset
        ]
        right += [(task.train, found[0])] if found else []
    if len(right) < len(settings.tasks):
        return {}
    mean = sum(n * share for n, share in right) / sum(n for n, _ in right)
    figure = Figure(1 - mean, "reference", f"{_PAPER}: Acc@t1 of the untrained model")
    return {"wrong_share": figure, "held_out_wrong_share": figure}


def _sizes(settings: RunSettings, architecture: Architecture | None, source: str) -> dict[str, Figure]:
    wide = settings.generation.dtype == "float32"
    figures = {
        "weight_bytes": Figure(
            4 if wide else 2,
            "settings" if settings.generation.dtype != "auto" else "reference",
            "generation.dtype" if settings.generation.dtype != "auto" else "16 bits where the device computes in them",
        ),
        "cache_bytes": Figure(2 if not wide else 4, "settings", "as the weights"),
        "training_weight_bytes": Figure(2, "reference", "bfloat16 base; 4 where the device has no bfloat16"),
    }
    known = architecture or PUBLISHED.get(settings.model.lower())
    if known is None:
        return figures
    where = source or "the model's published configuration"
    training = settings.training
    if training.method == "qlora":
        embeddings = known.vocabulary * known.hidden * (1 if known.tied else 2)
        mean = (_NF4_BYTES * (known.parameters - embeddings) + 2 * embeddings) / known.parameters
        words = f"NF4 with double quantisation (QLoRA: {_NF4_BYTES:.3f}), embeddings in 16 bits"
        figures["training_weight_bytes"] = Figure(mean, "reference", words)
    return figures | {
        "parameters": Figure(known.parameters, "reference", where),
        "cached_values": Figure(known.cached_values, "reference", where),
        "adapter_parameters": Figure(
            known.adapter_parameters(training.lora_rank, training.lora_targets), "settings", "training.lora_*"
        ),
    }


_NF4_BYTES = 4.127 / 8
"""Bytes per parameter in NF4 with double quantisation (QLoRA, arXiv 2305.14314, section 3)."""


def given(pairs: Sequence[str], source: str = "on the command line") -> dict[str, Figure]:
    """Parse figures from `name=value` arguments.

    Raises:
        EstimateRefused: for a malformed argument, an unknown name or an impossible value.
    """
    figures = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not sign or math.isnan(value):
            raise EstimateRefused(f"{pair!r} is not a figure; write a name, '=' and a number, e.g. gpus=4")
        figures[name.strip()] = _checked(name.strip(), value, source)
    return figures


def from_file(path: Path) -> dict[str, Figure]:
    """Read the operator's figures from a file; empty if the file doesn't exist.

    Raises:
        EstimateRefused: when the file can't be read or contains anything but valid figures.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise EstimateRefused(f"{path} can't be read: {error}; correct it or remove it") from error
    figures = {}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise EstimateRefused(f"{path}: {name} is not a number; write a line like gpus = 4")
        figures[name] = _checked(name, float(value), f"kept in {path.name}")
    return figures


def _checked(name: str, value: float, source: str) -> Figure:
    if name not in MEANINGS:
        near = difflib.get_close_matches(name, MEANINGS, n=1, cutoff=0.0)[0]
        raise EstimateRefused(f"there is no figure {name!r}; did you mean {near!r}? All: {', '.join(MEANINGS)}")
    if not math.isfinite(value) or value < 0 or (value == 0 and name not in _ZERO_IS_FINE):
        raise EstimateRefused(f"{name} is {value:g}; {MEANINGS[name]} can't be that")
    if name.endswith("_share") and value > 1:
        raise EstimateRefused(f"{name} is {value:g}; a share lies between 0 and 1")
    return Figure(value, "given", source)
