"""Measure compressed versions of a network: a table of designs in, a table of samples out."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace
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
from explorer.network.compression.sizes import Sizes, sizes_by_codec
from explorer.network.graph.session import Session, open_inference_session
from explorer.network.measurement.host import machine_name
from explorer.network.measurement.latency import measure_latency
from explorer.network.measurement.racing import MAX_PACKED, Racing, pack_bits, race, visiting_order
from explorer.network.measurement.setup import MeasurementSetup, start_time_limit
from explorer.network.measurement.technology import modelled_energy
from explorer.network.task.score import Quality
from explorer.problem.columns import Columns

Row = dict[str, Any]
Cache = MutableMapping[str, Row]
"""Measured rows by effective key: designs with equal codes are one network."""

TEXT = ("family", "recipe", "size_codec", "container", "energy_basis", "energy_meter", "machine", "effective", "error")
MEASURED = (
    "recipe", "accuracy", "accuracy_lo", "accuracy_hi", "n_right", "n_samples", "n_lost", "n_gained",
    "latency_s", "latency_s_lo", "latency_s_hi", "latency_cpu_s", "latency_source_s", "latency_ratio",
    "latency_ratio_lo", "latency_ratio_hi", "latency_batch", "latency_rounds", "latency_rounds_disturbed",
    "size_bytes", "size_codec", "size_file_bytes", "size_dense_bytes", "size_deflate_bytes", "size_entropy_bytes",
    "r_effective", "n_clipped", "container", "n_macs", "n_accesses", "energy_mac_mem_j",
    "energy_j", "power_w", "energy_basis", "energy_meter", "energy_window_s", "energy_runs", "machine", "is_busy",
    "effective", "error",
)  # fmt: skip
KNOBS = ("family", "pruning_ratio", "quant_step")


def measured_columns(targets: Iterable[str]) -> tuple[str, ...]:
    """Return the columns of a measured design: those of `MEASURED`, and the declared targets with their intervals."""
    declared = [name for name in targets if name not in MEASURED]
    return (*MEASURED, *(end for name in declared for end in (name, f"{name}_lo", f"{name}_hi")))


def effective_key(compression: Compression) -> str:
    """Return the value of the `effective` column: designs with equal values are one network, measured once."""
    return compression.key[:16]


def _export_onnx(setup: MeasurementSetup, compression: Compression) -> bytes:
    """Return the ONNX file of a compression; activations are int8 if the setup has calibration data, else float."""
    if setup.calibration is not None:
        return full_int8_onnx(setup.network, compression, calibration=setup.calibration)
    return compressed_onnx(setup.network, compression)


def measure_design(
    setup: MeasurementSetup, *, pruning_ratio: float, quant_step: float, cache: Cache, racing: Racing | None = None
) -> Row:
    """Compress a network by R and D and measure it; designs with equal codes are measured once.

    Returns:
        The columns `MEASURED` in SI units; accuracy with its 95 % Wilson interval. `n_lost` and `n_gained` compare
        each sample with the source network. `latency_source_s` is the source's latency in the same rounds, and
        `latency_ratio` the ratio to it. `is_busy`: other processes used the processor, or its clock changed. Then
        latencies are CPU times, or are absent where the ratio is too uncertain (see `measure_latency`).

    Raises:
        OutOfRange: R or D is outside its range.
        MeasurementFailed: the network cannot be run, or exceeds its time limit.
    """
    options = setup.options
    recipe = Recipe(
        pruning_ratio, quant_step, per_tensor=options.per_tensor, clip_to=options.clip_to,
        full_int8=setup.calibration is not None,
    )  # fmt: skip
    remaining = start_time_limit(options.seconds)
    compression = compress_weights(setup.network, recipe)
    effective = effective_key(compression)
    if effective not in cache:
        cache[effective] = _measure_compression(setup, compression, racing, remaining=remaining)
    # Not cached: equal codes may differ in clipping, since 1,000 clipped to 127 equals 127.
    return {**cache[effective], "n_clipped": compression.n_clipped}


def measure_table(setup: MeasurementSetup, designs: Columns, *, cache: Cache | None = None) -> Iterator[Row]:
    """Measure designs in order; the error of a failed design is stored in its `error` column.

    Args:
        setup: the measurement setup.
        designs: columns family, pruning_ratio, quant_step, shape (n,).
        cache: rows measured before; new rows are added.

    Yields:
        One row per design as soon as it is measured: the knobs, then the columns of `MEASURED`. A design without R and
        D (NaN) is the source network as it is.
    """
    rows: Cache = {} if cache is None else cache
    for knobs in knobs_of_rows(designs):
        ratio, step = knobs.get("pruning_ratio"), knobs.get("quant_step")
        try:
            row = measure_source(setup) if ratio is None or step is None else measure_design(
                setup, pruning_ratio=ratio, quant_step=step, cache=rows
            )  # fmt: skip
        except ExplorerError as error:
            row = {"error": error.problem}
        yield {**knobs, **row}


def knobs_of_rows(designs: Columns) -> list[Row]:
    """Return the knobs of each design; those that are NaN are left out."""
    values = zip(*(designs[name].tolist() for name in KNOBS), strict=True)
    return [{name: one for name, one in zip(KNOBS, row, strict=True) if one == one} for row in values]  # noqa: PLR0124


def is_latency_refused(row: Row) -> bool:
    """Return whether the latency of a measured design was refused, since the machine was too busy to time it."""
    return bool(row.get("is_busy")) and "latency_s" not in row


def busy_note(rows: Iterable[Row]) -> str:
    """Return how many designs were timed on a busy or throttled machine, as a sentence; empty if none was."""
    listed = list(rows)
    n_busy, n_refused = (sum(map(test, listed)) for test in (lambda row: bool(row.get("is_busy")), is_latency_refused))
    if not n_busy:
        return ""
    refused = f"; {n_refused} of them have no latency, since it was too uncertain" if n_refused else ""
    return (
        f"{n_busy} of {len(listed)} designs were timed while other programs used the processor or its clock changed "
        f"(is_busy = 1, latency from CPU time){refused}"
    )


def as_columns(rows: list[Row]) -> Columns:
    """Return measured rows as columns; the numbers of a failed design are NaN."""
    further = [name for row in rows for name in row if name not in {*KNOBS, *MEASURED}]
    return {name: _column(name, rows) for name in dict.fromkeys((*KNOBS, *MEASURED, *further))}


def _column(name: str, rows: list[Row]) -> NDArray[Any]:
    if name in TEXT:
        return np.array([row.get(name, "") for row in rows], dtype=object)
    values = [row.get(name, np.nan) for row in rows]
    return np.array(values, dtype=np.int64 if all(isinstance(v, int) for v in values) else np.float64)


def _measure_compression(
    setup: MeasurementSetup, compression: Compression, racing: Racing | None, *, remaining: Callable[[], float | None]
) -> Row:
    onnx = _export_onnx(setup, compression)
    session = open_inference_session(onnx, device=setup.options.device)
    return {
        "recipe": "paper" if setup.calibration is None else "paper-int8",
        **_measured(
            setup, session, compressed_sizes(setup.network, compression, onnx=onnx), racing, remaining=remaining
        ),
        "r_effective": compression.r_effective,
        "container": compression.container,
        "energy_mac_mem_j": _modelled_energy(setup, compression),
        "effective": effective_key(compression),
    }


def measure_source(setup: MeasurementSetup) -> Row:
    """Measure the source network as it is, for one that has nothing to compress; R and D are absent.

    Raises:
        MeasurementFailed: the network cannot be run, or exceeds its time limit.
    """
    network = setup.network
    onnx = network.model.SerializeToString()
    sizes = sizes_by_codec(onnx, tensors=[], n_uncompressed_bytes=network.n_uncompressed_bytes)
    energy = modelled_energy(setup.counts, setup.technology, level=setup.options.level, weight_bits={})
    return {
        "recipe": "source",
        **_measured(setup, setup.session, replace(sizes, file=network.n_bytes), None,
                    remaining=start_time_limit(setup.options.seconds)),
        "n_clipped": 0, "container": "", "energy_mac_mem_j": energy, "effective": network.sha256[:16],
    }  # fmt: skip


def _measured(
    setup: MeasurementSetup, session: Session, by_codec: Sizes, racing: Racing | None, *,
    remaining: Callable[[], float | None],
) -> Row:  # fmt: skip
    """Return what is measured of one version of the network."""
    row = {
        **(_latency(setup, session, remaining=remaining) if setup.options.latency else {}),
        "size_bytes": by_codec.of(setup.options.codec),
        "size_codec": setup.options.codec,
        "size_file_bytes": by_codec.file,
        "size_dense_bytes": by_codec.dense,
        "size_deflate_bytes": by_codec.deflate,
        "size_entropy_bytes": by_codec.entropy,
        "n_macs": setup.counts.n_macs,
        "n_accesses": setup.counts.n_accesses,
        **_energy(setup, session, remaining=remaining),
        "machine": machine_name(setup.options.device),
        "error": "",
    }
    return {**_quality(setup, session, row, racing, remaining=remaining), **row}


def can_race(setup: MeasurementSetup) -> bool:
    """Return whether samples are counted as right or wrong one by one, so that a part of them bounds the accuracy."""
    quality = setup.source[""].get("accuracy")
    is_counted = quality is not None and quality.n_right is not None
    return is_counted and setup.task.targets == ("accuracy",) and setup.task.data.n_samples <= MAX_PACKED


def _quality(
    setup: MeasurementSetup, session: Session, row: Row, racing: Racing | None, *, remaining: Callable[[], float | None]
) -> Row:
    """Return the columns of the quality; a design whose race is stopped has no others than those of its accuracy."""
    task = setup.task
    if racing is None or not can_race(setup):
        return quality_columns(task.evaluate_parts(session, setup.parts, remaining=remaining), source=setup.source)
    searched = np.flatnonzero(setup.parts[""])
    misses = (~np.asarray(setup.source[""]["accuracy"].per_sample, dtype=np.bool_)).astype(np.int64)
    if len(racing.misses) == len(searched):
        misses += racing.misses
    result = race(
        lambda rows: np.asarray(task.evaluate(session, searched[rows], remaining=remaining)["accuracy"].per_sample),
        lambda low, high: racing.can_matter(row, low, high),
        order=visiting_order(task.data.sha256, len(searched)),
        misses=misses,
    )
    if result.is_stopped:
        return result.columns()
    parts = {"": {"accuracy": task.summarize(result.is_right)}}
    if setup.held_back is not None:
        parts["_holdout"] = task.evaluate(session, setup.held_back, remaining=remaining)
    bits = {"is_stopped": False, "right_bits": pack_bits(result.is_right)}
    return {**quality_columns(parts, source=setup.source), **bits}


def quality_columns(parts: Mapping[str, Mapping[str, Quality]], *, source: Mapping[str, Mapping[str, Quality]]) -> Row:
    """Return the columns of measured qualities, those of held-back samples apart from those of the search.

    Args:
        parts: quality by target, for each part of the samples by the ending of its columns.
        source: the same of the source network.
    """
    row: Row = {}
    for ending, qualities in parts.items():
        for target, quality in qualities.items():
            name = f"{target}{ending}"
            row |= {name: quality.value, f"{name}_lo": quality.lo, f"{name}_hi": quality.hi}
            row[f"n_samples{ending}"] = quality.n
            now, before = quality.per_sample, source[ending][target].per_sample
            if quality.n_right is None or now is None:
                continue
            row[f"n_right{ending}"] = quality.n_right
            if before is not None and not ending:
                row |= {"n_lost": int((before & ~now).sum()), "n_gained": int((~before & now).sum())}
    return row


def _modelled_energy(setup: MeasurementSetup, compression: Compression) -> float:
    """Return the energy of one run by Eq. (1) in joules: modelled, never measured."""
    return modelled_energy(
        setup.counts,
        setup.technology,
        level=setup.options.level,
        weight_bits=setup.network.stored_bits | {name: BITS[t.container] for name, t in compression.tensors.items()},
        arithmetic="float32" if setup.calibration is None else "int8",
    )


def _latency(setup: MeasurementSetup, session: Session, *, remaining: Callable[[], float | None]) -> Row:
    feeds = setup.task.one_run
    timing = measure_latency(
        session.bind(feeds), setup.session.bind(feeds), device=setup.options.device, check=remaining
    )
    return {**timing.columns(), "latency_batch": setup.task.batch}


def _energy(setup: MeasurementSetup, session: Session, *, remaining: Callable[[], object]) -> Mapping[str, Any]:
    remaining()
    if setup.meter is None:
        return {"energy_basis": "none", "energy_meter": ""}
    run = session.bind(setup.task.one_run)
    window = measure_energy(setup.meter, run, clock=time.perf_counter)
    if window is None:
        return {"energy_basis": "none", "energy_meter": f"{setup.meter.name} stood still"}
    return {
        "energy_j": window.joules / window.n_runs,
        "power_w": window.joules / window.seconds,
        "energy_basis": "measured",
        "energy_meter": setup.meter.name,
        "energy_window_s": window.seconds,
        "energy_runs": window.n_runs,
    }
