"""Shipping a chosen configuration: everything of its bundle made and checked first, then written in one step."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from explorer.deploy.bundle.manifest import MANIFEST, build_manifest, manifest_text, to_shipped_design
from explorer.deploy.bundle.network_artifact import (
    NETWORK,
    Artifact,
    NetworkOptions,
    build_artifact,
    with_study_options,
)
from explorer.deploy.bundle.placement import Load, Placement, place_on_device
from explorer.deploy.bundle.readme import MAX_CONFIG_MAP_BYTES, README, render_config_map, render_readme
from explorer.deploy.bundle.schema import ManifestFile
from explorer.deploy.bundle.selected import SelectedDesign, ensure_deployable, read_selected_design
from explorer.deploy.bundle.write import Bundle, ensure_replaceable, with_checksums, write_bundle
from explorer.deploy.device.scripts import render_overlay, render_scripts
from explorer.deploy.device.target import TargetDevice
from explorer.errors import WrongUsage

CONFIG_MAP, OVERLAY = "configmap.yaml", "cap.dts"
_MEANING = {
    NETWORK: "the compressed network",
    "apply.sh": "sets the clock; a dry run unless --apply is given",
    "undo.sh": "restores the clock that was set before",
    "apply-nvidia.sh": "locks the GPU's clock; a dry run unless --apply is given",
    "undo-nvidia.sh": "takes the lock away",
    OVERLAY: "device-tree overlay that caps the clock, for boards that should never run faster",
    CONFIG_MAP: "the manifest as an immutable Kubernetes ConfigMap",
}


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """What is asked of a bundle besides the configuration.

    Args:
        model: the user's network, or a shipped one's name; None ships none.
        network: how the network is sized and its energy modelled.
        device: name or file of the device; None takes the one of chosen.json, if any.
        bin_name: its speed bin.
        force: replace a bundle that is there already.
        allow_extrapolation: take a design outside the model's domain as well.
    """

    model: str | Path | None = None
    network: NetworkOptions = field(default_factory=NetworkOptions)
    device: str | None = None
    bin_name: str = ""
    force: bool = False
    allow_extrapolation: bool = False


def build_bundle(chosen: Path, out: Path, *, wishes: BundleOptions, load: Load) -> tuple[ManifestFile, Bundle]:
    """Write the bundle of a chosen configuration.

    Args:
        chosen: the chosen.json.
        out: the bundle's folder, to be made.
        wishes: what else is asked.
        load: loads a study with its model.

    Raises:
        MissingPart: a network is asked for and onnx is not installed.
        WrongUsage: there is no such file, network or device, or the folder exists or cannot be written.
        InvalidFile: a file is not what it should be; all faults at once.
        NoFeasibleDesign: the design breaks its study's constraints, or lies outside the model's domain.
        MeasurementFailed: the network cannot be run.
    """
    read = read_selected_design(chosen)
    ensure_deployable(read, allow_extrapolation=wishes.allow_extrapolation)
    ensure_replaceable(out, force=wishes.force)
    if wishes.bin_name and wishes.device is None and read.file.applied is None:
        raise WrongUsage("--bin stands without --device", fix="name the device too")
    if wishes.model is None and not wishes.network.says_nothing:
        raise WrongUsage("how to compress a network is told, but no network", fix="name it with --model")
    placed = place_on_device(
        read, folder=chosen.absolute().parent, device=wishes.device, bin_name=wishes.bin_name, load=load,
        allow_extrapolation=wishes.allow_extrapolation,
    )  # fmt: skip
    options = with_study_options(wishes.network, read.file.provenance.question.live)
    artifact = None if wishes.model is None else build_artifact(wishes.model, to_shipped_design(read), options=options)
    files = _files(artifact, placed.target)
    made, text, config = _told(read, artifact, placed, names=(*files, CONFIG_MAP))
    if len(config) > MAX_CONFIG_MAP_BYTES:
        note = f"no {CONFIG_MAP}: it would have {len(config):,} bytes, and Kubernetes takes {MAX_CONFIG_MAP_BYTES:,}"
        made, text, _ = _told(read, artifact, replace(placed, remarks=(*placed.remarks, note)), names=tuple(files))
        config = ""
    written = {MANIFEST: text, **files, **({CONFIG_MAP: config} if config else {}), README: render_readme(made)}
    return made, write_bundle(with_checksums(written), out, force=wishes.force)


def _told(
    chosen: SelectedDesign, artifact: Artifact | None, placed: Placement, *, names: tuple[str, ...]
) -> tuple[ManifestFile, str, str]:
    """Return the manifest of a bundle with these files, its text, and the ConfigMap that carries it."""
    made = build_manifest(
        chosen, network=artifact.network if artifact else None, target=placed.target, there=placed.there,
        files={name: _MEANING[name] for name in names}, remarks=placed.remarks,
    )  # fmt: skip
    text = manifest_text(made)
    return made, text, render_config_map(text, title=f"{made.study}, design {made.design.design_id}")


def _files(artifact: Artifact | None, target: TargetDevice | None) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {} if artifact is None else {NETWORK: artifact.onnx}
    if target is not None:
        cap = render_overlay(target) if target.control == "cpufreq" else ""
        files |= {**render_scripts(target), **({OVERLAY: cap} if cap else {})}
    return files
