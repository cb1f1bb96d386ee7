"""Measuring compressed versions of a network: a table of designs in, a samples table out."""

import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.devices.meters import measure_energy
from explorer.errors import ExplorerError
from explorer.network.compression.compress import (
    Compression,
    Recipe,
    compress_weights,
    compressed_onnx,
    compressed_sizes,
)
from explorer.network.compression.int8 import full_int8_onnx
from explorer.network.compression.quantization import BITS
from explorer.network.graph.session import Session, open_inference_session
from explorer.network.measurement.accuracy import wilson_interval
from explorer.network.measurement.latency import median_latency, time_interleaved
from explorer.network.measurement.setup import MeasurementSetup, correct_mask, start_time_limit
from explorer.network.measurement.technology import modelled_energy
from explorer.problem.columns import Columns

Row = dict[str, Any]
Cache = MutableMapping[str, Row]
"""What was measured, by effective configuration: designs with the same codes are one network."""

_TEXT = ("family", "size_codec", "container", "energy_basis", "energy_meter", "effective", "error")
MEASURED = (
    "accuracy", "accuracy_lo", "accuracy_hi", "n_right", "n_samples", "n_lost", "n_gained",
    "latency_s", "latency_s_lo", "latency_s_hi", "latency_source_s", "latency_batch",
    "size_bytes", "size_codec", "size_file_bytes", "size_dense_bytes", "size_deflate_bytes", "size_entropy_bytes",
    "r_effective", "n_clipped", "container", "n_macs", "n_accesses", "energy_mac_mem_j",
    "energy_j", "power_w", "energy_basis", "energy_meter", "energy_window_s", "energy_runs", "effective", "error",
)  # fmt: skip
KNOBS = ("family", "pruning_ratio", "quant_step")


def effective_key(compression: Compression) -> str:
    """Return what the `effective` column holds: designs that share it are one network, measured once."""
    return compression.key[:16]


def export_onnx(bench: MeasurementSetup, compression: Compression) -> bytes:
    """Return the ONNX file of a compression, with float or int8 activations as the bench says."""
    if bench.calibration is not None:
        return full_int8_onnx(bench.network, compression, calibration=bench.calibration)
    return compressed_onnx(bench.network, compression)


def measure_design(bench: MeasurementSetup, *, pruning_ratio: float, quant_step: float, cache: Cache) -> Row:
    """Compress by R and D and measure what comes out; a design with the codes of an earlier one is not run again.

    Returns:
        The columns named in `MEASURED`, SI; accuracy with its 95 % Wilson interval. `n_lost` and `n_gained` compare
        sample by sample with the source network; `latency_source_s` is the source's median in the same rounds.

    Raises:
        OutOfRange: R or D cannot be.
        MeasurementFailed: the network could not be run, or not in time.
    """
    conditions = bench.options
    recipe = Recipe(
        pruning_ratio, quant_step, per_tensor=conditions.per_tensor, clip_to=conditions.clip_to,
        full_int8=bench.calibration is not None,
    )  # fmt: skip
    left = start_time_limit(conditions.seconds)
    compression = compress_weights(bench.network, recipe)
    effective = effective_key(compression)
    if effective not in cache:
        cache[effective] = _measured(bench, compression, left=left)
    # Clipping is not in the codes: 1,000 clipped to 127 looks like a 127.
    return {**cache[effective], "n_clipped": compression.n_clipped}


def measure_table(bench: MeasurementSetup, designs: Columns, *, cache: Cache | None = None) -> Iterator[Row]:
    """Measure designs one after the other; a failed one is recorded in its `error` column and does not end the rest.

    Args:
        bench: what to measure.
        designs: columns family, pruning_ratio, quant_step, shape (n,).
        cache: what was measured before; grows.

    Yields:
        One row for each design as soon as it is measured: the knobs, then the columns of `MEASURED`.
    """
    known: Cache = {} if cache is None else cache
    for family, ratio, step in zip(*(designs[name].tolist() for name in KNOBS), strict=True):
        knobs: Row = {"family": family, "pruning_ratio": ratio, "quant_step": step}
        try:
            row = {**knobs, **measure_design(bench, pruning_ratio=ratio, quant_step=step, cache=known)}
        except ExplorerError as error:
            row = {**knobs, "error": error.problem}
        yield row


