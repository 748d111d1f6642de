"""The errors that are meant for an operator. All of them derive from `OperatorError`.

    OperatorError
        StoreError                  store: the database, the workspace's files, settings, directives
            WorkspaceNotFound           there is no workspace
            NotOurDatabase              foreign, newer or damaged; left untouched
            StorageRefused              disk, mount, permissions, another writer
            DatabaseFailed              SQLite refused a statement of ours
            SettingsError, EstimateRefused
            DirectiveRefused, TakeoverRefused
        EngineError                 engine.errors: tasks, models, generation, training, judge, the engine's lock;
                                    with ImportRefused, ExportRefused, Refused and SandboxUnavailable beside their code
        EngineUnavailable           reflectevo_tui: the engine can't be started or queried
        LaunchRefused, RunRefused, ExperimentRefused, TerminalRefused

Who raises: the function that knows the purpose and the place, at the boundary where a library or the operating system
reports the failure. `OSError` and `sqlite3.Error` are converted there (`store.database.connection.reading` and
`writing`, `store.workspace.write_file`), so that no caller has to handle them.

Who catches: `reflectevo_tui.commands.options.guarded` for commands, the thread workers of the screens, the main
function of `python -m engine`, and the supervisor for directives and worker processes. They catch `OperatorError` and
show its text only. A narrower class is caught only where that case is handled. Any other exception is a bug and keeps
its traceback.

How to write a message: one or two sentences, first what happened, then where (the path, key, line, run or policy), then
what to do, if possible as a command to copy. `no workspace in /data/w (there is no reflectevo.db); make one with:
reflectevo init -w /data/w`. No class names, no advice that the reader can't follow, and a library's own text only in
parentheses.
"""

from __future__ import annotations


class OperatorError(Exception):
    """An error meant for the operator; its text states what happened, where, and what to do."""


class StoreError(OperatorError):
    """Base class of the store's errors."""


class WorkspaceNotFound(StoreError):
    """The directory is not a workspace: it doesn't exist or contains no database."""


class NotOurDatabase(StoreError):
    """The database is damaged, belongs to another program, or was written by a newer version; it is left unchanged."""


class StorageRefused(StoreError):
    """The file system lacks what a workspace needs: a local writable disk with free space and support for WAL."""


class DatabaseFailed(StoreError):
    """SQLite rejected one of our statements, e.g. because the file has the schema of another version."""


class SettingsError(StoreError):
    """Invalid settings; the text names the key, file and line, and the nearest valid key."""


class DirectiveRefused(StoreError):
    """A directive was refused by the engine, or can't be issued: its kind is unknown, or nothing it could apply to."""


class TakeoverRefused(StoreError):
    """The process that holds the workspace's lock can't be ended, or must not be."""
