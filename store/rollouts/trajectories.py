"""The trajectory list: keyset pagination with filters and full-text search, counts and anchors.

Pages never use OFFSET: a page starts after an id. To jump into the middle of a list, its *anchors* are read once: every
n-th id under the same filter.
"""

from __future__ import annotations

import sqlite3
from contextlib import nullcontext
from dataclasses import dataclass

from store.database.connection import read, storable
from store.database.rows import to_record
from store.records import LiftOrder, TrajectoryRow
from store.rollouts.lift import has_lifts
from store.rollouts.lift_order import (
    LIFT_FILTERS,
    Conditions,
    ListPart,
    OrderedList,
    lift_clause,
    ordered_anchors,
    ordered_parts,
)
from store.rollouts.trajectory_detail import ITERATION_NUMBER


@dataclass(frozen=True, slots=True)
class TrajectoryFilter:
    """A filter of the list and its order; None or an empty text matches all rows. `iteration` and `policy` are ids.

    `review` is `accept`, `reject`, `flag`, or `none` for rows without a review; `lift` is one of `LIFT_FILTERS` or a
    threshold such as `>= 0.25`. Without an `order` the list is in the order of the ids.
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
    lift: str | None = None
    order: LiftOrder | None = None
    search: str = ""

    def active(self) -> dict[str, str]:
        """Return the fields that restrict or order the list, by name, for the filter chips."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {name: str(value) for name, value in found.items() if value not in (None, "")}


