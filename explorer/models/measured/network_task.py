"""Task that measures designs of a network in another process."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError
from explorer.models.measured.race_history import make_racing
from explorer.network.graph.model import load_network
from explorer.network.measurement.measure import KNOBS, Cache, Row, measure_design
from explorer.network.measurement.setup import MeasurementOptions, MeasurementSetup, prepare_measurement
from explorer.network.task.labelled_data import load_data
from explorer.network.task.module import TaskModule

RACING = "racing"
"""Key of a design under which the data of its race travels."""


@dataclass(frozen=True, slots=True)
class NetworkTask:
    """Picklable task that measures designs of a network; each process loads the network once.

    Args:
        onnx: name or path of the network.
        data: name or path of the labelled data, or the module that loads it, whose text travels.
        conditions: measurement options.
        is_racing: designs may be stopped before the last sample.
    """

    onnx: str
    data: str | TaskModule
    conditions: MeasurementOptions
    is_racing: bool = True

    def __call__(self, design: Mapping[str, Any]) -> Row:
        """Measure one design; on failure return the reason as `failed` and `fix`."""
        try:
            setup, cache = _load_setup(self)
            return measure_one(setup, design, cache=cache)
        except ExplorerError as error:
            return {"failed": error.problem, "fix": error.fix}


def measure_one(setup: MeasurementSetup, design: Mapping[str, Any], *, cache: Cache) -> Row:
    """Measure a design, which is raced where it comes with data of the earlier ones."""
    knobs, data = {name: design[name] for name in KNOBS[1:]}, design.get(RACING)
    racing = None
    if data is not None:
        n = int(setup.parts[""].sum())
        racing = make_racing(data["rule"], data, n=n, knobs=knobs, source_s=data["source_s"])
    return measure_design(setup, **knobs, cache=cache, racing=racing)


@functools.cache
def _load_setup(task: NetworkTask) -> tuple[MeasurementSetup, Cache]:
    source = task.data if isinstance(task.data, TaskModule) else _local_path(task.data)
    return prepare_measurement(load_network(_local_path(task.onnx)), load_data(source), options=task.conditions), {}


def _local_path(name: str) -> str:
    """Return the path, or on another machine, where it does not exist, the uploaded file of the same name."""
    uploaded = Path(name).name
    return uploaded if not Path(name).exists() and Path(uploaded).is_file() else name
