"""Graphs and stored tensors of an ONNX protobuf, read field by field."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

Array = NDArray[Any]
Path = tuple[str, ...]
FLOATS = {1: "<f4", 10: "<f2", 11: "<f8"}
INTEGERS = {2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 12: "<u4", 13: "<u8"}
UINT4, INT4, BFLOAT16 = 21, 22, 16
# Typed fields of TensorProto, where a file does not store raw bytes (onnx.proto, TensorProto.DataType).
_FIELDS = {1: "float_data", 7: "int64_data", 11: "double_data", 12: "uint64_data", 13: "uint64_data"}


def to_array(tensor: "TensorProto") -> Array:
    """Return the values of a stored tensor in its shape; 4-bit integers as int8, bfloat16 as float32.

    Source: onnx.proto, message TensorProto (little-endian raw data; two 4-bit numbers a byte, the first in the low
    half; bfloat16 is the upper half of a float32).

    Raises:
        ValueError: the type is not numeric, or the data has another length than the shape.
    """
    kind, shape = tensor.data_type, tuple(tensor.dims)
    if kind in {INT4, UINT4}:
        packed = np.frombuffer(tensor.raw_data, "u1") if tensor.raw_data else np.array(tensor.int32_data, "u1")
        pairs = np.stack([packed & 0xF, packed >> 4], axis=-1).ravel()[: int(np.prod(shape, dtype=np.int64))]
        values = pairs.astype(np.int8)
        return np.where(values > 7, values - 16, values).reshape(shape) if kind == INT4 else values.reshape(shape)
    dtype = np.dtype("<u2" if kind == BFLOAT16 else FLOATS.get(kind) or INTEGERS.get(kind) or _refuse(kind))
    if tensor.raw_data or not np.prod(shape, dtype=np.int64):
        values = np.frombuffer(tensor.raw_data, dtype)
    elif kind in {10, BFLOAT16}:  # an int32 holds the 16 bits of each number
        values = np.array(tensor.int32_data, "<u2").view(dtype)
    else:
        values = np.array(getattr(tensor, _FIELDS.get(kind, "int32_data")), dtype)
    if kind == BFLOAT16:
        values = (values.astype("<u4") << 16).view("<f4")
    return values.reshape(shape)


def _refuse(kind: int) -> str:
    raise ValueError(f"tensor type {kind} is not numeric")


def n_bytes_of(tensor: "TensorProto") -> int:
    """Return the bytes of a tensor's values; a 4-bit number counts as one byte, and text as none."""
    kind = tensor.data_type
    code = {UINT4: "u1", INT4: "i1", BFLOAT16: "<u2"}.get(kind) or FLOATS.get(kind) or INTEGERS.get(kind)
    return int(np.prod(tensor.dims, dtype=np.int64)) * (np.dtype(code).itemsize if code else 0)


@dataclass(frozen=True, slots=True)
class Scope:
    """A graph of a model, with the names that its nodes can use.

    Args:
        path: names of the graphs around it, as (output of the node, attribute) pairs; () for the main graph.
        graph: the graph.
        constants: stored tensors by name: its own, of Constant nodes, and of the graphs around it.
        owners: path of the graph that stores each of them.
        producers: nodes of this graph by the name of each output.
    """

    path: Path
    graph: "GraphProto"
    constants: Mapping[str, "TensorProto"]
    owners: Mapping[str, Path]
    producers: Mapping[str, "NodeProto"]


def scopes(model: "ModelProto") -> Iterator[Scope]:
    """Yield the main graph of a model and every graph inside its nodes, outer graphs first."""
    yield from _scopes(model.graph, (), {}, {})


def _scopes(
    graph: "GraphProto", path: Path, outer: Mapping[str, "TensorProto"], owners: Mapping[str, Path]
) -> Iterator[Scope]:
    own = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            values = [attribute.t for attribute in node.attribute if attribute.name == "value"]
            own |= dict(zip(node.output, values, strict=False))
    constants, places = {**outer, **own}, {**owners, **dict.fromkeys(own, path)}
    yield Scope(path, graph, constants, places, {name: node for node in graph.node for name in node.output if name})
    for node in graph.node:
        for attribute in node.attribute:
            inner = [attribute.g] if attribute.HasField("g") else []
            for i, one in enumerate((*inner, *attribute.graphs)):
                yield from _scopes(one, (*path, node.output[0], f"{attribute.name}{i}"), constants, places)


def users(model_scopes: "list[Scope]", scope: Scope, name: str) -> Iterator[tuple[Scope, "NodeProto", int]]:
    """Yield each use of a value: graph, node and index of the input; graphs inside see the names around them."""
    for inner in model_scopes:
        if inner.path[: len(scope.path)] == scope.path:
            for node in inner.graph.node:
                yield from ((inner, node, i) for i, used in enumerate(node.input) if used == name)
