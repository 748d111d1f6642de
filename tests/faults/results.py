"""What a promise's test says of itself, and the table of all ten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Result:
    """How far a promise was kept.

    Attributes:
        promise: its number.
        what: the promise in a few words.
        required: how many trials it asks for.
        reached: how many of them held.
        passed: whether all held, and every figure is within its bound.
        detail: figures, and the first trial that didn't hold.
    """

    promise: int
    what: str
    required: int
    reached: int
    passed: bool
    detail: str

    def line(self) -> str:
        """One line of the table."""
        word = "kept" if self.passed else "SHORT"
        return f"{self.promise:>2}  {word:<5}  {self.reached:>6,} of {self.required:>6,}  {self.what}. {self.detail}"


def table(results: Sequence[Result]) -> str:
    """All results, one a line."""
    return "\n".join(result.line() for result in results)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values don't exceed; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
