"""Codes and steps stored in a compressed network file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from explorer.network.compression.code_tensors import NIBBLES, nibble_table
from explorer.network.compression.quantization import BITS, Container, QuantizedTensor
from explorer.network.graph.traversal import subgraphs
from explorer.network.graph.weights import WEIGHT_INPUTS, operator_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_PARTS = ("codes", "step", "shape", "flat", "first", "end")


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """A quantized weight tensor of a file: codes, step D and zero point."""

    name: str
    quantized: QuantizedTensor
    step: float
    zero: int


def stored_weights(model: "ModelProto") -> Iterator[StoredWeight]:
    """Yield every weight that a file stores as codes: as `store_codes` writes them, or behind DequantizeLinear."""
    from onnx import numpy_helper

    kinds = _containers()
    for graph in subgraphs(model.graph):
        stored = {tensor.name: tensor for tensor in graph.initializer}
        for name in _coded_weights(stored):
            codes = _unpacked(stored, name)
            kind: Container = kinds.get(stored[f"{name}/codes"].data_type, "int4")
            step = float(numpy_helper.to_array(stored[f"{name}/step"]))
            yield StoredWeight(name, QuantizedTensor(codes, kind, 0), step, 0)
        for node in _dequantized_weights(model, graph):
            if len(node.input) != 3 or not set(node.input) <= set(stored):
                continue
            if stored[node.input[0]].data_type not in kinds:
                continue
            codes, scale, zero = (numpy_helper.to_array(stored[name]) for name in node.input)
            if scale.size != 1 or zero.size != 1:
                continue
            quantized = QuantizedTensor(codes.astype(np.int64), kinds[stored[node.input[0]].data_type], 0)
            yield StoredWeight(node.input[0].removesuffix("_quantized"), quantized, float(scale), int(zero))


def _coded_weights(stored: dict[str, "TensorProto"]) -> Iterator[str]:
    """Yield the names of the weights that `store_codes` replaced in one graph."""
    for name in stored:
        weight = name.removesuffix("/codes")
        if weight != name and f"{weight}/step" in stored:
            yield weight


def _unpacked(stored: dict[str, "TensorProto"], weight: str) -> NDArray[np.int64]:
    from onnx import numpy_helper

    codes = numpy_helper.to_array(stored[f"{weight}/codes"])
    if f"{weight}/shape" not in stored:
        return codes.astype(np.int64)
    shape = numpy_helper.to_array(stored[f"{weight}/shape"])
    return np.asarray(nibble_table()[codes].ravel()[: shape.prod()].reshape(shape), dtype=np.int64)


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


def _containers() -> dict[int, Container]:
    from onnx import TensorProto

    return {int(getattr(TensorProto, name.upper())): name for name in BITS}
