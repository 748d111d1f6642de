"""Models from the hub: cached snapshots, downloads, and the reasons why the hub was not reached."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from engine.errors import ModelNotFound
from engine.models.checkpoint_files import NO_PICKLES, check_weights
from engine.models.quiet_libraries import quiet_libraries

_HUB_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "*.model")

_HUB_TIMEOUT_SECONDS = 10.0


def from_hub(name: str, tried: list[str], with_code: bool) -> Path | None:
    """Return the snapshot of `name`: the cached one if complete, else downloaded. Appends to `tried` on failure."""
    quiet_libraries()
    from huggingface_hub import snapshot_download

    before = len(tried)
    cached = cached_snapshot(name, tried)
    if with_code and cached is not None and not any(cached.glob("*.py")):
        # The snapshot was downloaded without its code, for a run that did not trust the model.
        cached = None
    if cached is not None or len(tried) > before or on_hub(name, tried) is None:
        return cached
    try:
        patterns = [*_HUB_FILES, *(("*.py",) if with_code else ())]
        downloaded = Path(snapshot_download(name, allow_patterns=patterns, etag_timeout=_HUB_TIMEOUT_SECONDS))
    except _unreached() as error:
        tried.append(_why_not(error))
        return None
    check_weights(downloaded)
    return downloaded


def cached_snapshot(name: str, tried: list[str]) -> Path | None:
    """Return the cached snapshot of `name` if it is complete. Appends to `tried` when the hub cannot be used either."""
    from huggingface_hub import is_offline_mode, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, local_files_only=True))
        check_weights(cached)
        return cached
    except HFValidationError:
        tried.append("hub: this is not a valid hub name (OWNER/MODEL)")
    except (LocalEntryNotFoundError, ModelNotFound):
        # Not cached or incomplete: the hub can be queried, except in offline mode.
        if is_offline_mode():
            tried.append("hub: not in its cache, and offline mode is set (HF_HUB_OFFLINE)")
    return None


def on_hub(name: str, tried: list[str]) -> Any:
    """Return the hub's metadata of a model with safetensors; None, with the reason in `tried`, if there is none."""
    from huggingface_hub import HfApi

    try:
        offered = HfApi().model_info(name, timeout=_HUB_TIMEOUT_SECONDS, files_metadata=True)
    except _unreached() as error:
        tried.append(_why_not(error))
        return None
    files = [entry.rfilename for entry in offered.siblings or []]
    if any(file.endswith(".safetensors") for file in files):
        return offered
    pickled = any(file.endswith((".bin", ".pt", ".pth")) for file in files)
    tried.append(f"hub: found, but {NO_PICKLES if pickled else 'it has no safetensors weights'}")
    return None


def _unreached() -> tuple[type[Exception], ...]:
    from huggingface_hub.errors import HfHubHTTPError

    return (HfHubHTTPError, OSError, *_network_errors())


def _why_not(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return "hub: not found, or not open to you (for a gated model accept its terms, then `hf auth login`)"
    if status == 404:
        return "hub: no such model"
    return f"hub: not in its cache and not reached ({type(error).__name__}: {error})"


def _network_errors() -> tuple[type[Exception], ...]:
    """Return the base errors of the HTTP client that the installed huggingface_hub uses."""
    clients = [name for name in ("httpx2", "httpx") if importlib.util.find_spec(name) is not None]
    return tuple(importlib.import_module(name).HTTPError for name in clients)
