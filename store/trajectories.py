"""The trajectory list: keyset pages over filters and full text, counts, anchors for jumps, and details.

Pages never use OFFSET: a page starts after an id. To jump into the middle of a list its *anchors* are
asked for once, every n-th id under the same filter.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from store.connection import storable
from store.records import StoredAttempt, StoredQuestion, StoredReflection, TrajectoryDetail, TrajectoryRow
from store.rows import to_record

_NUMBER = "iif(i.kind = 'training', i.number, NULL)"
"""The number of the iteration that made a row; an evaluation apart from iterations has none that belongs here."""


@dataclass(frozen=True, slots=True)
class TrajectoryFilter:
    """What the list shows; None or an empty text filters nothing. `iteration` and `policy` are ids.

    `review` is `accept`, `reject`, `flag`, or `none` for what nobody has reviewed.
    """

    iteration: int | None = None
    split: str | None = None
    task: str | None = None
    domain: str | None = None
    transition: str | None = None
    instruction: str | None = None
    review: str | None = None
    policy: int | None = None
    flag: str | None = None
    search: str = ""

    def active(self) -> dict[str, str]:
        """The parts that filter something, by name, for the chips."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: str(value) for name, value in found.items() if value not in (None, "")}


def match_expression(text: str) -> str:
    """FTS5 query for an operator's text: every word must occur, a quoted part as a phrase, the last word as a prefix.

    Each part is quoted, so that no character of it is read as query syntax.
    """
    parts: list[str] = []
    for position, piece in enumerate(storable(text).replace("\0", " ").split('"')):
        if position % 2:
            parts.append(piece.strip())
        else:
            parts.extend(piece.split())
    quoted = ['"' + part + '"' for part in parts if any(c.isalnum() for c in part)]
    if quoted and not text.endswith(('"', " ")):
        quoted[-1] += "*"
    return " ".join(quoted)


def _conditions(wanted: TrajectoryFilter) -> tuple[str, str, list[object]]:
    """FROM part, WHERE part and values of a filter."""
    source, clauses, values = "trajectories t", ["1"], []  # type: str, list[str], list[object]
    for column, value in (
        ("iteration_id", wanted.iteration),
        ("split", wanted.split),
        ("task", wanted.task),
        ("domain", wanted.domain),
        ("transition", wanted.transition),
        ("instruction", wanted.instruction),
        ("policy_id", wanted.policy),
    ):
        if value is not None:
            clauses.append(f"t.{column} = ?")
            values.append(value)
    if wanted.review is not None:
        # The index leaves out what nobody reviewed, and is used only where the query says so too.
        clauses.append("t.review = ?" if wanted.review == "none" else "t.review <> '' AND t.review = ?")
        values.append("" if wanted.review == "none" else wanted.review)
    if wanted.flag is not None:
        clauses.append("t.flags <> '' AND instr(' ' || t.flags || ' ', ' ' || ? || ' ') > 0")
        values.append(wanted.flag)
    expression = match_expression(wanted.search)
    if expression:
        source = "trajectory_search s CROSS JOIN trajectories t ON t.id = s.rowid"
        clauses.append("trajectory_search MATCH ?")
        values.append(expression)
    return source, " AND ".join(clauses), values


def page(
    connection: sqlite3.Connection,
    wanted: TrajectoryFilter,
    *,
    after: int = 0,
    limit: int = 100,
    backwards: bool = False,
) -> list[TrajectoryRow]:
    """The rows that follow id `after` in ascending order, or with `backwards` those that precede it.

    Args:
        connection: a reader.
        wanted: the filter.
        after: an id; not included. Backwards, 0 means from the end.
        limit: most rows to return; at most that many are read.
        backwards: walk towards the start; rows come back in ascending order all the same.
    """
    source, where, values = _conditions(wanted)
    key = "s.rowid" if source.startswith("trajectory_search") else "t.id"
    if backwards:
        comparison, order = f"{key} < ?", "DESC"
        after = after or 2**62
    else:
        comparison, order = f"{key} > ?", "ASC"
    rows = connection.execute(
        f"SELECT t.id, {_NUMBER} AS iteration, t.split, t.task, t.domain, t.transition, t.instruction, t.review,"
        " t.flags, coalesce(substr(r.text, 1, 200), substr(a.reasoning, 1, 200)) AS excerpt"
        f" FROM (SELECT t.* FROM {source} WHERE {where} AND {comparison} ORDER BY {key} {order} LIMIT ?) t"
        " JOIN attempts a ON a.id = t.attempt_id"
        " LEFT JOIN reflections r ON r.id = t.reflection_id"
        f" LEFT JOIN iterations i ON i.id = t.iteration_id ORDER BY t.id {order}",
        (*values, after, limit),
    ).fetchall()
    found = [to_record(TrajectoryRow, row) for row in rows]
    return found[::-1] if backwards else found


def count(connection: sqlite3.Connection, wanted: TrajectoryFilter) -> int:
    """How many trajectories a filter lets through."""
    source, where, values = _conditions(wanted)
    total: int = connection.execute(f"SELECT count(*) FROM {source} WHERE {where}", values).fetchone()[0]
    return total


@dataclass(frozen=True, slots=True)
class Anchors:
    """Every `step`-th id of a filtered list: `ids[k]` precedes the row at position k × step (so `ids[0]` is 0).

    `last` is the id of the last row walked over, 0 for none.
    """

    step: int
    ids: tuple[int, ...]
    total: int
    last: int


