"""What a benchmark reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `at_least` tells which way the target lies.

    A row without a `bound` is only reported, and one without a `ratio` stands beside nothing it could be compared with.
    """

    what: str
    ours: str
    baseline: str = ""
    ratio: float | None = None
    bound: float | None = None
    at_least: bool = True

    @property
    def target(self) -> str:
        """The target in words; empty for a row that has none."""
        return "" if self.bound is None else f"{'≥' if self.at_least else '≤'} {self.bound:g}"

    @property
    def met(self) -> bool:
        """Whether the ratio is on the right side of its target; a row without one can't miss it."""
        if self.bound is None:
            return True
        if self.ratio is None:
            return False
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound

    @property
    def cells(self) -> tuple[str, ...]:
        """The row of a table: what, ours, baseline, ratio, target, met."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        met = "" if self.bound is None else "yes" if self.met else "NO"
        return (self.what, self.ours, self.baseline, ratio, self.target, met)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "target": self.target, "met": self.met}
