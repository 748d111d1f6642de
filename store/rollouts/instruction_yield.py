"""How often a reflection instruction turned a wrong answer into a right one: the numbers of the Instructions screen."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.control.telemetry import capabilities
from store.evaluation.intervals import Interval, wilson


@dataclass(frozen=True, slots=True)
class InstructionYield:
    """Corrections made right (`helped`) of those judged after a wrong attempt (`n`), under one instruction."""

    helped: int
    n: int

    @property
    def share(self) -> float | None:
        """The yield; None where nothing was judged."""
        return self.helped / self.n if self.n else None

    @property
    def interval(self) -> Interval:
        """Wilson's 95 % interval of the yield."""
        return wilson(self.helped, self.n)


def instruction_yields(connection: sqlite3.Connection, iteration_id: int) -> dict[str, dict[str, InstructionYield]]:
    """Yields of an iteration's training reflections by task and instruction; those of all tasks under `""`.

    A correction that could not be judged counts neither way.
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
    """The sentences of the pool as the engine published them: `verify`, `locate`, `plan`; empty before it did."""
    published = capabilities(connection).get("instructions")
    if not isinstance(published, dict):
        return {}
    return {
        part: [str(sentence) for sentence in published[part]]
        for part in ("verify", "locate", "plan")
        if isinstance(published.get(part), list)
    }
