"""The network of a bundle: compressed at the chosen R and D, sized by codec, its energy modelled."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from explorer.errors import UnknownName, WrongUsage
from explorer.files import sha256
from explorer.network.codes import BITS
from explorer.network.compress import Compression, Recipe, codes_of, compressed_onnx, sizes
from explorer.network.count import count
from explorer.network.network import Network, load_network
from explorer.network.session import Array, Session, open_session
from explorer.network.sizes import CODECS, Codec
from explorer.network.technology import SHIPPED, Technology, load_technology, modelled_energy
from explorer.problem.manifest_file import ModelledEnergy, ShippedDesign, ShippedNetwork, SourceNetwork

NETWORK = "network.onnx"


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """How the network is sized and its energy modelled: the codec of `size_bytes`, the level and table of Eq. (1)."""

    codec: Codec = "deflate"
    level: str = "dram"
    technology: Path = SHIPPED


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compressed network: what the manifest says of it, and the file."""

    network: ShippedNetwork
    onnx: bytes


def make_artifact(model: str | Path, design: ShippedDesign, *, options: NetworkOptions) -> Artifact:
    """Compress a network by a design's R and D, and see that onnxruntime loads and runs what comes out.

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: there is no such network, codec or memory level, or the design does not say R and D.
        InvalidFile: the network or the technology table cannot be used.
        OutOfRange: D is so small that int16 does not hold the codes.
        MeasurementFailed: onnxruntime cannot load or run it.
    """
    if design.pruning_ratio is None or design.quant_step is None:
        lacking = [k for k in ("pruning_ratio", "quant_step") if getattr(design, k) is None]
        raise WrongUsage(
            f"design {design.design_id} does not say {' and '.join(lacking)}: nothing tells how to compress a network",
            fix="deploy it without --model, or search these knobs too",
        )
    if options.codec not in CODECS:
        raise UnknownName("codec", options.codec, CODECS)
    technology = load_technology(options.technology)
    if options.level not in technology.bit_j:
        raise UnknownName(technology.title, options.level, technology.bit_j)
    network = load_network(model)
    compression = codes_of(network, Recipe(design.pruning_ratio, design.quant_step))
    onnx = compressed_onnx(network, compression)
    made = _made_inputs(open_session(onnx))
    if made is not None:
        open_session(onnx).run(made)
    by_codec = sizes(network, compression, onnx=onnx)
    block = ShippedNetwork(
        file=NETWORK,
        sha256=sha256(onnx),
        source=SourceNetwork(name=network.name, sha256=network.sha256, n_bytes=network.n_bytes,
                             n_weights=network.n_weights),
        r_effective=compression.r_effective,
        n_clipped=compression.n_clipped,
        container=compression.container,
        sizes={codec: by_codec.of(codec) for codec in CODECS},
        size_codec=options.codec,
        energy_mac_mem=None if made is None else _energy(network, compression, technology, made=made,
                                                         level=options.level),
    )  # fmt: skip
    return Artifact(block, onnx)


def _energy(
    network: Network, compression: Compression, technology: Technology, *, made: Mapping[str, Array], level: str
) -> ModelledEnergy:
    counts = count(network.model, made)
    return ModelledEnergy(
        value=modelled_energy(
            counts, technology, level=level,
            weight_bits={name: BITS[tensor.container] for name, tensor in compression.tensors.items()},
        ),
        basis="modelled", equation="Eq. (1)", technology=technology.title, level=level,
        n_macs=counts.n_macs, n_accesses=counts.n_accesses, uncounted=counts.uncounted,
    )  # fmt: skip


def _made_inputs(session: Session) -> dict[str, Array] | None:
    """Return zeros for one sample; None where an input leaves more than its batch open: a length cannot be guessed."""
    if any(length is None for entry in session.inputs for length in entry.shape[1:]):
        return None
    if any(entry.dtype == np.object_ for entry in session.inputs):
        return None
    return {
        entry.name: np.zeros([1 if length is None else length for length in entry.shape], dtype=entry.dtype)
        for entry in session.inputs
    }
