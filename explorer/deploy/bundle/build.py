"""Build the bundle of a chosen design: all files are made and checked first, then written in one step."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from explorer.deploy.bundle.governor import GOVERNOR, build_governor, slack_ns
from explorer.deploy.bundle.manifest import MANIFEST, build_manifest, manifest_text, plain_json, to_shipped_design
from explorer.deploy.bundle.network_artifact import NETWORK, Artifact, NetworkOptions, build_artifact
from explorer.deploy.bundle.placement import Placement, check_selected_machine, place_on_device
from explorer.deploy.bundle.readme import MAX_CONFIG_MAP_BYTES, README, render_config_map, render_readme
from explorer.deploy.bundle.reference_outputs import REFERENCE
from explorer.deploy.bundle.schema import GovernorFile, ManifestFile
from explorer.deploy.bundle.selected import SelectedDesign, ensure_deployable, read_selected_design
from explorer.deploy.bundle.study_network import find_study_network
from explorer.deploy.bundle.write import Bundle, ensure_replaceable, with_checksums, write_bundle
from explorer.deploy.device.scripts import render_governor, render_overlay, render_scripts
from explorer.deploy.device.target import TargetDevice
from explorer.errors import WrongUsage
from explorer.problem.targets import declared_target

CONFIG_MAP, OVERLAY, PICK = "configmap.yaml", "cap.dts", "governor.sh"
_MEANING = {
    NETWORK: "the compressed network",
    REFERENCE: "feeds and outputs of a few runs, which the network must give again",
    "apply.sh": "sets the clock; a dry run unless --apply is given",
    "undo.sh": "restores the clock that was set before",
    "apply-nvidia.sh": "locks the GPU's clock; a dry run unless --apply is given",
    "undo-nvidia.sh": "removes the lock",
    OVERLAY: "device-tree overlay that caps the clock, for boards that should never run faster",
    GOVERNOR: "operating points by the slack that they need, for a run-time governor",
    PICK: "prints the clock for a slack; it sets nothing",
    CONFIG_MAP: "the manifest as an immutable Kubernetes ConfigMap",
}


@dataclass(frozen=True, slots=True)
class BundleOptions:
    """Options of a bundle.

    Args:
        model: path of an ONNX file, or name of a shipped network; None: the one that a live study measured.
        without_network: ship no network, though the study measured one.
        network: options of compression, size and modelled energy.
        device: name or file of the device; None uses the one of chosen.json, if any.
        bin_name: speed bin of the device.
        force: replace an existing bundle.
        allow_extrapolation: allow a design outside the model's domain.
        allow_other_machine: allow a device other than the machine that the model's samples were measured on.
        governor: write a table of operating points by slack.
        confidence: probability that one inference ends within the slack of that table.
    """

    model: str | Path | None = None
    without_network: bool = False
    network: NetworkOptions = field(default_factory=NetworkOptions)
    device: str | None = None
    bin_name: str = ""
    force: bool = False
    allow_extrapolation: bool = False
    allow_other_machine: bool = False
    governor: bool = False
    confidence: float = 0.9


def build_bundle(chosen: Path, out: Path, *, options: BundleOptions) -> tuple[ManifestFile, Bundle]:
    """Write the bundle of a chosen design; return its manifest and the written bundle.

    Args:
        chosen: path of chosen.json.
        out: folder of the bundle, which is created.
        options: options of the bundle.

    Raises:
        MissingPart: a network is given and onnx is not installed.
        WrongUsage: the file, network or device does not exist, or the folder exists or cannot be written.
        InvalidFile: a file has faults; all of them at once.
        NoFeasibleDesign: the design violates its study's constraints, or is outside the model's domain, or its
            numbers are those of another machine.
        MeasurementFailed: the network cannot be run.
    """
    selected = read_selected_design(chosen)
    ensure_deployable(selected, allow_extrapolation=options.allow_extrapolation)
    ensure_replaceable(out, force=options.force, inputs=(chosen, options.model, options.device))
    if options.bin_name and options.device is None and selected.file.applied is None:
        raise WrongUsage("--bin needs --device", fix="name the device too")
    is_live = selected.file.provenance.question.live is not None
    if options.without_network and options.model is not None:
        raise WrongUsage("--model and --no-network contradict each other", fix="give one of them")
    has_network = not options.without_network and (options.model is not None or is_live)
    if not has_network and (options.network.changes_compression or options.network.data):
        raise WrongUsage("options of a network need a network", fix="name it with --model")
    placement = place_on_device(
        selected, folder=chosen.absolute().parent, device=options.device, bin_name=options.bin_name,
        allow_extrapolation=options.allow_extrapolation,
    )  # fmt: skip
    warnings = check_selected_machine(selected, device=options.device, allow_other_machine=options.allow_other_machine)
    artifact = None
    if has_network:
        artifact, more = _build_network(selected, chosen.absolute().parent, options)
        warnings = (*warnings, *more)
    governor = None
    if options.governor:
        governor = build_governor(
            selected, placement, folder=chosen.absolute().parent, device=options.device, bin_name=options.bin_name,
            confidence=options.confidence, allow_extrapolation=options.allow_extrapolation, warnings=warnings,
        )  # fmt: skip
    files = _files(artifact, placement.target, governor)
    manifest, text, config = _manifest_texts(
        selected, artifact, placement, names=(*files, CONFIG_MAP), warnings=warnings
    )
    if len(config) > MAX_CONFIG_MAP_BYTES:
        note = f"no {CONFIG_MAP}: it would have {len(config):,} bytes, and Kubernetes takes {MAX_CONFIG_MAP_BYTES:,}"
        placement = replace(placement, remarks=(*placement.remarks, note))
        manifest, text, _ = _manifest_texts(selected, artifact, placement, names=tuple(files), warnings=warnings)
        config = ""
    contents = {
        MANIFEST: text,
        **files,
        **({CONFIG_MAP: config} if config else {}),
        README: render_readme(manifest, governor),
    }
    return manifest, write_bundle(with_checksums(contents), out, force=options.force)


def _build_network(selected: SelectedDesign, folder: Path, options: BundleOptions) -> tuple[Artifact, tuple[str, ...]]:
    """Return the compressed network, and warnings on the predictions."""
    study = find_study_network(selected, folder=folder, model=options.model, options=options.network)
    targets = tuple(name for name in selected.columns if declared_target(name))
    artifact = build_artifact(
        study.network, to_shipped_design(selected), options=replace(study.options, targets=targets)
    )  # fmt: skip
    return replace(artifact, remarks=(*artifact.remarks, *study.remarks)), study.warnings


def _manifest_texts(
    selected: SelectedDesign,
    artifact: Artifact | None,
    placement: Placement,
    *,
    names: tuple[str, ...],
    warnings: tuple[str, ...],
) -> tuple[ManifestFile, str, str]:
    """Return the manifest of a bundle with these files, its JSON text, and its Kubernetes ConfigMap."""
    manifest = build_manifest(
        selected, network=artifact.network if artifact else None, target=placement.target,
        applied_columns=placement.applied_columns, files={name: _MEANING[name] for name in names},
        remarks=(*(artifact.remarks if artifact else ()), *placement.remarks), warnings=warnings,
    )  # fmt: skip
    text = manifest_text(manifest)
    return manifest, text, render_config_map(text, title=f"{manifest.study}, design {manifest.design.design_id}")


def _files(
    artifact: Artifact | None, target: TargetDevice | None, governor: GovernorFile | None
) -> dict[str, str | bytes]:
    files: dict[str, str | bytes] = {} if artifact is None else dict(artifact.files)
    if target is not None:
        cap = render_overlay(target) if target.control == "cpufreq" else ""
        files |= {**render_scripts(target), **({OVERLAY: cap} if cap else {})}
    if governor is not None:
        points = [(slack_ns(point), point.frequency_hz) for point in governor.points]
        script = render_governor(points, control=governor.control, confidence=governor.confidence)
        files |= {GOVERNOR: plain_json(governor), PICK: script}
    return files
