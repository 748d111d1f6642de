"""Paths and permissions of the files in a workspace. Does not know their content."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from store.errors import StorageRefused, WorkspaceNotFound


@dataclass(frozen=True)
class Workspace:
    """A directory with one database, at most one engine, and the policies it trained."""

    root: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.root / "reflectevo.db"

    @property
    def settings_file(self) -> Path:
        """The TOML file with the settings for `reflectevo run`."""
        return self.root / "reflectevo.toml"

    @property
    def lock_file(self) -> Path:
        """The lock file, locked by the engine while it runs."""
        return self.root / "engine.lock"

    @property
    def logs(self) -> Path:
        """Directory of the log files: one of the engine, one per kind of worker process."""
        return self.root / "logs"

    @property
    def engine_log(self) -> Path:
        """Log of the supervisor."""
        return self.logs / "engine.log"

    @property
    def policies(self) -> Path:
        """Directory of the trained policies: one subdirectory each, never overwritten."""
        return self.root / "policies"

    @property
    def training(self) -> Path:
        """Directory of the checkpoints of unfinished trainings."""
        return self.root / "training"

    def child_log(self, kind: str) -> Path:
        """Return the log file of the worker processes of one kind, e.g. `rollout`."""
        return self.logs / f"{kind}.log"

    def require(self) -> Workspace:
        """Check that the workspace exists and return it.

        Raises:
            WorkspaceNotFound: when there is no database in `root`.
            StorageRefused: when `root` can't be read.
        """
        try:
            present = self.database.exists()
        except OSError as error:
            raise StorageRefused(
                f"the workspace {self.root} can't be read ({error.strerror}); check its owner and permissions"
            ) from error
        if not present:
            raise WorkspaceNotFound(
                f"no workspace in {self.root} (there is no {self.database.name}); "
                f"make one with: reflectevo init -w {self.root}"
            )
        return self

    def create(self) -> Workspace:
        """Create the directories with access for the owner only (mode 0700); existing ones keep their content.

        Raises:
            StorageRefused: when a directory can't be created.
        """
        try:
            for directory in (self.root, self.logs, self.policies, self.training):
                directory.mkdir(parents=True, exist_ok=True)
                os.chmod(directory, 0o700)
        except OSError as error:
            raise StorageRefused(
                f"can't make the workspace {self.root}: {error.strerror}; choose another place"
            ) from error
        return self


def private_opener(path: str, flags: int) -> int:
    """Open a file with mode 0600 regardless of the umask; an opener for `open()`."""
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def write_file(path: Path, text: str) -> None:
    """Write a file atomically with mode 0600: after a crash it has either the old or the new content.

    Raises:
        StorageRefused: when the file can't be written.
    """
    temporary: Path | None = None
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # 0600 by mkstemp
        temporary = Path(name)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        raise StorageRefused(
            f"{path} can't be written ({error.strerror or error}); check its owner and the free space, then try again"
        ) from error
