"""Evaluator that prunes, quantizes and runs a network for every design; it predicts nothing."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer.devices.meters import Meter, energy_meter
from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import Fault, InvalidFile, MeasurementFailed, WrongUsage
from explorer.models.evaluator import StoppingRule
from explorer.models.measured.network_task import RACING, NetworkTask, measure_one
from explorer.models.measured.race_history import RaceHistory, relative_row
from explorer.network.compression.compress import require_weights
from explorer.network.graph.model import load_network
from explorer.network.measurement.host import machine_name, processor
from explorer.network.measurement.measure import (
    KNOBS,
    Cache,
    Row,
    busy_note,
    can_race,
    is_latency_refused,
)
from explorer.network.measurement.provenance import provenance as network_provenance
from explorer.network.measurement.setup import MeasurementOptions, MeasurementSetup, prepare_measurement
from explorer.network.task.labelled_data import LabelledData, load_data
from explorer.network.task.module import TaskModule
from explorer.problem.applicability import Domain, Range
from explorer.problem.columns import HOLDOUT, LIMITS, STOPPED, TARGETS, Columns, bounds, n_rows
from explorer.problem.objectives import needs_of
from explorer.problem.study import Study

# Every design is measured, so the domain is the full range of R and D.
_SPANS = {
    "pruning_ratio": Range(LIMITS["pruning_ratio"][0], LIMITS["pruning_ratio"][1], is_log=False),
    "quant_step": Range(1e-12, LIMITS["quant_step"][1], is_log=True),
}
_METERED = ("energy_j", "power_w")
_TIMED = ("latency_s", *_METERED)
_COUNTS = ("n_right", "n_samples")

FindMeter = Callable[[str], Meter | None]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkEvaluator:
    """Evaluator that compresses and measures a network.

    Args:
        name: name or path of the network.
        family: of the network in the study.
        setup: the network with its data, ready to be measured.
        targets: the measured columns: accuracy or declared targets, size_bytes, and further ones that the study needs.
        remote_task: measures the same network in another process.
        rows: measurements by R and D; grows.
        cache: measurements by effective configuration, so that designs with equal codes are measured once; grows.
        races: rule and history of racing.
    """

    name: str
    family: str
    setup: MeasurementSetup
    targets: tuple[str, ...]
    remote_task: NetworkTask
    rows: dict[tuple[float, float], Row] = field(default_factory=dict)
    cache: Cache = field(default_factory=dict)
    races: RaceHistory = field(default_factory=lambda: RaceHistory(0))

    @property
    def is_vectorized(self) -> bool:
        """False: every design is measured."""
        return False

    @property
    def families(self) -> tuple[str, ...]:
        """The family of the network."""
        return (self.family,)

    @property
    def domain(self) -> Domain:
        """Full range of R and D, as there are no samples."""
        return {self.family: _SPANS}

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the measurement and its conditions."""
        setup, notes = self.setup, []
        task = setup.task
        n = {ending: int(mask.sum()) for ending, mask in setup.parts.items()}
        source = {ending: ", ".join(quality.text(name) for name, quality in qualities.items())
                  for ending, qualities in setup.source.items()}  # fmt: skip
        interval = "90 % bootstrap" if task.data.score else "95 % Wilson"
        notes.append(
            f"every design is '{setup.network.name}' pruned, quantized and run on {n['']:,} samples (uncompressed: "
            f"{source['']}); {', '.join(task.targets)} has its {interval} interval, size_bytes is {setup.options.codec}"
        )
        if setup.held_back is not None:
            notes.append(
                f"{n['_holdout']:,} further samples are held back from the search (uncompressed: "
                f"{source['_holdout']}); {', '.join(f'{name}_holdout' for name in task.targets)} is of them"
            )
        notes += [*task.notes, *task.warnings]
        if "latency_s" in self.targets:
            notes.append(
                f"latency_s is the ratio to the source network, timed in turn with each design, times the source's "
                f"latency on this machine: onnxruntime's default session ({setup.options.device}, one thread, batch "
                f"{setup.task.batch}), as a user of the file gets it. Zero weights save no time"
            )
            notes += [note] if (note := busy_note(self.rows.values())) else []
        if self._has_races:
            rows = {row["effective"]: row for row in self.rows.values()}
            n_stopped, n_run = (sum(int(row.get(name, 0)) for row in rows.values()) for name in (STOPPED, "n_samples"))
            notes.append(
                f"{n_stopped} of {len(rows)} different designs were stopped before the last sample, since they cannot "
                f"matter for the front: {n_run:,} of {len(rows) * n['']:,} samples were run (racing = false: all)"
            )
        if setup.meter is not None:
            notes.append(f"energy_j is measured by {setup.meter.name} and includes idle power")
        return tuple(notes)

    @property
    def machine(self) -> str:
        """The processor or GPU that the network runs on."""
        return machine_name(self.setup.options.device)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Identity of the measurement: network, data and, if time or energy is measured, the machine."""
        setup = self.setup
        machine = {"machine": processor()} if set(_TIMED) & set(self.targets) else {}
        return {
            "kind": "live",
            "network_sha256": setup.network.sha256,
            "data_sha256": setup.task.data.sha256,
            **({"task_sha256": module.sha256} if (module := setup.task.data.module) else {}),
            **machine,
        }

    def provenance(self, *, when: str) -> dict[str, Any]:
        """Return the conditions of the measurements as `explorer measure` writes them, as plain JSON values."""
        files = {"onnx": self.remote_task.onnx, "data": self.setup.task.data.source}
        conditions = {**network_provenance(self.setup, when=when), "files": files}
        return conditions if "latency_s" in self.targets else {k: v for k, v in conditions.items() if k != "latency"}

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the measured columns."""
        del family
        return self.targets

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return an empty mapping: R and D are numbers."""
        del family
        return {}

    def law(self, family: str) -> AlphaPowerLaw | None:
        """Return None: V and f are those of this machine."""
        del family
        return None

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with their measurements, made one after the other; `domain_distance` is 0.

        Each design is measured once.

        Raises:
            OutOfRange, MeasurementFailed: a design cannot be built, cannot be run, or exceeds the time limit.
        """
        measured = self._columns_of(self.measure_rows(designs))
        return {**designs, **measured, "domain_distance": np.zeros(n_rows(designs))}

    def _columns_of(self, rows: Sequence[Row]) -> Columns:
        """Return the measured columns of rows, shape (n,) each; NaN where a row has no number."""
        compared = [relative_row(row, self._source_s) for row in rows]
        bounded = (*self.setup.task.targets, "latency_s")
        names = [end for name in self.targets for end in (name, *(bounds(name) if name in bounded else ()))]
        names += self._holdout_columns
        columns = {name: np.array([row.get(name, math.nan) for row in compared], dtype=np.float64) for name in names}
        if self._has_races:
            counts = {name: np.array([row.get(name, math.nan) for row in rows], dtype=np.float64) for name in _COUNTS}
            columns |= {**counts, STOPPED: np.array([float(row.get(STOPPED, False)) for row in rows])}
        return columns

    @property
    def _source_s(self) -> float | None:
        """Latency of the source network beside the first row: in the order of the trials, as a resumed study has it."""
        return next((row["latency_source_s"] for row in self.rows.values() if "latency_source_s" in row), None)

    @property
    def _has_races(self) -> bool:
        return self.races.rule is not None or any(row.get(STOPPED) for row in self.rows.values())

    def start_racing(self, rule: StoppingRule) -> None:
        """Stop designs by a rule from now on, unless the study forbids it or its score is not of single samples."""
        if self.remote_task.is_racing and can_race(self.setup):
            self.races.rule = rule
            self.races.n = int(self.setup.parts[""].sum())

    def travel_data(self) -> dict[str, Any]:
        """Return what a race needs of the earlier designs, as plain data; empty without racing."""
        data = self.races.travel_data([*self.rows.values()], self._with_knobs)
        return {RACING: {"rule": self.races.rule, "source_s": self._source_s, **data}} if data else {}

    def _with_knobs(self, rows: Sequence[Row]) -> Columns:
        knobs = {name: np.array([row[name] for row in rows], dtype=np.float64) for name in KNOBS[1:]}
        return {**self._columns_of(rows), **knobs}

    @property
    def _holdout_columns(self) -> tuple[str, ...]:
        """Columns of the held-back samples, and the counts of both parts; empty without a holdout."""
        if self.setup.held_back is None:
            return ()
        names = [f"{name}_holdout" for name in self.setup.task.targets]
        counts = (*_COUNTS, *HOLDOUT[1:]) if HOLDOUT[0] in names else ()
        return (*counts, *(end for name in names for end in (name, *bounds(name))))

    def measure_rows(self, designs: Columns) -> list[Row]:
        """Return the full measurements of designs as plain JSON values, with many more columns than the targets.

        Raises:
            OutOfRange, MeasurementFailed: as `evaluate`.
        """
        return [
            self._measure_once(*knobs) for knobs in zip(*(designs[name].tolist() for name in KNOBS[1:]), strict=True)
        ]

    def measure(self, design: Mapping[str, Any]) -> Row:
        """Compress and run the network for one design, in this process.

        Raises:
            OutOfRange, MeasurementFailed: the design cannot be built, cannot be run, or exceeds the time limit.
        """
        return measure_one(self.setup, {**design, **self.travel_data()}, cache=self.cache)

    def task(self) -> NetworkTask:
        """Return the task that measures the same network in another process."""
        return self.remote_task

    @property
    def files(self) -> tuple[Path, ...]:
        """User files of network and data; shipped ones have no path."""
        data = self.remote_task.data
        names = (self.remote_task.onnx, data.name if isinstance(data, TaskModule) else data)
        return tuple(path for name in names if (path := Path(name)).is_file())

    def add_measurement(self, design: Mapping[str, Any], raw: Any) -> Row:
        """Store the measurement of a design; return it as plain JSON values.

        Raises:
            MeasurementFailed: the measurement failed in another process.
        """
        if "failed" in raw:
            raise MeasurementFailed(raw["failed"], fix=raw["fix"])
        if "latency_s" in self.targets and is_latency_refused(raw):
            raise MeasurementFailed(
                "the machine was too busy to time the design", fix="end other programs, or use fewer workers"
            )
        key = (design["pruning_ratio"], design["quant_step"])
        self.cache.setdefault(raw["effective"], raw)
        return self.rows.setdefault(key, {"pruning_ratio": key[0], "quant_step": key[1], **raw})

    def adopt_measurement(self, row: object) -> None:
        """Store a measurement of an earlier run, from its storage; ignore anything that is not a complete row."""
        if not isinstance(row, dict) or not isinstance(row.get("effective"), str):
            return
        holdout = () if row.get(STOPPED) else self._holdout_columns
        numbers = [row.get(name) for name in (*KNOBS[1:], *self.targets, *holdout)]
        if all(isinstance(number, int | float) and math.isfinite(number) for number in numbers):
            self.rows.setdefault((row["pruning_ratio"], row["quant_step"]), row)
            self.cache.setdefault(row["effective"], row)

    def is_measured(self, design: Mapping[str, Any]) -> bool:
        """Return True if a design was measured."""
        return (design["pruning_ratio"], design["quant_step"]) in self.rows

    def design_of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the knobs of a stored row, or None if it has none."""
        if not all(name in row for name in KNOBS[1:]):
            return None
        return {"family": self.family, **{name: row[name] for name in KNOBS[1:]}}

    def _measure_once(self, pruning_ratio: float, quant_step: float) -> Row:
        key = (pruning_ratio, quant_step)
        design = {"pruning_ratio": pruning_ratio, "quant_step": quant_step}
        return self.rows[key] if key in self.rows else self.add_measurement(design, self.measure(design))


def network_evaluator(
    study: Study, *, data: str | LabelledData | None = None, find_meter: FindMeter = energy_meter
) -> NetworkEvaluator:
    """Return the evaluator of a study that measures a network: load the network and run it once on its data.

    Args:
        study: a study with a live model.
        data: labelled data, or its name; default: that of the study.
        find_meter: returns the energy meter of a device.

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: the network or its data do not exist.
        InvalidFile: the study needs targets that this machine cannot measure, or network or data are not usable.
        MeasurementFailed: the uncompressed network cannot be run.
    """
    live = study.live
    if live is None:
        raise TypeError(f"{study.path} measures no network")
    data = live.data if data is None else data
    if data is None:
        fix = f"give it: explorer run {study.name} --data python:./task.py, or name an npz in its model"
        raise WrongUsage(f"{study.path} names no data to measure the network on", fix=fix)
    network = load_network(live.onnx)
    require_weights(network)
    needs = _needed_columns(study)
    meter = find_meter(live.device) if needs & set(_METERED) else None
    faults = [*_family_faults(study), *_meter_faults(study, meter)]
    if faults:
        raise InvalidFile(study.path, faults)
    _check_spaces(study)
    conditions = MeasurementOptions(
        codec=live.codec, per_tensor=live.per_tensor, clip_to=live.clip, seconds=live.time_limit, device=live.device,
        energy="auto" if meter else "none", latency="latency_s" in needs, holdout=live.holdout or 0.0,
        output=live.output, targets=study.targets,
    )  # fmt: skip
    labelled = load_data(data) if isinstance(data, str) else data
    setup = replace(prepare_measurement(network, labelled, options=conditions), meter=meter)
    missing = [name for name in needs if name in TARGETS and name not in (*setup.task.targets, "size_bytes", *_TIMED)]
    if missing:
        fix = f"declare [targets.{missing[0]}], and let score of the data's module return it"
        fault = Fault("objectives or constraints", f"{', '.join(missing)} is needed, but not measured", fix)
        raise InvalidFile(study.path, [fault])
    (family,) = (family for space in study.spaces for family in space.families)
    targets = tuple(
        t for t in TARGETS if t == "size_bytes" or t in setup.task.targets or (t in needs and t in _TIMED)
    )  # fmt: skip
    travelling = labelled.module or (data if isinstance(data, str) else labelled.source)
    task = NetworkTask(live.onnx, travelling, conditions, live.racing)
    return NetworkEvaluator(live.onnx, family, setup, targets, task)


def _needed_columns(study: Study) -> set[str]:
    """Return the columns that a study's objectives and constraints need."""
    return {need for name in study.compared_columns for need in needs_of(name) or (name,)}


def _family_faults(study: Study) -> list[Fault]:
    families = [family for space in study.spaces for family in space.families]
    if len(families) == 1:
        return []
    return [Fault("families", f"{', '.join(families)} are {len(families)} for one network", "name one family")]


def _meter_faults(study: Study, meter: Meter | None) -> list[Fault]:
    if meter is not None:
        return []
    fix = "use accuracy, size_bytes or latency_s, or run on a machine with RAPL or NVML (extra nvml)"
    return [
        Fault("objectives or constraints", f"{name} is needed, but this machine has no energy meter", fix)
        for name in _METERED
        if name in _needed_columns(study)
    ]


def _check_spaces(study: Study) -> None:
    for space in study.spaces:
        if space.file.operating_points.law != "none":
            text = "a network is measured at the clock of this machine: V and f cannot be knobs"
            raise InvalidFile(
                space.path,
                [Fault("[operating_points]", text, "write law = 'none', and leave voltage and frequency out")],
            )