def match_expression(text: str) -> str:
    """Build the FTS5 query for an operator's text: all words must occur, a quoted part as a phrase, the last word as a
    prefix.

    Each part is quoted, so that no character of it is parsed as query syntax.
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


_MOST_COMPLETIONS = 64
"""Maximum number of words that a prefix is expanded to in a search."""


def completed(connection: sqlite3.Connection, expression: str) -> str:
    """Return an equivalent FTS5 query with its prefix expanded to all indexed words that start with it.

    For a prefix SQLite collects all rows of all such words before it returns the first; for complete words it reads
    only as far as a page needs. A prefix of too many words, or one that isn't plain ASCII, is left unchanged.
    """
    before, quote, last = expression.removesuffix('"*').rpartition('"')
    if not expression.endswith('"*') or not quote or not (last.isascii() and last.isalnum()):
        return expression
    start = last.lower()
    words: list[str] = []
    at = start
    while len(words) <= _MOST_COMPLETIONS:
        # Each look-up skips to the next word without scanning the rows of a word.
        row = connection.execute(
            "SELECT term FROM trajectory_words WHERE term >= ? AND term <= ? LIMIT 1", (at, f"{start}\U0010ffff")
        ).fetchone()
        if row is None:
            break
        words.append(row[0])
        at = f"{row[0]}\x01"
    if not 0 < len(words) <= _MOST_COMPLETIONS:
        return expression
    alternatives = " OR ".join(f'"{word}"' for word in words)
    return f"{before.strip()} AND ({alternatives})" if before.strip() else f"({alternatives})"


def _conditions(connection: sqlite3.Connection, wanted: TrajectoryFilter) -> Conditions:
    """Return the FROM clause, the WHERE clause and the parameters of a filter."""
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
        # The partial index has no rows without a review, and is used only if the query excludes them too.
        clauses.append("t.review = ?" if wanted.review == "none" else "t.review <> '' AND t.review = ?")
        values.append("" if wanted.review == "none" else wanted.review)
    if wanted.flag is not None:
        clauses.append("t.flags <> '' AND instr(' ' || t.flags || ' ', ' ' || ? || ' ') > 0")
        values.append(wanted.flag)
    if wanted.lift is not None:
        clause, bounds = lift_clause(wanted.lift)
        clauses.append(clause)
        values += bounds
    # Without statistics SQLite can't know which of several filters is the most selective. These always are: the
    # indexes of the others would be scanned from the start of the store.
    if wanted.flag is not None:
        source += " INDEXED BY trajectories_flags"
    elif wanted.lift is not None and wanted.lift != "unknown":
        clauses.append("t.lift IS NOT NULL")
        source += " INDEXED BY trajectories_lifted"
    elif wanted.iteration is not None and wanted.review in (None, "none"):
        source += " INDEXED BY trajectories_iteration"
    expression = match_expression(wanted.search)
    if expression:
        if wanted.order is None:
            source = "trajectory_search s CROSS JOIN trajectories t ON t.id = s.rowid"
            clauses.append("trajectory_search MATCH ?")
        else:
            clauses.append("t.id IN (SELECT rowid FROM trajectory_search WHERE trajectory_search MATCH ?)")
        values.append(completed(connection, expression))
    return source, " AND ".join(clauses), values


def page(
    connection: sqlite3.Connection,
    wanted: TrajectoryFilter,
    *,
    after: int = 0,
    limit: int = 100,
    backwards: bool = False,
) -> list[TrajectoryRow]:
    """Return the rows that follow the row with id `after`, or with `backwards` those that precede it.

    Args:
        connection: a reader.
        wanted: the filter, and the order of the list.
        after: an id, exclusive. 0 means from the start, with `backwards` from the end.
        limit: maximum number of rows to return; no more than that are read.
        backwards: page towards the start; the rows are returned in the order of the list either way.
    """
    conditions = _conditions(connection, wanted)
    if wanted.order is not None:
        ordered = OrderedList(conditions, wanted.order, wanted.iteration, wanted.lift)
        parts = ordered_parts(connection, ordered, after=after, backwards=backwards)
    else:
        parts = [_by_id(conditions, after, backwards)]
    found: list[TrajectoryRow] = []
    for part in parts:
        if len(found) < limit:
            found += _rows(connection, part, limit - len(found))
    return found[::-1] if backwards else found


def _by_id(conditions: Conditions, after: int, backwards: bool) -> ListPart:
    source, where, values = conditions
    key = "s.rowid" if source.startswith("trajectory_search") else "t.id"
    if backwards:
        return ListPart(source, f"{where} AND {key} < ?", (*values, after or 2**62), f"{key} DESC")
    return ListPart(source, f"{where} AND {key} > ?", (*values, after), f"{key} ASC")


def _rows(connection: sqlite3.Connection, part: ListPart, limit: int) -> list[TrajectoryRow]:
    rows = connection.execute(
        f"SELECT t.id, {ITERATION_NUMBER} AS iteration, t.split, t.task, t.domain, t.transition, t.instruction,"
        " t.review, t.flags, t.lift, coalesce(substr(r.text, 1, 200), substr(a.reasoning, 1, 200)) AS excerpt"
        f" FROM (SELECT t.* FROM {part.source} WHERE {part.where} ORDER BY {part.order} LIMIT ?) t"
        " JOIN attempts a ON a.id = t.attempt_id"
        " LEFT JOIN reflections r ON r.id = t.reflection_id"
        f" LEFT JOIN iterations i ON i.id = t.iteration_id ORDER BY {part.order.replace('s.rowid', 't.id')}",
        (*part.values, limit),
    ).fetchall()
    return [to_record(TrajectoryRow, row) for row in rows]


def count(connection: sqlite3.Connection, wanted: TrajectoryFilter) -> int:
    """Count the trajectories that match a filter."""
    if not wanted.active():
        return _everything(connection)[0]
    source, where, values = _conditions(connection, wanted)
    total: int = connection.execute(f"SELECT count(*) FROM {source} WHERE {where}", values).fetchone()[0]
    return total


def _everything(connection: sqlite3.Connection) -> tuple[int, int]:
    """Return the number of all trajectories, and the last id."""
    row = connection.execute(
        "SELECT (SELECT coalesce(sum(n), 0) FROM tallies WHERE kind = 'trajectories'),"
        " (SELECT coalesce(max(id), 0) FROM trajectories)"
    ).fetchone()
    return row[0], row[1]


@dataclass(frozen=True, slots=True)
class Anchors:
    """Every `step`-th id of a filtered list: `ids[k]` precedes the row at position k × step (so `ids[0]` is 0).

    `last` is the id of the last row that was read, 0 for none. In a list in another order than that of the ids it is
    the highest id of all trajectories at that time.
    """

    step: int
    ids: tuple[int, ...]
    total: int
    last: int


def anchors(
    connection: sqlite3.Connection, wanted: TrajectoryFilter, step: int = 500, known: Anchors | None = None
) -> Anchors:
    """Read the ids of a filtered list once and keep every `step`-th; `page(after=ids[k])` then starts at k × step.

    With `known` anchors of the same filter, only rows appended since then are read; a list in another order than that
    of the ids is read completely each time.
    """
    if wanted.order is not None:
        with nullcontext() if connection.in_transaction else read(connection):
            conditions = _conditions(connection, wanted)
            ordered = OrderedList(conditions, wanted.order, wanted.iteration, wanted.lift)
            ids, found = ordered_anchors(connection, ordered, step)
            newest_id: int = connection.execute("SELECT coalesce(max(id), 0) FROM trajectories").fetchone()[0]
            return Anchors(step, ids, found, newest_id)
    if known is None and not wanted.active():
        total, last = _everything(connection)
        if total == last:
            # The ids have no gaps, so the anchors are known without reading them.
            return Anchors(step, tuple(range(0, total + 1, step)), total, last)
    source, where, values = _conditions(connection, wanted)
    if not source.startswith("trajectory_search"):
        with nullcontext() if connection.in_transaction else read(connection):
            return _hopped(connection, (source, where, values), step, known)
    kept, total, last = ([0], 0, 0) if known is None else (list(known.ids), known.total, known.last)
    step = step if known is None else known.step
    before = total
    # Counted by SQLite: fetching a row per trajectory would block all other threads of the terminal meanwhile.
    for n, found in connection.execute(
        f"SELECT n, id FROM (SELECT s.rowid AS id, row_number() OVER (ORDER BY s.rowid) AS n FROM {source}"
        f" WHERE {where} AND s.rowid > ?) WHERE (n + ?) % ? = 0 ORDER BY n",
        (*values, last, before, step),
    ):
        total, last = before + n, found
        kept.append(found)
    for (found,) in connection.execute(
        f"SELECT s.rowid FROM {source} WHERE {where} AND s.rowid > ? ORDER BY s.rowid", (*values, last)
    ):
        total, last = total + 1, found
        if total % step == 0:
            kept.append(found)
    return Anchors(step=step, ids=tuple(kept), total=total, last=last)


def _hopped(
    connection: sqlite3.Connection, conditions: tuple[str, str, list[object]], step: int, known: Anchors | None
) -> Anchors:
    """Return the anchors of a list without search.

    One recursive statement goes from anchor to anchor, so that no row in between reaches Python. The rows after the
    last anchor are counted.
    """
    source, where, values = conditions
    kept = [0] if known is None else list(known.ids)
    step = step if known is None else known.step
    found = connection.execute(
        "WITH RECURSIVE hop(id) AS (SELECT ? UNION ALL"
        f" SELECT (SELECT t.id FROM {source} WHERE {where} AND t.id > hop.id ORDER BY t.id LIMIT 1 OFFSET ?)"
        " FROM hop WHERE hop.id IS NOT NULL) SELECT id FROM hop WHERE id IS NOT NULL",
        (kept[-1], *values, step - 1),
    ).fetchall()
    kept += [row[0] for row in found[1:]]
    tail, last = connection.execute(
        f"SELECT count(*), max(t.id) FROM {source} WHERE {where} AND t.id > ?", (*values, kept[-1])
    ).fetchone()
    return Anchors(step, tuple(kept), step * (len(kept) - 1) + tail, kept[-1] if last is None else last)


def newest(connection: sqlite3.Connection, limit: int = 8) -> list[TrajectoryRow]:
    """Return the newest finished trajectories, newest first; imported ones are not included."""
    imported = connection.execute("SELECT 1 FROM runs WHERE origin = 'import' LIMIT 1").fetchone()
    if imported is None:
        return page(connection, TrajectoryFilter(), limit=limit, backwards=True)[::-1]
    found: list[TrajectoryRow] = []
    # By iteration, because scanning back over an import of 460,000 rows would noticeably slow down each call.
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
    choices["lift"] = [*LIFT_FILTERS[:1], ">= 0.25", ">= 0.5", *LIFT_FILTERS[1:]] if has_lifts(connection) else []
    return choices
