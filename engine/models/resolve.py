"""Resolves a model's name to a directory with safetensors: local path, installed package, or hub, in this order.

Only safetensors are accepted: pickled weights can run code when they are loaded. The custom code of a model is
downloaded only where the run trusts it, and never run here. Independent of training, generation and databases.
Importing this module is cheap; converting a packaged GGUF to safetensors imports torch and transformers, so resolve
names in a child process.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from engine.errors import ModelNotFound, NoChatTemplate
from engine.models.checkpoint_files import NO_PICKLES, PICKLED, check_weights, weight_bytes
from engine.models.hub import cached_snapshot, from_hub, on_hub
from engine.models.packaged import converted, converted_directory, packaged_model
from engine.models.quiet_libraries import quiet_libraries


@dataclass(frozen=True)
class ResolvedModel:
    """A model found on this machine."""

    path: Path
    """Directory with config.json, safetensors weights and the tokenizer."""
    source: Literal["path", "package", "hub"]
    name: str
    """The requested name."""


@dataclass(frozen=True)
class Located:
    """The source of a model before conversion or download."""

    source: Literal["path", "package", "hub"]
    path: Path | None
    """Its directory; None while it is only in a package or on the hub."""
    weight_bytes: int | None
    """Size of its weights on disk, in bytes; None when unknown."""
    chat_template: bool | None
    """Whether its tokenizer has one; None when unknown before conversion or download."""


def resolve_model(name: str, cache_dir: Path, *, with_code: bool = False) -> ResolvedModel:
    """Find the model `name`: a local directory, an installed model package, or a hub name, in this order.

    A packaged GGUF is converted once into `cache_dir` (about 540 MB in float32 for 135M parameters); a hub model
    is downloaded into the hub's own cache, its Python files only `with_code`. Raises ModelNotFound, with the attempts
    and the remedy in its message, also when only pickled weights exist.
    """
    local = _local(name)
    if local is not None:
        return ResolvedModel(local, "path", name)
    tried = [f"local directory {str(Path(name).expanduser().absolute())!r}: does not exist"]
    package, gguf = packaged_model(name, tried)
    if package is not None and gguf is not None:
        return ResolvedModel(converted(package, gguf, cache_dir), "package", name)
    downloaded = from_hub(name, tried, with_code)
    if downloaded is not None:
        return ResolvedModel(downloaded, "hub", name)
    raise _not_found(name, tried)


def locate_model(name: str, cache_dir: Path) -> Located:
    """Return the source `resolve_model` would use, without converting or downloading. Raises ModelNotFound likewise."""
    local = _local(name)
    if local is not None:
        return Located("path", local, weight_bytes(local), has_chat_template(local))
    tried = [f"local directory {str(Path(name).expanduser().absolute())!r}: does not exist"]
    package, gguf = packaged_model(name, tried)
    if package is not None and gguf is not None:
        made = converted_directory(package, cache_dir)
        if made.is_dir():
            return Located("package", made, weight_bytes(made), has_chat_template(made))
        return Located("package", None, None, None)
    quiet_libraries()
    before = len(tried)
    cached = cached_snapshot(name, tried)
    if cached is not None:
        return Located("hub", cached, weight_bytes(cached), has_chat_template(cached))
    offered = None if len(tried) > before else on_hub(name, tried)
    if offered is not None:
        files = {entry.rfilename: entry.size for entry in offered.siblings or []}
        sizes = [size for file, size in files.items() if file.endswith(".safetensors")]
        known = "chat_template.jinja" in files or "chat_template.json" in files
        return Located("hub", None, sum(sizes) if all(sizes) else None, True if known else None)
    raise _not_found(name, tried)


def _local(name: str) -> Path | None:
    """Return the local directory that a name refers to; None for a name that is not a path."""
    local = Path(name).expanduser()
    if local.is_dir():
        check_weights(local)
        return local.resolve()
    if _looks_like_path(name):
        what = "is a file, not a model directory" if local.exists() else "does not exist"
        raise ModelNotFound(
            f"the model path {name!r} {what}. Give a directory with config.json and *.safetensors, or a hub name."
        )
    return None


def _not_found(name: str, tried: list[str]) -> ModelNotFound:
    return ModelNotFound(
        f"the model {name!r} was not found. Tried: " + "; ".join(tried) + ". "
        "What to do: check the spelling, give the path of a local copy, or download it where the hub is reached "
        "(hf download NAME --local-dir DIR) and copy the directory here."
    )


def check_chat_template(path: Path) -> None:
    """Check that the tokenizer in `path` has a chat template. Raises NoChatTemplate, with the remedy in its message.

    Reads files only (chat_template.jinja, chat_template.json, tokenizer_config.json); loads no tokenizer.
    """
    if not has_chat_template(path):
        raise NoChatTemplate(
            f"the tokenizer in {path} has no chat template, so chat messages can't become a prompt. "
            f"Use an instruction-tuned model, or put the model's template into {path / 'chat_template.jinja'}."
        )


def has_chat_template(path: Path) -> bool:
    """Return whether the tokenizer in `path` has a chat template, judging by its files."""
    if (path / "chat_template.jinja").is_file() or (path / "chat_template.json").is_file():
        return True
    try:
        settings = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return False
    return bool(settings.get("chat_template"))


def check_adapter(path: Path) -> None:
    """Raise ModelNotFound unless the adapter in `path` is safetensors: a pickled one could run code."""
    if (path / "adapter_model.safetensors").is_file():
        return
    if any(next(path.glob(pattern), None) for pattern in PICKLED):
        raise ModelNotFound(f"the adapter {path} is refused: {NO_PICKLES}.")
    raise ModelNotFound(f"{path} has no adapter (adapter_model.safetensors); restore it, or roll back to another one.")


def _looks_like_path(name: str) -> bool:
    return name.startswith(("/", "./", "../", "~")) or name in (".", "..") or name.count("/") > 1


def model_cache() -> Path:
    """Return the directory of converted models of all workspaces: `REFLECTEVO_CACHE`, or the user's cache directory."""
    chosen = os.environ.get("REFLECTEVO_CACHE")
    if chosen:
        return Path(chosen) / "models"
    from platformdirs import user_cache_path

    return user_cache_path("reflectevo") / "models"