def anchors(
    connection: sqlite3.Connection, wanted: TrajectoryFilter, step: int = 500, known: Anchors | None = None
) -> Anchors:
    """Walk the ids of a filtered list once and keep every `step`-th; `page(after=ids[k])` then starts at k × step.

    With `known` anchors of the same filter only what was appended since is walked.
    """
    source, where, values = _conditions(wanted)
    key = "s.rowid" if source.startswith("trajectory_search") else "t.id"
    kept, total, last = ([0], 0, 0) if known is None else (list(known.ids), known.total, known.last)
    step = step if known is None else known.step
    before = total
    # Counted by SQLite: a row for each trajectory would hold up every other thread of the terminal for as long.
    for n, found in connection.execute(
        f"SELECT n, id FROM (SELECT {key} AS id, row_number() OVER (ORDER BY {key}) AS n FROM {source}"
        f" WHERE {where} AND {key} > ?) WHERE (n + ?) % ? = 0 ORDER BY n",
        (*values, last, before, step),
    ):
        total, last = before + n, found
        kept.append(found)
    for (found,) in connection.execute(
        f"SELECT {key} FROM {source} WHERE {where} AND {key} > ? ORDER BY {key}", (*values, last)
    ):
        total, last = total + 1, found
        if total % step == 0:
            kept.append(found)
    return Anchors(step=step, ids=tuple(kept), total=total, last=last)


def _attempt(connection: sqlite3.Connection, attempt_id: int) -> StoredAttempt:
    row = connection.execute("SELECT * FROM attempts WHERE id = ?", (attempt_id,)).fetchone()
    return to_record(StoredAttempt, row)


def detail(connection: sqlite3.Connection, trajectory_id: int) -> TrajectoryDetail | None:
    """Everything about one trajectory; None when there is none with that id."""
    row = connection.execute(
        f"SELECT t.*, {_NUMBER} AS iteration, p.name AS policy, '' AS excerpt FROM trajectories t"
        " LEFT JOIN iterations i ON i.id = t.iteration_id LEFT JOIN policies p ON p.id = t.policy_id WHERE t.id = ?",
        (trajectory_id,),
    ).fetchone()
    if row is None:
        return None
    question = connection.execute("SELECT * FROM questions WHERE id = ?", (row["question_id"],)).fetchone()
    reflection = None
    if row["reflection_id"] is not None:
        reflection = to_record(
            StoredReflection,
            connection.execute("SELECT * FROM reflections WHERE id = ?", (row["reflection_id"],)).fetchone(),
        )
    siblings = connection.execute(
        "SELECT id FROM trajectories WHERE attempt_id = ? ORDER BY id", (row["attempt_id"],)
    ).fetchall()
    return TrajectoryDetail(
        row=to_record(TrajectoryRow, row),
        question=to_record(StoredQuestion, question),
        attempt=_attempt(connection, row["attempt_id"]),
        reflection=reflection,
        correction=None if row["correction_id"] is None else _attempt(connection, row["correction_id"]),
        policy=row["policy"] or "",
        siblings=tuple(sibling["id"] for sibling in siblings),
    )


def newest(connection: sqlite3.Connection, limit: int = 8) -> list[TrajectoryRow]:
    """The newest finished trajectories that were made here, newest first. What was imported is browsed, not news."""
    imported = connection.execute("SELECT 1 FROM runs WHERE origin = 'import' LIMIT 1").fetchone()
    if imported is None:
        return page(connection, TrajectoryFilter(), limit=limit, backwards=True)[::-1]
    found: list[TrajectoryRow] = []
    # By iteration, because walking back over an import of 460,000 rows would be felt at each look.
    for (iteration_id,) in connection.execute(
        "SELECT i.id FROM iterations i JOIN runs r ON r.id = i.run_id WHERE r.origin <> 'import' ORDER BY i.id DESC"
    ).fetchall():
        wanted = TrajectoryFilter(iteration=iteration_id)
        found += page(connection, wanted, limit=limit - len(found), backwards=True)[::-1]
        if len(found) == limit:
            break
    return found


def filter_choices(connection: sqlite3.Connection) -> dict[str, list[str]]:
    """The values each filter can take, from what is stored; skips through the indexes, so it costs the same at any
    size."""
    choices: dict[str, list[str]] = {}
    for column in ("task", "domain", "transition", "instruction", "policy_id"):
        rows = connection.execute(
            f"WITH RECURSIVE found(value) AS (SELECT min({column}) FROM trajectories UNION ALL"
            f" SELECT (SELECT min({column}) FROM trajectories WHERE {column} > found.value) FROM found"
            " WHERE found.value IS NOT NULL) SELECT value FROM found WHERE value IS NOT NULL AND value <> ''"
        ).fetchall()
        choices[column] = [str(row[0]) for row in rows]
    choices["policy"] = choices.pop("policy_id")
    flags = connection.execute("SELECT DISTINCT flags FROM trajectories WHERE flags <> ''").fetchall()
    choices["flag"] = sorted({flag for row in flags for flag in row[0].split()})
    choices["split"] = ["train", "dev", "test"]
    choices["review"] = ["none", "accept", "reject", "flag"]
    return choices