def as_columns(rows: list[Row]) -> Columns:
    """Return measured rows as columns; a failed design has NaN for its numbers."""
    return {name: _column(name, rows) for name in (*KNOBS, *MEASURED)}


def _column(name: str, rows: list[Row]) -> NDArray[Any]:
    if name in _TEXT:
        return np.array([row.get(name, "") for row in rows], dtype=object)
    values = [row.get(name, np.nan) for row in rows]
    return np.array(values, dtype=np.int64 if all(isinstance(v, int) for v in values) else np.float64)


def _measured(bench: MeasurementSetup, compression: Compression, *, left: Callable[[], float | None]) -> Row:
    onnx = export_onnx(bench, compression)
    session = open_inference_session(onnx, device=bench.options.device, fold_weights=bench.calibration is None)
    is_correct = correct_mask(session, bench.data, inputs=bench.inputs, batch=bench.batch, left=left)
    low, high = wilson_interval(is_correct.sum(), is_correct.size)
    by_codec = compressed_sizes(bench.network, compression, onnx=onnx)
    return {
        "accuracy": float(is_correct.mean()),
        "accuracy_lo": float(low),
        "accuracy_hi": float(high),
        "n_right": int(is_correct.sum()),
        "n_samples": int(is_correct.size),
        "n_lost": int((bench.is_correct & ~is_correct).sum()),
        "n_gained": int((~bench.is_correct & is_correct).sum()),
        **(_latency(bench, session, left=left) if bench.options.latency else {}),
        "size_bytes": by_codec.of(bench.options.codec),
        "size_codec": bench.options.codec,
        "size_file_bytes": by_codec.file,
        "size_dense_bytes": by_codec.dense,
        "size_deflate_bytes": by_codec.deflate,
        "size_entropy_bytes": by_codec.entropy,
        "r_effective": compression.r_effective,
        "container": compression.container,
        "n_macs": bench.counts.n_macs,
        "n_accesses": bench.counts.n_accesses,
        "energy_mac_mem_j": eq1_energy(bench, compression),
        **_energy(bench, session, left=left),
        "effective": effective_key(compression),
        "error": "",
    }


def eq1_energy(bench: MeasurementSetup, compression: Compression) -> float:
    """Return Eq. (1) for one run under the bench's technology, in joule: modelled, never measured."""
    return modelled_energy(
        bench.counts,
        bench.technology,
        level=bench.options.level,
        weight_bits={name: BITS[tensor.container] for name, tensor in compression.tensors.items()},
        arithmetic="float32" if bench.calibration is None else "int8",
    )


def _latency(bench: MeasurementSetup, session: Session, *, left: Callable[[], object]) -> Row:
    feeds = bench.first()
    times = time_interleaved([session.bound(feeds), bench.session.bound(feeds)], clock=time.perf_counter, check=left)
    mine, source = median_latency(times[:, 0]), median_latency(times[:, 1])
    return {
        "latency_s": mine.median,
        "latency_s_lo": mine.low,
        "latency_s_hi": mine.high,
        "latency_source_s": source.median,
        "latency_batch": bench.batch,
    }


def _energy(bench: MeasurementSetup, session: Session, *, left: Callable[[], object]) -> Mapping[str, Any]:
    left()
    if bench.meter is None:
        return {"energy_basis": "none", "energy_meter": ""}
    window = measure_energy(bench.meter, session.bound(bench.first()), clock=time.perf_counter)
    if window is None:
        return {"energy_basis": "none", "energy_meter": f"{bench.meter.name} stood still"}
    return {
        "energy_j": window.joules / window.n_runs,
        "power_w": window.joules / window.seconds,
        "energy_basis": "measured",
        "energy_meter": bench.meter.name,
        "energy_window_s": window.seconds,
        "energy_runs": window.n_runs,
    }
