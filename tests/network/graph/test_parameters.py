"""Parameters and MACs of fused and quantized networks are those of the network that they were made from."""

import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

from explorer.errors import WrongUsage
from explorer.network.compression.compress import Recipe, compress_weights
from explorer.network.graph.model import Network, load_network
from explorer.network.graph.op_counts import OpCounts, count_operations
from tests.network.conftest import Build, Save

Level = onnxruntime.GraphOptimizationLevel


class Reader(CalibrationDataReader):  # type: ignore[misc]
    """Four calibration samples."""

    def __init__(self) -> None:
        self.samples = iter([{"x": np.full((1, 8, 8), i, dtype=np.float32)} for i in range(4)])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.samples, None)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Silence the quantizer, which recommends preprocessing."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def optimized(source: Path, path: Path) -> None:
    """Write a network as onnxruntime's extended optimizations leave it, in its own operators."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = Level.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath, options.log_severity_level = str(path), 4
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])


def dynamic(source: Path, path: Path) -> None:
    quantize_dynamic(source, path)


def qdq(source: Path, path: Path) -> None:
    quantize_static(source, path, Reader(), quant_format=QuantFormat.QDQ)


def qoperator(source: Path, path: Path) -> None:
    quantize_static(source, path, Reader(), quant_format=QuantFormat.QOperator)


def counted(network: Network) -> OpCounts:
    return count_operations(network.model, {"x": np.zeros((1, 8, 8), dtype=np.float32)})


def versions(zoo: Mapping[str, Network], name: str, how: Callable[[Path, Path], None], folder: Path) -> Network:
    source = folder / "source.onnx"
    source.write_bytes(zoo[name].model.SerializeToString())
    how(source, folder / "net.onnx")
    return load_network(folder / "net.onnx")


@pytest.mark.parametrize("name", ["digits-cnn", "digits-transformer"])
def test_fused_operators_have_the_macs_and_weights_of_their_parts(
    zoo: Mapping[str, Network], tmp_path: Path, name: str
) -> None:
    fused = versions(zoo, name, optimized, tmp_path)

    assert {node.domain for node in fused.model.graph.node} == {"", "com.microsoft"}
    assert (counted(fused).n_macs, counted(fused).uncounted) == (counted(zoo[name]).n_macs, ())
    assert (fused.n_weights, fused.n_other_weights) == (zoo[name].n_weights, zoo[name].n_other_weights)


@pytest.mark.parametrize("how", [dynamic, qdq, qoperator], ids=lambda how: how.__name__)
def test_quantized_networks_load_with_all_their_weights(
    zoo: Mapping[str, Network], tmp_path: Path, how: Callable[[Path, Path], None]
) -> None:
    """QDQ, QLinear and MatMulInteger: nothing to compress, but counted like any other network."""
    network = versions(zoo, "digits-cnn", how, tmp_path)

    assert network.is_quantized
    assert (network.n_weights, network.n_other_weights) == (0, zoo["digits-cnn"].n_weights)
    assert 0 < network.n_other_zeros < 0.2 * network.n_other_weights
    assert counted(network).n_macs == counted(zoo["digits-cnn"]).n_macs
    assert counted(network).uncounted == ()
    with pytest.raises(WrongUsage, match="has no weights to compress: its weights are integers already"):
        compress_weights(network, Recipe(0.5, 0.1))


def test_energy_counts_integer_weights_by_their_width(zoo: Mapping[str, Network], tmp_path: Path) -> None:
    network = versions(zoo, "digits-mlp", qoperator, tmp_path)

    assert {network.stored_bits[name] for name in network.stored_bits} == {8}
    assert sum(tensor.dims[0] * tensor.dims[1] for tensor in network.model.graph.initializer
               if tensor.name in network.stored_bits and len(tensor.dims) == 2) == 17_024  # fmt: skip


def test_effective_ratio_is_of_the_whole_network(build: Build, save: Save) -> None:
    """20 weights that compression reaches, 30 that it does not, 10 of these zero; the bias does not count."""
    rest = np.array([0.0, 1, 2] * 10, dtype=np.float32).reshape(6, 5)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Mul", ["h", "rest"], ["s"]),
        helper.make_node("Add", ["s", "bias"], ["y"]),
    ]  # fmt: skip
    weights = np.linspace(0.1, 2, 20, dtype=np.float32).reshape(4, 5)
    stored = {"w": weights, "rest": rest, "bias": np.ones(5, dtype=np.float32)}
    network = load_network(save(build(nodes, stored=stored, inputs={"x": [6, 4]}, output=(6, 5))))

    assert compress_weights(network, Recipe(0.5, 0.01)).r_effective == (10 + 10) / 50
    groups = {(group.operator, group.reason): group.n for group in network.coverage}
    assert groups == {("MatMul", ""): 20, ("Mul", "not a weight input that is known"): 30, ("Add", "a vector"): 5}


def test_tied_tables_are_read_as_they_are_stored(build: Build) -> None:
    """The transposition is computed once, at load: the product reads the table, not an activation."""
    nodes = [helper.make_node("Transpose", ["e"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    model: onnx.ModelProto = build(nodes, stored={"e": np.ones((5, 3), dtype=np.float32)}, output=None)

    (product,) = count_operations(model, {"x": np.ones((2, 3), dtype=np.float32)}).operators

    assert (product.n_macs, product.weight_reads, product.n_activation_accesses) == (30, {"e": 15}, 6 + 10)
