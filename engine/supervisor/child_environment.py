"""What a child process inherits of the environment: everything but secrets it has no use for.

Whoever runs as the same user can read the environment of a process, and vLLM or a library may write it into a log, so
a key goes only to the process that needs it. Knows names, never values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from engine.stages.job import JobKind
from store.curation.training_settings import TRAINING_SETTINGS
from store.settings import RunSettings
from store.settings.generation import GENERATORS, needs_weights
from store.settings.tasks import SourcedTask

HUB_SECRETS = frozenset({"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HUGGINGFACE_TOKEN", "HUGGINGFACE_HUB_TOKEN"})
"""What the hub's library reads its token from."""

_SECRET_WORDS = frozenset(
    """KEY APIKEY TOKEN TOKENS SECRET SECRETS PASSWORD PASSWD PASSPHRASE PASS PWD CREDENTIAL CREDENTIALS AUTH COOKIE
    DSN PAT NETRC""".split()
)
"""A variable with one of these words between underscores in its name counts as a secret."""

_HARMLESS = frozenset({"PWD", "OLDPWD", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_TOKEN_PATH", "XDG_SESSION_COOKIE"})
_WITH_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)


def is_secret(name: str, value: str) -> bool:
    """Whether a variable must not be handed on unasked: by its name, or because it is an address with a password."""
    if name in _HARMLESS:
        return False
    return not _SECRET_WORDS.isdisjoint(name.upper().split("_")) or bool(_WITH_PASSWORD.match(value))


def child_environment(inherited: Mapping[str, str], needed: frozenset[str]) -> dict[str, str]:
    """The inherited variables without secrets, except those that are needed by name."""
    return {name: value for name, value in inherited.items() if name in needed or not is_secret(name, value)}


def needed_secrets(settings: RunSettings, kind: JobKind) -> frozenset[str]:
    """Names of the secrets that a job of this kind has use for: the hub's token where something may come from the
    hub, the judge's key where the judge is an endpoint, and the generator's keys where texts are generated."""
    judged = TRAINING_SETTINGS[settings.training.setting].judged
    generator = GENERATORS.get(settings.generation.generator)
    keys = generator.secrets if generator is not None else frozenset()
    if kind == "curate":
        if not judged or settings.judge.by == "operator":
            return frozenset()
        return frozenset({settings.judge.key_variable}) if settings.judge.by == "endpoint" else keys
    hub = HUB_SECRETS if _may_ask_hub(settings) else frozenset()
    return hub | keys if kind == "generate" else hub


def _may_ask_hub(settings: RunSettings) -> bool:
    if not needs_weights(settings.generation.generator):
        models: list[str] = []
    else:
        models = [name for name in (settings.model, settings.reflector) if name]
    tasks = [task for task in settings.tasks if isinstance(task, SourcedTask) and task.hub is not None]
    return bool(tasks) or any(not Path(name).expanduser().is_dir() for name in models)
