"""Writes finished work into the store, and waits out a failing disk.

A piece is on disk before anything that follows from it is asked for, so a kill at any moment loses at most
the texts that were still being generated. Pieces that finish in the same turn of the event loop share a transaction.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from engine.errors import log_error
from store.database.connection import write
from store.database.outage import disk_trouble
from store.rollouts.attempts import NewAttempt, NewReflection, finish_trajectory, insert_attempt, insert_reflection

Result = TypeVar("Result")

_RETRY_SECONDS = 2.0


class _Group:
    """Pieces of one transaction. `results` is None until they are committed, and stays so when they could not be."""

    def __init__(self) -> None:
        self.pieces: list[Callable[[sqlite3.Connection], Any]] = []
        self.results: list[Any] | None = None
        self._tried = asyncio.Event()

    def join(self, piece: Callable[[sqlite3.Connection], Any]) -> int:
        """Add a piece; returns its place."""
        self.pieces.append(piece)
        return len(self.pieces) - 1

    async def wait(self) -> None:
        """Until somebody tried to write the group.

        Who is cancelled when the group was written already hears of that first, and of the cancellation at the next
        wait: what is stored is always counted.
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
        """Let whoever is ready in this turn of the loop join, then write all of them or, when the store refuses any,
        none. `close` is called when nobody may join any more."""
        try:
            await asyncio.sleep(0)
            with write(connection):
                results = [piece(connection) for piece in self.pieces]
            self.results = results
        except sqlite3.Error:
            # Each alone then: it meets its own trouble, and the others are kept.
            return
        finally:
            close()
            self._tried.set()


class StoreJournal:
    """The journal of a rollout child.

    Args:
        connection: a writer.
        hold: called with a reason when the store can't be written, and with None when it can again; the
            generator is paused in between, so that nothing generated has to be thrown away.
    """

    def __init__(self, connection: sqlite3.Connection, hold: Callable[[str | None], Awaitable[None]]) -> None:
        self._connection = connection
        self._hold = hold
        self._held = False
        self._group: _Group | None = None

    async def attempt(self, attempt: NewAttempt, *, ends_trajectory: tuple[int | None, int | None] | None) -> int:
        """Store an attempt, and the trajectory it completes."""

        def store(connection: sqlite3.Connection) -> int:
            attempt_id = insert_attempt(connection, attempt)
            if ends_trajectory is not None:
                first, reflection_id = ends_trajectory
                correction_id = None if first is None else attempt_id
                finish_trajectory(connection, attempt_id if first is None else first, reflection_id, correction_id)
            return attempt_id

        return await self.store(store)

    async def reflection(self, reflection: NewReflection, *, ends_trajectory: bool) -> int:
        """Store a reflection; one that failed ends its trajectory."""

        def store(connection: sqlite3.Connection) -> int:
            reflection_id = insert_reflection(connection, reflection)
            if ends_trajectory:
                finish_trajectory(connection, reflection.attempt_id, reflection_id, None)
            return reflection_id

        return await self.store(store)

    async def store(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in a write transaction, with what else is ready to be stored; returns once it is committed.

        A full, locked or read-only disk is waited out, loudly. The search index writes a segment for each
        transaction, and merging many small ones is most of its cost: a batch of replies is stored at once.
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
        """Run `work` in a transaction of its own, as often as it takes."""
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
