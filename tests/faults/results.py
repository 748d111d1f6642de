"""Result of a promise's test, and the table of all ten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """Result of one promise.

    Attributes:
        promise: its number.
        what: short description of the promise.
        required: required number of trials.
        reached: number of trials that passed.
        passed: whether all passed, and every figure is within its bound.
        detail: figures, and the first trial that failed.
    """

    promise: int
    what: str
    required: int
    reached: int
    passed: bool
    detail: str

    def line(self) -> str:
        """Return one line of the table."""
        word = "kept" if self.passed else "SHORT"
        return f"{self.promise:>2}  {word:<5}  {self.reached:>6,} of {self.required:>6,}  {self.what}. {self.detail}"


def table(results: Sequence[Result]) -> str:
    """Return all results, one a line."""
    return "\n".join(result.line() for result in results)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that `share` of the values don't exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
