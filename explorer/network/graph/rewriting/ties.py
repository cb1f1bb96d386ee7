"""Tied weights: a tensor that a network uses in two layouts is stored once, and transposed where it is used."""

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.network.graph.weights import find_weights

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


def tie_weights(model: "ModelProto", *, stored_before: set[str]) -> tuple[tuple[str, str], ...]:
    """Replace, in place, weights that repeat another one's values; return the pairs (replaced, first).

    Constant folding gives a table that is used in both layouts, such as the embedding and the output layer of
    a language model, two copies. The copy becomes a Transpose of the first, or an Identity, which onnxruntime computes
    at load. Tensors with one value everywhere are not tied: they are equal by chance.

    Args:
        model: the network with folded constants.
        stored_before: names of the tensors that the source stores: of two equal tensors, these come first.
    """
    from onnx import helper

    top_level = {tensor.name for tensor in model.graph.initializer}
    weights = [w for w in find_weights(model) if w.name in top_level and w.values.ndim >= 2 and _varies(w.values)]
    n_of_shape = Counter(_shape(weight.values) for weight in weights)
    weights = [weight for weight in weights if n_of_shape[_shape(weight.values)] > 1]
    first_of: dict[str, str] = {}
    nodes: list[NodeProto] = []
    pairs = []
    for weight in sorted(weights, key=lambda weight: weight.name not in stored_before):
        same, transposed = _digest(weight.values), _digest(weight.values.T)
        if same in first_of:
            node = helper.make_node("Identity", [first_of[same]], [weight.name])
        elif transposed in first_of:
            axes = list(range(weight.values.ndim))[::-1]
            node = helper.make_node("Transpose", [first_of[transposed]], [weight.name], perm=axes)
        else:
            first_of[same] = weight.name
            continue
        node.name = f"{weight.name}/tied"
        pairs.append((weight.name, node.input[0]))
        nodes.append(node)
    _replace(model.graph, [name for name, _ in pairs], nodes)
    return tuple(pairs)


def _shape(values: NDArray[Any]) -> tuple[int, ...]:
    return tuple(sorted(values.shape))


def _varies(values: NDArray[Any]) -> bool:
    return bool(values.size) and bool((values != values.flat[0]).any())


def _digest(values: NDArray[Any]) -> str:
    digest = hashlib.sha256(f"{values.dtype} {values.shape}".encode())
    digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def _replace(graph: "GraphProto", names: list[str], nodes: list["NodeProto"]) -> None:
    """Replace stored tensors by nodes that compute them."""
    if not nodes:
        return
    remaining, rest = [tensor for tensor in graph.initializer if tensor.name not in set(names)], list(graph.node)
    del graph.initializer[:], graph.node[:]
    graph.initializer.extend(remaining)
    graph.node.extend([*nodes, *rest])
