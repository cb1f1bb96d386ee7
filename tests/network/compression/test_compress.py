"""Compressed networks: codes of Eq. (5) in every tensor, and files that run correctly."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from explorer.errors import OutOfRange
from explorer.network.compression.compress import Recipe, compress_weights, compressed_onnx, compressed_sizes
from explorer.network.compression.int8 import full_int8_onnx
from explorer.network.compression.quantization import prune
from explorer.network.graph.model import Network, load_network
from explorer.network.graph.rewriting.folding import fold_constants
from explorer.network.graph.session import Array, open_inference_session
from explorer.network.graph.traversal import subgraphs
from explorer.network.task.labelled_data import LabelledData
from explorer.paper.equations import quantize
from tests.network.conftest import NAMES, Build, Save, codes_of

RECIPES = [Recipe(0.0, 0.001), Recipe(0.5, 0.02), Recipe(0.3, 0.05, per_tensor=True), Recipe(0.9, 0.3)]


def stored(model: onnx.ModelProto) -> dict[str, Array]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def output_of(model: bytes, x: Array) -> Array:
    session = open_inference_session(model)
    return session.run({session.inputs[0].name: x})[session.outputs[0]]


def expected_weights(network: Network, recipe: Recipe) -> dict[str, Array]:
    """Return each weight tensor after pruning and Eq. (5) of `paper.equations`."""
    pruned = prune([w.values for w in network.weights], ratio=recipe.pruning_ratio, per_tensor=recipe.per_tensor)
    return {
        w.name: np.asarray(quantize(v, step=recipe.quant_step)) for w, v in zip(network.weights, pruned, strict=True)
    }


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_stored_codes_equal_eq_5_in_every_tensor(zoo: Mapping[str, Network], name: str, recipe: Recipe) -> None:
    network = zoo[name]
    model = onnx.ModelProto.FromString(compressed_onnx(network, compress_weights(network, recipe)))
    tensors, expected = stored(model), expected_weights(network, recipe)
    codes = {name: weight.codes for name, weight in codes_of(model).items()}

    assert len(expected) >= 3
    for weight, values in expected.items():
        assert weight not in tensors
        assert np.array_equal(codes[weight], np.rint(values / recipe.quant_step))
        assert tensors[f"{weight}/step"] == np.float32(recipe.quant_step)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_outputs_equal_a_float_network_with_rounded_weights(
    zoo: Mapping[str, Network], digits: LabelledData, name: str, recipe: Recipe
) -> None:
    network, x = zoo[name], digits.inputs["x"][:50].astype(np.float32)
    slow = onnx.ModelProto()
    slow.CopyFrom(network.model)
    for tensor in slow.graph.initializer:
        if tensor.name in (expected := expected_weights(network, recipe)):
            tensor.CopyFrom(numpy_helper.from_array(expected[tensor.name].astype(np.float32), tensor.name))

    ours = output_of(compressed_onnx(network, compress_weights(network, recipe)), x)

    assert np.allclose(ours, output_of(slow.SerializeToString(), x), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
def test_other_tensors_are_unchanged_and_the_checker_passes(zoo: Mapping[str, Network], name: str) -> None:
    network = zoo[name]
    model = onnx.ModelProto.FromString(compressed_onnx(network, compress_weights(network, Recipe(0.5, 0.05))))
    before, after = stored(network.model), stored(model)
    weights = {weight.name for weight in network.weights}

    onnx.checker.check_model(model, full_check=True)
    assert all(np.array_equal(after[key], value) for key, value in before.items() if key not in weights)
    assert {node.domain for node in model.graph.node} == {""}


@pytest.mark.parametrize("name", NAMES)
def test_more_than_90_percent_of_parameters_are_weights(zoo: Mapping[str, Network], name: str) -> None:
    network = zoo[name]
    n_floats = sum(v.size for v in stored(network.model).values() if v.dtype == np.float32)

    assert network.n_weights / n_floats > 0.9


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize(("operator", "gates"), [("RNN", 1), ("GRU", 3), ("LSTM", 4)])
def test_recurrent_weights_round_trip_through_stored_codes(
    build: Build, save: Save, operator: str, gates: int, direction: str
) -> None:
    rng, n = np.random.default_rng(0), 2 if direction == "bidirectional" else 1
    shapes = {"w": (n, gates * 4, 3), "r": (n, gates * 4, 4), "b": (n, gates * 8)}
    parameters = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}
    node = helper.make_node(operator, ["x", "w", "r", "b"], ["y"], hidden_size=4, direction=direction)
    network = load_network(save(build([node], stored=parameters, inputs={"x": [5, "n", 3]}, output=[5, n, "n", 4])))
    recipe = Recipe(0.3, 0.05)

    model = onnx.ModelProto.FromString(compressed_onnx(network, compress_weights(network, recipe)))
    read = {name: weight.codes for name, weight in codes_of(model).items()}

    assert {weight.name for weight in network.weights} == read.keys() == {"w", "r"}
    for name, values in expected_weights(network, recipe).items():
        assert np.array_equal(read[name], np.rint(values / recipe.quant_step))
    assert np.array_equal(stored(model)["b"], parameters["b"])
    assert np.isfinite(output_of(model.SerializeToString(), np.ones((5, 2, 3), dtype=np.float32))).all()


def operators_at_run_time(model: bytes, folder: Path) -> list[str]:
    """Return the operators that onnxruntime's default session runs, sorted."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(folder / "optimized.onnx")
    options.log_severity_level = 4
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    graphs = subgraphs(onnx.load(folder / "optimized.onnx").graph)
    return sorted(f"{node.domain}.{node.op_type}" for graph in graphs for node in graph.node)


