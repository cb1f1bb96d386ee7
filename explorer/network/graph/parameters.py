"""Parameters of a network by operator: which of them compression reaches, and why not the others."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explorer.network.graph.traversal import subgraphs
from explorer.network.graph.weights import VIEWS, float_types, operator_of, stored_sources, weight_users

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

_MICROSOFT = "com.microsoft"
# Inputs that hold integer weights, each with the input of its zero point (None: none, or in another layout).
_INTEGER_WEIGHTS: Mapping[tuple[str, str], Mapping[int, int | None]] = {
    ("", "ConvInteger"): {1: 3},
    ("", "DequantizeLinear"): {0: 2},
    ("", "MatMulInteger"): {0: 2, 1: 3},
    ("", "QLinearConv"): {3: 5},
    ("", "QLinearMatMul"): {0: 2, 3: 5},
    (_MICROSOFT, "DequantizeLinear"): {0: 2},
    (_MICROSOFT, "DynamicQuantizeLSTM"): {1: 9, 2: 11},
    (_MICROSOFT, "DynamicQuantizeMatMul"): {1: 3},
    (_MICROSOFT, "GatherBlockQuantized"): {0: None},
    (_MICROSOFT, "MatMulBnb4"): {1: None},
    (_MICROSOFT, "MatMulFpQ4"): {1: None},
    (_MICROSOFT, "MatMulIntegerToFloat"): {1: 5},
    (_MICROSOFT, "MatMulNBits"): {1: None},
    (_MICROSOFT, "QAttention"): {1: 7},
    (_MICROSOFT, "QEmbedLayerNormalization"): {2: 13, 3: 14, 4: 15},
    (_MICROSOFT, "QGemm"): {3: 5},
    (_MICROSOFT, "QLinearConv"): {3: 5},
    (_MICROSOFT, "QMoE"): {2: 11, 5: 12, 8: 13},
}
_PACKED = frozenset({"MatMulBnb4", "MatMulFpQ4", "MatMulNBits"})  # K x N weights in a stored tensor of bytes
REACHED, VECTOR, INTEGER, UNKNOWN = "", "a vector", "stored as integers already", "not a weight input that is known"


@dataclass(frozen=True, slots=True)
class Parameters:
    """Stored parameters that one type of operator uses.

    Args:
        operator: type of the operator, with its domain if it is not a standard one.
        n: number of parameters.
        n_zeros: number of those that are zero.
        reason: why compression does not reach them; empty where it does.
        is_weights: they are weights, not vectors: biases, scales and means are few and are stored as they are.
    """

    operator: str
    n: int
    n_zeros: int
    reason: str
    is_weights: bool


def parameters_by_operator(model: "ModelProto", *, weights: Collection[str]) -> tuple[Parameters, ...]:
    """Return the stored parameters of a network by operator and reason, the largest groups first.

    Parameters are the stored floating-point tensors, and the stored integer tensors that an operator uses as weights;
    shapes and indices are none. Each stored tensor counts once, for its first user. Weights are those that compression
    reaches, and all others with at least two dimensions longer than one.

    Args:
        model: the network with folded constants.
        weights: names of the tensors that compression reaches.
    """
    users = _first_users(model) | {name: (node, -1) for name, node in weight_users(model).items() if name in weights}
    stored = {tensor.name: tensor for graph in subgraphs(model.graph) for tensor in graph.initializer}
    groups: dict[tuple[str, str, bool], list[int]] = {}
    for name, (node, index) in users.items():
        tensor, operator = stored[name], operator_of(node)
        zero_points = _INTEGER_WEIGHTS.get(operator, {})
        is_integer = index in zero_points and tensor.data_type not in float_types()
        if not is_integer and tensor.data_type not in float_types():
            continue
        is_matrix = sum(length > 1 for length in tensor.dims) >= 2
        is_weights = name in weights or is_matrix
        reason = REACHED if name in weights else VECTOR if not is_matrix else INTEGER if is_integer else UNKNOWN
        point = zero_points.get(index)
        n, n_zeros = _count(tensor, node, stored.get(node.input[point]) if point and point < len(node.input) else None)
        group = groups.setdefault((".".join(filter(None, operator)), reason, is_weights), [0, 0])
        group[0] += n
        group[1] += n_zeros
    counted = [Parameters(key[0], n, n_zeros, *key[1:]) for key, (n, n_zeros) in groups.items()]
    return tuple(sorted(counted, key=lambda group: (-group.n, group.operator, group.reason)))


def stored_bits(model: "ModelProto") -> dict[str, int]:
    """Return the bits of an element of each stored weight that is an integer or a half, by the tensor's name."""
    from onnx import TensorProto

    bits = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.INT8: 8, TensorProto.UINT8: 8}
    stored = {tensor.name: tensor for graph in subgraphs(model.graph) for tensor in graph.initializer}
    integers = {
        name: bits[stored[name].data_type]
        for name, (node, index) in _first_users(model).items()
        if index in _INTEGER_WEIGHTS.get(operator_of(node), {}) and stored[name].data_type in bits
    }
    return {name: 16 for name, tensor in stored.items() if tensor.data_type == TensorProto.FLOAT16} | integers


def _first_users(model: "ModelProto") -> dict[str, tuple["NodeProto", int]]:
    """Return the first operator, views aside, that uses each stored tensor, and the index of its input."""
    sources = stored_sources(model)
    users: dict[str, tuple[NodeProto, int]] = {}
    for graph in subgraphs(model.graph):
        for node in graph.node:
            if node.op_type in VIEWS and operator_of(node)[0] == "":
                continue
            for index, name in enumerate(node.input):
                if name in sources:
                    users.setdefault(sources[name], (node, index))
    return users


def _count(tensor: "TensorProto", node: "NodeProto", zero_point: "TensorProto | None") -> tuple[int, int]:
    """Return the number of parameters in a tensor, and of those that are zero; none is known to be in packed ones."""
    from onnx import numpy_helper

    if node.op_type in _PACKED:
        sizes = {attribute.name: attribute.i for attribute in node.attribute}
        return sizes.get("K", 0) * sizes.get("N", 0), 0
    values = numpy_helper.to_array(tensor)
    if values.dtype.kind not in "fiu":  # int4 and the like have no ufuncs
        values = values.astype(np.int16)
    zeros = numpy_helper.to_array(zero_point).ravel().astype(np.int16) if zero_point is not None else np.zeros(1)
    if zeros.size > 1 and not (zeros == zeros[0]).all():  # one for each channel
        axis = next((axis for axis, length in enumerate(values.shape) if length == zeros.size), None)
        if axis is None:
            return values.size, 0
        zeros = zeros.reshape([-1 if i == axis else 1 for i in range(values.ndim)])
    else:
        zeros = zeros[:1]
    return int(values.size), int((values == zeros).sum())
