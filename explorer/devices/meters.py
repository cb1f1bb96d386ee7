"""Energy meters of this machine: RAPL for a processor, NVML for a GPU; where there is none, there is no number."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

POWERCAP = Path("/sys/class/powercap")
MIN_WINDOW_S = 2.0  # NVML's counter steps every 100 ms, RAPL's every 1 ms; 2 s keeps that below 5 %


class Meter(Protocol):
    """A counter of joules: `read` returns what it shows, `elapsed` the joules from one reading to a later one."""

    @property
    def name(self) -> str:
        """What measures, for people."""

    def read(self) -> tuple[float, ...]:
        """Return the counters now, in joule."""

    def elapsed(self, before: tuple[float, ...], after: tuple[float, ...]) -> float:
        """Return the joules between two readings."""


@dataclass(frozen=True, slots=True)
class Window:
    """Energy over a window: `n_runs` whole runs took `seconds` and `joules`; idle energy is in it."""

    joules: float
    seconds: float
    n_runs: int


@dataclass(frozen=True, slots=True)
class RaplMeter:
    """Intel's and AMD's running average power limit counters, as Linux shows them.

    Args:
        name: which domains are added up.
        counters: their `energy_uj` files.
        ranges_j: the joules after which each counter starts again at zero.
    """

    name: str
    counters: tuple[Path, ...]
    ranges_j: tuple[float, ...]

    def read(self) -> tuple[float, ...]:
        """Return the counters now, in joule."""
        return tuple(int(path.read_text(encoding="ascii")) * 1e-6 for path in self.counters)

    def elapsed(self, before: tuple[float, ...], after: tuple[float, ...]) -> float:
        """Return the joules between two readings, at most one wrap-around of each counter apart."""
        return sum(b - a if b >= a else b - a + span for a, b, span in zip(before, after, self.ranges_j, strict=True))


@dataclass(frozen=True, slots=True)
class NvmlMeter:
    """A GPU's total energy counter through NVML (extra `nvml`)."""

    name: str
    millijoules: Callable[[], int]

    def read(self) -> tuple[float, ...]:
        """Return the counter now, in joule since the driver was loaded."""
        return (self.millijoules() * 1e-3,)

    def elapsed(self, before: tuple[float, ...], after: tuple[float, ...]) -> float:
        """Return the joules between two readings; the counter has 64 bits and does not wrap."""
        return after[0] - before[0]


def rapl_meter(root: Path = POWERCAP) -> RaplMeter | None:
    """Return the RAPL meter of all processor packages and their DRAM, or None where there is none to be read.

    The `psys` domain is left out: it counts the packages again. Since 2020 the counters are root's alone to read on
    most systems; a counter that cannot be read is as good as none.
    """
    found = []
    for folder in sorted(root.glob("*rapl:*")) if root.is_dir() else []:
        try:
            domain = (folder / "name").read_text(encoding="ascii").strip()
            span = int((folder / "max_energy_range_uj").read_text(encoding="ascii")) * 1e-6
            int((folder / "energy_uj").read_text(encoding="ascii"))
        except (OSError, ValueError):
            continue
        if domain.startswith("package") or domain == "dram":
            found.append((domain, folder / "energy_uj", span))
    if not any(domain.startswith("package") for domain, _, _ in found):
        return None
    name = f"RAPL {', '.join(domain for domain, _, _ in found)}"
    return RaplMeter(name, tuple(path for _, path, _ in found), tuple(span for _, _, span in found))


def nvml_meter(visible: str = "") -> NvmlMeter | None:
    """Return the meter of the first GPU that CUDA sees; None where nvidia-ml-py, a driver, it or a counter is missing.

    Args:
        visible: what CUDA_VISIBLE_DEVICES says: NVML sees all GPUs whatever that is.
    """
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
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        name = pynvml.nvmlDeviceGetName(handle)
    except (pynvml.NVMLError, ValueError):
        return None
    return NvmlMeter(f"NVML {name}", lambda: int(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)))


def energy_meter(device: str, *, root: Path = POWERCAP) -> Meter | None:
    """Return the meter that sees what runs on a device: 'cpu' or 'cuda'; None where there is none."""
    return nvml_meter(os.environ.get("CUDA_VISIBLE_DEVICES", "")) if device == "cuda" else rapl_meter(root)


def measure_energy(
    meter: Meter, run: Callable[[], object], *, clock: Callable[[], float], seconds: float = MIN_WINDOW_S
) -> Window | None:
    """Run again and again for at least `seconds`, at least 2 s, and read the meter around it.

    Returns:
        The window; None when the meter stood still or went astray, for then it did not measure.
    """
    began, before, n_runs = clock(), meter.read(), 0
    while (elapsed := clock() - began) < max(seconds, MIN_WINDOW_S) or n_runs == 0:
        run()
        n_runs += 1
    joules = meter.elapsed(before, meter.read())
    return Window(joules, elapsed, n_runs) if math.isfinite(joules) and joules > 0 else None
