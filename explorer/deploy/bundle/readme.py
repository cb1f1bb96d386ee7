"""README.txt of a bundle, and its Kubernetes ConfigMap, from the manifest."""

import json
from collections.abc import Iterator, Mapping
from textwrap import wrap

from explorer.deploy.bundle.manifest import MANIFEST
from explorer.deploy.bundle.schema import GovernorFile, ManifestFile, Predicted
from explorer.deploy.bundle.write import CHECKSUM_FILE
from explorer.io.files import sha256
from explorer.pareto.decision.rules import odds_lines
from explorer.pareto.decision.schema import HoldoutFile
from explorer.problem.columns import COLUMNS
from explorer.units import humanize

README = "README.txt"
_WIDTH = 80  # columns of a terminal
_PROGRAM = """\
import numpy, onnxruntime
runs, net = numpy.load("{reference}"), onnxruntime.InferenceSession("{network}")
for run in sorted({{name.split("/")[0] for name in runs}}):
    fed = {{n.split("/", 2)[2]: runs[n] for n in runs if n.startswith(run + "/inputs/")}}
    for output, found in zip(net.get_outputs(), net.run(None, fed)):
        print(run, output.name, abs(found - runs[f"{{run}}/outputs/{{output.name}}"]).max())
"""
MAX_CONFIG_MAP_BYTES = 1 << 20  # the limit of Kubernetes: 1 MiB


def render_readme(manifest: ManifestFile, governor: GovernorFile | None = None) -> str:
    """Return the text of README.txt."""
    lines = [
        f"A configuration chosen by explorer {manifest.explorer_version} from study '{manifest.study}'.",
        f"Why: design {manifest.design.design_id}: {manifest.rule.text}",
        *[f"Condition: {text}" for text in manifest.rule.where],
        *[line for text in manifest.warnings for line in wrap(f"WARNING: {text}", _WIDTH, subsequent_indent="  ")],
        "",
        *_configuration(manifest),
        *_network(manifest),
        "",
        *([f"Measured on: {manifest.machine}"] if manifest.machine else []),
        _basis(manifest),
        *_promise({**manifest.predicted, **manifest.objectives}),
        *odds_lines([(one.constraint, one.probability) for one in manifest.limits], manifest.joint_probability),
        *_selection(manifest),
        *(
            [
                "",
                "The same at the applied clock:",
                *_promise({**manifest.applied.predicted, **manifest.applied.objectives}),
            ]
            if manifest.applied
            else []
        ),
        *_governor(governor),
        *_how_to_run(manifest),
        "",
        *(["Files:", *[f"  {name}: {text}" for name, text in manifest.files.items()], ""] if manifest.files else []),
        "What has NOT been checked:",
        *[f"  - {text}" for text in manifest.not_checked],
        "",
        f"{MANIFEST} has all values with all digits, and their provenance (schema: explorer schema deploy).",
        f"Check that no file was changed, in this folder: sha256sum -c {CHECKSUM_FILE}",
        "Check files, codes and outputs: explorer verify FOLDER; predictions too: --data VALIDATION.npz",
    ]
    return "\n".join(lines) + "\n"


def _basis(manifest: ManifestFile) -> str:
    if manifest.provenance.question.live is None:
        return "Predicted, with the interval that is expected to contain 90 % of new measurements:"
    if "accuracy" not in manifest.predicted:
        return "Measured by the study; scores with their 90 % bootstrap intervals:"
    return "Measured by the study; accuracy with its 95 % Wilson interval:"


def _selection(manifest: ManifestFile) -> Iterator[str]:
    """Yield the accuracy on held-back samples, or how optimistic that of the data is which chose the design."""
    selection = manifest.selection
    if selection is None:
        return
    if selection.holdout is None:
        name = "Accuracy" if "accuracy" in manifest.predicted else "Quality"
        text = (
            f"{name} was measured for {selection.n_designs:,} designs on the same {selection.n_samples:,} samples of "
            f"{selection.data}. That of the chosen one is optimistic, by up to {selection.optimism:.2g} on average."
        )
    else:
        held = selection.holdout
        text = f"{_held_back(held)}. The search used the other {selection.n_samples:,} of {selection.data}."
    yield from (f"  {line}" for line in wrap(text, _WIDTH - 2))


def _held_back(held: HoldoutFile) -> str:
    """Return the measurements on held-back samples as text."""
    where = f"on {held.n_samples:,} held-back samples, which did not choose the design"
    if held.accuracy is not None:
        interval = f"({held.accuracy_lo:.4g} to {held.accuracy_hi:.4g}; {held.n_right:,} right)"
        return f"Accuracy {where}: {held.accuracy:.4g} {interval}"
    values = [
        f"{name} {one.value:.4g}" + ("" if one.lo is None or one.hi is None else f" ({one.lo:.4g} to {one.hi:.4g})")
        for name, one in held.targets.items()
    ]
    return f"Quality {where}: {', '.join(values)}"


