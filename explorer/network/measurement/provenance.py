"""Provenance of measured samples: network, data, options, machine and versions, as JSON values."""

import hashlib
import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from explorer import __version__
from explorer.devices.meters import MIN_WINDOW_S
from explorer.network.compression.sizes import CODECS
from explorer.network.graph.session import Array
from explorer.network.measurement.host import machine_name, processor
from explorer.network.measurement.setup import MeasurementSetup
from explorer.network.task.accuracy import CONFIDENCE
from explorer.network.task.holdout import HOW
from explorer.network.task.score import CONFIDENCE as SCORE_CONFIDENCE
from explorer.problem.targets import targets_json


def provenance(setup: MeasurementSetup, *, when: str) -> dict[str, Any]:
    """Return the provenance of a table of measured samples.

    Args:
        setup: the measurement setup.
        when: time of the measurement (ISO 8601).
    """
    options = setup.options
    return {
        "schema": "explorer.samples/1",
        "explorer_version": __version__,
        "network": {
            "name": setup.network.name, "sha256": setup.network.sha256, "n_bytes": setup.network.n_bytes,
            "n_weights": setup.network.n_weights, **_right(setup),
            **{name: quality.value for name, quality in setup.task.source.items()},
        },
        "data": {
            "source": _short(setup.task.data.source), "sha256": setup.task.data.sha256,
            "n_samples": setup.task.data.n_samples,
            **_holdout(setup),
        },
        "task": _task(setup),
        "pruning": "per tensor" if options.per_tensor else "global, smallest magnitudes first",
        "quantization": "Eq. (5), scale D, zero point 0"
        + (f", clipped to {options.clip_to}" if options.clip_to else ", containers widened"),
        "activations": "float32" if setup.calibration is None else "int8",
        "calibration": None if setup.calibration is None else feeds_sha256(setup.calibration),
        "size": {"codec": options.codec, "meaning": CODECS[options.codec]},
        "latency": {
            "what": "20th percentile of runs interleaved with the source; zeros are computed like other weights",
            "clock": "wall time of undisturbed rounds; CPU time where is_busy = 1",
            "batch": setup.task.batch, "threads": 1, "device": options.device,
        },
        "energy": {
            "basis": "measured" if setup.meter else "none", "meter": setup.meter.name if setup.meter else None,
            "window_s": MIN_WINDOW_S if setup.meter else None,
            "idle": "in it, not subtracted" if setup.meter else None,
        },
        "energy_mac_mem": {
            "basis": "modelled", "equation": "Eq. (1)", "technology": setup.technology.title, "level": options.level,
            "uncounted": list(setup.counts.uncounted),
        },
        "machine": {
            "name": machine_name(options.device), "processor": processor(), "n_processors": os.cpu_count(),
            "platform": platform.platform(),
        },
        "packages": {name: version(name) for name in ("numpy", "onnx", "onnxruntime")},
        "python": platform.python_version(),
        "measured": when,
    }  # fmt: skip


def _right(setup: MeasurementSetup) -> dict[str, int]:
    counts = [quality.n_right for quality in setup.task.source.values()]
    return {"n_right": counts[0]} if counts[0] is not None else {}


def _task(setup: MeasurementSetup) -> dict[str, Any]:
    """Return what is fed, read and scored."""
    task = setup.task
    how = f"share of right samples; {CONFIDENCE:.0%} Wilson interval"
    scored = f"by score; {SCORE_CONFIDENCE:.0%} bootstrap interval" if task.data.score else how
    module = task.data.module
    return {
        "output": task.output or None, "batch": task.batch, "targets": list(task.targets), "quality": scored,
        # The rows have bounds, which a table gives; only a live study draws resamples itself.
        "declared": [{**one, "interval": "given"} for one in targets_json(task.targets)],
        "module_sha256": module.sha256 if module else None, "notes": [*task.notes, *task.warnings],
    }  # fmt: skip


def _holdout(setup: MeasurementSetup) -> dict[str, Any]:
    if setup.held_back is None:
        return {}
    return {"holdout": {"share": setup.options.holdout, "n_samples": int(setup.held_back.sum()), "split": HOW}}


def feeds_sha256(feeds: Mapping[str, Array]) -> str:
    """Return the SHA-256 of arrays by name."""
    digest = hashlib.sha256()
    for name, values in sorted(feeds.items()):
        digest.update(f"{name} {values.dtype} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


def _short(source: str) -> str:
    """Return the file name: provenance may be published, private folder names must not."""
    return source.rpartition("/")[2]
