"""Multiply-accumulates (MACs) and memory accesses of an ONNX network, counted per operator."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.network.graph.mac_rules import Shapes, count_macs, steps_and_batch
from explorer.network.graph.rewriting.constants import constant_names
from explorer.network.graph.rewriting.taken_branches import take_branches
from explorer.network.graph.session import open_inference_session
from explorer.network.graph.weights import stored_sources

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

# These change only the name or shape of a tensor: no data is moved.
_FREE = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape", "Size", "Constant", "Dropout"})
# These read only the selected elements, not the whole input.
_SELECTING = frozenset({"Gather", "GatherElements", "GatherND", "Slice"})
_RECURRENT = frozenset({"DynamicQuantizeLSTM", "GRU", "LSTM", "RNN"})


@dataclass(frozen=True, slots=True)
class OperatorCount:
    """Counts of one operator in one run, in elements; `weight_reads` by stored tensor."""

    name: str
    operator: str
    n_macs: int
    weight_reads: Mapping[str, int]
    n_activation_accesses: int

    @property
    def n_accesses(self) -> int:
        """Number of elements read and written."""
        return sum(self.weight_reads.values()) + self.n_activation_accesses


@dataclass(frozen=True, slots=True)
class OpCounts:
    """Counts of one run of a network; `uncounted` names the operators whose MACs cannot be counted."""

    operators: tuple[OperatorCount, ...]
    uncounted: tuple[str, ...]

    @property
    def n_macs(self) -> int:
        """N_MAC of Eq. (1)."""
        return sum(operator.n_macs for operator in self.operators)

    @property
    def n_accesses(self) -> int:
        """N_mem of Eq. (1)."""
        return sum(operator.n_accesses for operator in self.operators)


def count_operations(
    model: "ModelProto", feeds: Mapping[str, NDArray[Any]], *, seconds: float | None = None
) -> OpCounts:
    """Run a network once on `feeds` to get every tensor shape, and count MACs and memory accesses (Eq. (1)).

    MACs: one multiplication with its addition in Conv, ConvTranspose, Gemm, MatMul, Einsum, attention and the gates of
    GRU, LSTM and RNN, and in their fused and quantized variants. Biases, activations and normalization have none.

    Accesses: one element read or written. Every operator reads each input once and writes each output once: no tensor
    is assumed to stay in registers between two operators. Recurrent operators read their input weights once, and
    their recurrent weights and states in every step. Reshapes are free. Gather and Slice read the selected elements.
    What depends on stored tensors alone is computed once, at load, and not counted. Of an If, the branch that the run
    takes is counted.

    Zero weights count like any other weight: dense hardware does not skip them.

    Raises:
        MeasurementFailed: the network cannot be run on these feeds.
    """
    model = take_branches(model, feeds, seconds=seconds)
    shapes = _all_shapes(model, feeds, seconds=seconds)
    constant = constant_names(model.graph)
    sources = {name: name for name in constant} | stored_sources(model)
    operators, uncounted = [], []
    for i, node in enumerate(model.graph.node):
        if constant.issuperset(node.output):
            continue
        has_body = any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        macs = None if has_body else count_macs(node, shapes)
        if macs is None:
            uncounted.append(f"{node.op_type} '{node.name or i}'")
        weights, activations = _accesses(node, shapes, sources=sources)
        operators.append(OperatorCount(node.name or str(i), node.op_type, macs or 0, weights, activations))
    return OpCounts(tuple(operators), tuple(uncounted))


def _all_shapes(model: "ModelProto", feeds: Mapping[str, NDArray[Any]], *, seconds: float | None) -> Shapes:
    """Return the shape of every tensor in the main graph, from a run with all of them as outputs."""
    import onnx

    exposed = onnx.ModelProto()
    exposed.CopyFrom(model)
    output_names = {output.name for output in exposed.graph.output}
    exposed.graph.output.extend(
        onnx.ValueInfoProto(name=name)
        for node in model.graph.node
        for name in node.output
        if name and name not in output_names
    )
    values = open_inference_session(exposed.SerializeToString(), optimize=False).run(feeds, seconds=seconds)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    shapes |= {name: tuple(value.shape) for name, value in {**feeds, **values}.items() if isinstance(value, np.ndarray)}
    return shapes


def _accesses(node: "NodeProto", shapes: Shapes, *, sources: Mapping[str, str]) -> tuple[dict[str, int], int]:
    """Return the elements read of each stored tensor, and the activation elements read and written."""
    if node.op_type in _FREE:
        return {}, 0
    written = sum(_size(node.output, shapes))
    reads = dict(zip(node.input, _size(node.input, shapes), strict=True))
    if node.op_type in _SELECTING:
        reads[node.input[0]] = written
    if node.op_type in _RECURRENT:
        steps, batch = steps_and_batch(node, shapes)
        directions, _, width = shapes[node.input[2]]
        state = steps * batch * directions * width * (2 if node.op_type == "LSTM" else 1)
        reads = {name: n for name, n in reads.items() if name in {node.input[0], *node.input[1:4]}}
        reads[node.input[2]] *= steps
        return _split(reads, sources=sources, n_activations=2 * state)
    return _split(reads, sources=sources, n_activations=written)


def _split(reads: Mapping[str, int], *, sources: Mapping[str, str], n_activations: int) -> tuple[dict[str, int], int]:
    weights: dict[str, int] = {}
    for name in sources.keys() & reads.keys():
        weights[sources[name]] = weights.get(sources[name], 0) + reads[name]
    return weights, n_activations + sum(n for name, n in reads.items() if name not in sources)


def _size(names: Sequence[str], shapes: Shapes) -> list[int]:
    return [math.prod(shapes[name]) if name in shapes else 0 for name in names]