@pytest.mark.parametrize("name", NAMES)
def test_the_default_session_runs_the_operators_of_the_source(
    zoo: Mapping[str, Network], tmp_path: Path, name: str
) -> None:
    """The step multiplies the codes at load, not in every run: no session option is needed to be as fast."""
    network = zoo[name]
    before = operators_at_run_time(network.model.SerializeToString(), tmp_path)

    for step in (0.3, 0.02, 0.001):
        model = compressed_onnx(network, compress_weights(network, Recipe(0.3, step)))
        assert operators_at_run_time(model, tmp_path) == before


def test_equal_codes_give_equal_keys_and_bytes(zoo: Mapping[str, Network]) -> None:
    """At D = 0.3 more weights round to zero than R = 0.1 removes: R = 0 and R = 0.1 are one network."""
    network = zoo["digits-mlp"]
    first, second = (compress_weights(network, Recipe(ratio, 0.3)) for ratio in (0.0, 0.1))

    assert first.r_effective > 0.1
    assert first.key == second.key
    assert compressed_onnx(network, first) == compressed_onnx(network, second)


@pytest.mark.parametrize("recipe", [Recipe(0.6, 0.02), Recipe(0.5, 0.021), Recipe(0.5, 0.02, full_int8=True)], ids=str)
def test_recipes_of_different_networks_have_different_keys(zoo: Mapping[str, Network], recipe: Recipe) -> None:
    network = zoo["digits-cnn"]

    assert compress_weights(network, Recipe(0.5, 0.02)).key != compress_weights(network, recipe).key


def test_deflate_size_falls_with_r_and_dense_size_does_not(zoo: Mapping[str, Network]) -> None:
    """Dense size does not depend on R: zeros cost as much as any other code."""
    network = zoo["digits-cnn"]
    by_ratio = {}
    for ratio in (0.0, 0.75):
        compression = compress_weights(network, Recipe(ratio, 0.05))
        by_ratio[ratio] = compressed_sizes(network, compression, onnx=compressed_onnx(network, compression))

    assert by_ratio[0.0].dense == by_ratio[0.75].dense < network.n_bytes / 4
    assert by_ratio[0.75].deflate < by_ratio[0.0].deflate < by_ratio[0.0].dense
    assert all(size.entropy < size.deflate < size.file for size in by_ratio.values())


