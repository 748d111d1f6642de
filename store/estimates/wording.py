"""Formats the estimate of one stage as a phrase for gates and screens: tokens, time, rate, price."""

from __future__ import annotations

from store.estimates.estimate import Estimate, stage_cost
from store.estimates.formulas import StageEstimate
from store.estimates.symbolic import Symbolic
from store.evaluation.number_format import count, counted, duration
from store.evaluation.power import power_words
from store.records import StageName

UNKNOWN_TIME = "time unknown (not measured yet)"


def rate_words(value: float) -> str:
    """Format a measured rate without powers of ten: `26,880`, `1.72`."""
    return count(value) if value >= 1000 else f"{value:.4g}"


def stage_words(estimate: Estimate, name: StageName) -> str:
    """Format a stage of the first iteration: `about 2,000 generated tokens, 20 min at 1.7 tokens/s (measured)`.

    Without a known rate the time is shown as unknown; `reflectevo estimate` prints the formula.
    """
    stage = next(one for one in estimate.first if one.stage == name)
    parts = [_tokens(stage)] if _tokens(stage) else []
    if stage.seconds.known:
        parts.append(f"{duration(stage.seconds.value or 0.0)}{_rate(estimate, stage)}")
    else:
        return f"{_about(parts)}; {UNKNOWN_TIME}" if parts else UNKNOWN_TIME
    cost = stage_cost(estimate, stage)
    if cost.known and estimate.figures.has("price_per_gpu_hour"):
        parts.append(f"price {cost.value or 0.0:,.2f}")
    return _about(parts)


def _about(parts: list[str]) -> str:
    words = ", ".join(parts)
    return words if words.startswith("at most ") else f"about {words}"


def decision_words(estimate: Estimate) -> str:
    """Describe what promotion is decided on, and the smallest difference that so many questions show."""
    asked = estimate.figures["held_out_questions"].value
    n = 0 if asked is None else round(asked)
    return f"{counted(n, f'{estimate.split} question')}: {power_words(n)}"


def few_examples_words(estimate: Estimate) -> str:
    """Say that fewer training examples are expected than training requires; empty if there are enough, or unknown."""
    expected = next(stage.texts.value for stage in estimate.first if stage.stage == "train")
    if expected is None or round(expected) >= estimate.min_examples:
        return ""
    expecting = counted(round(expected), "training example")
    return f"about {expecting}, fewer than min_examples = {estimate.min_examples}: nothing would be trained"


def _rounded(value: float) -> str:
    """Round to three significant digits, the precision of an estimate: `19,700` for 19,738."""
    return count(float(f"{value:.3g}"))


def _tokens(stage: StageEstimate) -> str:
    for term, kind in ((stage.generated_tokens, "generated"), (stage.training_tokens, "training")):
        if term.value == 0:
            continue
        # A share that is not measured yet, e.g. of wrong answers, is at most 1.
        most = None if term.known else term.at_most({name: 1.0 for name in term.unknown if name.endswith("_share")})
        return f"{term.words(_rounded) if most is None else f'at most {_rounded(most)}'} {kind} tokens"
    return ""


def _rate(estimate: Estimate, stage: StageEstimate) -> str:
    name = _rate_name(stage.seconds)
    if name is None:
        return ""
    figure = estimate.figures[name]
    unit = "rows/s" if name == "curated_per_s" else "tokens/s"
    return f" at {rate_words(figure.value or 0.0)} {unit} ({figure.origin})"


def _rate_name(term: Symbolic) -> str | None:
    return next((name for name in sorted(term.uses) if name.endswith("_per_s")), None)
