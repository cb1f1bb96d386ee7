"""Multiply-accumulates of an operator from the shapes of its tensors: standard operators, and those of onnxruntime."""

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from explorer.network.graph.weights import operator_of

if TYPE_CHECKING:
    from onnx import NodeProto

Shapes = Mapping[str, tuple[int, ...]]
Rule = Callable[["NodeProto", Shapes], int | None]
_MICROSOFT = "com.microsoft"
# Standard operators whose MACs are not counted here.
_UNKNOWN = frozenset({"DeformConv", "DFT", "STFT"})
# Operators of onnxruntime without MACs: activations, normalization, elementwise and selecting ones.
_FREE_OF_MACS = frozenset({
    "BiasAdd", "BiasDropout", "BiasGelu", "BiasSoftmax", "BiasSplitGelu", "DequantizeLinear",
    "EmbedLayerNormalization", "ExpandDims", "FastGelu", "GatherBlockQuantized", "GatherND", "Gelu", "GroupNorm",
    "NhwcMaxPool", "Pad", "QEmbedLayerNormalization", "QLinearAdd", "QLinearAveragePool", "QLinearConcat",
    "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul", "QLinearReduceMean", "QLinearSigmoid",
    "QLinearSoftmax", "QLinearWhere", "QuantizeLinear", "QuickGelu", "Range", "RotaryEmbedding", "SkipGroupNorm",
    "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "Trilu", "Unique",
})  # fmt: skip


def count_macs(node: "NodeProto", shapes: Shapes) -> int | None:
    """Return the MACs of an operator, 0 if it has none, None if they cannot be counted."""
    domain, operator = operator_of(node)
    rule = RULES.get((domain, operator))
    if rule is not None:
        return rule(node, shapes)
    is_free = operator not in _UNKNOWN if domain == "" else domain == _MICROSOFT and operator in _FREE_OF_MACS
    return 0 if is_free else None


def steps_and_batch(node: "NodeProto", shapes: Shapes) -> tuple[int, int]:
    """Return the number of time steps and of sequences of a recurrent operator."""
    first_dim, second_dim = shapes[node.input[0]][:2]
    return (second_dim, first_dim) if _integer(node, "layout") else (first_dim, second_dim)


def _integer(node: "NodeProto", name: str) -> int:
    return next((attribute.i for attribute in node.attribute if attribute.name == name), 0)


def _convolution(weight: int) -> Rule:
    return lambda node, shapes: math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[weight]][1:])


