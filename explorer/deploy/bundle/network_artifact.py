"""Network of a bundle: compressed at the chosen R and D, with sizes by codec and modelled energy."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from explorer.deploy.bundle.reference_outputs import REFERENCE, make_reference
from explorer.deploy.bundle.schema import ModelledEnergy, SessionFile, ShippedDesign, ShippedNetwork, SourceNetwork
from explorer.errors import InvalidFile, MeasurementFailed, UnknownName, WrongUsage
from explorer.io.files import sha256
from explorer.network.compression.compress import (
    Compression,
    Recipe,
    compress_weights,
    compressed_onnx,
    compressed_sizes,
)
from explorer.network.compression.int8 import full_int8_onnx
from explorer.network.compression.quantization import BITS, Container, largest_code
from explorer.network.compression.sizes import CODECS, Codec
from explorer.network.graph.model import Network
from explorer.network.graph.op_counts import count_operations
from explorer.network.graph.session import PROVIDERS, SESSION_OPTIONS, Array, Session, open_inference_session
from explorer.network.measurement.provenance import feeds_sha256
from explorer.network.measurement.technology import SHIPPED, Technology, load_technology, modelled_energy
from explorer.network.reference.expected_codes import CodeRule
from explorer.network.reference.outputs import random_runs
from explorer.network.task.feeds import make_feeds
from explorer.network.task.labelled_data import LabelledData
from explorer.network.task.task import Task, prepare_task

NETWORK = "network.onnx"


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """Options of compression (in addition to R and D), size and modelled energy of a network.

    Args:
        codec: codec of `size_bytes`; None: the study's, else deflate.
        level: memory level of Eq. (1).
        technology: technology table of Eq. (1).
        per_tensor: prune the share R of each tensor; also used if the study measured so.
        clip_to: clip codes to this container; None: the study's, else no clipping.
        calibration: calibration data for int8 activations; None keeps them in float.
        data: labelled data whose first samples are run and stored; None: the study's, else random numbers.
        output: name of the scored output; None: the study's, else chosen by its shape.
        device: `cpu` or `cuda`, which the samples were measured on.
        targets: declared targets of the study, which a module's `score` measures.
        measured_calibration: SHA-256 of the calibration data that the samples were measured with; empty: they were
            measured with float activations; None: unknown.
    """

    codec: Codec | None = None
    level: str = "dram"
    technology: Path = SHIPPED
    per_tensor: bool = False
    clip_to: Container | None = None
    calibration: LabelledData | None = None
    data: LabelledData | None = None
    output: str | None = None
    device: str = "cpu"
    targets: tuple[str, ...] = ()
    measured_calibration: str | None = None

    @property
    def changes_compression(self) -> bool:
        """True if an option changes how the network is compressed."""
        return self.per_tensor or self.clip_to is not None or self.calibration is not None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compressed network: its block of the manifest, its files by name, and remarks on what is missing."""

    network: ShippedNetwork
    files: Mapping[str, bytes]
    remarks: tuple[str, ...] = ()


