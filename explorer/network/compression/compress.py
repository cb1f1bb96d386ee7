"""Compression of a network: weights become integer codes of Eq. (5), stored with the step D."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.errors import WrongUsage
from explorer.network.compression.code_tensors import store_codes
from explorer.network.compression.quantization import (
    Container,
    QuantizedTensor,
    prune,
    quantize_to_codes,
)
from explorer.network.compression.sizes import Sizes, pack_codes, sizes_by_codec
from explorer.network.compression.uncompressed_parameters import uncompressed_bytes
from explorer.network.graph.model import Network
from explorer.paper.equations import pruning_ratio

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, slots=True)
class Recipe:
    """Compression recipe: the knobs R and D, and the options.

    Args:
        pruning_ratio: the share R of weights to remove, in [0, 1).
        quant_step: the step D of Eq. (5), in the weights' unit, more than 0.
        per_tensor: prune the share R of each tensor, instead of all tensors together.
        clip_to: clip codes to this container; None (default) widens the container instead.
        full_int8: quantize activations to int8 as well; every code must then fit int8.
    """

    pruning_ratio: float
    quant_step: float
    per_tensor: bool = False
    clip_to: Container | None = None
    full_int8: bool = False


@dataclass(frozen=True, slots=True)
class Compression:
    """Integer codes of all weights of a network.

    Args:
        recipe: the recipe that gave the codes.
        tensors: codes of each weight tensor, by its name.
        r_effective: R_eff, the share of weights that are zero after pruning and rounding. It is of the whole network:
            of the weights that compression reaches and of all others (`Network.coverage`).
        n_clipped: number of clipped codes.
        key: SHA-256 of the compressed network; recipes with equal keys share their measurements.
    """

    recipe: Recipe
    tensors: Mapping[str, QuantizedTensor]
    r_effective: float
    n_clipped: int
    key: str

    @property
    def container(self) -> Container:
        """The widest container in use."""
        widths: tuple[Container, ...] = ("int16", "int8", "int4")
        used = {tensor.container for tensor in self.tensors.values()}
        return next(name for name in widths if name in used)


def require_weights(network: Network) -> None:
    """Ensure that a network has weights that can be compressed.

    Raises:
        WrongUsage: it has none.
    """
    if not network.weights:
        reason = "its weights are integers already" if network.is_quantized else "no operator of it uses stored weights"
        fix = "measure it as it is (explorer measure), or use its float version"
        raise WrongUsage(f"{network.name} has no weights to compress: {reason}", fix=fix)


def compress_weights(network: Network, recipe: Recipe) -> Compression:
    """Prune, then quantize, every weight tensor of a network.

    Raises:
        OutOfRange: R or D is outside its range, or D is so small that int16 does not hold the codes.
        WrongUsage: the network has no weights that can be compressed.
    """
    require_weights(network)
    pruned = prune(
        [weight.values for weight in network.weights], ratio=recipe.pruning_ratio, per_tensor=recipe.per_tensor
    )
    tensors = {
        weight.name: _widen_for_int8(quantize_to_codes(values, step=recipe.quant_step, clip_to=recipe.clip_to), recipe)
        for weight, values in zip(network.weights, pruned, strict=True)
    }
    digest = hashlib.sha256(f"{network.sha256} {recipe.quant_step!r} {recipe.full_int8}".encode())
    for name, tensor in tensors.items():
        digest.update(f" {name} {tensor.container} ".encode() + pack_codes(tensor.codes, tensor.container))
    return Compression(
        recipe,
        tensors,
        _effective_ratio(network, tensors),
        sum(tensor.n_clipped for tensor in tensors.values()),
        digest.hexdigest(),
    )


def _effective_ratio(network: Network, tensors: Mapping[str, QuantizedTensor]) -> float:
    """Return R_eff of the whole network: Eq. (4) over the codes and the weights that are stored as they are."""
    n_nonzero = network.n_other_weights - network.n_other_zeros
    n_nonzero += sum(int(np.count_nonzero(tensor.codes)) for tensor in tensors.values())
    n_weights = network.n_weights + network.n_other_weights
    return float(pruning_ratio(total_weights=n_weights, remaining_weights=n_nonzero))


def _widen_for_int8(tensor: QuantizedTensor, recipe: Recipe) -> QuantizedTensor:
    """Return int4 codes as int8 if activations are int8: onnxruntime has no int8 x int4 kernel."""
    if not recipe.full_int8 or tensor.container != "int4":
        return tensor
    return QuantizedTensor(tensor.codes, "int8", tensor.n_clipped)


def compressed_onnx(network: Network, compression: Compression) -> bytes:
    """Return the compressed network as an ONNX file; the same codes give the same bytes.

    Its layout: `code_tensors.store_codes`.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    store_codes(model, network, compression.tensors, step=compression.recipe.quant_step)
    write_recipe_metadata(model, network, compression)
    return bytes(model.SerializeToString(deterministic=True))


def compressed_sizes(network: Network, compression: Compression, *, onnx: bytes) -> Sizes:
    """Return the compressed file's bytes by codec."""
    import onnx as onnx_module

    tensors, n_bytes = list(compression.tensors.values()), network.n_uncompressed_bytes
    if compression.recipe.full_int8:  # biases and norms became integers too
        n_bytes = uncompressed_bytes(onnx_module.load_model_from_string(onnx))
    return sizes_by_codec(onnx, tensors=tensors, n_uncompressed_bytes=n_bytes)


def write_recipe_metadata(model: "ModelProto", network: Network, compression: Compression) -> None:
    """Write source and recipe into the model's metadata.

    Only values that follow from the codes are written: equal codes give equal files.
    """
    model.producer_name, model.producer_version = "explorer", ""
    metadata: dict[str, Any] = {
        "explorer.source_sha256": network.sha256,
        "explorer.quant_step": repr(compression.recipe.quant_step),
        "explorer.r_effective": repr(compression.r_effective),
    }
    for key, value in metadata.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value
