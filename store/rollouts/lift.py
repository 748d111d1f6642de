"""The lift of a reflection: how much more often a wrong attempt comes right with it than without it.

`correction.samples = m` stores m corrections with each reflection on a wrong first attempt, and m second attempts at
the same question without a reflection. The lift is the difference of the shares that are right. Unverified texts count
as neither right nor wrong. Only reads.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_SHARES = """
SELECT r.id,
       c.helped, c.n,
       coalesce(w.helped, 0), coalesce(w.n, 0)
FROM (
    SELECT k.reflection_id, sum(k.verdict = 'correct') AS helped, sum(k.verdict <> 'unverified') AS n
    FROM attempts k WHERE {corrections} AND k.protocol = '' AND k.turn = 2 GROUP BY k.reflection_id
) c
JOIN reflections r ON r.id = c.reflection_id
JOIN attempts a ON a.id = r.attempt_id AND a.turn = 1 AND a.verdict = 'incorrect'
LEFT JOIN (
    SELECT k.iteration_id, k.question_id, sum(k.verdict = 'correct') AS helped, sum(k.verdict <> 'unverified') AS n
    FROM attempts k WHERE {retries} AND k.protocol = '' AND k.turn = 2 AND k.reflection_id IS NULL
    GROUP BY k.iteration_id, k.question_id
) w ON w.iteration_id = a.iteration_id AND w.question_id = a.question_id
ORDER BY r.id
"""


@dataclass(frozen=True, slots=True)
class ReflectionLift:
    """Second attempts after one wrong first attempt: `right_with` of `n_with` with the reflection, `right_without` of
    `n_without` without it. The counts `n` are of verified texts.
    """

    right_with: int
    n_with: int
    right_without: int
    n_without: int

    @property
    def share_with(self) -> float | None:
        """Share of corrections that are right; None without a verified one."""
        return self.right_with / self.n_with if self.n_with else None

    @property
    def share_without(self) -> float | None:
        """Share of second attempts without the reflection that are right; None without a verified one."""
        return self.right_without / self.n_without if self.n_without else None

    @property
    def lift(self) -> float | None:
        """Difference of the two shares, from −1 to 1; None if one of them is unknown."""
        if self.share_with is None or self.share_without is None:
            return None
        return self.share_with - self.share_without


def reflection_lifts(connection: sqlite3.Connection, iteration_id: int) -> dict[int, ReflectionLift]:
    """Return the shares of each reflection on a wrong first attempt of an iteration's rollouts, by reflection id.

    Reflections of later rounds, and those without a correction, are left out. With `correction.samples = 1` there are
    no second attempts without a reflection, so that every lift is None.
    """
    query = _SHARES.format(
        corrections="k.iteration_id = ?1 AND k.reflection_id IS NOT NULL", retries="k.iteration_id = ?1"
    )
    return _lifts(connection, query, (iteration_id,))


def reflection_lift(connection: sqlite3.Connection, reflection_id: int) -> ReflectionLift | None:
    """Return the shares of one reflection; None if it is not on a wrong first attempt, or has no correction."""
    question = (
        "k.question_id = (SELECT o.question_id FROM reflections v JOIN attempts o ON o.id = v.attempt_id"
        " WHERE v.id = ?1) AND k.iteration_id = (SELECT v.iteration_id FROM reflections v WHERE v.id = ?1)"
    )
    query = _SHARES.format(corrections="k.reflection_id = ?1", retries=question)
    return _lifts(connection, query, (reflection_id,)).get(reflection_id)


def _lifts(connection: sqlite3.Connection, query: str, values: tuple[int, ...]) -> dict[int, ReflectionLift]:
    return {row[0]: ReflectionLift(*row[1:]) for row in connection.execute(query, values)}