def build_artifact(network: Network, design: ShippedDesign, *, options: NetworkOptions) -> Artifact:
    """Compress a network by a design's R and D, and check that onnxruntime loads and runs it.

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: the codec or memory level does not exist, or the design has no R or D.
        InvalidFile: the network, its calibration data or the technology table cannot be used.
        OutOfRange: a code does not fit int16 (int8 for int8 activations), because D is too small.
        MeasurementFailed: onnxruntime cannot load, run or quantize it.
    """
    recipe, codec = make_recipe(design, options), options.codec or "deflate"
    if codec not in CODECS:
        raise UnknownName("codec", codec, CODECS)
    technology = load_technology(options.technology)
    if options.level not in technology.bit_j:
        raise UnknownName(technology.title, options.level, technology.bit_j)
    compression = compress_weights(network, recipe)
    source = open_inference_session(network.model.SerializeToString())
    calibration = make_feeds(options.calibration, source.inputs) if options.calibration else None
    onnx = full_int8_onnx(network, compression, calibration=calibration) if calibration else compressed_onnx(
        network, compression
    )  # fmt: skip
    data = options.data or options.calibration
    task = _prepared(source, data, options) if data else None
    rule = CodeRule(
        recipe.pruning_ratio, recipe.quant_step, recipe.per_tensor,
        largest_code(recipe.clip_to) if recipe.clip_to else None,
    )  # fmt: skip
    reference = make_reference(network, onnx, rule, source=source, task=task, is_int8=recipe.full_int8)
    feeds = task.one_run if task else next(iter(random_runs(source.inputs)), None)
    by_codec = compressed_sizes(network, compression, onnx=onnx)
    block = ShippedNetwork(
        file=NETWORK,
        sha256=sha256(onnx),
        source=SourceNetwork(name=network.name, sha256=network.sha256, n_bytes=network.n_bytes,
                             n_weights=network.n_weights, n_other_weights=network.n_other_weights,
                             n_other_zeros=network.n_other_zeros),
        r_effective=compression.r_effective,
        n_clipped=compression.n_clipped,
        container=compression.container,
        per_tensor=recipe.per_tensor,
        clip=recipe.clip_to,
        activations="int8" if recipe.full_int8 else "float32",
        calibration_sha256=options.calibration.sha256 if options.calibration else None,
        sizes={name: by_codec.of(name) for name in CODECS},
        size_codec=codec,
        energy_mac_mem=None if feeds is None else _energy(network, compression, technology, feeds=feeds,
                                                         level=options.level),
        output=task.output if task else options.output or "",
        reference=reference.block,
        session=_session(options.device),
    )  # fmt: skip
    files = {NETWORK: onnx, **({REFERENCE: reference.npz} if reference.npz else {})}
    remarks = (reference.remark, _calibration_remark(calibration, options.measured_calibration))
    return Artifact(block, files, tuple(filter(None, remarks)))


def _calibration_remark(calibration: Mapping[str, Array] | None, measured: str | None) -> str:
    if calibration is None or feeds_sha256(calibration) == measured:
        return ""
    if measured is None:
        return "activations are int8: whether the samples were measured with int8 is unknown"
    kind = "calibrated on other data" if measured else "float"
    return f"activations are int8: those of the measured samples were {kind}"


def _session(device: str) -> SessionFile:
    """Return the session in which networks are measured on a device."""
    options = {name: str(value) for name, (value, _) in SESSION_OPTIONS.items()}
    why = "; ".join(f"{name} = {value}: {reason}" for name, (value, reason) in SESSION_OPTIONS.items())
    return SessionFile(
        runtime=f"onnxruntime {version('onnxruntime')}", provider=PROVIDERS[device], options=options,
        note=f"the default session was measured and no option is needed, but for {why}",
    )  # fmt: skip


def _prepared(source: Session, data: LabelledData, options: NetworkOptions) -> Task:
    """Return the task of the data; calibration data need not have labels of the network's classes."""
    targets = options.targets if data.score else ()
    try:
        return prepare_task(source, data, output=options.output, targets=targets)
    except (InvalidFile, MeasurementFailed):
        if data.decides_feeds:
            raise
        return prepare_task(source, data, output=options.output, is_scored=False)


def make_recipe(design: ShippedDesign, options: NetworkOptions) -> Recipe:
    """Return the compression recipe of a design.

    Raises:
        WrongUsage: the design has no R or D.
    """
    if design.pruning_ratio is None or design.quant_step is None:
        missing = [k for k in ("pruning_ratio", "quant_step") if getattr(design, k) is None]
        raise WrongUsage(
            f"design {design.design_id} has no {' and no '.join(missing)}, which compression of a network needs",
            fix="leave the network out (no --model, or --no-network), or search these knobs too",
        )
    return Recipe(
        design.pruning_ratio, design.quant_step, per_tensor=options.per_tensor, clip_to=options.clip_to,
        full_int8=options.calibration is not None,
    )  # fmt: skip


def _energy(
    network: Network, compression: Compression, technology: Technology, *, feeds: Mapping[str, Array], level: str
) -> ModelledEnergy:
    counts = count_operations(network.model, feeds)
    return ModelledEnergy(
        value=modelled_energy(
            counts, technology, level=level,
            weight_bits=network.stored_bits | {name: BITS[t.container] for name, t in compression.tensors.items()},
            arithmetic="int8" if compression.recipe.full_int8 else "float32",
        ),
        basis="modelled", equation="Eq. (1)", technology=technology.title, level=level,
        n_macs=counts.n_macs, n_accesses=counts.n_accesses, uncounted=counts.uncounted,
    )  # fmt: skip
