"""What a benchmark reports."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table. `at_least` tells which way the target lies."""

    what: str
    ours: str
    baseline: str
    ratio: float
    bound: float
    at_least: bool

    @property
    def target(self) -> str:
        """The target in words."""
        return f"{'≥' if self.at_least else '≤'} {self.bound:g}"

    @property
    def met(self) -> bool:
        """Whether the ratio is on the right side of its target."""
        return self.ratio >= self.bound if self.at_least else self.ratio <= self.bound

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {**asdict(self), "target": self.target, "met": self.met}
