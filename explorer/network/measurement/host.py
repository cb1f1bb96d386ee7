"""Name of the machine that measures."""

import os
import platform
from pathlib import Path

from explorer.devices.meters import nvml_name

_DEVICE_TREE = Path("/proc/device-tree/model")


def machine_name(device: str = "cpu") -> str:
    """Return the name of the part that runs networks: the processor, or with device "cuda" the GPU if NVML names it."""
    return (nvml_name(os.environ.get("CUDA_VISIBLE_DEVICES", "")) if device == "cuda" else "") or processor()


def processor() -> str:
    """Return the name of the processor: Linux's model name, else the board's name, else that of `platform`.

    ARM kernels list no model name in /proc/cpuinfo; the device tree then names the board.
    """
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else _board() or platform.processor() or platform.machine()


def _board() -> str:
    try:
        return _DEVICE_TREE.read_text(encoding="utf-8", errors="replace").strip("\0 \n")
    except OSError:
        return ""
