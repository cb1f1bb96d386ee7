"""Verifying a bundle: is it what was written, does it run, and is what was promised what is measured."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.deploy.bundle.manifest import MANIFEST
from explorer.deploy.bundle.schema import ManifestFile, ShippedNetwork
from explorer.deploy.verification.check import Check, Interval, compare_intervals, make_interval
from explorer.deploy.verification.checksums import verify_checksums
from explorer.deploy.verification.clock import verify_clock
from explorer.deploy.verification.run_network import Evaluation, LoadedNetwork, evaluate_network, load_artifact
from explorer.deploy.verification.sample_row import append_row, read_samples_header
from explorer.deploy.verification.weights import verify_weights
from explorer.errors import Fault, InvalidFile, MeasurementFailed, WrongUsage
from explorer.io.declarations import read_json
from explorer.io.files import sha256
from explorer.network.graph.loading import require_onnx
from explorer.network.graph.model import load_network
from explorer.network.measurement.labelled_data import LabelledData

MAX_MANIFEST_BYTES = 10_000_000
# These are a device's at its clock: elsewhere they are told, and not judged.
_OF_DEVICE = ("latency_s", "energy_j", "power_w")
_UNMEASURED = {"energy_j": "no meter was read", "power_w": "no meter was read"}
_ELSEWHERE = "this machine is not known to be the device at its clock"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found, line by line; `samples` is the table that a row was appended to, if any."""

    folder: Path
    checks: tuple[Check, ...]
    samples: Path | None = None

    @property
    def is_kept(self) -> bool:
        """Whether no promise is broken; what was not measured breaks none."""
        return not self.broken

    @property
    def broken(self) -> tuple[Check, ...]:
        """The promises that are broken."""
        return tuple(check for check in self.checks if check.state == "broken")

    def payload(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "schema": "explorer.verify/1",
            "bundle": str(self.folder),
            "is_kept": self.is_kept,
            "checks": [check.to_json() for check in self.checks],
            "samples": str(self.samples) if self.samples else None,
        }


def verify_bundle(
    folder: Path,
    *,
    data: LabelledData | None,
    model: str | Path | None,
    samples: Path | None,
    sysfs: Path,
    energy: bool,
) -> Verdict:
    """Verify a bundle. A bundle that was changed is looked at no further: what it holds is nobody's promise.

    Raises:
        MissingPart: it holds a network and onnx is not installed.
        WrongUsage: there is no bundle, or a wish cannot be met.
        InvalidFile: the manifest, the data, the network given or the samples are not what they should be.
    """
    if samples is not None:
        if data is None:
            raise WrongUsage("--samples stands without --data: nothing is measured", fix="give labelled data too")
        read_samples_header(samples)
    files = verify_checksums(folder)
    if files.state == "broken":
        return Verdict(folder, (files,))
    manifest = read_json(folder / MANIFEST, ManifestFile, max_bytes=MAX_MANIFEST_BYTES)
    network, point = manifest.network, manifest.operating_point
    clock = (verify_clock(point.applied, sysfs=sysfs),) if point and point.applied else ()
    on_target = any(check.state == "kept" for check in clock)
    if network is None:
        if data is not None or model is not None:
            raise WrongUsage(f"{folder}: holds no network to run", fix="deploy it with --model, or leave --data out")
        return Verdict(folder, (files, *_promises(manifest, {}, on_target=on_target), *clock))
    loaded, checks = _load(folder, network, manifest, model=model)
    trial, runs = _run(loaded, data, energy=energy) if loaded else (None, None)
    checks = (*((runs,) if runs else ()), *checks)
    found = _found(loaded, trial, network) if loaded else {}
    written = None
    if samples is not None and loaded and trial and all(check.state == "kept" for check in checks):
        append_row(samples, manifest, trial, sizes=loaded.sizes, on_target=on_target)
        written = samples
    return Verdict(folder, (files, *checks, *_promises(manifest, found, on_target=on_target), *clock), written)


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
        loaded = load_artifact(path, is_int8=network.activations == "int8")
    except (InvalidFile, MeasurementFailed) as error:
        return None, (Check("runs", "in onnxruntime", error.problem.splitlines()[0], "broken"),)
    codes = verify_weights(loaded.weights, manifest.design, network=network, source=source)
    if sha256(path.read_bytes()) != network.sha256:
        codes = Check("codes", codes.promised, "the file is not the one that the manifest tells of", "broken")
    return loaded, (codes,)


def _run(loaded: LoadedNetwork, data: LabelledData | None, *, energy: bool) -> tuple[Evaluation | None, Check]:
    """Run the network where there is data."""
    if data is None:
        return None, Check("runs", "in onnxruntime", "it loads", "kept", "--data runs it on labelled data")
    try:
        trial = evaluate_network(loaded, data, with_energy=energy)
    except MeasurementFailed as error:
        return None, Check("runs", "in onnxruntime", error.problem.splitlines()[0], "broken")
    return trial, Check("runs", "in onnxruntime", f"{trial.n_samples:,} samples of {Path(trial.data).name}", "kept")


def _found(loaded: LoadedNetwork, trial: Evaluation | None, network: ShippedNetwork) -> dict[str, tuple[Interval, str]]:
    """Return what was measured, by column, with how."""
    found = {}
    if trial is not None:
        found["accuracy"] = trial.accuracy, f"{trial.n_right:,} of {trial.n_samples:,}; 95 % Wilson interval"
        found["latency_s"] = Interval(trial.latency.median, trial.latency.low, trial.latency.high), "median, one thread"
        if trial.window is not None:
            joules, seconds, n = trial.window.joules, trial.window.seconds, trial.window.n_runs
            found["energy_j"] = make_interval(joules / n), f"{trial.meter}, idle in it"
            found["power_w"] = make_interval(joules / seconds), f"{trial.meter}, idle in it"
    found["size_bytes"] = make_interval(float(loaded.sizes.of(network.size_codec))), f"codec {network.size_codec}"
    return found


def _promises(manifest: ManifestFile, found: dict[str, tuple[Interval, str]], *, on_target: bool) -> tuple[Check, ...]:
    """Hold predictions against what was measured."""
    promised = {name: make_interval(said.value, said.lo, said.hi) for name, said in manifest.promise.predicted.items()}
    checks = []
    for name in (*found, *(name for name in promised if name not in found)):
        measured, how = found.get(name, (None, _UNMEASURED.get(name, "")))
        if name in _OF_DEVICE and name in promised and measured is not None and not on_target:
            checks.append(Check(name, promised[name], measured, "not judged", f"{how}; {_ELSEWHERE}"))
        else:
            checks.append(compare_intervals(name, promised.get(name), measured, note=how))
    return tuple(checks)
