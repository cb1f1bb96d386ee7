"""Constant folding: a network as its weights really are, each stored once, in standard operators where it had them."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import Fault, InvalidFile
from explorer.network.graph.loading import EXPORT_AGAIN, first_line
from explorer.network.graph.rewriting.bfloat16 import convert_bfloat16
from explorer.network.graph.rewriting.constants import keep_computed
from explorer.network.graph.rewriting.scopes import make_stored_names_unique, remove_unused
from explorer.network.graph.rewriting.sparse import make_dense
from explorer.network.graph.rewriting.ties import tie_weights
from explorer.network.graph.session import offline_optimized
from explorer.network.graph.traversal import subgraphs

if TYPE_CHECKING:
    from onnx import ModelProto

_IR_WITHOUT_INPUTS = 4  # first IR version whose stored tensors need not be inputs


def fold_constants(model: "ModelProto", *, path: Path) -> tuple["ModelProto", tuple[str, ...]]:
    """Return the model after onnxruntime's basic graph optimizations, and notes of the changes.

    Without folding, weights are hidden behind Transpose, Reshape and Concat nodes: nine tenths of them in a GRU. On a
    CPU without float16 arithmetic, onnxruntime inserts casts; a second pass folds the casts of the weights. Stored
    tensors that nothing uses are removed, tied ones stored once, and each has a name of its own in the file. Constants
    that are computed from much smaller ones stay computed.

    Raises:
        InvalidFile: onnxruntime cannot load the model.
    """
    import onnx

    source = onnx.ModelProto()
    source.CopyFrom(model)
    # Initializers that are inputs too (ONNX before IR 4) can be overridden at run time and would not be folded.
    stored = {tensor.name for tensor in source.graph.initializer}
    inputs = [value for value in source.graph.input if value.name not in stored]
    del source.graph.input[:]
    source.graph.input.extend(inputs)
    source.ir_version = max(source.ir_version, _IR_WITHOUT_INPUTS)
    try:
        sparse = make_dense(source)
    except ValueError as error:
        raise InvalidFile(path, [Fault("", f"is damaged: {first_line(error)}", EXPORT_AGAIN)]) from None
    n_converted = convert_bfloat16(source)
    unused = remove_unused(source)
    has_half = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in source.graph.initializer)
    folded = source
    with tempfile.TemporaryDirectory(prefix="explorer-") as folder:
        try:
            for _ in range(2 if has_half else 1):
                folded = offline_optimized(folded.SerializeToString(), Path(folder) / "folded.onnx")
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors have no common base class
            fault = Fault("", f"onnxruntime cannot load it: {first_line(error)}", "use operators that it supports")
            raise InvalidFile(path, [fault]) from None
    used = {node.domain for graph in subgraphs(folded.graph) for node in graph.node} | {""}
    opsets = [opset for opset in folded.opset_import if opset.domain in used]
    del folded.opset_import[:]
    folded.opset_import.extend(opsets)
    folded.ir_version = max(folded.ir_version, _IR_WITHOUT_INPUTS)
    keep_computed(folded, source)
    make_stored_names_unique(folded)
    tied = tie_weights(folded, stored_before=stored)
    remove_unused(folded)
    notes = [f"bfloat16 is computed in float32: {n_converted} stored tensors are converted"] if n_converted else []
    notes += [f"sparse tensors are stored densely: {len(sparse)}"] if sparse else []
    if unused:
        listed = ", ".join(f"'{name}'" for name in unused[:3]) + (", ..." if len(unused) > 3 else "")
        notes.append(f"stored tensors that no operator uses are left out: {listed}")
    notes += [f"'{first}' is used as '{name}' too, and stored once" for name, first in tied]
    return folded, tuple(notes)
