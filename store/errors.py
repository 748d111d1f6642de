"""The errors of the store. Each message says what happened, where, and what to do about it."""

from __future__ import annotations


class StoreError(Exception):
    """Base of every error the store raises on purpose; its text is meant for an operator."""


class WorkspaceNotFound(StoreError):
    """There is no workspace, or no database in it."""


class NotOurDatabase(StoreError):
    """The file is damaged, belongs to another program, or comes from a newer version. Left untouched."""


class StorageRefused(StoreError):
    """The file system can't give what a workspace needs (WAL, local disk, writable, space)."""


class SettingsError(StoreError):
    """A settings file is wrong: names the key, file and line, and the nearest valid key."""


class DirectiveRefused(StoreError):
    """The engine refuses a directive, or it can't be issued as asked: an unknown kind, nothing it could apply to."""


class TakeoverRefused(StoreError):
    """A process that holds a workspace can't be ended, or must not be."""
