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
        EngineUnavailable           reflectevo_tui: the engine can't be started or asked
        LaunchRefused, RunRefused, ExperimentRefused, TerminalRefused

Who raises: the function that knows what was wanted and where, at the boundary where a library or the system reports
the trouble. `OSError` and `sqlite3.Error` are converted there (`store.database.connection.reading` and `writing`,
`store.workspace.write_file`), so that nothing above has to know them.

Who catches: `reflectevo_tui.commands.options.guarded` for commands, the thread workers of the screens, the main
function of `python -m engine`, and the supervisor for directives and children. They catch `OperatorError`, show its
text and nothing else. A narrower class is caught only where something is done about that one case. Anything that is no
`OperatorError` is a bug and keeps its traceback.

How to write a message: one or two sentences, first what happened, then where (the path, key, line, run or policy), then
what to do, as a command that can be copied if there is one. `no workspace in /data/w (there is no reflectevo.db); make
one with: reflectevo init -w /data/w`. No name of a class, no advice that the reader can't follow, and the text of a
library only in parentheses.
"""

from __future__ import annotations


class OperatorError(Exception):
    """Something an operator has to know; the text says what happened, where, and what to do."""


class StoreError(OperatorError):
    """Base of the errors of the store."""


class WorkspaceNotFound(StoreError):
    """There is no workspace, or no database in it."""


class NotOurDatabase(StoreError):
    """The file is damaged, belongs to another program, or comes from a newer version. Left untouched."""


class StorageRefused(StoreError):
    """The file system can't give what a workspace needs (WAL, local disk, writable, space)."""


class DatabaseFailed(StoreError):
    """SQLite refused a statement of ours, e.g. because the file has the schema of another version."""


class SettingsError(StoreError):
    """A settings file is wrong: names the key, file and line, and the nearest valid key."""


class DirectiveRefused(StoreError):
    """The engine refuses a directive, or it can't be issued as asked: an unknown kind, nothing it could apply to."""


class TakeoverRefused(StoreError):
    """A process that holds a workspace can't be ended, or must not be."""
