"""Verify a bundle: unchanged files, a network that runs, and predictions that agree with measurements."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from explorer.deploy.bundle.manifest import MANIFEST
from explorer.deploy.bundle.schema import ManifestFile, ShippedNetwork
from explorer.deploy.verification.check import Check, Interval, compare_intervals, make_interval
from explorer.deploy.verification.checksums import verify_checksums
from explorer.deploy.verification.clock import verify_clock
from explorer.deploy.verification.limits import check_limits
from explorer.deploy.verification.run_network import (
    Evaluation,
    LoadedNetwork,
    evaluate_network,
    load_artifact,
    verify_outputs,
)
from explorer.deploy.verification.sample_row import append_row, read_samples_header
from explorer.deploy.verification.selection import DataUse, data_to_verify, promised_holdout
from explorer.deploy.verification.user_measurements import UserMeasurements, intervals_of_measurements
from explorer.deploy.verification.weights import verify_weights
from explorer.errors import Fault, InvalidFile, MeasurementFailed, WrongUsage
from explorer.io.declarations import read_json
from explorer.io.files import sha256
from explorer.network.graph.loading import require_onnx
from explorer.network.graph.model import load_network
from explorer.network.task.labelled_data import LabelledData
from explorer.network.task.score import Quality

MAX_MANIFEST_BYTES = 10_000_000
# These depend on the device and its clock: on another machine they are reported without a verdict.
_OF_DEVICE = ("latency_s", "energy_j", "power_w")
_UNMEASURED = {"energy_j": "no meter was read", "power_w": "no meter was read"}
_ELSEWHERE = "this machine is not identified as the device at its clock"


@dataclass(frozen=True, slots=True)
class Verdict:
    """Result of a verification: checks, the table that a row was appended to, warnings, notes, and use of the data."""

    folder: Path
    checks: tuple[Check, ...]
    samples: Path | None = None
    warnings: tuple[str, ...] = ()
    data: DataUse | None = None
    notes: tuple[str, ...] = ()

    @property
    def is_kept(self) -> bool:
        """True if no promise is broken; a quantity that was not measured breaks none."""
        return not self.broken

    @property
    def broken(self) -> tuple[Check, ...]:
        """Checks with a broken promise."""
        return tuple(check for check in self.checks if check.state == "broken")

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values."""
        return {
            "schema": "explorer.verify/1",
            "bundle": str(self.folder),
            "is_kept": self.is_kept,
            "checks": [check.to_json() for check in self.checks],
            "samples": str(self.samples) if self.samples else None,
            "warnings": list(self.warnings),
            "notes": list(self.notes),
            "data": self.data.to_json() if self.data else None,
        }


def verify_bundle(
    folder: Path,
    *,
    data: LabelledData | None,
    model: str | Path | None,
    samples: Path | None,
    sysfs: Path,
    energy: bool,
    stated: UserMeasurements = MappingProxyType({}),
) -> Verdict:
    """Verify a bundle; with changed files, no further check is made: its manifest cannot be trusted.

    Measurements that the user states (`stated`) count as made on the device, and before those of this machine.

    Raises:
        MissingPart: the bundle has a network and onnx is not installed.
        WrongUsage: the folder is not a bundle, or the options do not fit it.
        InvalidFile: the manifest, the data, the source network or the samples have faults.
    """
    if samples is not None:
        if data is None:
            raise WrongUsage("--samples needs --data: without it nothing is measured", fix="give labelled data too")
        read_samples_header(samples)
    files = verify_checksums(folder)
    if files.state == "broken":
        return Verdict(folder, (files,))
    manifest = read_json(folder / MANIFEST, ManifestFile, max_bytes=MAX_MANIFEST_BYTES)
    network, point = manifest.network, manifest.operating_point
    clock = (verify_clock(point.applied, sysfs=sysfs),) if point and point.applied else ()
    is_on_device = any(check.state == "kept" for check in clock)
    on_device = intervals_of_measurements(stated)
    if network is None:
        if data is not None or model is not None:
            raise WrongUsage(f"{folder}: has no network to run", fix="deploy it with --model, or leave --data out")
        promises = _promises(manifest, on_device, on_device=frozenset(on_device))
        checks = (files, *promises, *check_limits(manifest, on_device, of_device=frozenset()), *clock)
        return Verdict(folder, checks, warnings=manifest.warnings)
    data, use, held_back = data_to_verify(manifest, data)
    loaded, checks = _load(folder, network, manifest, model=model)
    evaluation, runs = _run(loaded, data, manifest, energy=energy) if loaded else (None, None)
    checks = (*((runs,) if runs else ()), *checks)
    measured = _measured(loaded, evaluation, network) if loaded else {}
    also = promised_holdout(held_back)
    held_back_values = {name: measured[t] for name in also if (t := name.removesuffix("_holdout")) in measured}
    measured = (
        {**{t: measured[t] for t in evaluation.qualities}, **held_back_values, **measured} if evaluation else measured
    )
    samples_written = None
    if samples is not None and loaded and evaluation and all(check.state == "kept" for check in checks):
        append_row(samples, manifest, evaluation, sizes=loaded.sizes, is_on_device=is_on_device)
        samples_written = samples
    measured |= on_device
    of_device = frozenset(() if is_on_device else _OF_DEVICE) - set(on_device)
    limits = check_limits(manifest, measured, of_device=of_device)
    promises = _promises(manifest, measured, on_device=frozenset(_OF_DEVICE) - of_device, also=also)
    checks = (files, *checks, *promises, *limits, *clock)
    warnings = (*manifest.warnings, *([use.warning] if use and use.warning else []))
    return Verdict(folder, checks, samples_written, warnings, use, evaluation.notes if evaluation else ())


