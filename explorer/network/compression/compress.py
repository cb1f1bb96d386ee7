"""Compression of a network: weights become integer codes of Eq. (5) behind DequantizeLinear nodes with scale D."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from explorer.network.compression.quantization import (
    Container,
    QuantizedTensor,
    effective_ratio,
    prune,
    quantize_to_codes,
)
from explorer.network.compression.sizes import Sizes, pack_codes, sizes_by_codec
from explorer.network.compression.stored_weights import uncompressed_bytes
from explorer.network.graph.loading import subgraphs
from explorer.network.graph.model import Network, Weight

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_NEW_TYPES_SINCE = 21  # first opset whose DequantizeLinear takes int4 and int16
_STANDARD_SINCE = 10  # first opset with DequantizeLinear


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
        r_effective: R_eff, the share of weights that are zero after pruning and rounding.
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


def compress_weights(network: Network, recipe: Recipe) -> Compression:
    """Prune, then quantize, every weight tensor of a network.

    Raises:
        OutOfRange: R or D is outside its range, or D is so small that int16 does not hold the codes.
    """
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
        effective_ratio([tensor.codes for tensor in tensors.values()]),
        sum(tensor.n_clipped for tensor in tensors.values()),
        digest.hexdigest(),
    )


def _widen_for_int8(tensor: QuantizedTensor, recipe: Recipe) -> QuantizedTensor:
    """Return int4 codes as int8 if activations are int8: onnxruntime has no int8 x int4 kernel."""
    if not recipe.full_int8 or tensor.container != "int4":
        return tensor
    return QuantizedTensor(tensor.codes, "int8", tensor.n_clipped)


def compressed_onnx(network: Network, compression: Compression) -> bytes:
    """Return the compressed network as an ONNX file; the same codes give the same bytes.

    Each weight tensor becomes an integer initializer and a DequantizeLinear node with scale D and zero point 0. The
    output of the node has the name of the tensor, so that nothing else in the graph changes. Before opset 21,
    DequantizeLinear has no int4 and int16: the node is then onnxruntime's own (domain com.microsoft).

    Source: ONNX operator specification, DequantizeLinear-21.
    """
    import onnx

    model = onnx.ModelProto()
    model.CopyFrom(network.model)
    insert_dequantize_nodes(model, network, compression)
    write_recipe_metadata(model, network, compression)
    return bytes(model.SerializeToString(deterministic=True))


def insert_dequantize_nodes(model: "ModelProto", network: Network, compression: Compression) -> None:
    """Replace, in place, each float weight stored in a model by its codes and a DequantizeLinear node."""
    from onnx import helper

    opset = next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 1)
    by_name = {weight.name: weight for weight in network.weights}
    for graph in subgraphs(model.graph):
        _replace(graph, by_name, compression=compression, opset=opset)
    domains = {node.domain for graph in subgraphs(model.graph) for node in graph.node}
    if "com.microsoft" in domains and not any(entry.domain == "com.microsoft" for entry in model.opset_import):
        model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.ir_version = max(model.ir_version, 10)  # first IR version with int4


def compressed_sizes(network: Network, compression: Compression, *, onnx: bytes) -> Sizes:
    """Return the compressed file's bytes by codec."""
    import onnx as onnx_module

    tensors, n_bytes = list(compression.tensors.values()), network.n_uncompressed_bytes
    if compression.recipe.full_int8:  # biases and norms became integers too
        n_bytes = uncompressed_bytes(onnx_module.load_model_from_string(onnx))
    return sizes_by_codec(onnx, tensors=tensors, n_uncompressed_bytes=n_bytes)


def _replace(graph: "GraphProto", weights: Mapping[str, Weight], *, compression: Compression, opset: int) -> None:
    """Replace the weights stored in one graph."""
    to_replace = [tensor for tensor in graph.initializer if tensor.name in weights]
    initializers = [tensor for tensor in graph.initializer if tensor.name not in weights]
    nodes: list[NodeProto] = []
    for tensor in to_replace:
        new_tensors, new_nodes = _dequantized(weights[tensor.name], compression=compression, opset=opset)
        initializers += new_tensors
        nodes += new_nodes
    if not to_replace:
        return
    nodes += list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(initializers)
    graph.node.extend(nodes)


def _dequantized(
    weight: Weight, *, compression: Compression, opset: int
) -> tuple[list["TensorProto"], list["NodeProto"]]:
    """Return the initializers and nodes that compute a weight as D times its codes."""
    from onnx import TensorProto, helper

    tensor = compression.tensors[weight.name]
    kind = {"int4": TensorProto.INT4, "int8": TensorProto.INT8, "int16": TensorProto.INT16}[tensor.container]
    names = [f"{weight.name}/{part}" for part in ("codes", "step", "zero")]
    stored = [
        helper.make_tensor(names[0], kind, weight.values.shape, pack_codes(tensor.codes, tensor.container), raw=True),
        helper.make_tensor(names[1], TensorProto.FLOAT, [], [compression.recipe.quant_step]),
        helper.make_tensor(names[2], kind, [], pack_codes(np.zeros(1, dtype=np.int64), tensor.container), raw=True),
    ]
    is_standard = opset >= (_STANDARD_SINCE if tensor.container == "int8" else _NEW_TYPES_SINCE)
    is_single = weight.values.dtype == np.float32
    output = weight.name if is_single else f"{weight.name}/float"
    domain = "" if is_standard else "com.microsoft"
    nodes = [helper.make_node("DequantizeLinear", names, [output], name=f"{weight.name}/dequantize", domain=domain)]
    if not is_single:
        dtype = helper.np_dtype_to_tensor_dtype(weight.values.dtype)
        nodes.append(helper.make_node("Cast", [output], [weight.name], name=f"{weight.name}/cast", to=dtype))
    return stored, nodes


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