@pytest.mark.parametrize("n_columns", [1, 2])
@pytest.mark.parametrize("opset", [7, 9, 13, 21])
def test_every_container_runs_in_older_opsets(
    build: Build, save: Save, tmp_path: Path, opset: int, n_columns: int
) -> None:
    """Also an odd number of codes, in standard operators alone, computed once at load."""
    weights = np.linspace(-1, 1, 15 * n_columns, dtype=np.float32).reshape(15, n_columns)
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    model = build([node], stored={"w": weights}, inputs={"x": ["n", 15]}, output=["n", n_columns], opset=opset)
    network = load_network(save(model))
    x = np.eye(15, dtype=np.float32)

    for step, container in ((0.2, "int4"), (0.01, "int8"), (0.0001, "int16")):
        compression = compress_weights(network, Recipe(0.0, step))
        file = compressed_onnx(network, compression)
        onnx.checker.check_model(onnx.ModelProto.FromString(file), full_check=True)
        (read,) = codes_of(onnx.ModelProto.FromString(file)).values()
        assert compression.container == f"int{read.bits}" == container
        assert np.array_equal(read.codes, compression.tensors["w"].codes)
        assert operators_at_run_time(file, tmp_path) == [".MatMul"]
        assert np.allclose(output_of(file, x), quantize(weights, step=step), atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_float16_and_float64_weights_are_quantized(build: Build, save: Save, dtype: type) -> None:
    weights = np.linspace(-1, 1, 6).reshape(3, 2).astype(dtype)
    to = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    nodes = [
        helper.make_node("Cast", ["x"], ["inner"], to=to),
        helper.make_node("MatMul", ["inner", "w"], ["product"]),
        helper.make_node("Cast", ["product"], ["y"], to=TensorProto.FLOAT),
    ]
    network = load_network(save(build(nodes, stored={"w": weights})))

    model = compressed_onnx(network, compress_weights(network, Recipe(0.0, 0.125)))

    assert np.allclose(output_of(model, np.eye(3, dtype=np.float32)), quantize(weights, step=0.125))


def test_folding_exposes_weights_behind_a_transpose(build: Build, save: Save) -> None:
    weights = np.arange(6, dtype=np.float32).reshape(2, 3)
    nodes = [helper.make_node("Transpose", ["w"], ["t"]), helper.make_node("MatMul", ["x", "t"], ["y"])]

    (weight,) = load_network(save(build(nodes, stored={"w": weights}))).weights

    assert np.array_equal(weight.values, weights.T)


def test_shared_tensor_is_one_weight_quantized_for_both_uses(build: Build, save: Save) -> None:
    weights = np.array([[0.3, 0.9], [0.7, 0.2]], dtype=np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("MatMul", ["h", "w"], ["y"])]
    network = load_network(save(build(nodes, stored={"w": weights}, inputs={"x": ["n", 2]})))

    model = compressed_onnx(network, compress_weights(network, Recipe(0.0, 0.5)))

    assert [weight.name for weight in network.weights] == ["w"]
    rounded = quantize(weights, step=0.5)
    assert np.allclose(output_of(model, np.eye(2, dtype=np.float32)), rounded @ rounded)


def test_weights_of_subgraphs_are_compressed(build: Build, save: Save) -> None:
    def branch(name: str, scale: float) -> onnx.GraphProto:
        weights = numpy_helper.from_array(scale * np.array([[0.3, 0.8], [0.1, 0.6]], dtype=np.float32), f"w_{name}")
        out = helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2])
        return helper.make_graph([helper.make_node("MatMul", ["x", f"w_{name}"], [name])], name, [], [out], [weights])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["is_positive"]),
        helper.make_node("If", ["is_positive"], ["y"], then_branch=branch("a", 1.0), else_branch=branch("b", -1.0)),
    ]
    network = load_network(save(build(nodes, stored={"zero": np.float32(0)}, inputs={"x": ["n", 2]})))
    model = compressed_onnx(network, compress_weights(network, Recipe(0.0, 0.5)))
    rounded = quantize([[0.3, 0.8], [0.1, 0.6]], step=0.5)

    assert sorted(weight.name for weight in network.weights) == ["w_a", "w_b"]
    for sign in (1, -1):
        x = sign * np.eye(2, dtype=np.float32)
        assert np.allclose(output_of(model, x), sign * x @ rounded)


def test_initializers_listed_as_inputs_are_folded(linear: onnx.ModelProto) -> None:
    """Before IR 4 every initializer had to be an input, which would keep it from being a constant."""
    linear.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, [3, 2]))

    assert [value.name for value in fold_constants(linear, path=Path("net.onnx"))[0].graph.input] == ["x"]


@pytest.mark.parametrize("name", [name for name in NAMES if name != "digits-mobile"])  # 0.02 * 127 < its weights
def test_full_int8_keeps_codes_and_accuracy(zoo: Mapping[str, Network], digits: LabelledData, name: str) -> None:
    network, x = zoo[name], digits.inputs["x"].astype(np.float32)
    compression = compress_weights(network, Recipe(0.3, 0.02, full_int8=True))
    model = full_int8_onnx(network, compression, calibration={"x": x[:64]})
    tensors = stored(onnx.ModelProto.FromString(model))
    session = open_inference_session(model)
    is_correct = session.run({"x": x})[session.outputs[0]].argmax(axis=1) == digits.labels
    is_right_before = output_of(compressed_onnx(network, compression), x).argmax(axis=1) == digits.labels

    for weight, values in expected_weights(network, compression.recipe).items():
        codes = tensors.get(f"{weight}_quantized", tensors.get(f"{weight}/codes"))
        scale = tensors.get(f"{weight}_scale", tensors.get(f"{weight}/step"))
        assert codes is not None
        assert np.array_equal(codes.astype(np.int64), np.rint(values / 0.02))
        assert scale == np.float32(0.02)
    assert abs(is_correct.mean() - is_right_before.mean()) < 0.02


