"""NetworkEvaluator: an evaluator that prunes, quantizes and runs a network for every design; nothing is predicted."""

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer.devices.meters import Meter, energy_meter
from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import ExplorerError, Fault, InvalidFile, MeasurementFailed
from explorer.network.graph.model import load_network
from explorer.network.measurement.labelled_data import load_data
from explorer.network.measurement.measure import KNOBS, Cache, Row, measure_design
from explorer.network.measurement.provenance import processor
from explorer.network.measurement.provenance import provenance as network_provenance
from explorer.network.measurement.setup import MeasurementOptions, MeasurementSetup, prepare_measurement
from explorer.problem.applicability import Domain, Range
from explorer.problem.columns import LIMITS, TARGETS, Columns, bounds, n_rows
from explorer.problem.objectives import OBJECTIVES
from explorer.problem.study import Study

# Every design is measured, so nothing is far from a sample; what is left are the values that R and D can have.
_SPANS = {
    "pruning_ratio": Range(LIMITS["pruning_ratio"][0], LIMITS["pruning_ratio"][1], is_log=False),
    "quant_step": Range(1e-12, LIMITS["quant_step"][1], is_log=True),
}
_ALWAYS = ("accuracy", "size_bytes")
_METERED = ("energy_j", "power_w")
_BOUNDED = ("accuracy", "latency_s")  # those that measuring gives an interval for
_TIMED = ("latency_s", *_METERED)