def _governor(governor: GovernorFile | None) -> Iterator[str]:
    """Yield the table of operating points by slack."""
    if governor is None:
        return
    seconds, joules = COLUMNS["latency_s"].text, COLUMNS["energy_j"].text
    rows = [("least slack", "highest rate", "operating point", "latency", "upper end", "energy")]
    for point in governor.points:
        latency = (seconds(point.latency_s), seconds(point.latency_s_hi))
        slack = (seconds(point.slack_s), humanize(point.rate_hz, "Hz"))
        rows.append((*slack, point.operating_point, *latency, joules(point.energy_j)))
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    yield ""
    yield f"Operating points of {governor.source} by slack: one inference ends within it with"
    yield f"probability {100 * governor.confidence:.12g} %. Use the last point whose least slack you have:"
    yield from ("  " + "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)
    yield "  sh governor.sh SLACK_NS prints its clock; governor.json has all digits."
    yield from (f"  {line}" for text in governor.notes for line in wrap(text, _WIDTH - 2))


def _configuration(manifest: ManifestFile) -> Iterator[str]:
    design, point = manifest.design, manifest.operating_point
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


def _network(manifest: ManifestFile) -> Iterator[str]:
    if manifest.network is None:
        return
    network = manifest.network
    yield ""
    yield f"Network                {network.file}, made from '{network.source.name}' (SHA-256 {network.source.sha256})"
    yield f"  zero weights R_eff   {network.r_effective:.6g}"
    yield f"  pruned               {'share R of each tensor' if network.per_tensor else 'all tensors together'}"
    clipped = f"clipped to {network.clip}: {network.n_clipped}" if network.clip else "none clipped"
    yield f"  codes                {network.container}, {clipped}"
    if network.calibration_sha256:
        yield f"  activations          int8, calibrated on data with SHA-256 {network.calibration_sha256}"
    sizes = ", ".join(f"{codec} {n:,}" for codec, n in network.sizes.items())
    yield f"  bytes by codec       {sizes}"
    if network.energy_mac_mem:
        energy = network.energy_mac_mem
        yield f"  Eq. (1), modelled    {energy.value:.4g} J ({energy.technology}, every access to {energy.level})"


def _how_to_run(manifest: ManifestFile) -> Iterator[str]:
    """Yield how the network was run, and a program that runs it on the stored feeds and compares the outputs."""
    network = manifest.network
    if network is None or network.session is None:
        return
    session, reference = network.session, network.reference
    text = f"How it was run: {session.runtime}, {session.provider}, {session.note}."
    yield from ("", *wrap(text, _WIDTH, subsequent_indent="  "))
    if reference is None:
        return
    text = (
        f"{reference.file} holds {reference.n_runs} runs ({reference.inputs}) and the outputs that the source network "
        f"gives with the weights of Eqs. (4) and (5). Run them in Python, in this folder; the largest difference from "
        f"them is at most {reference.tolerance:.2g} of an output's largest value{_because(reference.reason)}:"
    )
    yield from ("", *wrap(text, _WIDTH), "")
    yield from (f"    {line}" for line in _PROGRAM.format(reference=reference.file, network=network.file).splitlines())


def _because(reason: str) -> str:
    return f" ({reason})" if reason else ""


def _promise(quantities: Mapping[str, Predicted]) -> Iterator[str]:
    for name, quantity in quantities.items():
        yield f"  {COLUMNS[name].label}: {_text(name, quantity)}"


def _text(name: str, quantity: Predicted) -> str:
    text = COLUMNS[name].text
    if quantity.lo is None or quantity.hi is None:
        return f"{text(quantity.value)} (no interval known)"
    return f"{text(quantity.value)} ({text(quantity.lo)} to {text(quantity.hi)})"


def render_config_map(text: str, *, title: str) -> str:
    """Return the immutable Kubernetes ConfigMap of a manifest, as YAML.

    Its name contains a hash of the content: an immutable ConfigMap cannot be updated, only replaced. The manifest is
    printable ASCII, so that a YAML block scalar contains it unchanged.

    Args:
        text: text of manifest.json, printable ASCII.
        title: title of the bundle.
    """
    digest = sha256(text)
    block = "".join(f"    {line}\n" for line in text.splitlines())
    return (
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n"
        f"  name: explorer-{digest[:16]}\n"
        f"  annotations:\n    explorer/title: {json.dumps(title)}\n    explorer/manifest-sha256: {json.dumps(digest)}\n"
        f"immutable: true\ndata:\n  manifest.json: |\n{block}"
    )
