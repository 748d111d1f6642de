"""Result rows of a benchmark."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table. `at_least` states on which side of the bound the target is.

    A row without a `bound` is only reported, and one without a `ratio` has no baseline to compare with.
    """

    what: str
    ours: str
    baseline: str = ""
    ratio: float | None = None
    bound: float | None = None
    at_least: bool = True

    @property
    def target(self) -> str:
        """Return the target as text; empty for a row that has none."""
        return "" if self.bound is None else f"{'≥' if self.at_least else '≤'} {self.bound:g}"

    @property
    def met(self) -> bool:
        """Check whether the ratio is on the right side of its target; a row without one can't miss it."""
        if self.bound is None:
            return True
        if self.ratio is None:
            return False
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound

    @property
    def cells(self) -> tuple[str, ...]:
        """Return the row as table cells: what, ours, baseline, ratio, target, met."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        met = "" if self.bound is None else "yes" if self.met else "NO"
        return (self.what, self.ours, self.baseline, ratio, self.target, met)

    def as_dict(self) -> dict[str, object]:
        """Return the row as a mapping for JSON."""
        return {**asdict(self), "target": self.target, "met": self.met}
