"""Files of a model directory: size and completeness of its safetensors weights."""

from __future__ import annotations

import json
from pathlib import Path

from engine.errors import ModelNotFound

PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


NO_PICKLES = (
    "only pickled weights (.bin, .pt) were found, and those can run code when they are loaded; "
    "convert them to safetensors first (load once with transformers in a place you trust, then save_pretrained)"
)


def weight_bytes(path: Path) -> int:
    """Return the size of the weights in a model directory, in bytes."""
    return sum(file.stat().st_size for file in path.glob("*.safetensors"))


def check_weights(path: Path) -> None:
    """Raise ModelNotFound unless `path` contains config.json and every shard of its safetensors weights."""
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
    if any(next(path.glob(pattern), None) for pattern in PICKLED):
        raise ModelNotFound(f"{path} is refused: {NO_PICKLES}.")
    raise ModelNotFound(f"{path} has no weights (model.safetensors). Copy or download it again.")
