"""Energy meters of this machine: RAPL for processors, NVML for GPUs; without a meter no energy is reported."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

POWERCAP = Path("/sys/class/powercap")
MIN_WINDOW_S = 2.0  # NVML's counter steps every 100 ms, RAPL's every 1 ms; 2 s keeps that below 5 %


class Meter(Protocol):
    """Energy counter: `read` returns its readings, `elapsed` the energy between two of them."""

    @property
    def name(self) -> str:
        """Name of the meter and its domains, for reports."""

    def read(self) -> tuple[float, ...]:
        """Return the current readings, in joule."""

    def elapsed(self, before: tuple[float, ...], after: tuple[float, ...]) -> float:
        """Return the energy between two readings, in joule."""


@dataclass(frozen=True, slots=True)
class Window:
    """Energy of `n_runs` complete runs over a time window, in joule and second; idle energy is included."""

    joules: float
    seconds: float
    n_runs: int


@dataclass(frozen=True, slots=True)
class RaplMeter:
    """Running average power limit (RAPL) counters of Intel and AMD processors, through the Linux powercap interface.

    Source: Linux kernel, Documentation/power/powercap/powercap.rst (`energy_uj`, `max_energy_range_uj`).

    Args:
        name: the domains that are added up.
        counters: their `energy_uj` files.
        ranges_j: the energy at which each counter wraps to zero, in joule.
    """

    name: str
    counters: tuple[Path, ...]
    ranges_j: tuple[float, ...]

    def read(self) -> tuple[float, ...]:
        """Return the current readings, in joule."""
        return tuple(int(path.read_text(encoding="ascii")) * 1e-6 for path in self.counters)

    def elapsed(self, before: tuple[float, ...], after: tuple[float, ...]) -> float:
        """Return the energy between two readings, in joule; each counter may wrap once in between."""
        return sum(b - a if b >= a else b - a + span for a, b, span in zip(before, after, self.ranges_j, strict=True))


@dataclass(frozen=True, slots=True)
class NvmlMeter:
    """Total energy counter of a GPU, through NVML (extra `nvml`)."""

    name: str
    millijoules: Callable[[], int]

    def read(self) -> tuple[float, ...]:
        """Return the current reading, in joule since the driver was loaded."""
        return (self.millijoules() * 1e-3,)

    def elapsed(self, before: tuple[float, ...], after: tuple[float, ...]) -> float:
        """Return the energy between two readings, in joule; the 64-bit counter does not wrap."""
        return after[0] - before[0]


def rapl_meter(root: Path = POWERCAP) -> RaplMeter | None:
    """Return the RAPL meter of all processor packages and their DRAM; None without a readable package counter.

    The `psys` domain is excluded, because it counts the packages again. Since CVE-2020-8694 most systems let only root
    read the counters; an unreadable counter counts as missing.
    """
    domains = []
    for folder in sorted(root.glob("*rapl:*")) if root.is_dir() else []:
        try:
            domain = (folder / "name").read_text(encoding="ascii").strip()
            span = int((folder / "max_energy_range_uj").read_text(encoding="ascii")) * 1e-6
            int((folder / "energy_uj").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        if domain.startswith("package") or domain == "dram":
            domains.append((domain, folder / "energy_uj", span))
    if not any(domain.startswith("package") for domain, _, _ in domains):
        return None
    name = f"RAPL {', '.join(domain for domain, _, _ in domains)}"
    return RaplMeter(name, tuple(path for _, path, _ in domains), tuple(span for _, _, span in domains))


def nvml_meter(visible: str = "") -> NvmlMeter | None:
    """Return the meter of the first GPU visible to CUDA; None without nvidia-ml-py, a driver, the GPU or its counter.

    Args:
        visible: value of CUDA_VISIBLE_DEVICES, which NVML itself ignores.
    """
    found = _nvml_device(visible)
    if found is None:
        return None
    pynvml, handle, name = found
    try:
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except pynvml.NVMLError:
        return None
    return NvmlMeter(f"NVML {name}", lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)))


def nvml_name(visible: str = "") -> str:
    """Return the name of the first GPU visible to CUDA; empty without nvidia-ml-py, a driver or the GPU.

    Args:
        visible: value of CUDA_VISIBLE_DEVICES, which NVML itself ignores.
    """
    found = _nvml_device(visible)
    return "" if found is None else found[2]


def _nvml_device(visible: str) -> tuple[Any, Any, str] | None:
    """Return the module pynvml, the handle and the name of the first visible GPU; None if there is none."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        first = visible.partition(",")[0].strip()
        by_uuid = first.startswith(("GPU-", "MIG-"))
        find = pynvml.nvmlDeviceGetHandleByUUID if by_uuid else pynvml.nvmlDeviceGetHandleByIndex
        handle = find(first if by_uuid else int(first or "0"))
        name = pynvml.nvmlDeviceGetName(handle)
    except (pynvml.NVMLError, ValueError):
        return None
    return pynvml, handle, name.decode() if isinstance(name, bytes) else str(name)


def energy_meter(device: str, *, root: Path = POWERCAP) -> Meter | None:
    """Return the energy meter of a device, 'cpu' or 'cuda'; None without one."""
    return nvml_meter(os.environ.get("CUDA_VISIBLE_DEVICES", "")) if device == "cuda" else rapl_meter(root)


def measure_energy(
    meter: Meter, run: Callable[[], object], *, clock: Callable[[], float], seconds: float = MIN_WINDOW_S
) -> Window | None:
    """Call `run` repeatedly for at least `seconds`, and at least 2 s, and measure the energy.

    Returns:
        The window; None when the counter did not advance or gave no finite number.
    """
    start, before, n_runs = clock(), meter.read(), 0
    while (elapsed := clock() - start) < max(seconds, MIN_WINDOW_S) or n_runs == 0:
        run()
        n_runs += 1
    joules = meter.elapsed(before, meter.read())
    return Window(joules, elapsed, n_runs) if math.isfinite(joules) and joules > 0 else None
