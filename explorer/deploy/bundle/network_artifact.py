"""Network of a bundle: compressed at the chosen R and D, with sizes by codec and modelled energy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from explorer.deploy.bundle.schema import ModelledEnergy, ShippedDesign, ShippedNetwork, SourceNetwork
from explorer.errors import UnknownName, WrongUsage
from explorer.io.files import sha256
from explorer.network.compression.compress import (
    Compression,
    Recipe,
    compress_weights,
    compressed_onnx,
    compressed_sizes,
)
from explorer.network.compression.int8 import full_int8_onnx
from explorer.network.compression.quantization import BITS, Container
from explorer.network.compression.sizes import CODECS, Codec
from explorer.network.graph.model import Network, load_network
from explorer.network.graph.op_counts import count_operations
from explorer.network.graph.session import Array, Session, open_inference_session
from explorer.network.measurement.technology import SHIPPED, Technology, load_technology, modelled_energy
from explorer.network.task.feeds import make_feeds
from explorer.network.task.labelled_data import LabelledData
from explorer.pareto.decision.schema import LiveOrigin

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
    """

    codec: Codec | None = None
    level: str = "dram"
    technology: Path = SHIPPED
    per_tensor: bool = False
    clip_to: Container | None = None
    calibration: LabelledData | None = None

    @property
    def changes_compression(self) -> bool:
        """True if an option changes how the network is compressed."""
        return self.per_tensor or self.clip_to is not None or self.calibration is not None


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compressed network: its block of the manifest, and the bytes of its ONNX file."""

    network: ShippedNetwork
    onnx: bytes


def with_study_options(options: NetworkOptions, live: LiveOrigin | None) -> NetworkOptions:
    """Return the options with unset values from the study, so that the bundle has the network that it measured."""
    study = live or LiveOrigin()
    return replace(
        options, codec=options.codec or study.codec, per_tensor=options.per_tensor or study.per_tensor,
        clip_to=options.clip_to or study.clip,
    )  # fmt: skip


def build_artifact(model: str | Path, design: ShippedDesign, *, options: NetworkOptions) -> Artifact:
    """Compress a network by a design's R and D, and check that onnxruntime loads and runs it.

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: the network, codec or memory level does not exist, or the design has no R or D.
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
    network = load_network(model)
    compression = compress_weights(network, recipe)
    onnx = _onnx(network, compression, calibration=options.calibration)
    session = open_inference_session(onnx)
    feeds = _zero_feeds(session)
    if feeds is not None:
        session.run(feeds)
    by_codec = compressed_sizes(network, compression, onnx=onnx)
    block = ShippedNetwork(
        file=NETWORK,
        sha256=sha256(onnx),
        source=SourceNetwork(name=network.name, sha256=network.sha256, n_bytes=network.n_bytes,
                             n_weights=network.n_weights),
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
    )  # fmt: skip
    return Artifact(block, onnx)


def make_recipe(design: ShippedDesign, options: NetworkOptions) -> Recipe:
    """Return the compression recipe of a design.

    Raises:
        WrongUsage: the design has no R or D.
    """
    if design.pruning_ratio is None or design.quant_step is None:
        missing = [k for k in ("pruning_ratio", "quant_step") if getattr(design, k) is None]
        raise WrongUsage(
            f"design {design.design_id} has no {' and no '.join(missing)}, which compression of a network needs",
            fix="deploy it without --model, or search these knobs too",
        )
    return Recipe(
        design.pruning_ratio, design.quant_step, per_tensor=options.per_tensor, clip_to=options.clip_to,
        full_int8=options.calibration is not None,
    )  # fmt: skip


def _onnx(network: Network, compression: Compression, *, calibration: LabelledData | None) -> bytes:
    if calibration is None:
        return compressed_onnx(network, compression)
    source = open_inference_session(network.model.SerializeToString())
    return full_int8_onnx(network, compression, calibration=make_feeds(calibration, source.inputs))


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


def _zero_feeds(session: Session) -> dict[str, Array] | None:
    """Return zeros as input of one sample; None if a dimension other than the batch is dynamic."""
    if any(length is None for entry in session.inputs for length in entry.shape[1:]):
        return None
    if any(entry.dtype == np.object_ for entry in session.inputs):
        return None
    return {
        entry.name: np.zeros([1 if length is None else length for length in entry.shape], dtype=entry.dtype)
        for entry in session.inputs
    }
