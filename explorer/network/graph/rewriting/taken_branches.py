"""Branches that a run takes: each If is replaced by the branch of its condition, so that its operators are counted."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.network.graph.rewriting.scopes import defined_names, rename_uses
from explorer.network.graph.session import open_inference_session
from explorer.network.graph.traversal import branches
from explorer.network.graph.weights import operator_of

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

Feeds = Mapping[str, NDArray[Any]]
_IF = ("", "If")


def take_branches(model: "ModelProto", feeds: Feeds, *, seconds: float | None = None) -> "ModelProto":
    """Return a model whose Ifs are replaced by the branches that a run on feeds takes; others are returned as they are.

    Loops remain. The model is only for counting: it computes the same for these feeds alone.

    Args:
        model: the network, with unique names of stored tensors.
        feeds: inputs of the run.
        seconds: time limit of a run; None sets none.

    Raises:
        MeasurementFailed: the network cannot be run on these feeds.
    """
    import onnx

    while any(operator_of(node) == _IF for node in model.graph.node):
        conditions = _conditions(model, feeds, seconds=seconds)
        inlined = onnx.ModelProto()
        inlined.CopyFrom(model)
        nodes = list(model.graph.node)
        del inlined.graph.node[:]
        for node in nodes:
            if operator_of(node) == _IF:
                _inline(inlined.graph, node, is_true=conditions[node.input[0]])
            else:
                inlined.graph.node.append(node)
        model = inlined
    return model


def _conditions(model: "ModelProto", feeds: Feeds, *, seconds: float | None) -> dict[str, bool]:
    """Return the conditions of all Ifs of the main graph in a run, by name."""
    import onnx
    from onnx import numpy_helper

    names = {node.input[0] for node in model.graph.node if operator_of(node) == _IF}
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer if tensor.name in names}
    values: dict[str, NDArray[Any]] = {**stored, **{name: feeds[name] for name in names & feeds.keys()}}
    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    outputs = {output.name for output in exposed.graph.output}
    exposed.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names - values.keys() - outputs)
    values |= open_inference_session(exposed.SerializeToString(), optimize=False).run(feeds, seconds=seconds)
    return {name: bool(np.ravel(values[name])[0]) for name in names}


def _inline(graph: "GraphProto", node: "NodeProto", *, is_true: bool) -> None:
    """Append the operators of one branch of an If to a graph, and those that give its outputs the If's names."""
    from onnx import GraphProto, helper

    body = GraphProto()
    body.CopyFrom(dict(branches(node))["then_branch" if is_true else "else_branch"])
    outer_names = defined_names(graph)
    for name in sorted({name for inner in body.node for name in inner.output if name in outer_names}):
        rename_uses(body, name, f"{node.output[0]}/{name}")
        for inner in body.node:
            inner.output[:] = [f"{node.output[0]}/{one}" if one == name else one for one in inner.output]
    graph.initializer.extend(body.initializer)
    graph.node.extend(body.node)
    for result, name in zip(body.output, node.output, strict=True):
        graph.node.append(helper.make_node("Identity", [result.name], [name]))
