"""Running a bundle's network on labelled data: accuracy, latency, size and, with a meter, energy."""

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
    """A bundle's network, loaded: what it stores, its session and its bytes by codec."""

    weights: tuple[StoredWeight, ...]
    session: Session
    sizes: Sizes


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What a run on labelled data measured; accuracy with its 95 % Wilson interval, energy only by a meter."""

    accuracy: Interval
    n_right: int
    n_samples: int
    latency: Latency
    batch: int
    window: Window | None
    meter: str
    data: str


def load_artifact(path: Path, *, is_int8: bool) -> LoadedNetwork:
    """Read, check and load a compressed network.

    Args:
        path: its file.
        is_int8: whether it computes in int8: then its weights stay codes.

    Raises:
        MissingPart: onnx is not installed.
        InvalidFile: it is no ONNX file that can be used.
        MeasurementFailed: onnxruntime cannot load it.
    """
    file = read_network_file(path)
    onnx = path.read_bytes()
    weights = tuple(stored_weights(file.model))
    by_codec = sizes_by_codec(
        onnx, coded=[weight.coded for weight in weights], n_uncompressed_bytes=uncompressed_bytes(file.model)
    )
    return LoadedNetwork(weights, open_inference_session(onnx, fold_weights=not is_int8), by_codec)


def evaluate_network(
    loaded: LoadedNetwork, data: LabelledData, *, with_energy: bool, seconds: float | None = None
) -> Evaluation:
    """Run a network on labelled data.

    Args:
        loaded: the network.
        data: labelled samples.
        with_energy: read a meter where there is one.
        seconds: the time limit; None sets none.

    Raises:
        InvalidFile: the data does not fit the network.
        MeasurementFailed: the network cannot be run, or its outputs are not classes, or are NaN.
    """
    session, left = loaded.session, start_time_limit(seconds)
    inputs = make_feeds(data, session.inputs)
    if not inputs:
        raise InvalidFile(data.source, [Fault("", "the network has no inputs", "take another network")])
    batch = next((entry.shape[0] for entry in session.inputs if entry.shape and entry.shape[0]), 1) or 1
    is_correct = correct_mask(session, data, inputs=inputs, batch=batch, left=left)
    low, high = wilson_interval(is_correct.sum(), is_correct.size)
    bound = session.bound(first_batch(inputs, batch=batch))
    times = time_interleaved([bound], clock=time.perf_counter, check=left)
    meter = energy_meter("cpu") if with_energy else None
    window = measure_energy(meter, bound, clock=time.perf_counter) if meter else None
    return Evaluation(
        Interval(float(is_correct.mean()), float(low), float(high)), int(is_correct.sum()), int(is_correct.size),
        median_latency(times[:, 0]), batch, window, meter.name if meter else "", data.source,
    )  # fmt: skip
