"""Run a bundle's network on labelled data: accuracy, latency, size and, with a meter, energy."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from explorer.deploy.bundle.schema import ManifestFile, ShippedNetwork
from explorer.deploy.verification.check import Check
from explorer.devices.meters import Window, energy_meter, measure_energy
from explorer.errors import Fault, InvalidFile, MeasurementFailed, WrongUsage
from explorer.io.npz import read_arrays
from explorer.network.graph.default_session import run_default_session
from explorer.network.graph.loading import read_network_file
from explorer.network.graph.session import Session, open_inference_session
from explorer.network.measurement.latency import Latency, measure_latency
from explorer.network.measurement.setup import start_time_limit
from explorer.network.reference.outputs import compare_outputs, unpack_runs
from explorer.network.reference.sizes import count_sizes
from explorer.network.reference.stored_codes import StoredCodes, codes_at_step, read_stored_codes
from explorer.network.task.labelled_data import LabelledData
from explorer.network.task.score import Quality
from explorer.network.task.task import prepare_task
from explorer.problem.targets import declared_target

MAX_REFERENCE_BYTES = 20_000_000


@dataclass(frozen=True, slots=True)
class LoadedNetwork:
    """A bundle's network: integers that it stores, inference session and sizes in bytes by codec."""

    stored: tuple[StoredCodes, ...]
    session: Session
    sizes: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Measurements on labelled data.

    Args:
        qualities: by target, each with its interval.
        n_samples: number of samples.
        latency: of one run.
        batch: samples of one run.
        window: energy of a window of runs, if a meter was read.
        meter: name of that meter.
        data: file or module of the samples.
        notes: feeds, output and score, in sentences.
    """

    qualities: Mapping[str, Quality]
    n_samples: int
    latency: Latency
    batch: int
    window: Window | None
    meter: str
    data: str
    notes: tuple[str, ...]


def load_artifact(path: Path, *, step: float | None) -> LoadedNetwork:
    """Read, check and load a compressed network.

    Args:
        path: path of the ONNX file.
        step: step D of its codes.

    Raises:
        MissingPart: onnx is not installed.
        InvalidFile: it is not a usable ONNX file.
        MeasurementFailed: onnxruntime cannot load it.
    """
    file, onnx = read_network_file(path), path.read_bytes()
    try:
        stored = read_stored_codes(file.model)
        sizes = count_sizes(onnx, file.model, codes_at_step(stored, step))
    except (ValueError, IndexError, TypeError) as error:  # shapes of damaged constants do not fit their data
        raise InvalidFile(path, [Fault("", f"has codes that cannot be read: {error}", "deploy it again")]) from None
    return LoadedNetwork(stored, open_inference_session(onnx), sizes)


def verify_outputs(folder: Path, network: ShippedNetwork) -> Check | None:
    """Run the file of a bundle in onnxruntime's default session, and compare its outputs with the stored ones.

    Returns:
        The check; None for a bundle without stored outputs.
    """
    reference = network.reference
    if reference is None:
        return None
    promised = f"{reference.n_runs} stored runs, within {reference.tolerance:.2g}"
    try:
        feeds, outputs = unpack_runs(read_arrays(folder / reference.file, max_bytes=MAX_REFERENCE_BYTES))
        deviation = compare_outputs(outputs, run_default_session(folder / network.file, feeds))
    except (InvalidFile, MeasurementFailed, WrongUsage) as error:
        return Check("outputs", promised, error.problem.splitlines()[0], "broken", "deploy it again")
    is_kept = deviation.value <= reference.tolerance and len(feeds) == reference.n_runs
    note = "; ".join(filter(None, (reference.inputs, f"output '{deviation.output}'", reference.reason)))
    text = f"{len(feeds)} runs, within {deviation.value:.2g}"
    return Check("outputs", promised, text, "kept" if is_kept else "broken", note)


def evaluate_network(
    loaded: LoadedNetwork,
    data: LabelledData,
    manifest: ManifestFile,
    *,
    with_energy: bool,
    seconds: float | None = None,
) -> Evaluation:
    """Measure a network on labelled data, under the targets that its bundle promises.

    Args:
        loaded: the network.
        data: labelled samples.
        manifest: of its bundle, with the scored output and the declared targets.
        with_energy: read an energy meter if the machine has one.
        seconds: time limit; None sets none.

    Raises:
        InvalidFile: the data does not fit the network.
        MeasurementFailed: the network cannot be run, or its outputs are not classes, or are NaN.
    """
    session, remaining = loaded.session, start_time_limit(seconds)
    output = manifest.network.output if manifest.network else ""
    declared = [name for name in manifest.promise.predicted if declared_target(name)] if data.score else []
    task = prepare_task(session, data, output=output, targets=declared, remaining=remaining)
    run = session.bind(task.one_run)
    timing = measure_latency(run, check=remaining)
    meter = energy_meter("cpu") if with_energy else None
    window = measure_energy(meter, run, clock=time.perf_counter) if meter else None
    return Evaluation(
        task.source, data.n_samples, timing.latency, task.batch, window, meter.name if meter else "", data.source,
        (*task.notes, *task.warnings),
    )  # fmt: skip
