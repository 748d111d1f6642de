"""Reads the utilisation of processor, memory, disk and GPUs as plain values for the telemetry."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil


def gpus() -> list[dict[str, object]]:
    """Return utilisation (percent), memory (bytes), temperature (°C) and power (W) of each NVIDIA GPU."""
    try:
        import pynvml
    except ImportError:
        return []
    found: list[dict[str, object]] = []
    with contextlib.suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
            gpu: dict[str, object] = {
                "name": str(pynvml.nvmlDeviceGetName(handle)),
                "memory_used": int(memory.used),
                "memory_total": int(memory.total),
            }
            # A card may not report all of these; the ones it does report are still shown.
            with contextlib.suppress(pynvml.NVMLError):
                gpu["utilization"] = int(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu)
            with contextlib.suppress(pynvml.NVMLError):
                gpu["temperature"] = int(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))
            with contextlib.suppress(pynvml.NVMLError):
                gpu["power"] = round(pynvml.nvmlDeviceGetPowerUsage(handle) / 1000)
            found.append(gpu)
    return found


def readings(workspace: Path) -> dict[str, object]:
    """Return the current readings: percent, bytes, and a list of GPUs. `disk_free` is that of the workspace's disk."""
    memory = psutil.virtual_memory()
    return {
        "cpu_percent": psutil.cpu_percent(),
        "memory_used": memory.total - memory.available,
        "memory_total": memory.total,
        "disk_free": psutil.disk_usage(str(workspace)).free,
        "gpus": gpus(),
    }
