"""The directory of a policy: written atomically and never overwritten.

Inference servers and prefix caches identify weights by their path, so the weights at a path must never change.
Independent of trainers, examples and the database. Importing it is cheap; torch and PEFT are imported when used.

```
policies/r1-p01/   adapter/  merged/  policy.json  STABLE   LoRA (no merged/ where adapters are served)
                   reflector/adapter/  reflector/merged/    in addition, if the reflector has its own adapter
                   merged/   policy.json  STABLE            full fine-tuning
```
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import EngineError
from engine.models.durable_directory import mark, publish
from engine.models.loading import load_model, load_tokenizer, whole_model
from engine.models.precision import Precision, choose_precision
from engine.models.remote_code import trusts

STABLE = "STABLE"
"""Marker file of a policy directory that is complete and flushed to disk."""
ADAPTER = "adapter"
MERGED = "merged"
REFLECTOR = "reflector"
"""Directory of the reflector's `adapter/` and `merged/` where it has its own; the reasoner's are at the top level."""
DETAILS = "policy.json"
_FORMAT = 1
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True)
class Weights:
    """The weights of a policy on disk after training."""

    base: Path
    """Model that the adapters are relative to."""
    reasoner: Path
    """Directory of the reasoner's adapter (also the reflector's, unless it has its own); a full model when `full`."""
    reflector: Path | None = None
    """Directory of the reflector's own adapter."""
    full: bool = False


def is_stable(path: Path) -> bool:
    """Check whether `path` is a complete policy directory."""
    return (path / STABLE).is_file()


def read_details(path: Path) -> dict[str, Any]:
    """Return the `policy.json` of a complete policy. Raises EngineError when `path` is not one."""
    if not is_stable(path):
        raise EngineError(f"{path} is not a whole policy (no {STABLE} marker); train it again or restore it.")
    details: dict[str, Any] = json.loads((path / DETAILS).read_text(encoding="utf-8"))
    return details


def save_policy(
    weights: Weights,
    destination: Path,
    details: Mapping[str, object],
    *,
    merge: bool = True,
    precision: Precision | None = None,
) -> None:
    """Write the policy directory `destination` atomically from weights on disk.

    Merged weights are full weights, tokenizer and generation settings in safetensors: the unquantised base with the
    adapter added, in the number format that training kept the base in; omitted with `merge=False`, for inference
    servers that load base + LoRA. Fully fine-tuned weights are written in the base's own format. Raises EngineError
    for a policy that already exists (check `is_stable` first when resuming), non-finite weights, and a full disk.
    """
    precision = precision or choose_precision()

    def fill(directory: Path) -> None:
        if weights.full:
            _write_whole(weights, directory / MERGED)
        else:
            _write_adapter(weights.base, weights.reasoner, directory, merge, precision)
            if weights.reflector is not None:
                _write_adapter(weights.base, weights.reflector, directory / REFLECTOR, merge, precision)

    write_directory(destination, details, fill)


def write_directory(destination: Path, details: Mapping[str, object], fill: Callable[[Path], None]) -> None:
    """Let `fill` write into a temporary directory, add `policy.json`, flush, rename and mark it.

    An incomplete directory without the marker is removed first. Raises EngineError as `save_policy` does.
    """
    if is_stable(destination):
        raise EngineError(f"the policy {destination} exists already and is never overwritten; save under a new id.")
    destination.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(destination, ignore_errors=True)
    for leftover in destination.parent.glob(f".{destination.name}.tmp-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    temporary = destination.parent / f".{destination.name}.tmp-{os.getpid()}"
    temporary.mkdir(mode=0o700)
    try:
        fill(temporary)
        text = json.dumps({"format": _FORMAT, **details}, indent=2, sort_keys=True, ensure_ascii=False, default=str)
        (temporary / DETAILS).write_text(text + "\n", encoding="utf-8")
        publish(temporary, destination)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise EngineError(
            f"the policy {destination} could not be written ({error}); free disk space, then resume."
        ) from error
    mark(destination, STABLE)


def _write_adapter(base: Path, adapter: Path, directory: Path, merge: bool, precision: Precision) -> None:
    """Write `adapter/` of one role, and `merged/` with `merge`."""
    copy = directory / ADAPTER
    copy.mkdir(parents=True)
    for name in _ADAPTER_FILES:
        shutil.copyfile(adapter / name, copy / name)
    if not merge:
        return
    try:
        merged = whole_model(base, copy, precision.weights)
    except ValueError as error:
        raise EngineError(
            f"the trained adapter holds numbers that aren't finite ({error}); nothing was saved."
        ) from error
    merged.save_pretrained(directory / MERGED)
    load_tokenizer(base).save_pretrained(directory / MERGED)


def _write_whole(weights: Weights, directory: Path) -> None:
    """Write fully fine-tuned weights in the base's number format, with its tokenizer and generation settings."""
    import torch
    from transformers import AutoConfig, GenerationConfig

    stored = (
        AutoConfig.from_pretrained(weights.base, local_files_only=True, trust_remote_code=trusts(weights.base)).dtype
        or "auto"
    )
    model = load_model(weights.reasoner, stored)
    if not all(bool(torch.isfinite(part).all()) for part in model.parameters()):
        raise EngineError("the trained weights hold numbers that aren't finite; nothing was saved.")
    if (weights.base / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(weights.base, local_files_only=True)
    model.save_pretrained(directory)
    load_tokenizer(weights.base).save_pretrained(directory)
