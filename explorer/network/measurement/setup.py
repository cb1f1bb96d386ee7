"""A test bench: a network, its labelled data, its counts and the machine's meter, made ready once for many designs."""

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
from explorer.network.measurement.labelled_data import LabelledData, make_feeds
from explorer.network.measurement.technology import SHIPPED, Technology, load_technology

MAX_CHUNK, MAX_CHUNK_BYTES = 256, 4_000_000  # activations are many times larger than the inputs they come from


@dataclass(frozen=True, slots=True)
class MeasurementOptions:
    """What a measurement is made under.

    Args:
        codec: which size `size_bytes` is.
        per_tensor: prune each tensor by R alone.
        clip_to: clip codes to this container instead of widening it.
        energy: 'auto' reads a meter where there is one; 'none' asks for no measured energy.
        seconds: the time limit for one design; None sets none.
        device: 'cpu' or 'cuda'.
        level: the memory level of Eq. (1).
        technology: the table of Eq. (1).
        latency: whether to time runs, which takes about a second a design.
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


@dataclass(frozen=True, slots=True)
class MeasurementSetup:
    """Everything that measuring a design needs.

    Args:
        network: the source.
        data: labelled samples.
        inputs: the same, as the network takes them.
        batch: how many samples one run takes.
        session: the source network, loaded.
        is_correct: which samples the source network gets right, shape (n,).
        counts: of one run of the source network.
        conditions: as asked.
        technology: as read.
        meter: of the device, if any.
        calibration: inputs for full int8, or None for float activations.
    """

    network: Network
    data: LabelledData
    inputs: Mapping[str, Array]
    batch: int
    session: Session
    is_correct: NDArray[np.bool_]
    counts: OpCounts
    conditions: MeasurementOptions
    technology: Technology
    meter: Meter | None
    calibration: Mapping[str, Array] | None

    def first(self) -> dict[str, Array]:
        """Return the feeds of one run."""
        return first_batch(self.inputs, batch=self.batch)


def prepare_measurement(
    network: Network, data: LabelledData, *, conditions: MeasurementOptions, calibration: LabelledData | None = None
) -> MeasurementSetup:
    """Load, run and count the source network; whatever is wrong with network or data shows here, once.

    Raises:
        WrongUsage: a condition cannot be met.
        InvalidFile: the data does not fit the network, or its labels are not among the network's classes.
        MeasurementFailed: the network cannot be run, or its outputs are not classes, or are NaN.
    """
    if conditions.codec not in CODECS:
        raise WrongUsage(f"'{conditions.codec}' is no codec", fix=f"choose one of: {', '.join(CODECS)}")
    if conditions.seconds is not None and not 0 < conditions.seconds < math.inf:
        raise WrongUsage(f"a time limit of {conditions.seconds} s", fix="give a positive number of seconds")
    technology = load_technology(conditions.technology)
    if conditions.level not in technology.bit_j:
        raise UnknownName(technology.title, conditions.level, technology.bit_j)
    session = open_inference_session(network.model.SerializeToString(), device=conditions.device)
    inputs = make_feeds(data, session.inputs)
    batch = next((entry.shape[0] for entry in session.inputs if entry.shape and entry.shape[0]), 1) or 1
    stop = start_time_limit(conditions.seconds)
    is_correct = correct_mask(session, data, inputs=inputs, batch=batch, left=stop)
    one_run = first_batch(inputs, batch=batch)
    return MeasurementSetup(
        network=network, data=data, inputs=inputs, batch=batch, session=session, is_correct=is_correct,
        counts=count_operations(network.model, one_run, seconds=stop()), conditions=conditions, technology=technology,
        meter=energy_meter(conditions.device) if conditions.energy == "auto" else None,
        calibration=make_feeds(calibration, session.inputs) if calibration else None,
    )  # fmt: skip


def first_batch(inputs: Mapping[str, Array], *, batch: int) -> dict[str, Array]:
    """Return the feeds of the first run: so many samples as a batch takes."""
    return {name: _filled(values[:batch], batch) for name, values in inputs.items()}


def start_time_limit(seconds: float | None) -> Callable[[], float | None]:
    """Start a clock; the result tells how many seconds are left, None without a limit.

    The result raises MeasurementFailed once no time is left.
    """
    began = time.monotonic()

    def left() -> float | None:
        if seconds is None:
            return None
        rest = seconds - (time.monotonic() - began)
        if rest <= 0:
            raise MeasurementFailed(f"the time limit of {seconds:g} s is over", fix=LONGER)
        return rest

    return left


def correct_mask(
    session: Session,
    data: LabelledData,
    *,
    inputs: Mapping[str, Array],
    batch: int,
    left: Callable[[], float | None],
) -> NDArray[np.bool_]:
    """Tell for every sample whether the network's class is the label, shape (n,).

    Raises:
        InvalidFile: labels are not among the network's classes.
        MeasurementFailed: the run failed or took too long, or the outputs are not classes.
    """

    def run(make_feeds: Mapping[str, Array]) -> dict[str, Array]:
        return run_in_chunks(session, make_feeds, batch=batch, left=left)

    n = data.n_samples
    predict = data.predict
    if predict is not None:
        said = np.asarray(_asked(lambda: predict(run, inputs), source=data.source))
        if said.shape != (n,):
            raise MeasurementFailed(
                f"predict of {data.source} returned shape {said.shape}", fix=f"return one class for each of {n} samples"
            )
        return np.asarray(said == data.labels)
    outputs = run(inputs)
    said = predicted_classes(outputs, n=n)
    n_classes = next((v.shape[1] for v in outputs.values() if v.ndim == 2 and v.dtype.kind == "f"), None)
    if n_classes is not None and data.labels.max() >= n_classes:
        row = int(data.labels.argmax())
        what = f"has the class {data.labels[row]} in row {row}; the network tells {n_classes} classes, from 0"
        raise InvalidFile(data.source, [Fault("array 'y'", what, "take the data that belongs to this network")])
    return np.asarray(said == data.labels)


def run_in_chunks(
    session: Session, make_feeds: Mapping[str, Array], *, batch: int, left: Callable[[], float | None]
) -> dict[str, Array]:
    """Run all samples, so many at a time as memory easily holds, and join those outputs that are one per sample."""
    n = len(next(iter(make_feeds.values())))
    n_bytes = sum(values.nbytes for values in make_feeds.values()) // n
    size = batch if batch > 1 else max(1, min(MAX_CHUNK, MAX_CHUNK_BYTES // max(n_bytes, 1)))
    parts: list[dict[str, Array]] = []
    for start in range(0, n, size):
        stop = min(start + size, n)
        full = size if batch > 1 else stop - start
        chunk = {name: _filled(values[start:stop], full) for name, values in make_feeds.items()}
        outputs = session.run(chunk, seconds=left())
        parts.append(
            {
                name: values[: stop - start]
                for name, values in outputs.items()
                if isinstance(values, np.ndarray) and values.shape[:1] == (full,)
            }
        )
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in shared}


def _asked(call: Callable[[], Array], *, source: str) -> Array:
    try:
        return call()
    except MeasurementFailed:
        raise
    except Exception as error:
        raise MeasurementFailed(
            f"predict of {source}: {type(error).__name__}: {error}", fix="mend that module"
        ) from error


def _filled(values: Array, n: int) -> Array:
    """Repeat the last sample until there are n: a network with a fixed batch takes no fewer."""
    missing = n - len(values)
    return values if missing <= 0 else np.concatenate([values, np.repeat(values[-1:], missing, axis=0)])