FindMeter = Callable[[str], Meter | None]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkEvaluator:
    """An evaluator that measures.

    Args:
        name: the network's name or path.
        family: what the study calls the network.
        bench: the network on its data, ready to be measured.
        targets: the columns that are measured: accuracy, size_bytes, and those that the study asks for besides.
        elsewhere: what measures the same in another process.
        rows: what was measured, by R and D; grows.
        cache: the same by effective configuration, so that designs with the same codes are measured once; grows.
    """

    name: str
    family: str
    bench: MeasurementSetup
    targets: tuple[str, ...]
    elsewhere: "NetworkTask"
    rows: dict[tuple[float, float], Row] = field(default_factory=dict)
    cache: Cache = field(default_factory=dict)

    @property
    def is_vectorized(self) -> bool:
        """Every design is measured."""
        return False

    @property
    def families(self) -> tuple[str, ...]:
        """The one family that the network is."""
        return (self.family,)

    @property
    def domain(self) -> Domain:
        """The values that R and D can have: there are no samples to stay near to."""
        return {self.family: _SPANS}

    @property
    def notes(self) -> tuple[str, ...]:
        """What was measured, on what, and what it does not say."""
        bench, said = self.bench, []
        said.append(
            f"every design is '{self.bench.network.name}' pruned, quantized and run on {bench.data.n_samples} samples "
            f"({int(bench.is_correct.sum())} right uncompressed); accuracy has its 95 % Wilson interval, size_bytes is "
            f"{bench.options.codec}"
        )
        if "latency_s" in self.targets:
            said.append(
                f"latency_s is onnxruntime's on this machine ({bench.options.device}, one thread, batch "
                f"{bench.batch}): several workers at once slow each other, and zeros save no time"
            )
        if bench.meter is not None:
            said.append(f"energy_j is measured by {bench.meter.name}, idle in it")
        return tuple(said)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What tells one live model from another: network, data and, where time or energy is asked, the machine."""
        bench = self.bench
        machine = {"machine": processor()} if set(_TIMED) & set(self.targets) else {}
        return {"kind": "live", "network_sha256": bench.network.sha256, "data_sha256": bench.data.sha256, **machine}

    def provenance(self, *, when: str) -> dict[str, Any]:
        """Return the conditions of the measurements, as `explorer measure` keeps them, as plain JSON values."""
        said = network_provenance(self.bench, when=when)
        return said if "latency_s" in self.targets else {k: v for k, v in said.items() if k != "latency"}

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the columns that are measured."""
        del family
        return self.targets

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return no choices: R and D are numbers."""
        del family
        return {}

    def law(self, family: str) -> AlphaPowerLaw | None:
        """Return no law: V and f are those of this machine."""
        del family
        return None

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with what was measured of them, one after the other; `domain_distance` is 0 everywhere.

        A design that was measured before is not measured again.

        Raises:
            OutOfRange, MeasurementFailed: a design cannot be made, or not be run, or not in time.
        """
        rows = self.recorded(designs)
        names = [end for name in self.targets for end in (name, *(bounds(name) if name in _BOUNDED else ()))]
        measured = {name: np.array([row.get(name, math.nan) for row in rows], dtype=np.float64) for name in names}
        return {**designs, **measured, "domain_distance": np.zeros(n_rows(designs))}

    def recorded(self, designs: Columns) -> list[Row]:
        """Return all that is measured of designs, as plain JSON values: far more than the columns that are searched.

        Raises:
            OutOfRange, MeasurementFailed: as `evaluate`.
        """
        return [self._row(*knobs) for knobs in zip(*(designs[name].tolist() for name in KNOBS[1:]), strict=True)]

    def measure(self, design: Mapping[str, Any]) -> Row:
        """Compress and run the network for one design, in this process.

        Raises:
            OutOfRange, MeasurementFailed: it cannot be made, or not be run, or not in time.
        """
        knobs = {name: design[name] for name in KNOBS[1:]}
        return measure_design(self.bench, **knobs, cache=self.cache)

    def task(self) -> "NetworkTask":
        """Return what measures the same network in another process."""
        return self.elsewhere

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of network and data that are the user's own."""
        names = (self.elsewhere.onnx, self.elsewhere.data)
        return tuple(path for name in names if (path := Path(name)).is_file())

    def accept(self, design: Mapping[str, Any], raw: Any) -> Row:
        """Keep what was measured of a design, as plain JSON values.

        Raises:
            MeasurementFailed: another process could not measure it.
        """
        if "failed" in raw:
            raise MeasurementFailed(raw["failed"], fix=raw["fix"])
        key = (design["pruning_ratio"], design["quant_step"])
        self.cache.setdefault(raw["effective"], raw)
        return self.rows.setdefault(key, {"pruning_ratio": key[0], "quant_step": key[1], **raw})

    def recall(self, row: object) -> None:
        """Take over what an earlier run measured (and its storage kept); what is no such row is passed over."""
        if not isinstance(row, dict) or not isinstance(row.get("effective"), str):
            return
        numbers = [row.get(name) for name in (*KNOBS[1:], *self.targets)]
        if all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
            self.rows.setdefault((row["pruning_ratio"], row["quant_step"]), row)
            self.cache.setdefault(row["effective"], row)

    def knows(self, design: Mapping[str, Any]) -> bool:
        """Tell whether a design was measured."""
        return (design["pruning_ratio"], design["quant_step"]) in self.rows

    def design_of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the knobs of a kept row; None where it has none."""
        if not all(name in row for name in KNOBS[1:]):
            return None
        return {"family": self.family, **{name: row[name] for name in KNOBS[1:]}}

    def _row(self, pruning_ratio: float, quant_step: float) -> Row:
        key = (pruning_ratio, quant_step)
        design = {"pruning_ratio": pruning_ratio, "quant_step": quant_step}
        return self.rows[key] if key in self.rows else self.accept(design, self.measure(design))


@dataclass(frozen=True, slots=True)
class NetworkTask:
    """Picklable task that measures designs of a network, loaded once in each process that it comes to.

    Args:
        onnx: name or path of the network.
        data: name or path of the labelled data.
        conditions: what is measured.
    """

    onnx: str
    data: str
    conditions: MeasurementOptions

    def __call__(self, design: Mapping[str, Any]) -> Row:
        """Measure one design; where that fails, return the reason as `failed` and `fix`."""
        try:
            bench, cache = _bench_of(self)
            return measure_design(bench, **{name: design[name] for name in KNOBS[1:]}, cache=cache)
        except ExplorerError as error:
            return {"failed": error.problem, "fix": error.fix}


@functools.cache
def _bench_of(task: NetworkTask) -> tuple[MeasurementSetup, Cache]:
    network, data = load_network(_at_hand(task.onnx)), load_data(_at_hand(task.data))
    return prepare_measurement(network, data, options=task.conditions), {}


def _at_hand(name: str) -> str:
    """Return the path of an uploaded file of this name where the path itself leads nowhere: on another machine."""
    uploaded = Path(name).name
    return uploaded if not Path(name).exists() and Path(uploaded).is_file() else name


def network_evaluator(study: Study, *, find_meter: FindMeter = energy_meter) -> NetworkEvaluator:
    """Make a study's network ready to be measured: load it, run it once on its data, and see what can be measured.

    Args:
        study: a study with a live model.
        find_meter: how to find a device's energy meter.

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: there is no such network or data.
        InvalidFile: the study asks for what cannot be measured here, or network or data cannot be used.
        MeasurementFailed: the network itself cannot be run.
    """
    live = study.live
    if live is None:
        raise TypeError(f"{study.path} measures no network")
    network = load_network(live.onnx)
    asked = _asked(study)
    meter = find_meter(live.device) if asked & set(_METERED) else None
    faults = [*_family_faults(study), *_meter_faults(study, meter)]
    if faults:
        raise InvalidFile(study.path, faults)
    _check_spaces(study)
    conditions = MeasurementOptions(
        codec=live.codec, per_tensor=live.per_tensor, clip_to=live.clip, seconds=live.time_limit, device=live.device,
        energy="auto" if meter else "none", latency="latency_s" in asked,
    )  # fmt: skip
    bench = replace(prepare_measurement(network, load_data(live.data), options=conditions), meter=meter)
    (family,) = (family for space in study.spaces for family in space.families)
    targets = tuple(t for t in TARGETS if t in _ALWAYS or (t in asked and t in _TIMED))
    return NetworkEvaluator(live.onnx, family, bench, targets, NetworkTask(live.onnx, live.data, conditions))


def _asked(study: Study) -> set[str]:
    """Return the columns that a study's objectives and constraints need."""
    needs = [need for objective in study.objectives for need in objective.needs]
    for constraint in study.constraints:
        objective = OBJECTIVES.get(constraint.column)
        needs += objective.needs if objective else [constraint.column]
    return set(needs)


def _family_faults(study: Study) -> list[Fault]:
    families = [family for space in study.spaces for family in space.families]
    if len(families) == 1:
        return []
    return [Fault("families", f"{', '.join(families)} are {len(families)} for one network", "name one family")]


def _meter_faults(study: Study, meter: Meter | None) -> list[Fault]:
    if meter is not None:
        return []
    fix = "ask for accuracy, size_bytes or latency_s, or run it where RAPL or NVML (extra nvml) can be read"
    return [
        Fault("objectives or constraints", f"{name} was asked but this machine has no meter", fix)
        for name in _METERED
        if name in _asked(study)
    ]


def _check_spaces(study: Study) -> None:
    for space in study.spaces:
        if space.file.operating_points.law != "none":
            what = "a network is measured at this machine's own clock: V and f are no knobs of it"
            raise InvalidFile(
                space.path,
                [Fault("[operating_points]", what, "write law = 'none', and leave voltage and frequency out")],
            )