def _transposed_convolution(node: "NodeProto", shapes: Shapes) -> int:
    return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _gemm(node: "NodeProto", shapes: Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * shapes[node.input[0]][0 if _integer(node, "transA") else 1]


def _matmul(node: "NodeProto", shapes: Shapes) -> int:
    factor = shapes[node.input[0]]
    if _integer(node, "transBatchA"):  # (rows, batch..., columns): the first dimension is moved before the last
        factor = (*factor[1:-1], factor[0], factor[-1])
    is_transposed = _integer(node, "transA") and len(factor) > 1
    return math.prod(shapes[node.output[0]]) * factor[-2 if is_transposed else -1]


def _packed_matmul(node: "NodeProto", shapes: Shapes) -> int:
    return math.prod(shapes[node.output[0]]) * _integer(node, "K")


def _recurrent(node: "NodeProto", shapes: Shapes) -> int:
    steps, batch = steps_and_batch(node, shapes)
    return steps * batch * (math.prod(shapes[node.input[1]]) + math.prod(shapes[node.input[2]]))


def _einsum(node: "NodeProto", shapes: Shapes) -> int | None:
    equation = next(attribute.s.decode() for attribute in node.attribute if attribute.name == "equation")
    terms = equation.replace(" ", "").split("->")[0].split(",")
    if "..." in equation or len(terms) != 2:
        return None
    lengths: dict[str, int] = {}
    for term, name in zip(terms, node.input, strict=True):
        lengths |= dict(zip(term, shapes[name], strict=True))
    return math.prod(lengths.values())


def _projected_attention(node: "NodeProto", shapes: Shapes) -> int | None:
    """Return the MACs of an Attention with its projections: X W, then scores and context."""
    if len(shapes[node.input[0]]) != 3:
        return None
    (batch, length, width), (_, projected) = shapes[node.input[0]], shapes[node.input[1]]
    values = shapes[node.output[0]][-1]
    past = _shape_of_input(node, shapes, 8 if node.op_type == "QAttention" else 4)
    n_keys = length + (past[3] if past else 0)  # past: (2, batch, heads, length, width of a head)
    scores = (projected - values) // 2  # width of the queries, and of the keys
    return batch * length * (width * projected + n_keys * (scores + values))


def _attention(node: "NodeProto", shapes: Shapes) -> int | None:
    """Return the MACs of scores and context; the projections are operators of their own.

    With queries (batch, heads, length, d) or (batch, length, heads d): each of their elements meets each key once,
    and each element of the output each value.
    """
    query, key = shapes[node.input[0]], _shape_of_input(node, shapes, 1)
    if key is None or len(query) not in {3, 4} or len(key) not in {3, 4}:
        return None  # packed queries, keys and values
    n_keys = key[-2]
    present = next((shapes[name] for name in node.output[1:2] if name in shapes), None)
    if present is not None and len(present) == 4:  # earlier keys included: (batch, heads, length, d)
        n_keys = present[2]
    return n_keys * (math.prod(query) + math.prod(shapes[node.output[0]]))


def _shape_of_input(node: "NodeProto", shapes: Shapes, index: int) -> tuple[int, ...] | None:
    return shapes.get(node.input[index]) if index < len(node.input) else None


RULES: Mapping[tuple[str, str], Rule] = {
    ("", "Attention"): _attention,
    ("", "Conv"): _convolution(1),
    ("", "ConvInteger"): _convolution(1),
    ("", "ConvTranspose"): _transposed_convolution,
    ("", "Einsum"): _einsum,
    ("", "GRU"): _recurrent,
    ("", "Gemm"): _gemm,
    ("", "LSTM"): _recurrent,
    ("", "MatMul"): _matmul,
    ("", "MatMulInteger"): _matmul,
    ("", "QLinearConv"): _convolution(3),
    ("", "QLinearMatMul"): _matmul,
    ("", "RNN"): _recurrent,
    (_MICROSOFT, "Attention"): _projected_attention,
    (_MICROSOFT, "DynamicQuantizeLSTM"): _recurrent,
    (_MICROSOFT, "DynamicQuantizeMatMul"): _matmul,
    (_MICROSOFT, "FusedConv"): _convolution(1),
    (_MICROSOFT, "FusedGemm"): _gemm,
    (_MICROSOFT, "FusedMatMul"): _matmul,
    (_MICROSOFT, "FusedMatMulActivation"): _matmul,
    (_MICROSOFT, "GemmFastGelu"): _matmul,
    (_MICROSOFT, "GroupQueryAttention"): _attention,
    (_MICROSOFT, "MatMulBnb4"): _packed_matmul,
    (_MICROSOFT, "MatMulIntegerToFloat"): _matmul,
    (_MICROSOFT, "MatMulNBits"): _packed_matmul,
    (_MICROSOFT, "MultiHeadAttention"): _attention,
    (_MICROSOFT, "NhwcConv"): _convolution(1),
    (_MICROSOFT, "NhwcFusedConv"): _convolution(1),
    (_MICROSOFT, "QAttention"): _projected_attention,
    (_MICROSOFT, "QGemm"): _gemm,
    (_MICROSOFT, "QLinearConv"): _convolution(3),
    (_MICROSOFT, "TransposeMatMul"): _matmul,
    ("com.microsoft.nchwc", "Conv"): _convolution(1),
}