def _load(
    folder: Path, network: ShippedNetwork, manifest: ManifestFile, *, model: str | Path | None
) -> tuple[LoadedNetwork | None, tuple[Check, ...]]:
    """Load the network and compare its codes with the manifest."""
    require_onnx()
    path = folder / network.file
    if not path.is_file():
        fault = Fault("[network] file", f"'{network.file}' is not in the bundle", "deploy it again")
        raise InvalidFile(folder / MANIFEST, [fault])
    source = None if model is None else load_network(model)
    try:
        loaded = load_artifact(path, step=manifest.design.quant_step)
    except (InvalidFile, MeasurementFailed) as error:
        return None, (Check("runs", "in onnxruntime", error.problem.splitlines()[0], "broken", error.fix),)
    codes = verify_weights(loaded.stored, manifest.design, network=network, source=source)
    if sha256(path.read_bytes()) != network.sha256:
        codes = Check("codes", codes.promised, "the file is not the one of the manifest", "broken")
    outputs = verify_outputs(folder, network)
    return loaded, (codes, *((outputs,) if outputs else ()))


def _run(
    loaded: LoadedNetwork, data: LabelledData | None, manifest: ManifestFile, *, energy: bool
) -> tuple[Evaluation | None, Check]:
    """Run the network if data is given."""
    if data is None:
        return None, Check("runs", "in onnxruntime", "it loads", "kept", "--data runs it on labelled data")
    try:
        evaluation = evaluate_network(loaded, data, manifest, with_energy=energy)
    except MeasurementFailed as error:
        return None, Check("runs", "in onnxruntime", error.problem.splitlines()[0], "broken", error.fix)
    text = f"{evaluation.n_samples:,} samples of {Path(evaluation.data).name}"
    return evaluation, Check("runs", "in onnxruntime", text, "kept")


def _measured(
    loaded: LoadedNetwork, evaluation: Evaluation | None, network: ShippedNetwork
) -> dict[str, tuple[Interval, str]]:
    """Return measured intervals by column, each with its method."""
    measured = {}
    if evaluation is not None:
        for target, quality in evaluation.qualities.items():
            has_interval = math.isfinite(quality.lo) and math.isfinite(quality.hi)
            ends = (quality.lo, quality.hi) if has_interval else (None, None)
            measured[target] = make_interval(quality.value, *ends), _how_measured(quality, has_interval=has_interval)
        latency = evaluation.latency
        measured["latency_s"] = Interval(latency.seconds, latency.low, latency.high), "20th percentile, one thread"
        if evaluation.window is not None:
            joules, seconds, n = evaluation.window.joules, evaluation.window.seconds, evaluation.window.n_runs
            measured["energy_j"] = make_interval(joules / n), f"{evaluation.meter}, idle in it"
            measured["power_w"] = make_interval(joules / seconds), f"{evaluation.meter}, idle in it"
    measured["size_bytes"] = make_interval(float(loaded.sizes[network.size_codec])), f"codec {network.size_codec}"
    return measured


def _how_measured(quality: Quality, *, has_interval: bool) -> str:
    if quality.n_right is not None:
        return f"{quality.n_right:,} of {quality.n:,}; 95 % Wilson interval"
    return f"score of {quality.n:,} samples; {'90 % bootstrap interval' if has_interval else 'no interval'}"


def _promises(
    manifest: ManifestFile, measured: dict[str, tuple[Interval, str]], *, on_device: frozenset[str],
    also: Mapping[str, Interval] = MappingProxyType({}),
) -> tuple[Check, ...]:  # fmt: skip
    """Compare predictions, and further promises by column, with measurements."""
    promised = {name: make_interval(p.value, p.lo, p.hi) for name, p in manifest.promise.predicted.items()} | dict(also)
    checks = []
    for name in (*measured, *(name for name in promised if name not in measured)):
        interval, method = measured.get(name, (None, _UNMEASURED.get(name, "")))
        if name in _OF_DEVICE and name in promised and interval is not None and name not in on_device:
            checks.append(Check(name, promised[name], interval, "not judged", f"{method}; {_ELSEWHERE}"))
        else:
            checks.append(compare_intervals(name, promised.get(name), interval, note=method))
    return tuple(checks)
