"""Loads a tokenizer or a model from local files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.models.quiet_libraries import quiet_libraries
from engine.models.remote_code import trusts
from engine.models.resolve import check_adapter


def load_tokenizer(path: Path) -> Any:
    """Load the tokenizer in `path` from local files only, with custom code only where the run trusts it."""
    from transformers import AutoTokenizer

    quiet_libraries()
    return AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=trusts(path))


def load_model(path: Path, dtype: Any, **options: Any) -> Any:
    """Load the model in `path` from local safetensors only, with custom code only where the run trusts it.

    `dtype` "auto" keeps the stored format.
    """
    from transformers import AutoModelForCausalLM

    quiet_libraries()
    return AutoModelForCausalLM.from_pretrained(
        path,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=trusts(path),
        **options,
    )


def whole_model(base: Path, adapter: Path | None, dtype: str) -> Any:
    """Load `base` with `adapter` merged into its weights, as a model without adapters."""
    model = load_model(base, dtype)
    if adapter is None:
        return model
    from peft import PeftModel

    check_adapter(adapter)
    return PeftModel.from_pretrained(model, adapter).merge_and_unload(safe_merge=True)
