"""Sparse stored tensors as dense ones, so that their zeros count as weights like any other."""

import math
from typing import TYPE_CHECKING

import numpy as np

from explorer.network.graph.loading import MAX_TENSOR_ELEMENTS
from explorer.network.graph.traversal import subgraphs

if TYPE_CHECKING:
    from onnx import ModelProto, SparseTensorProto, TensorProto


def make_dense(model: "ModelProto") -> list[str]:
    """Replace, in place, the sparse initializers of all graphs by dense ones; return their names.

    Raises:
        ValueError: one is too large, or its indices are outside its shape.
    """
    names = []
    for graph in subgraphs(model.graph):
        for sparse in graph.sparse_initializer:
            graph.initializer.append(_dense(sparse))
            names.append(sparse.values.name)
        del graph.sparse_initializer[:]
    return names


def _dense(sparse: "SparseTensorProto") -> "TensorProto":
    """Return a tensor in COO format as a dense one; indices are linear, or one row for each value.

    Source: ONNX IR specification, SparseTensorProto.
    """
    from onnx import numpy_helper

    name, shape = sparse.values.name, tuple(sparse.dims)
    if any(length < 0 for length in shape) or math.prod(shape) > MAX_TENSOR_ELEMENTS:
        raise ValueError(f"sparse tensor '{name[:80]}' has the shape {shape}")
    values, indices = numpy_helper.to_array(sparse.values), numpy_helper.to_array(sparse.indices)
    if indices.ndim > 1:
        indices = np.ravel_multi_index(tuple(indices.T), shape)
    dense = np.zeros(math.prod(shape), dtype=values.dtype)
    if indices.size != values.size or not ((indices >= 0) & (indices < dense.size)).all():
        raise ValueError(f"sparse tensor '{name[:80]}' has indices outside its shape")
    dense[indices] = values
    return numpy_helper.from_array(dense.reshape(shape), name)
