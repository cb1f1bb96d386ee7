"""Deployment of a chosen configuration: write the bundle, and verify it."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from explorer.deploy.bundle.build import BundleOptions, build_bundle
from explorer.deploy.bundle.network_artifact import NetworkOptions
from explorer.deploy.bundle.schema import ManifestFile
from explorer.deploy.bundle.write import Bundle
from explorer.deploy.verification.check import Check, Interval
from explorer.deploy.verification.user_measurements import parse_measurements
from explorer.deploy.verification.verify import Verdict, verify_bundle
from explorer.network.measurement.technology import SHIPPED
from explorer.network.task.labelled_data import LabelledData, load_data
from explorer.pareto.decision.rules import Choice

__all__ = [
    "SHIPPED",
    "Check",
    "Interval",
    "LabelledData",
    "NetworkOptions",
    "deploy",
    "load_data",
    "verify",
]


def deploy(
    chosen: str | Path | Choice,
    *,
    out: str | Path,
    model: str | Path | None = None,
    without_network: bool = False,
    device: str | None = None,
    bin_name: str = "",
    force: bool = False,
    allow_extrapolation: bool = False,
    allow_other_machine: bool = False,
    network: NetworkOptions | None = None,
    governor: bool = False,
    confidence: float = 0.9,
) -> tuple[ManifestFile, Bundle]:
    """Write the deployment bundle of a chosen configuration; return its manifest and its files.

    Args:
        chosen: the chosen.json that `explorer choose` wrote, or what `explorer.choose` returned.
        out: the bundle's folder, to be made.
        model: an ONNX file, or a shipped network's name, to be compressed at the design's R and D; None: the one that
            a live study measured, and for other studies no network.
        without_network: ship no network, though the study measured one.
        device: name or file of a device: its nearest clock is applied, and its scripts are written.
        bin_name: the device's speed bin, where its table has several.
        force: replace a bundle that is there already.
        allow_extrapolation: take a design outside the model's domain as well.
        allow_other_machine: take a device other than the machine that the model's samples were measured on.
        network: how the network is sized and its energy modelled.
        governor: write the table of operating points by slack, governor.json, and the script that reads it.
        confidence: probability that one inference ends within the slack of that table, from 0.01 to 0.995.

    Raises:
        MissingPart: a network is given and onnx is not installed.
        WrongUsage: there is no such file, network or device, or the folder exists or cannot be written.
        InvalidFile: a file is not what it should be; all faults at once.
        NoFeasibleDesign: the design breaks its study's constraints, is outside the model's domain, or its
            numbers are those of another machine.
        MeasurementFailed: the network cannot be run.
    """
    options = BundleOptions(
        model, without_network, network or NetworkOptions(), device, bin_name, force=force,
        allow_extrapolation=allow_extrapolation, allow_other_machine=allow_other_machine, governor=governor,
        confidence=confidence,
    )  # fmt: skip
    if not isinstance(chosen, Choice):
        return build_bundle(Path(chosen).expanduser(), Path(out).expanduser(), options=options)
    with tempfile.TemporaryDirectory() as folder:
        return build_bundle(chosen.save(Path(folder) / "chosen.json"), Path(out).expanduser(), options=options)


def verify(
    bundle: str | Path,
    *,
    data: str | LabelledData | None = None,
    model: str | Path | None = None,
    samples: str | Path | None = None,
    sysfs: str | Path = "/sys",
    energy: bool = True,
    measured: Mapping[str, float | str | tuple[float, float, float]] | Sequence[str] = (),
) -> Verdict:
    """Verify a bundle: checksums, codes, stored outputs, and predictions; `is_kept` of the verdict is the answer.

    Args:
        bundle: the folder that `deploy` wrote.
        data: labelled data, or what `measure --data` takes; None measures nothing.
        model: the network that the bundle was made from: every code is then compared with Eq. (5).
        samples: a samples CSV to which the measurement is appended as a row.
        sysfs: where this machine shows its clocks.
        energy: read an energy meter where there is one.
        measured: what you measured yourself on the device, by column: a number in SI, text with a unit ("12 ms",
            "11..13 ms"), or (value, low, high); or texts such as "latency_s=12 ms".

    Raises:
        MissingPart: the bundle holds a network and onnx is not installed.
        WrongUsage: there is no such bundle or data, or the samples cannot be written.
        InvalidFile: the manifest or the data is damaged, or the samples have other columns.
    """
    stated = measured if isinstance(measured, Mapping) else parse_measurements(measured)
    return verify_bundle(
        Path(bundle).expanduser(),
        data=load_data(data) if isinstance(data, str) else data,
        model=model,
        samples=None if samples is None else Path(samples).expanduser(),
        sysfs=Path(sysfs),
        energy=energy,
        stated=stated,
    )
