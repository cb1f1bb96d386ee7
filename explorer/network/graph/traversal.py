"""Traversal of an ONNX model: its graphs, those inside operators, and everything that is stored in them."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto


def subgraphs(graph: "GraphProto") -> Iterator["GraphProto"]:
    """Yield a graph and every graph inside its nodes (branches and loop bodies)."""
    yield graph
    for node in graph.node:
        for _, inner in branches(node):
            yield from subgraphs(inner)


def branches(node: "NodeProto") -> Iterator[tuple[str, "GraphProto"]]:
    """Yield the graphs directly inside a node, each with the name of its attribute."""
    for attribute in node.attribute:
        for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
            yield attribute.name, inner


def stored_tensors(model: "ModelProto") -> Iterator["TensorProto"]:
    """Yield every tensor stored in a model: (sparse) initializers and attributes, in all graphs and functions."""
    nodes = [node for function in model.functions for node in function.node]
    graphs = list(subgraphs(model.graph))
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                graphs += subgraphs(attribute.g)
    for graph in graphs:
        yield from graph.initializer
        for sparse in graph.sparse_initializer:
            yield from (sparse.values, sparse.indices)
        nodes += graph.node
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
