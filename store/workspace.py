"""Where the parts of a workspace lie. Knows paths and permissions, nothing of their content."""

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
        """The TOML with the settings that `reflectevo run` starts from."""
        return self.root / "reflectevo.toml"

    @property
    def lock_file(self) -> Path:
        """Locked by the engine for as long as it lives."""
        return self.root / "engine.lock"

    @property
    def logs(self) -> Path:
        """One log file for the engine and one a child."""
        return self.root / "logs"

    @property
    def engine_log(self) -> Path:
        """Log of the supervisor."""
        return self.logs / "engine.log"

    @property
    def policies(self) -> Path:
        """Trained policies, one directory each, never overwritten."""
        return self.root / "policies"

    @property
    def training(self) -> Path:
        """Checkpoints of unfinished trainings."""
        return self.root / "training"

    def child_log(self, kind: str) -> Path:
        """Log of the children of one kind, e.g. `rollout`."""
        return self.logs / f"{kind}.log"

    def require(self) -> Workspace:
        """Return self.

        Raises:
            WorkspaceNotFound: when there is no workspace here.
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
        """Make the directories, readable by the owner alone. Existing ones are left as they are.

        Raises:
            StorageRefused: when a directory can't be made.
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
    """Opener for `open()` that makes new files readable by the owner alone, whatever the umask."""
    descriptor = os.open(path, flags, 0o600)
    os.fchmod(descriptor, 0o600)
    return descriptor


def write_file(path: Path, text: str) -> None:
    """Replace a file as a whole, readable by the owner alone: after a crash it is the old one or the new one.

    Raises:
        StorageRefused: when it can't be written.
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
