"""Weights of a graph: which stored tensors an operator multiplies, looks up or convolves with, and under which name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.network.graph.traversal import subgraphs

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# The inputs of an operator that are weights, by (domain, operator). Biases are not compressed: they are few and are
# added once. Source of those of onnxruntime: its documentation "Contrib operators" (ContribOperators.md).
_MICROSOFT = "com.microsoft"
WEIGHT_INPUTS: Mapping[tuple[str, str], tuple[int, ...]] = {
    ("", "Conv"): (1,),
    ("", "ConvTranspose"): (1,),
    ("", "DeformConv"): (1,),
    ("", "Einsum"): tuple(range(8)),
    ("", "GRU"): (1, 2),
    ("", "Gather"): (0,),
    ("", "Gemm"): (0, 1),
    ("", "LSTM"): (1, 2),
    ("", "MatMul"): (0, 1),
    ("", "RNN"): (1, 2),
    (_MICROSOFT, "AttnLSTM"): (1, 2, 8, 9, 13),
    (_MICROSOFT, "Attention"): (1,),
    (_MICROSOFT, "CausalConvWithState"): (1,),
    (_MICROSOFT, "ConvTransposeWithDynamicPads"): (1,),
    (_MICROSOFT, "DecoderAttention"): (2, 3),
    (_MICROSOFT, "DecoderMaskedSelfAttention"): (1,),
    (_MICROSOFT, "EmbedLayerNormalization"): (2, 3, 4),
    (_MICROSOFT, "FusedConv"): (1,),
    (_MICROSOFT, "FusedGemm"): (0, 1),
    (_MICROSOFT, "FusedMatMul"): (0, 1),
    (_MICROSOFT, "FusedMatMulActivation"): (0, 1),
    (_MICROSOFT, "GatedRelativePositionBias"): (3,),
    (_MICROSOFT, "GemmFastGelu"): (1,),
    (_MICROSOFT, "LongformerAttention"): (1, 4),
    (_MICROSOFT, "MoE"): (2, 4, 6),
    (_MICROSOFT, "NhwcConv"): (1,),
    (_MICROSOFT, "NhwcFusedConv"): (1,),
    (_MICROSOFT, "PackedAttention"): (1,),
    (_MICROSOFT, "RelativePositionBias"): (0,),
    (_MICROSOFT, "TorchEmbedding"): (0,),
    (_MICROSOFT, "TransposeMatMul"): (0, 1),
    (_MICROSOFT, "WordConvEmbedding"): (1, 3),
    ("com.microsoft.nchwc", "Conv"): (1,),
}
# A constant operand of these is a weight only as a table or matrix: a vector is a list of constants.
_MATRIX_ONLY = frozenset({"Einsum", "Gather", "TorchEmbedding"})
# These give the values of their first input in another shape, order or type.
VIEWS = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight tensor: `name` of its initializer, unique in the file; `operator` type that uses it; its `values`."""

    name: str
    operator: str
    values: NDArray[np.floating[Any]]


def operator_of(node: "NodeProto") -> tuple[str, str]:
    """Return domain and type of a node's operator; the standard domain is ''."""
    return "" if node.domain == "ai.onnx" else node.domain, node.op_type


def stored_sources(model: "ModelProto") -> dict[str, str]:
    """Return the stored tensor behind each name: itself, or the input of a Transpose, Reshape, Cast or the like.

    Constant folding leaves such operators where a tensor is stored once and used in two layouts.
    """
    graphs = list(subgraphs(model.graph))
    sources = {tensor.name: tensor.name for graph in graphs for tensor in graph.initializer}
    for graph in graphs:  # an outer graph comes before its branches, a node before its users
        for node in graph.node:
            if node.op_type in VIEWS and operator_of(node)[0] == "" and node.input[0] in sources:
                sources[node.output[0]] = sources[node.input[0]]
    return sources


def weight_users(model: "ModelProto") -> dict[str, "NodeProto"]:
    """Return the operator that uses each weight, by the name of the stored tensor, in the graph and its branches."""
    sources = stored_sources(model)
    users: dict[str, NodeProto] = {}
    for graph in subgraphs(model.graph):
        for node in graph.node:
            for index in WEIGHT_INPUTS.get(operator_of(node), ()):
                if index < len(node.input) and node.input[index] in sources:
                    users.setdefault(sources[node.input[index]], node)
    return users


def find_weights(model: "ModelProto") -> Iterator[Weight]:
    """Yield once each stored floating-point tensor that an operator of `WEIGHT_INPUTS` uses as a weight."""
    from onnx import numpy_helper

    users = weight_users(model)
    for graph in subgraphs(model.graph):
        for tensor in graph.initializer:
            if tensor.name not in users or tensor.data_type not in float_types():
                continue
            operator = users[tensor.name].op_type
            if len(tensor.dims) >= 2 or operator not in _MATRIX_ONLY:
                yield Weight(tensor.name, operator, numpy_helper.to_array(tensor))


def float_types() -> frozenset[int]:
    """Return the data types of tensors whose values can be weights."""
    from onnx import TensorProto

    return frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE})
