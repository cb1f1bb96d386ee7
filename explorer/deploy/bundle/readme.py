"""The page for people in a bundle: its manifest in words."""

import json
from collections.abc import Iterator

from explorer.deploy.bundle.manifest import MANIFEST
from explorer.deploy.bundle.schema import ManifestFile, Predicted, Promise
from explorer.deploy.bundle.write import CHECKSUM_FILE
from explorer.io.files import sha256
from explorer.problem.columns import COLUMNS

README = "README.txt"


def render_readme(made: ManifestFile) -> str:
    """Return the page."""
    lines = [
        f"A configuration chosen by explorer {made.explorer_version} from study '{made.study}'.",
        f"Why: design {made.design.design_id}: {made.rule.text}",
        *[f"Condition: {text}" for text in made.rule.where],
        "",
        *_configuration(made),
        *_network(made),
        "",
        _basis(made),
        *_promise(Promise(predicted=made.predicted, objectives=made.objectives, is_extrapolated=made.is_extrapolated)),
        *(["", "The same at the applied clock:", *_promise(made.applied)] if made.applied else []),
        "",
        *(["Files:", *[f"  {name}: {text}" for name, text in made.files.items()], ""] if made.files else []),
        "What has NOT been checked:",
        *[f"  - {text}" for text in made.not_checked],
        "",
        f"{MANIFEST} holds all of this with every digit, and where it comes from (its schema: explorer schema deploy).",
        f"Check that nothing was changed, in this folder: sha256sum -c {CHECKSUM_FILE}",
        "Check the promise against the real thing: explorer verify FOLDER --data VALIDATION.npz",
    ]
    return "\n".join(lines) + "\n"


def _basis(made: ManifestFile) -> str:
    if made.provenance.question.live is None:
        return "Predicted, with the interval in which 90 % of new measurements are expected:"
    return "Measured by the study; of accuracy with its 95 % Wilson interval:"


def _configuration(made: ManifestFile) -> Iterator[str]:
    design, point = made.design, made.operating_point
    yield f"Network family         {design.family}"
    if design.pruning_ratio is not None:
        yield f"Pruning ratio R        {design.pruning_ratio:.6g}"
    if design.quant_step is not None:
        yield f"Quantization step D    {design.quant_step:.6g}"
    for name, value in design.knobs.items():
        yield f"{name:<22} {value}"
    if point is None:
        return
    clock = COLUMNS["frequency_hz"].text
    yield f"Clock f                {clock(point.asked.frequency_hz)}"
    if point.applied:
        yield f"  applied              {clock(point.applied.frequency_hz)}, of {point.applied.title}"
    if point.information:
        volts = COLUMNS["voltage_v"].text(point.information.voltage_v)
        yield f"(assumed voltage       {volts}; never an instruction to set a voltage)"


def _network(made: ManifestFile) -> Iterator[str]:
    if made.network is None:
        return
    network = made.network
    yield ""
    yield f"Network                {network.file}, made from '{network.source.name}' (SHA-256 {network.source.sha256})"
    yield f"  zero weights R_eff   {network.r_effective:.6g}"
    yield f"  pruned               {'each tensor by R alone' if network.per_tensor else 'all tensors together'}"
    clipped = f"clipped to {network.clip}: {network.n_clipped}" if network.clip else "none clipped"
    yield f"  codes                {network.container}, {clipped}"
    if network.calibration_sha256:
        yield f"  activations          int8, set on data with SHA-256 {network.calibration_sha256}"
    sizes = ", ".join(f"{codec} {n:,}" for codec, n in network.sizes.items())
    yield f"  bytes by codec       {sizes}"
    if network.energy_mac_mem:
        energy = network.energy_mac_mem
        yield f"  Eq. (1), modelled    {energy.value:.4g} J ({energy.technology}, every access to {energy.level})"


def _promise(said: Promise) -> Iterator[str]:
    for name, quantity in {**said.predicted, **said.objectives}.items():
        yield f"  {COLUMNS[name].label}: {_text(name, quantity)}"


def _text(name: str, quantity: Predicted) -> str:
    text = COLUMNS[name].text
    if quantity.lo is None or quantity.hi is None:
        return f"{text(quantity.value)} (no interval known)"
    return f"{text(quantity.value)} ({text(quantity.lo)} to {text(quantity.hi)})"


MAX_CONFIG_MAP_BYTES = 1 << 20  # what Kubernetes keeps of one


def render_config_map(manifest: str, *, title: str) -> str:
    """Return the ConfigMap as YAML.

    Its name tells its content, because an immutable one can only be replaced by another. Every character of the
    manifest is printable ASCII, so that a block of YAML holds it as it is.

    Args:
        manifest: the text of manifest.json.
        title: what it is of, for people.
    """
    digest = sha256(manifest)
    block = "".join(f"    {line}\n" for line in manifest.splitlines())
    return (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n"
        f"  name: explorer-{digest[:16]}\n"
        f"  annotations:\n    explorer/title: {json.dumps(title)}\n    explorer/manifest-sha256: {json.dumps(digest)}\n"
        f"immutable: true\ndata:\n  manifest.json: |\n{block}"
    )
