"""Where measured samples come from: network, data, conditions, machine and versions, as plain JSON values."""

import os
import platform
from importlib.metadata import version
from typing import Any

from explorer import __version__
from explorer.devices.meters import MIN_WINDOW_S
from explorer.network.compression.sizes import CODECS
from explorer.network.measurement.accuracy import CONFIDENCE
from explorer.network.measurement.setup import MeasurementSetup


def provenance(bench: MeasurementSetup, *, when: str) -> dict[str, Any]:
    """Return what a table of measured samples depends on.

    Args:
        bench: what was measured.
        when: the time, for people and for sorting (ISO 8601).
    """
    conditions = bench.options
    return {
        "schema": "explorer.samples/1",
        "explorer_version": __version__,
        "network": {
            "name": bench.network.name, "sha256": bench.network.sha256, "n_bytes": bench.network.n_bytes,
            "n_weights": bench.network.n_weights, "n_right": int(bench.is_correct.sum()),
        },
        "data": {"source": _short(bench.data.source), "sha256": bench.data.sha256, "n_samples": bench.data.n_samples},
        "accuracy": f"share of right classes; {CONFIDENCE:.0%} Wilson interval",
        "pruning": "per tensor" if conditions.per_tensor else "global, smallest magnitudes first",
        "quantization": "Eq. (5), scale D, zero point 0"
        + (f", clipped to {conditions.clip_to}" if conditions.clip_to else ", containers widened"),
        "activations": "float32" if bench.calibration is None else "int8",
        "size": {"codec": conditions.codec, "meaning": CODECS[conditions.codec]},
        "latency": {
            "what": "median of runs interleaved with the source network; zeros are computed like any other weight",
            "batch": bench.batch, "threads": 1, "device": conditions.device,
        },
        "energy": {
            "basis": "measured" if bench.meter else "none", "meter": bench.meter.name if bench.meter else None,
            "window_s": MIN_WINDOW_S if bench.meter else None,
            "idle": "in it, not subtracted" if bench.meter else None,
        },
        "energy_mac_mem": {
            "basis": "modelled", "equation": "Eq. (1)", "technology": bench.technology.title, "level": conditions.level,
            "uncounted": list(bench.counts.uncounted),
        },
        "machine": {"processor": processor(), "n_processors": os.cpu_count(), "platform": platform.platform()},
        "packages": {name: version(name) for name in ("numpy", "onnx", "onnxruntime")},
        "python": platform.python_version(),
        "measured": when,
    }  # fmt: skip


def _short(source: str) -> str:
    """Keep private folders out of what may be published."""
    return source.rpartition("/")[2]


def processor() -> str:
    """Return the processor's name, where Linux tells it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123 - endless only in Path.read_text's hands
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
