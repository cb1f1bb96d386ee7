"""Scopes of a network: unique names of the tensors stored in branches and loop bodies; tensors without use."""

from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

from explorer.network.graph.traversal import branches, subgraphs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto


def make_stored_names_unique(model: "ModelProto") -> None:
    """Rename, in place, stored tensors of branches and loop bodies whose names occur elsewhere in the file.

    Two branches of an If may store different tensors under one name. The new name is `then_branch/NAME`, with the name
    of the operator before it where that occurs too. It depends on the file alone.
    """
    counts = Counter(name for graph in subgraphs(model.graph) for name in defined_names(graph))
    used_names = set(counts)
    for graph in list(subgraphs(model.graph)):
        for node in graph.node:
            for attribute, inner in branches(node):
                for tensor in inner.initializer:
                    if counts[tensor.name] > 1:
                        new = _unused(f"{attribute}/{tensor.name}", node.name or node.op_type, used_names=used_names)
                        used_names.add(new)
                        old, tensor.name = tensor.name, new
                        rename_uses(inner, old, new)


def remove_unused(model: "ModelProto") -> tuple[str, ...]:
    """Remove, in place, stored tensors that nothing reads, their inputs before IR 4 too; return their names.

    onnxruntime cannot load a tensor that is neither an input nor used; exporters leave such tensors behind.
    """
    used = {output.name for graph in subgraphs(model.graph) for output in graph.output}
    used |= {name for graph in subgraphs(model.graph) for node in graph.node for name in node.input}
    removed = []
    for graph in subgraphs(model.graph):
        unused = {tensor.name for tensor in graph.initializer} - used
        if unused:
            used_tensors = [tensor for tensor in graph.initializer if tensor.name in used]
            del graph.initializer[:]
            graph.initializer.extend(used_tensors)
            removed += sorted(unused)
    return tuple(removed)


def defined_names(graph: "GraphProto") -> set[str]:
    """Return the names that a graph defines itself."""
    names = {value.name for value in (*graph.input, *graph.initializer)}
    return names | {name for node in graph.node for name in node.output if name}


def _unused(name: str, operator: str, *, used_names: set[str]) -> str:
    candidates = (f"{operator}/{name}" if i == 0 else f"{operator}-{i}/{name}" for i in count())
    return name if name not in used_names else next(new for new in candidates if new not in used_names)


def rename_uses(graph: "GraphProto", old: str, new: str) -> None:
    """Rename a name in a graph and in the branches inside it that do not define it themselves."""
    for value in (*graph.output, *graph.value_info):
        if value.name == old:
            value.name = new
    for node in graph.node:
        for i, name in enumerate(node.input):
            if name == old:
                node.input[i] = new
        for _, inner in branches(node):
            if old not in defined_names(inner):
                rename_uses(inner, old, new)
