"""Formats an estimate as text, as a table and as JSON. All numbers are computed in `store.estimates.estimate`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from reflectevo_tui.text import formatting
from store.estimates.estimate import Column, Estimate
from store.estimates.formulas import StageEstimate
from store.estimates.inputs import MEANINGS
from store.estimates.symbolic import Symbolic
from store.estimates.wording import UNKNOWN_TIME, decision_words, few_examples_words, rate_words
from store.evaluation.number_format import counted

LABELS = {"loads": "load models"}

_COLUMNS: tuple[Column, ...] = ("texts", "prompt_tokens", "generated_tokens", "training_tokens", "seconds")
_SIZES = ("database_bytes", "policy_bytes", "disk_bytes", "generation_bytes", "training_bytes")


def size(value: float) -> str:
    """Format bytes, e.g. `7.2 GiB`, or `120 MiB` below one GiB."""
    return f"{formatting.gibibytes(value)} GiB" if value >= 2**30 else f"{value / 2**20:,.1f} MiB"


def price(value: float) -> str:
    """Format a price, e.g. `1,204.50`."""
    return f"{value:,.2f}"


def cell(term: Symbolic, write: Callable[[float], str] = formatting.count) -> str:
    """Format a table cell: a number, a formula, or an empty string for 0."""
    return "" if term.value == 0 else term.words(write)


def stage_cells(stage: StageEstimate) -> tuple[str, ...]:
    """Return the cells of one table row."""
    return (
        LABELS.get(stage.stage, stage.stage),
        *(cell(getattr(stage, column)) for column in _COLUMNS[:-1]),
        _time(stage.seconds, "not measured"),
    )


def sums(estimate: Estimate) -> list[tuple[str, str]]:
    """Return the totals of the run as pairs of name and text."""
    iterations = counted(estimate.iterations, "iteration")
    time = estimate.over_all("seconds")
    lines = [
        (
            "texts",
            f"{estimate.over_all('texts').words(formatting.count)} in {iterations}; trajectories an iteration: "
            f"{estimate.trajectories.words(formatting.count)}",
        ),
        ("prompt tokens", estimate.over_all("prompt_tokens").words(formatting.count)),
        ("generated tokens", estimate.over_all("generated_tokens").words(formatting.count)),
        ("training tokens", estimate.over_all("training_tokens").words(formatting.count)),
        ("time", _time(time, _unmeasured(estimate, time))),
        ("GPU time", _time(estimate.gpu_seconds, "unknown (not measured yet)")),
        ("price", _price(estimate)),
        (
            "disk",
            f"{estimate.disk_bytes.words(size)} (an iteration: database {estimate.database_bytes.words(size)}, "
            f"policy {estimate.policy_bytes.words(size)})",
        ),
        ("memory, generating", estimate.generation_bytes.words(size)),
        ("memory, training", estimate.training_bytes.words(size)),
        ("decided on", decision_words(estimate)),
    ]
    few = few_examples_words(estimate)
    return [*lines, ("training set", few)] if few else lines


def _time(term: Symbolic, unknown: str) -> str:
    """Format a time; the formula of an unknown one is part of the JSON output only."""
    return cell(term, formatting.duration) if term.known else unknown


def _unmeasured(estimate: Estimate, time: Symbolic) -> str:
    missing = [name for name in sorted(time.uses) if not estimate.figures.has(name)]
    return f"unknown; not measured: {', '.join(missing)} (formula: --json)"


def _price(estimate: Estimate) -> str:
    if not estimate.figures.has("price_per_gpu_hour"):
        return "unknown (GPU hours × price_per_gpu_hour)"
    return estimate.cost.words(price)


def figure_rows(estimate: Estimate) -> list[tuple[str, str, str, str]]:
    """Return the input figures as (name, value, source, meaning), unknown ones first."""
    rows = []
    for name in sorted(estimate.used, key=lambda one: (estimate.figures.has(one), one)):
        figure = estimate.figures[name]
        if figure.value is None:
            rows.append((name, "–", figure.source, MEANINGS.get(name, "")))
        else:
            rows.append((name, rate_words(figure.value), f"{figure.origin}: {figure.source}", MEANINGS.get(name, "")))
    return rows


def brief(estimate: Estimate) -> list[str]:
    """Return some lines for a screen: tokens, time, disk space, what promotion is decided on, and what is missing."""
    time = estimate.over_all("seconds")

    def total(column: Column) -> str:
        return estimate.over_all(column).words(formatting.count)

    lines = [
        f"{total('texts')} texts · {total('prompt_tokens')} prompt + {total('generated_tokens')} generated + "
        f"{total('training_tokens')} training tokens",
        f"time {time.words(formatting.duration)}" if time.known else UNKNOWN_TIME,
        f"disk {estimate.disk_bytes.words(size)} · memory generating {estimate.generation_bytes.words(size)}",
    ]
    if estimate.figures.has("price_per_gpu_hour"):
        lines.append(f"price {estimate.cost.words(price)}")
    few = few_examples_words(estimate)
    lines += [f"decided on {decision_words(estimate)}", *([few] if few else [])]
    return [*lines, origins(estimate, time)]


def origins(estimate: Estimate, term: Symbolic) -> str:
    """Describe the sources of the rates in a time estimate."""
    rates = [name for name in sorted(term.uses) if name.endswith(("_per_s", "load_s", "start_s"))]
    known = [(name, estimate.figures[name]) for name in rates if estimate.figures.has(name)]
    parts = [f"{name} {rate_words(figure.value or 0.0)} ({figure.origin})" for name, figure in known]
    missing = [name for name in rates if not estimate.figures.has(name)]
    if missing:
        parts.append(f"not measured: {', '.join(missing)}")
    return "; ".join(parts)


def as_json(estimate: Estimate) -> dict[str, Any]:
    """Return all values for scripts; an unknown value is null, with its formula beside it."""

    def shown(term: Symbolic) -> dict[str, Any]:
        # The formulas are for readers: a sum of numbers and products of names, in the unit of the key.
        formula = term.words(lambda value: f"{value:.10g}")
        return {"value": term.value, "formula": formula, "unknown": list(term.unknown)}

    def stages(rows: tuple[StageEstimate, ...]) -> list[dict[str, Any]]:
        return [{"stage": row.stage, **{column: shown(getattr(row, column)) for column in _COLUMNS}} for row in rows]

    return {
        "iterations": estimate.iterations,
        "decided_on": decision_words(estimate),
        "too_few_examples": few_examples_words(estimate),
        "first": stages(estimate.first),
        "later": stages(estimate.later) if estimate.iterations > 1 else [],
        "all": {column: shown(estimate.over_all(column)) for column in _COLUMNS},
        "trajectories": shown(estimate.trajectories),
        **{name: shown(getattr(estimate, name)) for name in _SIZES},
        "gpu_seconds": shown(estimate.gpu_seconds),
        "cost": shown(estimate.cost),
        "figures": {
            name: {
                "value": estimate.figures[name].value,
                "origin": estimate.figures[name].origin,
                "source": estimate.figures[name].source,
                "meaning": MEANINGS.get(name, ""),
            }
            for name in estimate.used
        },
    }
