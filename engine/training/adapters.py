"""LoRA adapters in and policies out: loads base + adapter for training, writes a policy directory durably.

A policy directory is never overwritten, because servers and prefix caches know it by its path. Knows nothing of
trainers, examples or the database. Importing it is cheap; torch, transformers and PEFT are imported when used.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from engine.durability import mark, publish
from engine.errors import EngineError, TrainingRefused
from engine.quiet import quiet_libraries
from engine.training.precision import Precision, choose_precision
from store.settings import TrainingSection

STABLE = "STABLE"
"""Marker of a policy directory that is whole and on disk."""
ADAPTER = "adapter"
MERGED = "merged"
DETAILS = "policy.json"
_FORMAT = 1
_NAME = "default"


def is_stable(path: Path) -> bool:
    """Whether `path` is a whole policy directory."""
    return (path / STABLE).is_file()


def read_details(path: Path) -> dict[str, Any]:
    """The `policy.json` of a whole policy. Raises EngineError when `path` isn't one."""
    if not is_stable(path):
        raise EngineError(f"{path} is not a whole policy (no {STABLE} marker); train it again or restore it.")
    details: dict[str, Any] = json.loads((path / DETAILS).read_text(encoding="utf-8"))
    return details


def load_tokenizer(path: Path) -> Any:
    """The tokenizer in `path`, from local files only and without code of its own."""
    from transformers import AutoTokenizer

    quiet_libraries()
    return AutoTokenizer.from_pretrained(path, local_files_only=True)


def load_for_training(
    base: Path, adapter: Path | None, settings: TrainingSection, precision: Precision | None = None
) -> Any:
    """The base model with a trainable LoRA adapter, as a PeftModel on the CPU (the trainer moves it).

    With `adapter` (the parent's) that adapter is continued as it is, rank and targets included; without, a new one
    is made from the `lora_*` settings (ReflectEvo, appendix: q, k, v projections, r 8, alpha 32, dropout 0.1) and
    equals the base until it is trained. Seed torch before the call. Raises TrainingRefused when the targets don't fit.
    """
    from peft import LoraConfig, PeftModel, TaskType, get_peft_model
    from transformers import AutoModelForCausalLM

    quiet_libraries()
    precision = precision or choose_precision()
    model = AutoModelForCausalLM.from_pretrained(
        base, dtype=precision.weights, use_safetensors=True, local_files_only=True
    )
    if adapter is not None:
        return PeftModel.from_pretrained(model, adapter, is_trainable=True)
    targets = settings.lora_targets
    if "lm_head" in targets:
        raise TrainingRefused(
            "lora_targets names lm_head, which TRL can't train (its loss bypasses the head); remove it."
        )
    configuration = LoraConfig(
        task_type=TaskType.CAUSAL_LM,
        r=settings.lora_rank,
        lora_alpha=settings.lora_alpha,
        lora_dropout=settings.lora_dropout,
        target_modules=targets if isinstance(targets, str) else list(targets),
    )
    try:
        return get_peft_model(model, configuration)
    except ValueError as error:
        linear = sorted(
            {name.rsplit(".", 1)[-1] for name, part in model.named_modules() if hasattr(part, "in_features")}
        )
        raise TrainingRefused(
            f"lora_targets = {targets} doesn't fit this model ({error}). Its linear layers are: {', '.join(linear)}."
        ) from error


def save_policy(
    model: Any, tokenizer: Any, destination: Path, details: Mapping[str, object], *, merge: bool = True
) -> None:
    """Write the trained PeftModel as the policy directory `destination`, whole or not at all.

    Holds `adapter/` (PEFT), `merged/` (full weights, tokenizer and generation settings in safetensors; left out
    with `merge=False`, for servers that take base + LoRA) and `policy.json` with `details`. Everything is flushed
    to disk before the rename and the `STABLE` marker. A leftover without the marker is removed first; a policy with
    the marker is kept as it is, so a resumed caller that finds it should ask `is_stable` first: here it is an
    EngineError. Merging folds the adapter into `model`: it can't be trained on afterwards.
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
        _write(model, tokenizer, temporary, details, merge)
        publish(temporary, destination)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise EngineError(
            f"the policy {destination} could not be written ({error}); free disk space, then resume."
        ) from error
    mark(destination, STABLE)


def _write(model: Any, tokenizer: Any, directory: Path, details: Mapping[str, object], merge: bool) -> None:
    model.save_pretrained(directory / ADAPTER, selected_adapters=[_NAME], save_embedding_layers=False)
    (directory / ADAPTER / "README.md").unlink(missing_ok=True)  # an empty model card form
    if merge:
        model.set_adapter(_NAME)
        try:
            merged = model.merge_and_unload(safe_merge=True, adapter_names=[_NAME])
        except ValueError as error:
            raise EngineError(
                f"the trained adapter holds numbers that aren't finite ({error}); nothing was saved."
            ) from error
        merged.save_pretrained(directory / MERGED)
        tokenizer.save_pretrained(directory / MERGED)
    text = json.dumps({"format": _FORMAT, **details}, indent=2, sort_keys=True, ensure_ascii=False)
    (directory / DETAILS).write_text(text + "\n", encoding="utf-8")
