"""Parameters of a compressed network file that are no codes."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from explorer.network.compression.code_tensors import NIBBLES
from explorer.network.graph.traversal import subgraphs
from explorer.network.graph.weights import WEIGHT_INPUTS, operator_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_PARTS = ("codes", "step", "shape", "flat", "first", "end")


def _coded_weights(stored: dict[str, "TensorProto"]) -> Iterator[str]:
    """Yield the names of the weights that `store_codes` replaced in one graph."""
    for name in stored:
        weight = name.removesuffix("/codes")
        if weight != name and f"{weight}/step" in stored:
            yield weight


def _dequantized_weights(model: "ModelProto", graph: "GraphProto") -> Iterator["NodeProto"]:
    """Yield the DequantizeLinear nodes whose output is a weight: full int8 dequantizes other constants too."""
    used = {
        node.input[index]
        for inner in subgraphs(model.graph)
        for node in inner.node
        for index in WEIGHT_INPUTS.get(operator_of(node), ())
        if index < len(node.input)
    }
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and node.output[0] in used:
            yield node


def uncompressed_bytes(model: "ModelProto") -> int:
    """Return the bytes of all parameters but quantized weights, their steps and zero points, and what unpacks them."""
    from onnx import numpy_helper

    n_bytes = 0
    for graph in subgraphs(model.graph):
        stored = {tensor.name: tensor for tensor in graph.initializer}
        pairs = [node for node in graph.node if node.op_type in {"DequantizeLinear", "QuantizeLinear"}]
        excluded = {name for node in pairs for name in node.input[1:]} | {NIBBLES}
        excluded |= {node.input[0] for node in _dequantized_weights(model, graph)}
        excluded |= {f"{weight}/{part}" for weight in _coded_weights(stored) for part in _PARTS}
        n_bytes += sum(int(numpy_helper.to_array(t).nbytes) for t in graph.initializer if t.name not in excluded)
    return n_bytes
