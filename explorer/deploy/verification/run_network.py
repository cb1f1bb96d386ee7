"""Run a bundle's network on labelled data: accuracy, latency, size and, with a meter, energy."""

import time
from dataclasses import dataclass
from pathlib import Path

from explorer.deploy.verification.check import Interval
from explorer.devices.meters import Window, energy_meter, measure_energy
from explorer.errors import Fault, InvalidFile
from explorer.network.compression.sizes import Sizes, sizes_by_codec
from explorer.network.compression.stored_weights import StoredWeight, stored_weights, uncompressed_bytes
from explorer.network.graph.loading import read_network_file
from explorer.network.graph.session import Session, open_inference_session
from explorer.network.measurement.accuracy import wilson_interval
from explorer.network.measurement.labelled_data import LabelledData, make_feeds
from explorer.network.measurement.latency import Latency, median_latency, time_interleaved
from explorer.network.measurement.setup import correct_mask, first_batch, start_time_limit


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A bundle's network: stored weights, inference session and sizes by codec."""

    weights: tuple[StoredWeight, ...]
    session: Session
    sizes: Sizes


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measurements on labelled data; accuracy with its 95 % Wilson interval, energy only if a meter was read."""

    accuracy: Interval
    n_correct: int
    n_samples: int
    latency: Latency
    batch: int
    window: Window | None
    meter: str
    data: str


def load_artifact(path: Path) -> LoadedNetwork:
    """Read, check and load a compressed network.

    Args:
        path: path of the ONNX file.

    Raises:
        MissingPart: onnx is not installed.
        InvalidFile: it is not a usable ONNX file.
        MeasurementFailed: onnxruntime cannot load it.
    """
    file = read_network_file(path)
    onnx = path.read_bytes()
    weights = tuple(stored_weights(file.model))
    by_codec = sizes_by_codec(
        onnx, tensors=[weight.quantized for weight in weights], n_uncompressed_bytes=uncompressed_bytes(file.model)
    )
    return LoadedNetwork(weights, open_inference_session(onnx), by_codec)


def evaluate_network(
    loaded: LoadedNetwork, data: LabelledData, *, with_energy: bool, seconds: float | None = None
) -> Evaluation:
    """Measure a network on labelled data.

    Args:
        loaded: the network.
        data: labelled samples.
        with_energy: read an energy meter if the machine has one.
        seconds: time limit; None sets none.

    Raises:
        InvalidFile: the data does not fit the network.
        MeasurementFailed: the network cannot be run, or its outputs are not classes, or are NaN.
    """
    session, remaining = loaded.session, start_time_limit(seconds)
    inputs = make_feeds(data, session.inputs)
    if not inputs:
        raise InvalidFile(data.source, [Fault("", "the network has no inputs", "use another network")])
    batch = next((entry.shape[0] for entry in session.inputs if entry.shape and entry.shape[0]), 1) or 1
    is_correct = correct_mask(session, data, inputs=inputs, batch=batch, remaining=remaining)
    low, high = wilson_interval(is_correct.sum(), is_correct.size)
    run = session.bind(first_batch(inputs, batch=batch))
    times = time_interleaved([run], clock=time.perf_counter, check=remaining)
    meter = energy_meter("cpu") if with_energy else None
    window = measure_energy(meter, run, clock=time.perf_counter) if meter else None
    return Evaluation(
        Interval(float(is_correct.mean()), float(low), float(high)), int(is_correct.sum()), int(is_correct.size),
        median_latency(times[:, 0]), batch, window, meter.name if meter else "", data.source,
    )  # fmt: skip
