"""Small networks, each the minimal form of one kind of export, with the data that they were made for.

Labels are those of the network itself: read and fed as it is meant, it is right in every sample.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Array = NDArray[Any]
Nodes = list[tuple[str, list[str], list[str]]]
N = 200
_random = np.random.default_rng(1)
X: Array = _random.normal(size=(N, 12)).astype(np.float32)
_WEIGHTS = {
    "w1": _random.normal(size=(12, 16)) * 0.3, "w2": _random.normal(size=(16, 10)) * 0.3,
    "we": _random.normal(size=(12, 40)) * 0.3, "wc": _random.normal(size=(12, 1)) * 0.3,
    "scores": np.array([-1, 10, 1, 1]), "one": np.array([1, 16]), "row": np.array([-1]), "axes": np.array([1]),
}  # fmt: skip
W1, W2, WC = (_WEIGHTS[name].astype(np.float32) for name in ("w1", "w2", "wc"))
Y: Array = (np.maximum(X @ W1, 0) @ W2).argmax(axis=1)
Y_PAIR: Array = (X @ WC > 0).astype(int)[:, 0]
NAMES = np.array([f"class {i}" for i in range(10)])
HIDDEN: Nodes = [("MatMul", ["x", "w1"], ["a"]), ("Relu", ["a"], ["b"])]
BASE: Nodes = [*HIDDEN, ("MatMul", ["b", "w2"], ["logits"])]
FREE, LOGITS = {"x": ["n", 12]}, {"logits": ["n", 10]}
_TYPES = {"rate": TensorProto.FLOAT, "class": TensorProto.INT64}
Case = tuple[Nodes, dict[str, list[Any]], dict[str, list[Any]], dict[str, Array], str]
# Nodes, inputs, outputs, data (y is `Y` where there is none), and the output that gives the classes.
CASES: dict[str, Case] = {
    "plain": (BASE, FREE, LOGITS, {}, "logits"),
    "batch_fixed_at_1": (BASE, {"x": [1, 12]}, {"logits": [1, 10]}, {}, "logits"),
    "batch_fixed_at_7": (BASE, {"x": [7, 12]}, {"logits": [7, 10]}, {}, "logits"),
    "embeddings_first": ([("MatMul", ["x", "we"], ["emb"]), *BASE], FREE, {"emb": ["n", 40], **LOGITS}, {}, "logits"),
    "confidence_first": (
        [("MatMul", ["x", "wc"], ["c"]), ("Sigmoid", ["c"], ["conf"]), *BASE], FREE, {"conf": ["n", 1], **LOGITS}, {},
        "logits",
    ),
    "fully_convolutional": (
        [*HIDDEN, ("MatMul", ["b", "w2"], ["l"]), ("Reshape", ["l", "scores"], ["logits"])], FREE,
        {"logits": ["n", 10, 1, 1]}, {}, "logits",
    ),
    "argmax_keeps_its_axis": ([*BASE, ("ArgMax", ["logits"], ["class"])], FREE, {"class": ["n", 1]}, {}, "class"),
    "reshape_to_one_sample": (
        [*HIDDEN, ("Reshape", ["b", "one"], ["b2"]), ("MatMul", ["b2", "w2"], ["logits"])], FREE, LOGITS, {}, "logits",
    ),
    "batch_changes_values": (
        [*HIDDEN, ("ReduceMean", ["b"], ["m"]), ("Sub", ["b", "m"], ["d"]), ("Mul", ["d", "m"], ["e"]),
         ("Add", ["b", "e"], ["f"]), ("MatMul", ["f", "w2"], ["logits"])], FREE, LOGITS, {}, "logits",
    ),
    "no_batch_axis": (
        [("Reshape", ["x", "first"], ["x1"]), ("MatMul", ["x1", "w1"], ["a"]), ("Relu", ["a"], ["b"]),
         ("MatMul", ["b", "w2"], ["l"]), ("Reshape", ["l", "row"], ["logits"])], {"x": [12]}, {"logits": [10]}, {},
        "logits",
    ),
    "scalar_input": (
        [("Mul", ["x", "rate"], ["x1"]), ("MatMul", ["x1", "w1"], ["a"]), ("Relu", ["a"], ["b"]),
         ("MatMul", ["b", "w2"], ["logits"])], {**FREE, "rate": []}, LOGITS, {"rate": np.float32(1)}, "logits",
    ),
    "one_column_of_logits": ([("MatMul", ["x", "wc"], ["c"])], FREE, {"c": ["n", 1]}, {"y": Y_PAIR}, "c"),
    "one_column_of_probabilities": (
        [("MatMul", ["x", "wc"], ["c"]), ("Sigmoid", ["c"], ["p"])], FREE, {"p": ["n", 1]}, {"y": Y_PAIR}, "p",
    ),
    "pixels_are_integers": (BASE, FREE, LOGITS, {"x": (X * 10).astype(np.int8)}, "logits"),
}  # fmt: skip


def export(name: str) -> onnx.ModelProto:
    """Return the network of a case."""
    nodes, inputs, outputs, _, _ = CASES[name]
    weights = {**_WEIGHTS, "first": np.array([1, 12])}
    used = {one for _, names, _ in nodes for one in names}
    graph = helper.make_graph(
        [_node(operator, names, made) for operator, names, made in nodes],
        name,
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, shape) for one, shape in inputs.items()],
        [helper.make_tensor_value_info(one, _TYPES.get(one, TensorProto.FLOAT), s) for one, s in outputs.items()],
        [numpy_helper.from_array(_stored(value), one) for one, value in weights.items() if one in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


def data_of(name: str) -> dict[str, Array]:
    """Return the arrays of a case; the labels are those of the network, sample by sample."""
    arrays = {"x": X, "y": Y, **CASES[name][3]}
    if name == "pixels_are_integers":
        arrays["y"] = (np.maximum(arrays["x"].astype(np.float32) @ W1, 0) @ W2).argmax(axis=1)
    if name == "batch_changes_values":
        hidden = np.maximum(X @ W1, 0)
        mean = hidden.mean(axis=1, keepdims=True)
        arrays["y"] = ((hidden + (hidden - mean) * mean) @ W2).argmax(axis=1)
    return arrays


def write_case(name: str, folder: Path) -> tuple[Path, Path]:
    """Write network and data of a case; return both paths."""
    onnx.save(export(name), folder / f"{name}.onnx")
    np.savez(folder / f"{name}.npz", **data_of(name))  # type: ignore[arg-type]
    return folder / f"{name}.onnx", folder / f"{name}.npz"


def _node(operator: str, names: list[str], made: list[str]) -> onnx.NodeProto:
    options: dict[str, Any] = {"ArgMax": {"axis": 1, "keepdims": 1}, "ReduceMean": {"keepdims": 1}}.get(operator, {})
    return helper.make_node(operator, names, made, **options)


def _stored(value: Array) -> Array:
    return value.astype(np.float32) if value.dtype.kind == "f" else value
