"""Codes and steps stored in a compressed network file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explorer.network.compression.quantization import BITS, Container, QuantizedTensor
from explorer.network.graph.loading import subgraphs
from explorer.network.graph.model import weight_users

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """A quantized weight tensor of a file: codes, step D and zero point."""

    name: str
    quantized: QuantizedTensor
    step: float
    zero: int


def stored_weights(model: "ModelProto") -> Iterator[StoredWeight]:
    """Yield every weight that a DequantizeLinear node computes from stored codes."""
    from onnx import numpy_helper

    kinds = _containers()
    for graph in subgraphs(model.graph):
        stored = {tensor.name: tensor for tensor in graph.initializer}
        for node in _dequantized_weights(graph):
            if len(node.input) != 3 or not set(node.input) <= set(stored):
                continue
            if stored[node.input[0]].data_type not in kinds:
                continue
            codes, step, zero = (numpy_helper.to_array(stored[name]) for name in node.input)
            if step.size != 1 or zero.size != 1:
                continue
            quantized = QuantizedTensor(codes.astype(np.int64), kinds[stored[node.input[0]].data_type], 0)
            yield StoredWeight(_source(node.input[0]), quantized, float(step), int(zero))


def _dequantized_weights(graph: "GraphProto") -> Iterator["NodeProto"]:
    """Yield the nodes whose output is a weight, directly or after a cast: full int8 dequantizes other constants too."""
    users = weight_users(graph)
    cast = {node.input[0] for node in graph.node if node.op_type == "Cast" and node.output[0] in users}
    for node in graph.node:
        if node.op_type == "DequantizeLinear" and (node.output[0] in users or node.output[0] in cast):
            yield node


def _source(name: str) -> str:
    """Return the weight's name: stored codes end in /codes, or in _quantized from onnxruntime's quantizer."""
    weight = name.removesuffix("/codes")
    return weight if weight != name else name.removesuffix("_quantized")


def uncompressed_bytes(model: "ModelProto") -> int:
    """Return the bytes of all parameters but quantized weights and their steps and zero points."""
    from onnx import numpy_helper

    n_bytes = 0
    for graph in subgraphs(model.graph):
        pairs = [node for node in graph.node if node.op_type in {"DequantizeLinear", "QuantizeLinear"}]
        excluded = {name for node in pairs for name in node.input[1:]}
        excluded |= {node.input[0] for node in _dequantized_weights(graph)}
        n_bytes += sum(int(numpy_helper.to_array(t).nbytes) for t in graph.initializer if t.name not in excluded)
    return n_bytes


def _containers() -> dict[int, Container]:
    from onnx import TensorProto

    return {int(getattr(TensorProto, name.upper())): name for name in BITS}
