"""Reading a compressed network back: the codes that it stores, with their step, and what else it holds."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from explorer.network.codes import BITS, Coded, Container
from explorer.network.load import subgraphs

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """One tensor as the file stores it: its codes, the step D, and the zero point."""

    name: str
    coded: Coded
    step: float
    zero: int


def stored_weights(model: "ModelProto") -> Iterator[StoredWeight]:
    """Yield every tensor that a DequantizeLinear node makes of stored integer codes."""
    from onnx import numpy_helper

    kinds = _containers()
    for graph in subgraphs(model.graph):
        stored = {tensor.name: tensor for tensor in graph.initializer}
        for node in graph.node:
            is_weight = node.op_type == "DequantizeLinear" and len(node.input) == 3 and set(node.input) <= set(stored)
            if not is_weight or stored[node.input[0]].data_type not in kinds:
                continue
            codes, step, zero = (numpy_helper.to_array(stored[name]) for name in node.input)
            if step.size != 1 or zero.size != 1:
                continue
            coded = Coded(codes.astype(np.int64), kinds[stored[node.input[0]].data_type], 0)
            yield StoredWeight(node.input[0].removesuffix("/codes"), coded, float(step), int(zero))


def n_other_bytes(model: "ModelProto") -> int:
    """Return the bytes of the parameters that are not codes, nor steps and zero points of codes."""
    from onnx import numpy_helper

    total = 0
    for graph in subgraphs(model.graph):
        mine = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.input}
        total += sum(int(numpy_helper.to_array(t).nbytes) for t in graph.initializer if t.name not in mine)
    return total


def _containers() -> dict[int, Container]:
    from onnx import TensorProto

    return {int(getattr(TensorProto, name.upper())): name for name in BITS}
