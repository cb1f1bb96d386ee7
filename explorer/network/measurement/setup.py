"""Measurement setup: network, labelled data, operation counts and energy meter, prepared once for many designs."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from explorer.devices.meters import Meter, energy_meter
from explorer.errors import Fault, InvalidFile, MeasurementFailed, UnknownName, WrongUsage
from explorer.network.compression.quantization import Container
from explorer.network.compression.sizes import CODECS, Codec
from explorer.network.graph.model import Network
from explorer.network.graph.op_counts import OpCounts, count_operations
from explorer.network.graph.session import LONGER, Array, Session, open_inference_session
from explorer.network.measurement.accuracy import predicted_classes
from explorer.network.measurement.holdout import holdout_mask
from explorer.network.measurement.labelled_data import LabelledData, make_feeds
from explorer.network.measurement.technology import SHIPPED, Technology, load_technology

MAX_CHUNK, MAX_CHUNK_BYTES = 256, 4_000_000  # activations are many times larger than their inputs


@dataclass(frozen=True, slots=True)
class MeasurementOptions:
    """Options of a measurement.

    Args:
        codec: codec of the column `size_bytes`.
        per_tensor: prune the share R of each tensor, instead of all tensors together.
        clip_to: clip codes to this container instead of widening it.
        energy: 'auto' reads a meter if the machine has one; 'none' measures no energy.
        seconds: time limit for one design; None sets none.
        device: 'cpu' or 'cuda'.
        level: memory level of Eq. (1).
        technology: technology table of Eq. (1).
        latency: time the runs, about one second per design.
        holdout: share of the samples that does not count for the accuracy of a search, in [0, 1).
    """

    codec: Codec = "deflate"
    per_tensor: bool = False
    clip_to: Container | None = None
    energy: Literal["auto", "none"] = "auto"
    seconds: float | None = None
    device: str = "cpu"
    level: str = "dram"
    technology: Path = SHIPPED
    latency: bool = True
    holdout: float = 0.0


@dataclass(frozen=True, slots=True)
class MeasurementSetup:
    """Source network, data and instruments for the measurement of designs.

    Args:
        network: the source network.
        data: labelled samples.
        inputs: the samples in the types and shapes of the network's inputs.
        batch: number of samples per run.
        session: inference session of the source network.
        is_correct: samples that the source network classifies correctly, shape (n,).
        counts: operation counts of one run of the source network.
        options: options of the measurement.
        technology: the loaded technology table.
        meter: energy meter of the device, if any.
        calibration: inputs for full int8, or None for float activations.
        held_back: mask of the samples that a search does not see, shape (n,); None without a holdout.
    """

    network: Network
    data: LabelledData
    inputs: Mapping[str, Array]
    batch: int
    session: Session
    is_correct: NDArray[np.bool_]
    counts: OpCounts
    options: MeasurementOptions
    technology: Technology
    meter: Meter | None
    calibration: Mapping[str, Array] | None
    held_back: NDArray[np.bool_] | None = None

    @property
    def is_searched(self) -> NDArray[np.bool_]:
        """Mask of the samples of the search's accuracy: all that are not held back, shape (n,)."""
        return np.ones(self.data.n_samples, dtype=np.bool_) if self.held_back is None else ~self.held_back


def prepare_measurement(
    network: Network, data: LabelledData, *, options: MeasurementOptions, calibration: LabelledData | None = None
) -> MeasurementSetup:
    """Load, run and count the source network; faults of network or data are raised here, before any design.

    Raises:
        WrongUsage: an option cannot be satisfied.
        InvalidFile: the data does not fit the network, or its labels are not among the network's classes.
        MeasurementFailed: the network cannot be run, or its outputs are not classes, or are NaN.
    """
    if options.codec not in CODECS:
        raise WrongUsage(f"'{options.codec}' is not a codec", fix=f"choose one of: {', '.join(CODECS)}")
    if options.seconds is not None and not 0 < options.seconds < math.inf:
        raise WrongUsage(
            f"a time limit of {options.seconds} s is not allowed", fix="give a positive, finite number of seconds"
        )
    technology = load_technology(options.technology)
    if options.level not in technology.bit_j:
        raise UnknownName(technology.title, options.level, technology.bit_j)
    session = open_inference_session(network.model.SerializeToString(), device=options.device)
    inputs = make_feeds(data, session.inputs)
    batch = next((entry.shape[0] for entry in session.inputs if entry.shape and entry.shape[0]), 1) or 1
    remaining = start_time_limit(options.seconds)
    is_correct = correct_mask(session, data, inputs=inputs, batch=batch, remaining=remaining)
    one_batch = first_batch(inputs, batch=batch)
    return MeasurementSetup(
        network=network, data=data, inputs=inputs, batch=batch, session=session, is_correct=is_correct,
        counts=count_operations(network.model, one_batch, seconds=remaining()), options=options, technology=technology,
        meter=energy_meter(options.device) if options.energy == "auto" else None,
        calibration=make_feeds(calibration, session.inputs) if calibration else None,
        held_back=holdout_mask(data, options.holdout) if options.holdout else None,
    )  # fmt: skip


