"""Constants that a network computes from smaller ones: they stay computed, so that a file does not grow by folding."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from explorer.network.graph.traversal import branches
from explorer.network.graph.weights import VIEWS

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

_MIN_ELEMENTS = 1024  # below, a tensor is smaller than the operators that compute it
_MIN_GROWTH = 2
# Weights of one value everywhere, in any layout, replace trained ones: the light networks of the onnx package.
_PLACEHOLDERS = frozenset({"Constant", "ConstantOfShape", *VIEWS})
_RANDOM = frozenset({
    "Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike",
})  # fmt: skip


def constant_names(graph: "GraphProto") -> set[str]:
    """Return the names in a graph whose values depend on stored tensors alone: they are computed once, at load."""
    constant = {"", *(tensor.name for tensor in graph.initializer)}
    for node in graph.node:
        if _is_pure(node) and constant.issuperset(node.input):
            constant.update(node.output)
    return constant - {""}


def keep_computed(folded: "ModelProto", source: "ModelProto") -> tuple[str, ...]:
    """Replace, in place, folded constants by the operators that compute them; return their names.

    They are computed from at most half as many stored elements: no trained weights, but a discrete Fourier transform,
    a mel filter bank, a mask or positions.

    Args:
        folded: the network with folded constants.
        source: the network before folding.
    """
    stored_before = {tensor.name: tensor for tensor in source.graph.initializer}
    producers = {name: node for node in source.graph.node for name in node.output if name}
    constant = constant_names(source.graph)
    restored: list[str] = []
    needed: dict[str, None] = {}
    for tensor in folded.graph.initializer:
        name, n = tensor.name, _n_elements(tensor.dims)
        if n < _MIN_ELEMENTS or name in stored_before or name not in producers or name not in constant:
            continue
        names = _ancestors(name, producers)
        if {producers[one].op_type for one in names if one in producers} <= _PLACEHOLDERS:
            continue
        if n >= _MIN_GROWTH * sum(_stored_elements(one, producers, stored_before) for one in names):
            restored.append(name)
            needed |= dict.fromkeys(names)
    if restored:
        _restore(folded.graph, source.graph, needed.keys())
    return tuple(restored)


def _is_pure(node: "NodeProto") -> bool:
    return not list(branches(node)) and node.op_type not in _RANDOM


def _ancestors(name: str, producers: dict[str, "NodeProto"]) -> set[str]:
    """Return a name and all names that it is computed from."""
    names, todo = set(), [name]
    while todo:
        one = todo.pop()
        if one and one not in names:
            names.add(one)
            todo += producers[one].input if one in producers else []
    return names


def _stored_elements(name: str, producers: dict[str, "NodeProto"], stored: dict[str, "TensorProto"]) -> int:
    """Return the number of elements stored under a name: of an initializer or of a Constant."""
    if name in stored:
        return _n_elements(stored[name].dims)
    node = producers.get(name)
    if node is None or node.op_type != "Constant":
        return 0
    return max((_n_elements(attribute.t.dims) for attribute in node.attribute if attribute.HasField("t")), default=1)


def _restore(folded: "GraphProto", source: "GraphProto", names: Iterable[str]) -> None:
    """Put the operators and stored tensors behind names, from a graph before folding, into the folded one."""
    wanted = set(names)
    nodes = [node for node in source.node if wanted.intersection(node.output)]
    computed = {name for node in nodes for name in node.output}
    existing = {name for node in folded.node for name in node.output}
    restored = [tensor for tensor in folded.initializer if tensor.name not in computed]
    present = {tensor.name for tensor in restored}
    restored += [tensor for tensor in source.initializer if tensor.name in wanted - present]
    rest = list(folded.node)
    del folded.initializer[:], folded.node[:]
    folded.initializer.extend(restored)
    folded.node.extend([*(node for node in nodes if not existing.intersection(node.output)), *rest])


def _n_elements(dims: Iterable[int]) -> int:
    count = 1
    for dim in dims:
        count *= max(int(dim), 0)
    return count
