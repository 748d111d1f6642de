"""The yield of reflection instructions, as shown on the Instructions screen: how often a wrong answer became right."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.control.telemetry import capabilities
from store.evaluation.intervals import Interval, wilson


@dataclass(frozen=True, slots=True)
class InstructionYield:
    """Right corrections (`helped`) among those verified after a wrong attempt (`n`), under one instruction."""

    helped: int
    n: int

    @property
    def share(self) -> float | None:
        """The yield; None without a verified correction."""
        return self.helped / self.n if self.n else None

    @property
    def interval(self) -> Interval:
        """The 95 % Wilson interval of the yield."""
        return wilson(self.helped, self.n)


def instruction_yields(connection: sqlite3.Connection, iteration_id: int) -> dict[str, dict[str, InstructionYield]]:
    """Return the yields of an iteration's training reflections by task and instruction; over all tasks under `""`.

    Unverified corrections are not counted.
    """
    found: dict[str, dict[str, InstructionYield]] = {"": {}}
    for task, instruction, helped, n in connection.execute(
        "SELECT task, instruction, sum(transition = 'i→c'), count(*) FROM trajectories"
        " WHERE iteration_id = ? AND split = 'train' AND correction_id IS NOT NULL AND transition IN ('i→c', 'i→i')"
        " GROUP BY task, instruction ORDER BY task, instruction",
        (iteration_id,),
    ):
        found.setdefault(task, {})[instruction] = InstructionYield(helped, n)
        before = found[""].get(instruction, InstructionYield(0, 0))
        found[""][instruction] = InstructionYield(before.helped + helped, before.n + n)
    return found


def instruction_wording(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """Return the sentences of the pool that the engine published, by part; empty before it started."""
    published = capabilities(connection).get("instructions")
    if not isinstance(published, dict):
        return {}
    return {
        part: [str(sentence) for sentence in published[part]]
        for part in ("verify", "locate", "plan")
        if isinstance(published.get(part), list)
    }
