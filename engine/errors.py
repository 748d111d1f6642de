"""The errors of the engine; `store.errors` documents how such an error is raised, worded and shown."""

from __future__ import annotations

import sys
from contextlib import suppress

from store.errors import OperatorError


class EngineError(OperatorError):
    """Base class of all errors that the engine raises deliberately; the message is meant for an operator."""


class TaskError(EngineError):
    """A task can't be loaded or verified as configured, e.g. a missing file, an unknown dataset, too few questions."""


class ModelNotFound(EngineError):
    """The model is neither a local path, nor an installed model package, nor reachable on a hub."""


class NoChatTemplate(EngineError):
    """The tokenizer has no chat template, so that chat messages can't become a prompt."""


class GenerationFailed(EngineError):
    """A generation failed permanently, after its retries."""


class TrainingRefused(EngineError):
    """The training can't start as configured, e.g. too few examples or settings that contradict each other."""


class WorkspaceHeld(EngineError):
    """Another engine holds the workspace."""


class JudgeUnavailable(EngineError):
    """The judge of Dpref can't be queried: it is down, rejects the key, or doesn't speak the protocol."""


def log_error(words: str) -> None:
    """Log one line to standard error. A failing write is ignored: a full disk must not end the process."""
    with suppress(OSError, ValueError):
        print(words, file=sys.stderr, flush=True)
