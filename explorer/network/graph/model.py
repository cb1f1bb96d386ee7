"""A loaded and checked network with folded constants and a list of its weight tensors."""

import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, UnknownName
from explorer.network.graph.loading import first_line, read_network_file, subgraphs

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

# The inputs of an operator that are weights. Biases are not compressed: they are few and are added once.
WEIGHT_INPUTS: Mapping[str, tuple[int, ...]] = {
    "Conv": (1,),
    "Gemm": (0, 1),
    "MatMul": (0, 1),
    "GRU": (1, 2),
    "LSTM": (1, 2),
    "RNN": (1, 2),
}
ZOO = Path(__file__).parent.parent / "zoo"


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight tensor: `name` of its initializer, `operator` type that uses it, `values` as stored."""

    name: str
    operator: str
    values: NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True)
class Network:
    """A network to compress.

    Args:
        name: file name without suffix.
        path: path of the file.
        model: the model with folded constants; must not be modified.
        weights: the tensors that are pruned and quantized.
        sha256: SHA-256 of the file as read and of its external data.
        n_bytes: size of the file and its external data, in bytes.
    """

    name: str
    path: Path
    model: "ModelProto"
    weights: tuple[Weight, ...]
    sha256: str
    n_bytes: int

    @property
    def n_weights(self) -> int:
        """Number of weights that are pruned and quantized."""
        return sum(weight.values.size for weight in self.weights)

    @property
    def n_uncompressed_bytes(self) -> int:
        """Bytes of the parameters that are not compressed."""
        names = {weight.name for weight in self.weights}
        return sum(_n_bytes(tensor) for g in subgraphs(self.model.graph) for tensor in g.initializer
                   if tensor.name not in names)  # fmt: skip


def shipped_networks() -> tuple[str, ...]:
    """Return the names of the shipped networks."""
    return tuple(sorted(path.stem for path in ZOO.glob("*.onnx")))


def load_network(name: str | Path) -> Network:
    """Load a network by path, or by the name of a shipped one ('digits-cnn').

    Raises:
        MissingPart: onnx is not installed.
        WrongUsage: the file or the shipped network does not exist.
        InvalidFile: the file cannot be used: damaged, unsafe, not runnable, or without weights to compress.
    """
    text = str(name)
    if text in shipped_networks():
        path = ZOO / f"{text}.onnx"
    elif isinstance(name, Path) or "/" in text or text.endswith(".onnx"):
        path = Path(name)
    else:
        raise UnknownName("network", text, [*shipped_networks(), "a path ending in .onnx"])
    file = read_network_file(path)
    model = fold_constants(file.model, path=path)
    weights = tuple(find_weights(model))
    _check_weights(path, model, weights)
    return Network(path.stem, path, model, weights, file.sha256, file.n_bytes)


def fold_constants(model: "ModelProto", *, path: Path) -> "ModelProto":
    """Return the model after onnxruntime's basic graph optimizations, in standard operators.

    Without folding, weights are hidden behind Transpose, Reshape and Concat nodes: nine tenths of them in a GRU. On a
    CPU without float16 arithmetic, onnxruntime inserts casts; a second pass folds the casts of the weights.

    Raises:
        InvalidFile: onnxruntime cannot load the model.
    """
    import onnx

    from explorer.network.graph.session import offline_optimized

    source = onnx.ModelProto()
    source.CopyFrom(model)
    # Initializers that are inputs too (ONNX before IR 4) can be overridden at run time and would not be folded.
    stored = {tensor.name for tensor in source.graph.initializer}
    inputs = [value for value in source.graph.input if value.name not in stored]
    del source.graph.input[:]
    source.graph.input.extend(inputs)
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
    return folded


def opset_of(model: "ModelProto") -> int:
    """Return the version of the standard operators that a model uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in {"", "ai.onnx"}), 1)


def find_weights(model: "ModelProto") -> Iterator[Weight]:
    """Yield once each stored tensor that a Conv, Gemm, MatMul, GRU, LSTM or RNN uses as a weight."""
    from onnx import numpy_helper

    for graph in subgraphs(model.graph):
        users = weight_users(graph)
        for tensor in graph.initializer:
            if tensor.name in users and tensor.data_type in _float_types():
                yield Weight(tensor.name, users[tensor.name], numpy_helper.to_array(tensor))


def weight_users(graph: "GraphProto") -> dict[str, str]:
    """Return a mapping from weight name to operator type, for a graph and its subgraphs."""
    return {
        node.input[index]: node.op_type
        for inner in subgraphs(graph)
        for node in inner.node
        if node.domain in {"", "ai.onnx"}
        for index in WEIGHT_INPUTS.get(node.op_type, ())
        if index < len(node.input)
    }


def _float_types() -> set[int]:
    from onnx import TensorProto

    return {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE}


def _check_weights(path: Path, model: "ModelProto", weights: tuple[Weight, ...]) -> None:
    if not any(weight.values.size for weight in weights):
        kinds = sorted({node.op_type for graph in subgraphs(model.graph) for node in graph.node})
        raise InvalidFile(
            path,
            [
                Fault(
                    "",
                    f"has no weights to compress; its operators are {', '.join(kinds[:12])}",
                    f"weights are stored floating-point inputs of {', '.join(WEIGHT_INPUTS)}",
                )
            ],
        )
    non_finite = [weight.name for weight in weights if not np.isfinite(weight.values).all()]
    if non_finite:
        faults = [
            Fault(f"tensor '{n}'", "has weights that are NaN or infinite", "train it again") for n in non_finite[:20]
        ]
        raise InvalidFile(path, faults)


def _n_bytes(tensor: Any) -> int:
    from onnx import numpy_helper

    return int(numpy_helper.to_array(tensor).nbytes)