def first_batch(inputs: Mapping[str, Array], *, batch: int) -> dict[str, Array]:
    """Return the feeds of the first run, `batch` samples."""
    return {name: _padded(values[:batch], batch) for name, values in inputs.items()}


def start_time_limit(seconds: float | None) -> Callable[[], float | None]:
    """Start a time limit; return a function that returns the remaining seconds, None without a limit.

    The returned function raises MeasurementFailed once the limit is exceeded.
    """
    start = time.monotonic()

    def remaining() -> float | None:
        if seconds is None:
            return None
        rest = seconds - (time.monotonic() - start)
        if rest <= 0:
            raise MeasurementFailed(f"the time limit of {seconds:g} s is exceeded", fix=LONGER)
        return rest

    return remaining


def correct_mask(
    session: Session,
    data: LabelledData,
    *,
    inputs: Mapping[str, Array],
    batch: int,
    remaining: Callable[[], float | None],
) -> NDArray[np.bool_]:
    """Return the mask of samples whose predicted class is the label, shape (n,).

    Raises:
        InvalidFile: labels are not among the network's classes.
        MeasurementFailed: the run failed or exceeded its time limit, or the outputs are not classes.
    """

    def run(feeds: Mapping[str, Array]) -> dict[str, Array]:
        return run_in_chunks(session, feeds, batch=batch, remaining=remaining)

    n = data.n_samples
    predict = data.predict
    if predict is not None:
        classes = np.asarray(_call_predict(lambda: predict(run, inputs), source=data.source))
        if classes.shape != (n,):
            fault = f"predict of {data.source} returned shape {classes.shape}"
            raise MeasurementFailed(fault, fix=f"return one class for each of {n} samples")
        return np.asarray(classes == data.labels)
    outputs = run(inputs)
    classes = predicted_classes(outputs, n=n)
    n_classes = next((v.shape[1] for v in outputs.values() if v.ndim == 2 and v.dtype.kind == "f"), None)
    if n_classes is not None and data.labels.max() >= n_classes:
        row = int(data.labels.argmax())
        fault = f"has class {data.labels[row]} in row {row}, but the network has {n_classes} classes, from 0"
        raise InvalidFile(data.source, [Fault("array 'y'", fault, "use data with the classes of this network")])
    return np.asarray(classes == data.labels)


def run_in_chunks(
    session: Session, feeds: Mapping[str, Array], *, batch: int, remaining: Callable[[], float | None]
) -> dict[str, Array]:
    """Run all samples in chunks that fit in memory; return the concatenated outputs with one row per sample."""
    n = len(next(iter(feeds.values())))
    n_bytes = sum(values.nbytes for values in feeds.values()) // n
    size = batch if batch > 1 else max(1, min(MAX_CHUNK, MAX_CHUNK_BYTES // max(n_bytes, 1)))
    parts: list[dict[str, Array]] = []
    for start in range(0, n, size):
        stop = min(start + size, n)
        full = size if batch > 1 else stop - start
        chunk = {name: _padded(values[start:stop], full) for name, values in feeds.items()}
        outputs = session.run(chunk, seconds=remaining())
        parts.append(
            {
                name: values[: stop - start]
                for name, values in outputs.items()
                if isinstance(values, np.ndarray) and values.shape[:1] == (full,)
            }
        )
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in shared}


def _call_predict(call: Callable[[], Array], *, source: str) -> Array:
    try:
        return call()
    except MeasurementFailed:
        raise
    except Exception as error:
        fault = f"predict of {source}: {type(error).__name__}: {error}"
        raise MeasurementFailed(fault, fix="correct that module") from error


def _padded(values: Array, n: int) -> Array:
    """Return n samples, padded with the last one, for a network with a fixed batch size."""
    n_missing = n - len(values)
    return values if n_missing <= 0 else np.concatenate([values, np.repeat(values[-1:], n_missing, axis=0)])
