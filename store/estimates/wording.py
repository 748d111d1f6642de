"""One stage of an estimate as half a sentence, for a gate's note and the screens: tokens, time, rate, price."""

from __future__ import annotations

from store.estimates.estimate import Estimate, stage_cost
from store.estimates.formulas import StageEstimate
from store.estimates.symbolic import Symbolic


def time_words(seconds: float) -> str:
    """`40 s`, `18 min`, `2 h 05`, `3 d 4 h`, rounded; what takes any time takes a second."""
    whole = round(seconds)
    if whole < 60:
        return f"{max(whole, int(seconds > 0))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    return f"{hours} h {minutes % 60:02d}" if hours < 24 else f"{hours // 24} d {hours % 24} h"


def count_words(value: float) -> str:
    """`41,188`."""
    return f"{value:,.0f}"


def stage_words(estimate: Estimate, name: str) -> str:
    """What a stage of the iteration at hand takes: `about 2,000 generated tokens, 20 min at 1.7 tokens/s (measured)`.

    A rate that nobody knows leaves the formula in its place.
    """
    stage = next(one for one in estimate.first if one.stage == name)
    parts = [_tokens(stage)] if _tokens(stage) else []
    if stage.seconds.known:
        parts.append(f"{time_words(stage.seconds.value or 0.0)}{_rate(estimate, stage)}")
    else:
        missing = ", ".join(stage.seconds.unknown)
        parts.append(f"{stage.seconds.words(time_words)} seconds (unknown: {missing})")
    cost = stage_cost(estimate, stage)
    if cost.known and estimate.figures.has("price_per_gpu_hour"):
        parts.append(f"price {cost.value or 0.0:,.2f}")
    return f"about {', '.join(parts)}"


def _tokens(stage: StageEstimate) -> str:
    for term, kind in ((stage.generated_tokens, "generated"), (stage.training_tokens, "training")):
        if term.value != 0:
            return f"{term.words(count_words)} {kind} tokens"
    return ""


def _rate(estimate: Estimate, stage: StageEstimate) -> str:
    name = _rate_name(stage.seconds)
    if name is None:
        return ""
    figure = estimate.figures[name]
    unit = "rows/s" if name == "curated_per_s" else "tokens/s"
    return f" at {figure.value:,.4g} {unit} ({figure.origin})"


def _rate_name(term: Symbolic) -> str | None:
    return next((name for name in sorted(term.uses) if name.endswith("_per_s")), None)
