"""The errors of the engine; `store.errors` says how such an error is raised, written and shown.

Knows nothing of how an error is shown or stored.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from store.errors import OperatorError


class EngineError(OperatorError):
    """Base of every error the engine raises on purpose; its text is meant for an operator."""


class TaskError(EngineError):
    """A task can't be loaded or judged as set: a missing file or field, an unknown dataset, too few questions."""


class ModelNotFound(EngineError):
    """The model is neither a local path, nor an installed model package, nor reachable on a hub."""


class NoChatTemplate(EngineError):
    """The tokenizer has no chat template, so that chat messages can't become a prompt."""


class GenerationFailed(EngineError):
    """A generation failed for good, after its retries."""


class TrainingRefused(EngineError):
    """The training can't start as set, e.g. too few examples or settings that contradict each other."""


class WorkspaceHeld(EngineError):
    """Another engine holds the workspace."""


class JudgeUnavailable(EngineError):
    """The judge of Dpref can't be asked: it is down, refuses the key, or doesn't speak the protocol."""


def log_error(words: str) -> None:
    """Write one line to standard error. A log that takes no more is no reason to fail."""
    with suppress(OSError, ValueError):
        print(words, file=sys.stderr, flush=True)
