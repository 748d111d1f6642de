"""The environment that a worker process inherits: all variables except secrets that it doesn't need.

Every process of the same user can read a process's environment, and vLLM or another library may log it, so a key is
passed only to the process that needs it. This module decides by name and never stores a value.
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
"""Variables that `huggingface_hub` reads its token from."""

_SECRET_WORDS = frozenset(
    """KEY APIKEY TOKEN TOKENS SECRET SECRETS PASSWORD PASSWD PASSPHRASE PASS PWD CREDENTIAL CREDENTIALS AUTH COOKIE
    DSN PAT NETRC""".split()
)
"""A variable counts as a secret if one of the underscore-separated words of its name is in this set."""

_HARMLESS = frozenset({"PWD", "OLDPWD", "HF_HUB_DISABLE_IMPLICIT_TOKEN", "HF_TOKEN_PATH", "XDG_SESSION_COOKIE"})
_WITH_PASSWORD = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]*@", re.IGNORECASE)


def is_secret(name: str, value: str) -> bool:
    """Check whether a variable is a secret: by its name, or because its value is a URL that contains a password."""
    if name in _HARMLESS:
        return False
    return not _SECRET_WORDS.isdisjoint(name.upper().split("_")) or bool(_WITH_PASSWORD.match(value))


def child_environment(inherited: Mapping[str, str], needed: frozenset[str]) -> dict[str, str]:
    """Return the inherited variables without secrets, except for the secrets named in `needed`."""
    return {name: value for name, value in inherited.items() if name in needed or not is_secret(name, value)}


def needed_secrets(settings: RunSettings, kind: JobKind) -> frozenset[str]:
    """Return the names of the secrets that a job of this kind needs.

    These are the hub's token where a model or task may come from the hub, the judge's key where the judge is an
    endpoint, and the generator's keys where texts are generated.
    """
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
        models = [settings.model, *settings.reflecting_models]
    tasks = [task for task in settings.tasks if isinstance(task, SourcedTask) and task.hub is not None]
    return bool(tasks) or any(not Path(name).expanduser().is_dir() for name in models)
