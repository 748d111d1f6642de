"""Selects device and number formats of a training on this machine.

bfloat16 only where the hardware computes in it: a CPU without AVX512-BF16 or AMX emulates it, many times slower.
Independent of models and settings.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class Precision:
    """Device and number formats of a training."""

    device: Literal["cuda", "cpu"]
    weights: Literal["float32", "bfloat16"]
    """Number format of the frozen base. LoRA weights are always float32."""
    autocast: bool
    """Whether matrix products run in bfloat16."""


def use_one_gpu() -> None:
    """Hide all GPUs but the first visible one from this process, unless a distributed launcher started it.

    TRL refuses several visible GPUs in one process; training on several GPUs needs accelerate, which sets LOCAL_RANK.
    Must run before the first CUDA call.
    """
    if "LOCAL_RANK" in os.environ:
        return
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = "0" if visible is None else visible.split(",")[0]


def choose_precision() -> Precision:
    """Return device and formats for this machine: CUDA if available, bfloat16 only with hardware support."""
    import torch

    if torch.cuda.is_available():
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return Precision("cuda", "bfloat16", True)
        return Precision("cuda", "float32", False)
    return Precision("cpu", "float32", cpu_computes_bfloat16())


def cpu_computes_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Check whether the CPU has bfloat16 instructions (AVX512-BF16 or AMX). False where `cpuinfo` is unreadable."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    return bool({"avx512_bf16", "amx_bf16"} & set(flags))
