"""The lift of a reflection: how much more often a wrong attempt comes right with it than without it.

`correction.samples = m` stores m corrections with each reflection on a wrong first attempt, and m second attempts at
the same question without a reflection. The lift is the difference of the shares that are right. Unverified texts count
as neither right nor wrong.

The lifts are stored with the trajectories as soon as the corrections of an iteration are complete, so that lists are
filtered and ordered by lift through an index.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_SHARES = """
SELECT r.id AS reflection_id,
       c.helped AS right_with, c.n AS n_with,
       coalesce(w.helped, 0) AS right_without, coalesce(w.n, 0) AS n_without,
       r.attempt_id AS attempt_id, w.question_id IS NOT NULL AS sampled
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
        if not self.n_with or not self.n_without:
            return None
        # One division rounds once: equal differences of shares are equal numbers, whatever the counts.
        above = self.right_with * self.n_without - self.right_without * self.n_with
        return above / (self.n_with * self.n_without)


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
    return {row[0]: ReflectionLift(*row[1:5]) for row in connection.execute(f"{query} ORDER BY r.id", values)}


_SAMPLED = """
SELECT EXISTS (
    SELECT 1 FROM iterations i JOIN run_questions q ON q.run_id = i.run_id JOIN attempts k
    ON k.iteration_id = i.id AND k.protocol = '' AND k.question_id = q.question_id AND k.turn = 2
    AND ifnull(k.reflection_id, 0) = 0
    WHERE i.id = ?
)
"""
"""Whether an iteration has second attempts without a reflection; an index look-up for each question of its run."""


def store_lifts(connection: sqlite3.Connection, iteration_id: int) -> int:
    """Store the lifts of an iteration's reflections with their trajectories, and return the number of known ones.

    Called inside a write transaction whenever the corrections of an iteration are complete or their verdicts have
    changed; repeating it changes nothing. Trajectories on questions without a second attempt that had no reflection
    keep an unknown lift.
    """
    connection.execute(
        "UPDATE trajectories SET right_with = NULL, n_with = NULL, right_without = NULL, n_without = NULL, lift = NULL"
        " WHERE iteration_id = ? AND lift IS NOT NULL",
        (iteration_id,),
    )
    if not connection.execute(_SAMPLED, (iteration_id,)).fetchone()[0]:
        return 0
    connection.create_function("lift_of", 4, lambda *counts: ReflectionLift(*counts).lift, deterministic=True)
    shares = _SHARES.format(
        corrections="k.iteration_id = ?1 AND k.reflection_id IS NOT NULL", retries="k.iteration_id = ?1"
    )
    connection.execute(
        "UPDATE trajectories SET right_with = s.right_with, n_with = s.n_with, right_without = s.right_without,"
        " n_without = s.n_without, lift = lift_of(s.right_with, s.n_with, s.right_without, s.n_without)"
        f" FROM ({shares}) s WHERE s.sampled AND trajectories.attempt_id = s.attempt_id"
        " AND ifnull(trajectories.reflection_id, 0) = s.reflection_id",
        (iteration_id,),
    )
    query = "SELECT count(*) FROM trajectories WHERE iteration_id = ? AND lift IS NOT NULL"
    return int(connection.execute(query, (iteration_id,)).fetchone()[0])


def stored_lift(row: sqlite3.Row) -> ReflectionLift | None:
    """Return the shares in a row of `trajectories`; None if no second attempts without a reflection were generated."""
    if row["n_with"] is None:
        return None
    return ReflectionLift(row["right_with"], row["n_with"], row["right_without"], row["n_without"])


def has_lifts(connection: sqlite3.Connection, iteration_id: int | None = None) -> bool:
    """Check whether any reflection, or any of one iteration, has a known lift."""
    index, clause = (
        ("trajectories_lift", "") if iteration_id is None else ("trajectories_iteration_lift", " AND iteration_id = ?")
    )
    row = connection.execute(
        f"SELECT EXISTS (SELECT 1 FROM trajectories INDEXED BY {index} WHERE lift IS NOT NULL{clause})",
        () if iteration_id is None else (iteration_id,),
    ).fetchone()
    return bool(row[0])
