"""Reads the trajectory list in the background: pages, anchors, details. Called from thread workers only.

Uses two connections, so that a scan of a complete filtered list never delays a page; the scan is interrupted when
the filter changes. Independent of widgets.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from store.database.connection import open_reader
from store.database.outage import store_errors
from store.records import TrajectoryRow
from store.rollouts import trajectories, trajectory_detail
from store.rollouts.lift import has_lifts
from store.rollouts.trajectories import Anchors, TrajectoryFilter
from store.rollouts.trajectory_detail import TrajectoryDetail
from store.runs.iterations import list_iterations
from store.runs.policies import list_policies
from store.runs.runs import list_runs
from store.workspace import Workspace

GROWTH_SECONDS = 3.0
"""Minimum seconds between two updates of a growing list."""

DETAIL_SECONDS = 0.06
"""Seconds without cursor movement before the detail is read, so that a key held down only scrolls the list."""

PAGE_ROWS = 100
"""Rows of a page, and between two anchors."""

Choices = dict[str, list[tuple[str, str]]]
"""For each filter its possible values, each with its label."""


class Interrupted(Exception):
    """Raised when a scan is cancelled because the filter changed."""


@contextmanager
def _given_up(path: Path) -> Iterator[None]:
    """Raise Interrupted for a cancelled scan, and StoreError for any other SQLite error."""
    with store_errors(path):
        try:
            yield
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT:
                raise Interrupted from error
            raise


class TrajectoryReader:
    """Reads the trajectory list; its connections are opened on first use."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._page_lock, self._walk_lock = threading.Lock(), threading.Lock()
        self._pages: sqlite3.Connection | None = None
        self._walks: sqlite3.Connection | None = None

    def page(self, wanted: TrajectoryFilter, number: int, anchors: Anchors | None) -> list[TrajectoryRow]:
        """Return the rows of a page; without anchors only the first page is available."""
        after = anchors.ids[number] if anchors else 0
        with self._page_lock, store_errors(self._workspace.database):
            rows = trajectories.page(self._reader(), wanted, after=after, limit=PAGE_ROWS)
        if anchors and number + 1 < len(anchors.ids):
            # Fewer rows than a page when rows were deleted since the scan; the caller then scans again.
            rows = _until(rows, anchors.ids[number + 1], by_id=wanted.order is None)
        return rows

    def has_lifts(self, iteration_id: int | None) -> bool:
        """Check whether any reflection of an iteration, or of any iteration, has a known lift."""
        with self._page_lock, store_errors(self._workspace.database):
            return has_lifts(self._reader(), iteration_id)

    def detail(self, trajectory_id: int) -> TrajectoryDetail | None:
        """Read one trajectory completely."""
        with self._page_lock, store_errors(self._workspace.database):
            return trajectory_detail.detail(self._reader(), trajectory_id)

    def walk(
        self, wanted: TrajectoryFilter, known: Anchors | None, still_wanted: Callable[[], bool] = lambda: True
    ) -> Anchors:
        """Scan a filtered list, or only the rows appended to it, for the anchors of its pages.

        Scans run one at a time; one that is no longer `still_wanted` when it could start is cancelled.

        Raises:
            Interrupted: when the scan was cancelled, e.g. by `interrupt`.
        """
        with self._walk_lock, _given_up(self._workspace.database):
            if not still_wanted():
                raise Interrupted
            return trajectories.anchors(self._walker(), wanted, PAGE_ROWS, known)

    def interrupt(self) -> None:
        """Cancel the running scan."""
        if self._walks is not None:
            self._walks.interrupt()

    def total(self) -> int:
        """Count all trajectories without a filter. Counting is slow, but does not delay pages.

        Raises:
            Interrupted: when `interrupt` was called in the meantime.
        """
        with self._walk_lock, _given_up(self._workspace.database):
            return trajectories.count(self._walker(), TrajectoryFilter())

    def choices(self) -> Choices:
        """Return the choices of the filters."""
        with self._page_lock, store_errors(self._workspace.database):
            reader = self._reader()
            found = {
                name: [(value, value) for value in values]
                for name, values in trajectories.filter_choices(reader).items()
            }
            named = _names(reader)
            policies = dict(named["policy"])
            found["policy"] = [(value, policies.get(value, value)) for value, _ in found["policy"]]
            found["iteration"] = named["iteration"]
        return found

    def names(self) -> Choices:
        """Return the names of all policies and iterations, for the filters that are set by an id."""
        with self._page_lock, store_errors(self._workspace.database):
            return _names(self._reader())

    def close(self) -> None:
        """Close the connections."""
        self.interrupt()
        with self._page_lock, self._walk_lock:
            for connection in (self._pages, self._walks):
                if connection is not None:
                    connection.close()
            self._pages = self._walks = None

    def _reader(self) -> sqlite3.Connection:
        if self._pages is None:
            self._pages = open_reader(self._workspace.database)
        return self._pages

    def _walker(self) -> sqlite3.Connection:
        if self._walks is None:
            self._walks = open_reader(self._workspace.database)
        return self._walks


def _until(rows: list[TrajectoryRow], last: int, *, by_id: bool) -> list[TrajectoryRow]:
    """Return the rows up to the one with which the next page ends its predecessor."""
    if by_id:
        return [row for row in rows if row.id <= last]
    place = next((place for place, row in enumerate(rows) if row.id == last), len(rows))
    return rows[: place + 1]


def _names(reader: sqlite3.Connection) -> Choices:
    runs = {run.id: run.name for run in list_runs(reader)}
    return {
        "policy": [
            (str(policy.id), f"{policy.name} of {name}")
            for run_id, name in runs.items()
            for policy in list_policies(reader, run_id)
        ],
        "iteration": [
            (str(iteration.id), f"{iteration.title.removeprefix('iteration ')} of {runs[iteration.run_id]}")
            for iteration in list_iterations(reader)
        ],
    }
