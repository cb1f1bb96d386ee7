"""Run a bundle's network on labelled data: accuracy, latency, size and, with a meter, energy."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from explorer.deploy.verification.check import Interval
from explorer.devices.meters import Window, energy_meter, measure_energy
from explorer.network.compression.sizes import Sizes, sizes_by_codec
from explorer.network.compression.stored_weights import StoredWeight, stored_weights, uncompressed_bytes
from explorer.network.graph.loading import read_network_file
from explorer.network.graph.session import Session, open_inference_session
from explorer.network.measurement.latency import Latency, measure_latency
from explorer.network.measurement.setup import start_time_limit
from explorer.network.task.labelled_data import LabelledData
from explorer.network.task.task import prepare_task


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
    task = prepare_task(session, data, remaining=remaining)
    accuracy = task.evaluate(session, remaining=remaining)["accuracy"]
    run = session.bind(task.one_run)
    timing = measure_latency(run, check=remaining)
    meter = energy_meter("cpu") if with_energy else None
    window = measure_energy(meter, run, clock=time.perf_counter) if meter else None
    return Evaluation(
        Interval(accuracy.value, accuracy.lo, accuracy.hi), int(np.asarray(accuracy.per_sample).sum()), accuracy.n,
        timing.latency, task.batch, window, meter.name if meter else "", data.source,
    )  # fmt: skip
