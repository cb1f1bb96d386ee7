"""Weights stored as integer codes: initializers, and the standard operators that compute D times the codes."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.network.compression.quantization import QuantizedTensor
from explorer.network.compression.sizes import pack_codes
from explorer.network.graph.model import Network, opset_of
from explorer.network.graph.traversal import subgraphs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_INT4_SINCE = 21  # first opset whose Cast takes int4
_SLICE_INPUTS_SINCE = 10  # before, Slice had its bounds as attributes
_IR_OF_INT4 = 10  # first IR version with int4
NIBBLES = "explorer/nibbles"


def store_codes(model: "ModelProto", network: Network, tensors: Mapping[str, QuantizedTensor], *, step: float) -> None:
    """Replace, in place, each float weight of a model by its codes, the step D and operators that multiply them.

    Weight W becomes `W/codes -> Cast -> Mul (W/step) -> W`: nothing else in the graph changes. onnxruntime folds these
    operators at load in its default session, so that the file runs as fast as its source. DequantizeLinear it keeps,
    and computes in every run: 1.6 times the latency of a mobile network. Other float types have one more Cast.

    int4 is a tensor type since opset 21. Before, `W/codes` holds two codes a byte (uint8, the first in the low nibble,
    two's complement), and `W/shape` the shape: `Cast -> Gather (of the table NIBBLES, 256 x 2) -> Cast -> Reshape ->
    Mul`, with a Slice where the number of codes is odd.

    Source: ONNX operator specification, Cast-21, Gather-1, Slice-10.
    """
    opset = opset_of(model)
    dtypes = {weight.name: weight.values.dtype for weight in network.weights}
    is_packed = False
    for graph in subgraphs(model.graph):
        stored: list[TensorProto] = []
        nodes: list[NodeProto] = []
        for tensor in graph.initializer:
            quantized = tensors.get(tensor.name)
            if quantized is None:
                stored.append(tensor)
                continue
            codes, computed = _codes(tensor.name, quantized, opset=opset)
            is_packed |= quantized.container == "int4" and opset < _INT4_SINCE
            stored += codes
            nodes += [*computed, *_scaled(tensor.name, stored, step=step, dtype=dtypes[tensor.name])]
        if nodes:
            _replace(graph, stored, [*nodes, *graph.node])
    if is_packed:
        model.graph.initializer.append(_from_array(nibble_table(), NIBBLES))
    if any(tensor.container == "int4" for tensor in tensors.values()) and opset >= _INT4_SINCE:
        model.ir_version = max(model.ir_version, _IR_OF_INT4)


def nibble_table() -> NDArray[np.int8]:
    """Return the two int4 codes of each byte, shape (256, 2): the low nibble first, two's complement."""
    values = np.arange(256)
    pairs = np.stack([values & 0xF, values >> 4], axis=1)
    return np.where(pairs > 7, pairs - 16, pairs).astype(np.int8)


def _codes(name: str, tensor: QuantizedTensor, *, opset: int) -> tuple[list["TensorProto"], list["NodeProto"]]:
    """Return the initializers and nodes that give the codes of a weight as float32, under the name W/float."""
    from onnx import TensorProto, helper

    shape, data = tensor.codes.shape, pack_codes(tensor.codes, tensor.container)
    if tensor.container != "int4" or opset >= _INT4_SINCE:
        kind = {"int4": TensorProto.INT4, "int8": TensorProto.INT8, "int16": TensorProto.INT16}[tensor.container]
        stored = [helper.make_tensor(f"{name}/codes", kind, shape, data, raw=True)]
        return stored, [_node("Cast", name, "codes", "float", to=TensorProto.FLOAT)]
    stored = [
        helper.make_tensor(f"{name}/codes", TensorProto.UINT8, [len(data)], data, raw=True),
        _from_array(np.array(shape, dtype=np.int64), f"{name}/shape"),
    ]
    nodes = [
        _node("Cast", name, "codes", "bytes", to=TensorProto.INT32),
        helper.make_node("Gather", [NIBBLES, f"{name}/bytes"], [f"{name}/nibbles"], name=f"{name}/gather"),
        _node("Cast", name, "nibbles", "pairs", to=TensorProto.FLOAT),
    ]
    last = "pairs"
    if tensor.codes.size % 2:  # the last nibble is padding
        bounds = {"flat": -1, "first": 0, "end": tensor.codes.size}
        stored += [_from_array(np.array([value]), f"{name}/{part}") for part, value in bounds.items()]
        nodes.append(_node("Reshape", name, last, "padded", f"{name}/flat"))
        if opset < _SLICE_INPUTS_SINCE:
            nodes.append(_node("Slice", name, "padded", "exact", starts=[0], ends=[tensor.codes.size]))
            del stored[-2:]
        else:
            nodes.append(_node("Slice", name, "padded", "exact", f"{name}/first", f"{name}/end"))
        last = "exact"
    return stored, [*nodes, _node("Reshape", name, last, "float", f"{name}/shape")]


def _scaled(name: str, stored: list["TensorProto"], *, step: float, dtype: "np.dtype[Any]") -> list["NodeProto"]:
    """Return the nodes that compute a weight from W/float; add its step to the stored tensors."""
    from onnx import helper

    stored.append(_from_array(np.float32(step), f"{name}/step"))
    is_single = dtype == np.float32
    product = name if is_single else f"{name}/product"
    nodes = [helper.make_node("Mul", [f"{name}/float", f"{name}/step"], [product], name=f"{name}/scale")]
    if not is_single:
        to = helper.np_dtype_to_tensor_dtype(dtype)
        nodes.append(helper.make_node("Cast", [product], [name], name=f"{name}/cast", to=to))
    return nodes


def _node(operator: str, weight: str, source: str, result: str, *more: str, **attributes: Any) -> "NodeProto":
    from onnx import helper

    name = f"{weight}/{operator.lower()}-{result}"
    return helper.make_node(operator, [f"{weight}/{source}", *more], [f"{weight}/{result}"], name=name, **attributes)


def _replace(graph: "GraphProto", stored: list["TensorProto"], nodes: list["NodeProto"]) -> None:
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(stored)
    graph.node.extend(nodes)


def _from_array(values: Any, name: str) -> "TensorProto":
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(values), name)