def test_full_int8_supports_a_fixed_batch_size(build: Build, save: Save) -> None:
    """Ten samples in batches of four: the last batch is padded."""
    weights = np.arange(6, dtype=np.float32).reshape(3, 2) / 10
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    network = load_network(save(build([node], stored={"w": weights}, inputs={"x": [4, 3]}, output=[4, 2])))
    compression = compress_weights(network, Recipe(0.0, 0.1, full_int8=True))
    x = np.random.default_rng(0).random((10, 3), dtype=np.float32)

    model = full_int8_onnx(network, compression, calibration={"x": x})

    session = open_inference_session(model)
    assert np.allclose(session.run({"x": x[:4]})["y"], x[:4] @ weights, atol=0.02)


def test_full_int8_keeps_codes_of_subgraph_weights(build: Build, save: Save) -> None:
    """onnxruntime's quantizer skips subgraphs: their weights are quantized by this project, also with step D."""
    value = helper.make_tensor_value_info
    weights = np.arange(6, dtype=np.float32).reshape(3, 2) / 10
    inside = numpy_helper.from_array(weights, "inside")
    branch = helper.make_graph(
        [helper.make_node("MatMul", ["x", "inside"], ["a"])], "a", [], [value("a", 1, ["n", 2])], [inside]
    )
    else_branch = helper.make_graph(
        [helper.make_node("MatMul", ["x", "outside"], ["b"])], "b", [], [value("b", 1, ["n", 2])]
    )
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["is_more"]),
        helper.make_node("If", ["is_more"], ["y"], then_branch=branch, else_branch=else_branch),
    ]
    network = load_network(save(build(nodes, stored={"outside": weights[::-1].copy(), "zero": np.float32(0)})))
    compression = compress_weights(network, Recipe(0.0, 0.1, full_int8=True))

    model = full_int8_onnx(network, compression, calibration={"x": np.ones((4, 3), dtype=np.float32)})

    read = codes_of(onnx.ModelProto.FromString(model))
    assert len(network.weights) == len(read) == 2
    assert all(np.array_equal(read[name].codes, t.codes) for name, t in compression.tensors.items())


def test_full_int8_keeps_a_tied_table_exact_in_both_uses(build: Build, save: Save) -> None:
    """Transposed for the second use, it is quantized again: with the step D, so that nothing changes."""
    table = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["x"], ["i"], to=TensorProto.INT64),
        helper.make_node("Gather", ["e", "i"], ["g"]),
        helper.make_node("Transpose", ["e"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["g", "t"], ["y"]),
    ]
    network = load_network(save(build(nodes, stored={"e": table}, inputs={"x": ["n"]}, output=["n", 20])))
    compression = compress_weights(network, Recipe(0.0, 0.05, full_int8=True))

    model = full_int8_onnx(network, compression, calibration={"x": np.arange(20, dtype=np.float32)})

    (weight,) = codes_of(onnx.ModelProto.FromString(model)).values()
    assert np.array_equal(weight.codes, compression.tensors["e"].codes)
    rounded = weight.codes * 0.05
    scale = np.abs(rounded @ rounded.T).max()
    assert np.allclose(output_of(model, np.arange(20, dtype=np.float32)), rounded @ rounded.T, atol=0.03 * scale)


def test_full_int8_rejects_codes_beyond_int8(zoo: Mapping[str, Network]) -> None:
    network = zoo["digits-mlp"]
    compression = compress_weights(network, Recipe(0.0, 0.001, full_int8=True))

    with pytest.raises(OutOfRange, match=r"(?s)quant_step = 0.001 is outside the range of int8 codes.*larger step"):
        full_int8_onnx(network, compression, calibration={"x": np.zeros((1, 8, 8), dtype=np.float32)})


def test_compression_does_not_modify_the_network(zoo: Mapping[str, Network]) -> None:
    network = zoo["digits-mlp"]
    before = network.model.SerializeToString(deterministic=True)
    compressed_onnx(network, compress_weights(network, Recipe(0.9, 0.5)))

    assert network.model.SerializeToString(deterministic=True) == before
