"""Writes finished work to the store, and waits while the disk can't be written.

A row is committed before anything that depends on it is requested, so that a kill at any time loses at most the texts
that were still being generated. Rows that are ready in the same iteration of the event loop share a transaction.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

from engine.errors import log_error
from store.database.connection import write
from store.database.outage import disk_trouble
from store.rollouts.attempts import NewAttempt, NewReflection, finish_trajectory, insert_attempt, insert_reflection

Result = TypeVar("Result")

_RETRY_SECONDS = 2.0


class _Group:
    """The writes of one transaction. `results` is None until they are committed, and stays None if that fails."""

    def __init__(self) -> None:
        self.pieces: list[Callable[[sqlite3.Connection], Any]] = []
        self.results: list[Any] | None = None
        self._tried = asyncio.Event()

    def join(self, piece: Callable[[sqlite3.Connection], Any]) -> int:
        """Add a write and return its index."""
        self.pieces.append(piece)
        return len(self.pieces) - 1

    async def wait(self) -> None:
        """Wait until the group has been written or the attempt has failed.

        If the caller is cancelled after the group was written, this returns normally and the cancellation is raised at
        the next await, so that everything that is stored is also counted.
        """
        try:
            await self._tried.wait()
        except asyncio.CancelledError:
            if self.results is None:
                raise
            task = asyncio.current_task()
            assert task is not None
            task.cancel()

    async def gather_and_write(self, connection: sqlite3.Connection, close: Callable[[], None]) -> None:
        """Let other writes of this iteration of the event loop join, then commit all of them or, if one fails, none.

        `close` is called when no further write may join.
        """
        try:
            await asyncio.sleep(0)
            with write(connection):
                results = [piece(connection) for piece in self.pieces]
            self.results = results
        except sqlite3.Error:
            # Each write is then retried in a transaction of its own, so that one failure does not affect the others.
            return
        finally:
            close()
            self._tried.set()


class StoreWriter:
    """Stores the finished work of a rollout process.

    Args:
        connection: a writing connection.
        hold: called with a reason when the store can't be written, and with None once it can be again; the generator
            is paused in between, so that no generated text has to be discarded.
    """

    def __init__(self, connection: sqlite3.Connection, hold: Callable[[str | None], Awaitable[None]]) -> None:
        self._connection = connection
        self._hold = hold
        self._held = False
        self._group: _Group | None = None

    async def attempt(self, attempt: NewAttempt, *, ends_trajectory: tuple[int | None, int | None] | None) -> int:
        """Store an attempt and the trajectory that it completes; return the attempt's id."""

        def store(connection: sqlite3.Connection) -> int:
            attempt_id = insert_attempt(connection, attempt)
            if ends_trajectory is not None:
                first, reflection_id = ends_trajectory
                correction_id = None if first is None else attempt_id
                finish_trajectory(connection, attempt_id if first is None else first, reflection_id, correction_id)
            return attempt_id

        return await self.store(store)

    async def reflection(self, reflection: NewReflection, *, ends_trajectory: bool) -> int:
        """Store a reflection and return its id; a failed reflection ends its trajectory."""

        def store(connection: sqlite3.Connection) -> int:
            reflection_id = insert_reflection(connection, reflection)
            if ends_trajectory:
                finish_trajectory(connection, reflection.attempt_id, reflection_id, None)
            return reflection_id

        return await self.store(store)

    async def one_reply(self, reflection: NewReflection, correction: NewAttempt) -> tuple[int, int]:
        """Store a reflection with the correction of the same reply, and their trajectory, in one transaction.

        A reflection without its correction would lose half of a generated reply if the process was killed in between.
        """

        def store(connection: sqlite3.Connection) -> tuple[int, int]:
            reflection_id = insert_reflection(connection, reflection)
            correction_id = insert_attempt(connection, replace(correction, reflection_id=reflection_id))
            finish_trajectory(connection, reflection.attempt_id, reflection_id, correction_id)
            return reflection_id, correction_id

        return await self.store(store)

    async def store(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in a write transaction together with other ready writes; return once it is committed.

        If the disk is full, locked or read-only, the reason is logged and the write is retried until it succeeds.
        Writes are grouped because the search index creates a segment per transaction, and merging many small segments
        is most of its cost.
        """
        group = self._group
        if group is not None:
            place = group.join(work)
            await group.wait()
        else:
            group = self._group = _Group()
            place = group.join(work)
            await group.gather_and_write(self._connection, self._close_group)
        if group.results is not None:
            result: Result = group.results[place]
            return result
        return await self._store_alone(work)

    def _close_group(self) -> None:
        self._group = None

    async def _store_alone(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in a separate transaction, and retry while the disk can't be written."""
        while True:
            try:
                with write(self._connection):
                    result = work(self._connection)
            except sqlite3.OperationalError as error:
                reason = disk_trouble(error)
                if reason is None:
                    raise
                if not self._held:
                    self._held = True
                    log_error(reason)
                await self._hold(reason)
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if self._held:
                self._held = False
                await self._hold(None)
            return result
