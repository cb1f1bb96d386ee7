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
from explorer.errors import MeasurementFailed, UnknownName, WrongUsage
from explorer.network.compression.quantization import Container
from explorer.network.compression.sizes import CODECS, Codec
from explorer.network.graph.model import Network
from explorer.network.graph.op_counts import OpCounts, count_operations
from explorer.network.graph.session import LONGER, Array, Session, open_inference_session
from explorer.network.measurement.technology import SHIPPED, Technology, load_technology
from explorer.network.task.feeds import make_feeds
from explorer.network.task.holdout import holdout_mask
from explorer.network.task.labelled_data import LabelledData
from explorer.network.task.score import Quality
from explorer.network.task.task import Task, prepare_task
from explorer.problem.targets import Target


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
        output: name of the output to read; empty chooses it.
        targets: declared targets that the data's `score` returns; empty: accuracy.
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
    output: str = ""
    targets: tuple[Target, ...] = ()


@dataclass(frozen=True, slots=True)
class MeasurementSetup:
    """Source network, data and instruments for the measurement of designs.

    Args:
        network: the source network.
        task: what the network is fed, which output is read, and how it is scored.
        session: inference session of the source network.
        source: quality of the source network by target, for each part of the samples (see `split_samples`).
        counts: operation counts of one run of the source network.
        options: options of the measurement.
        technology: the loaded technology table.
        meter: energy meter of the device, if any.
        calibration: inputs for full int8, or None for float activations.
        held_back: mask of the samples that a search does not see, shape (n,); None without a holdout.
    """

    network: Network
    task: Task
    session: Session
    source: Mapping[str, Mapping[str, Quality]]
    counts: OpCounts
    options: MeasurementOptions
    technology: Technology
    meter: Meter | None
    calibration: Mapping[str, Array] | None
    held_back: NDArray[np.bool_] | None = None

    @property
    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """Masks of the parts of the samples (see `split_samples`)."""
        return split_samples(self.task.data, self.held_back)


def split_samples(data: LabelledData, held_back: NDArray[np.bool_] | None) -> dict[str, NDArray[np.bool_]]:
    """Return masks of the samples that are measured apart, by the ending of their columns, each of shape (n,).

    Those of the search have no ending; those that are held back from it, if any, `_holdout`.
    """
    searched = np.ones(data.n_samples, dtype=np.bool_) if held_back is None else ~held_back
    return {"": searched} if held_back is None else {"": searched, "_holdout": held_back}


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
    remaining = start_time_limit(options.seconds)
    task = prepare_task(
        session, data, output=options.output, targets=[target.name for target in options.targets], remaining=remaining
    )  # fmt: skip
    held_back = holdout_mask(data, options.holdout) if options.holdout else None
    return MeasurementSetup(
        network=network, task=task, session=session,
        source=task.source_parts(session, split_samples(data, held_back), remaining=remaining),
        counts=count_operations(network.model, task.one_run, seconds=remaining()), options=options,
        technology=technology,
        meter=energy_meter(options.device) if options.energy == "auto" else None,
        calibration=make_feeds(calibration, session.inputs) if calibration else None,
        held_back=held_back,
    )  # fmt: skip


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
