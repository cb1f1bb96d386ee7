"""Networks as they are exported: every weight is found, stored once and compressed correctly, and files stay valid."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from explorer.errors import ExplorerError, InvalidFile
from explorer.network.compression.compress import Recipe, compress_weights, compressed_onnx
from explorer.network.graph.model import Network, load_network
from explorer.network.graph.op_counts import count_operations
from explorer.network.graph.weights import WEIGHT_INPUTS
from explorer.paper.equations import quantize
from tests.network.conftest import Build, Save

Array = np.ndarray[Any, Any]
node, value = helper.make_node, helper.make_tensor_value_info


def floats(*shape: int, seed: int = 0) -> Array:
    return np.asarray(np.random.default_rng(seed).normal(size=shape) * 0.3, dtype=np.float32)


def run(model: bytes, feeds: Mapping[str, Array]) -> list[Array]:
    """Return the outputs in plain onnxruntime, with its default session."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return [*onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run(None, dict(feeds))]


def rounded(path: Path, step: float) -> bytes:
    """Return a source file with every stored float matrix, in all its graphs, replaced by D times its code."""
    model = onnx.load(path)

    def visit(graph: onnx.GraphProto) -> None:
        for tensor in graph.initializer:
            values = numpy_helper.to_array(tensor)
            if values.dtype == np.float32 and values.ndim >= 2:
                tensor.CopyFrom(numpy_helper.from_array(np.float32(quantize(values, step=step)), tensor.name))
        for inner in graph.node:
            for attribute in inner.attribute:
                if attribute.HasField("g"):
                    visit(attribute.g)

    visit(model.graph)
    return model.SerializeToString()


def compressed(network: Network, step: float = 0.05) -> bytes:
    file = compressed_onnx(network, compress_weights(network, Recipe(0.0, step)))
    onnx.checker.check_model(read_back(file))
    return file


def read_back(file: bytes) -> onnx.ModelProto:
    """Return a file with the shapes of its outputs, which an exporter may omit."""
    model = onnx.shape_inference.infer_shapes(onnx.ModelProto.FromString(file))
    for output in model.graph.output:
        output.type.tensor_type.shape.SetInParent()
    return model


def check_compressed(path: Path, feeds: Mapping[str, Array], *, step: float = 0.05, atol: float = 1e-4) -> Network:
    """Compare the compressed file with the source that has D times its codes as weights."""
    network = load_network(path)
    for ours, expected in zip(run(compressed(network, step), feeds), run(rounded(path, step), feeds), strict=True):
        assert np.allclose(ours, expected, atol=atol, rtol=1e-3)
    return network


def microsoft(model: onnx.ModelProto) -> onnx.ModelProto:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


IMAGE = {"x": [None, 3, 6, 6]}
WEIGHTY: dict[str, Callable[[Build], tuple[onnx.ModelProto, dict[str, Array]]]] = {
    "ConvTranspose": lambda build: (
        build([node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])], stored={"w": floats(3, 5, 2, 2)},
              inputs=IMAGE, output=None),
        {"x": floats(2, 3, 6, 6)},
    ),
    "Einsum": lambda build: (
        build([node("Einsum", ["x", "w"], ["y"], equation="bi,ij->bj")], stored={"w": floats(3, 4)}, output=None),
        {"x": floats(2, 3)},
    ),
    "FusedMatMul": lambda build: (
        microsoft(build([node("FusedMatMul", ["x", "w"], ["y"], transB=1, domain="com.microsoft")],
                        stored={"w": floats(4, 3)}, output=None)),
        {"x": floats(2, 3)},
    ),
    "FusedConv": lambda build: (
        microsoft(build([node("FusedConv", ["x", "w"], ["y"], activation="Relu", domain="com.microsoft")],
                        stored={"w": floats(4, 3, 3, 3)}, inputs=IMAGE, output=None)),
        {"x": floats(2, 3, 6, 6)},
    ),
    "Attention": lambda build: (
        microsoft(build([node("Attention", ["x", "w", "b"], ["y"], num_heads=2, domain="com.microsoft")],
                        stored={"w": floats(8, 24), "b": floats(24)}, inputs={"x": [None, None, 8]}, output=None)),
        {"x": floats(2, 3, 8)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("operator", WEIGHTY)
def test_weights_of_every_operator_are_compressed(build: Build, save: Save, operator: str) -> None:
    model, feeds = WEIGHTY[operator](build)

    network = check_compressed(save(model), feeds)

    assert [(weight.name, weight.operator) for weight in network.weights] == [("w", operator)]


def test_weight_inputs_are_inputs_of_the_operators() -> None:
    """Compared with the schemas of onnx and onnxruntime: no index beyond the inputs, none that is a bias."""
    from onnxruntime.capi import onnxruntime_pybind11_state as runtime

    schemas = {(schema.domain, schema.name): schema for schema in runtime.get_all_operator_schema()}
    for (domain, operator), indices in WEIGHT_INPUTS.items():
        schema = schemas[domain, operator]
        if operator != "Einsum":  # any number of inputs
            names = [schema.inputs[index].name.lower() for index in indices]
            assert not [name for name in names if "bias" in name and name != "bias_table"], operator


def embedding(build: Build, *, is_tied: bool) -> onnx.ModelProto:
    """Return E[x] W E^T: a table that is looked up and, if tied, multiplied too."""
    table = floats(50, 16)
    last = [node("Transpose", ["e"], ["t"], perm=[1, 0]), node("MatMul", ["q", "t"], ["y"])]
    nodes = [
        node("Cast", ["x"], ["i"], to=TensorProto.INT64), node("Gather", ["e", "i"], ["g"]),
        node("MatMul", ["g", "w"], ["q"]), *(last if is_tied else [node("Identity", ["q"], ["y"])]),
    ]  # fmt: skip
    return build(nodes, stored={"e": table, "w": floats(16, 16, seed=1)}, inputs={"x": ["n"]}, output=None)


def test_embeddings_are_compressed(build: Build, save: Save) -> None:
    network = check_compressed(save(embedding(build, is_tied=False)), {"x": np.arange(50, dtype=np.float32)})

    assert {weight.operator: weight.values.size for weight in network.weights} == {"Gather": 800, "MatMul": 256}


def test_tied_table_is_stored_once(build: Build, save: Save) -> None:
    """Folding would make a transposed copy: the compressed file would be larger than the source."""
    path = save(embedding(build, is_tied=True))

    network = check_compressed(path, {"x": np.arange(50, dtype=np.float32)})

    assert network.n_weights == 50 * 16 + 16 * 16
    assert len(compressed(network)) < path.stat().st_size / 2
    assert network.notes == ("'e' is used as 't' too, and stored once",)


def test_exported_copies_of_a_tied_table_are_tied(build: Build, save: Save) -> None:
    model = embedding(build, is_tied=True)
    model.graph.node.remove(next(one for one in model.graph.node if one.op_type == "Transpose"))
    model.graph.initializer.append(numpy_helper.from_array(floats(50, 16).T.copy(), "t"))

    network = check_compressed(save(model), {"x": np.arange(50, dtype=np.float32)})

    assert network.n_weights == 50 * 16 + 16 * 16


def test_weights_of_one_value_are_not_tied(build: Build, save: Save) -> None:
    """The light networks of the onnx package: their weights are equal because they stand for others."""
    nodes = [node("MatMul", ["x", "a"], ["h"]), node("MatMul", ["h", "b"], ["y"])]
    ones = np.ones((3, 3), dtype=np.float32)
    network = load_network(save(build(nodes, stored={"a": ones, "b": ones}, output=("n", 3))))

    assert network.n_weights == 18


def branching(build: Build, then: Array, other: Array, *, name: str = "w") -> onnx.ModelProto:
    """Return an If whose branches store different tensors under one name."""

    def branch(output: str, weights: Array) -> onnx.GraphProto:
        nodes = [node("MatMul", ["x", name], [f"{output}_h"]), node("MatMul", [f"{output}_h", "outer"], [output])]
        return helper.make_graph(
            nodes, output, [], [value(output, 1, ["n", 2])], [numpy_helper.from_array(weights, name)]
        )

    nodes = [
        node("ReduceSum", ["x"], ["sum"], keepdims=0), node("Greater", ["sum", "zero"], ["c"]),
        node("If", ["c"], ["y"], then_branch=branch("a", then), else_branch=branch("b", other)),
    ]  # fmt: skip
    stored = {"zero": np.float32(0), "outer": floats(2, 2, seed=5)}
    return build(nodes, stored=stored, inputs={"x": ["n", 2]})


def test_equal_names_in_two_branches_are_two_weights(build: Build, save: Save) -> None:
    then, other = floats(2, 2, seed=1), floats(2, 2, seed=2)
    path = save(branching(build, then, other))

    for sign in (1, -1):
        network = check_compressed(path, {"x": sign * np.eye(2, dtype=np.float32)})

    values = {weight.name: weight.values for weight in network.weights}
    assert values.keys() == {"then_branch/w", "else_branch/w", "outer"}
    assert np.array_equal(values["then_branch/w"], then)
    assert np.array_equal(values["else_branch/w"], other)


def test_the_branch_that_a_run_takes_is_counted(build: Build, save: Save) -> None:
    """x of shape (3, 2) is positive: two products with 2 x 2 matrices in the first branch."""
    model = load_network(save(branching(build, floats(2, 2, seed=1), floats(2, 2, seed=2)))).model
    counts = count_operations(model, {"x": np.ones((3, 2), dtype=np.float32)})

    assert (counts.n_macs, counts.uncounted) == (2 * 3 * 2 * 2, ())
    assert {name for one in counts.operators for name in one.weight_reads} == {"then_branch/w", "outer", "zero"}


def test_nested_branches_and_repeated_operators_have_names_of_their_own(build: Build, save: Save) -> None:
    """Two Ifs one after the other, all four tensors under one name."""
    first = branching(build, floats(2, 2, seed=1), floats(2, 2, seed=2))
    second = branching(build, floats(2, 2, seed=3), floats(2, 2, seed=4)).graph
    for one in second.node:
        for i, name in enumerate(one.input):
            one.input[i] = {"x": "y", "sum": "sum2", "c": "c2"}.get(name, name)
        for i, name in enumerate(one.output):
            one.output[i] = {"y": "y2", "sum": "sum2", "c": "c2"}.get(name, name)
        for attribute in one.attribute:
            for inner in attribute.g.node:
                inner.input[0] = {"x": "y"}.get(inner.input[0], f"{inner.input[0]}2")
                inner.output[0] = f"{inner.output[0]}2"
            for output in attribute.g.output:
                output.name = f"{output.name}2"
    first.graph.node.extend(second.node)
    first.graph.output[0].name = "y2"
    for inner_node in first.graph.node[-1:]:
        for attribute in inner_node.attribute:
            attribute.g.node[1].input[0] = attribute.g.node[0].output[0]

    network = check_compressed(save(first), {"x": np.eye(2, dtype=np.float32)})

    names = [weight.name for weight in network.weights]
    assert len(names) == len(set(names)) == 5


def test_left_over_tensors_of_old_files_are_removed(build: Build, save: Save) -> None:
    """Before IR 4 every tensor is an input; onnxruntime cannot load one that nothing uses."""
    model = build([node("MatMul", ["x", "w"], ["y"])], stored={"w": floats(3, 2), "left": floats(3)}, opset=9)
    model.graph.input.extend([value("w", 1, [3, 2]), value("left", 1, [3])])
    model.ir_version = 3

    network = check_compressed(save(model), {"x": floats(2, 3)})

    assert network.notes == ("stored tensors that no operator uses are left out: 'left'",)


def test_bfloat16_weights_are_read_as_float32(build: Build, save: Save) -> None:
    weights = floats(3, 2)
    stored = helper.make_tensor("w", TensorProto.BFLOAT16, [3, 2], weights.ravel().tolist())
    nodes = [
        node("Cast", ["x"], ["h"], to=TensorProto.BFLOAT16), node("MatMul", ["h", "w"], ["p"]),
        node("Cast", ["p"], ["y"], to=TensorProto.FLOAT),
    ]  # fmt: skip
    model = build(nodes, stored={})
    model.graph.initializer.append(stored)
    network = load_network(save(model))

    (weight,) = network.weights
    assert weight.values.dtype == np.float32
    assert np.allclose(weight.values, weights, rtol=2**-8)
    assert network.notes == ("bfloat16 is computed in float32: 1 stored tensors are converted",)
    (y,) = run(compressed(network, 0.05), {"x": np.eye(3, dtype=np.float32)})
    assert np.allclose(y, quantize(weight.values, step=0.05), atol=1e-6)


@pytest.mark.parametrize("is_linear", [True, False])
def test_sparse_weights_count_and_are_compressed_as_dense_ones(build: Build, save: Save, *, is_linear: bool) -> None:
    w = np.where(np.arange(24).reshape(12, 2) % 3 == 0, floats(12, 2), np.float32(0))
    model = build([node("MatMul", ["x", "w"], ["y"])], stored={"w": w}, inputs={"x": ["n", 12]})
    at = np.flatnonzero(w) if is_linear else np.argwhere(w)
    del model.graph.initializer[:]
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(
        numpy_helper.from_array(w[w != 0], "w"), numpy_helper.from_array(at.astype(np.int64), "w_at"), w.shape,
    ))  # fmt: skip
    network, x = load_network(save(model)), floats(5, 12, seed=1)

    assert network.n_weights == network.n_parameters == 24
    np.testing.assert_allclose(run(compressed(network), {"x": x})[0], x @ quantize(w, step=0.05), atol=1e-6)


def test_computed_constants_stay_computed(build: Build, save: Save) -> None:
    """A matrix of cosines is computed from two vectors: stored as codes, it would be larger than the file."""
    ramp = np.arange(64, dtype=np.float32)
    nodes = [
        node("Mul", ["rows", "columns"], ["product"]), node("Cos", ["product"], ["cosines"]),
        node("MatMul", ["x", "cosines"], ["h"]), node("MatMul", ["h", "w"], ["y"]),
    ]  # fmt: skip
    stored = {"rows": ramp[:, None], "columns": ramp[None] / 9, "w": floats(64, 2)}
    path = save(build(nodes, stored=stored, inputs={"x": ["n", 64]}))
    network, x = load_network(path), {"x": floats(5, 64)}

    assert [weight.name for weight in network.weights] == ["w"]
    assert len(compressed(network)) < path.stat().st_size
    weights = np.float32(quantize(stored["w"], step=0.05))
    assert np.allclose(run(compressed(network), x)[0], x["x"] @ np.cos(ramp[:, None] * ramp / 9) @ weights, atol=1e-3)


@pytest.fixture
def cache(build: Build, tmp_path: Path) -> Path:
    """Return a model cache: links from a snapshot into a folder of blobs, the tensors in a file of their own."""
    blobs, snapshot = tmp_path / "hub/blobs", tmp_path / "hub/snapshots/1"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    model = build([node("MatMul", ["x", "w"], ["y"])], stored={"w": floats(3, 2)})
    onnx.save(model, blobs / "aa", save_as_external_data=True, location="model.onnx_data", size_threshold=0)
    (blobs / "model.onnx_data").rename(blobs / "bb")
    (snapshot / "model.onnx").symlink_to("../../blobs/aa")
    (snapshot / "model.onnx_data").symlink_to("../../blobs/bb")
    return snapshot


def test_external_data_behind_the_links_of_a_cache_is_read(cache: Path) -> None:
    (weight,) = load_network(cache / "model.onnx").weights

    assert np.array_equal(weight.values, floats(3, 2))


@pytest.mark.parametrize("place", ["secret", "blobs/deeper/secret", "snapshots/2/secret"])
def test_other_links_of_a_cache_are_refused(cache: Path, place: str) -> None:
    target = cache.parent.parent / place
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(b"s" * 24)
    (cache / "model.onnx_data").unlink()
    (cache / "model.onnx_data").symlink_to(target)

    with pytest.raises(InvalidFile, match="is outside the folder of the file"):
        load_network(cache / "model.onnx")


def test_light_networks_of_the_onnx_package_load() -> None:
    """Their weights are made of one value by ConstantOfShape; 1,248,424 numbers, of them 2,216 + 1,000 biases."""
    light = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
    network = load_network(light)

    assert network.n_weights == sum(weight.values.size for weight in network.weights) > 900_000
    assert {weight.operator for weight in network.weights} == {"Conv"}


def graphs() -> st.SearchStrategy[tuple[int, list[str], list[int], int]]:
    """Strategy of small graphs: number of inputs, operators, widths, opset."""
    operators = st.lists(st.sampled_from(["MatMul", "Gemm", "Transposed", "Tied", "Relu"]), min_size=1, max_size=4)
    return st.tuples(
        st.integers(2, 4), operators, st.lists(st.integers(2, 4), min_size=4, max_size=4), st.sampled_from([9, 13, 21])
    )


def chain(build: Build, n_inputs: int, operators: Sequence[str], widths: Sequence[int], opset: int) -> onnx.ModelProto:
    """Return a chain of operators; Tied multiplies by a matrix and by its transpose."""
    nodes: list[onnx.NodeProto] = []
    stored: dict[str, Array] = {}
    last, width = "x", n_inputs
    for i, (operator, wider) in enumerate(zip(operators, widths, strict=False)):
        new, weight = f"h{i}", floats(width, wider, seed=i)
        if operator == "Relu":
            nodes.append(node("Relu", [last], [new]))
        elif operator == "Gemm":
            stored |= {f"w{i}": weight.T.copy(), f"b{i}": floats(wider)}
            nodes.append(node("Gemm", [last, f"w{i}", f"b{i}"], [new], transB=1))
        elif operator == "Transposed":
            stored[f"w{i}"] = weight.T.copy()
            nodes += [node("Transpose", [f"w{i}"], [f"t{i}"]), node("MatMul", [last, f"t{i}"], [new])]
        elif operator == "Tied":
            stored[f"w{i}"] = weight
            nodes += [
                node("Transpose", [f"w{i}"], [f"t{i}"]), node("MatMul", [last, f"w{i}"], [f"m{i}"]),
                node("MatMul", [f"m{i}", f"t{i}"], [new]),
            ]  # fmt: skip
        else:
            stored[f"w{i}"] = weight
            nodes.append(node("MatMul", [last, f"w{i}"], [new]))
        last, width = new, width if operator in {"Relu", "Tied"} else wider
    nodes.append(node("Identity", [last], ["y"]))
    return build(nodes, stored=stored, inputs={"x": ["n", n_inputs]}, output=["n", width], opset=opset)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(graph=graphs(), step=st.sampled_from([0.3, 0.05, 0.002, 0.0001]))
def test_outputs_equal_the_source_with_rounded_weights(
    build: Build, tmp_path_factory: pytest.TempPathFactory, graph: tuple[int, list[str], list[int], int], step: float
) -> None:
    """In plain onnxruntime, for chains of operators in every container; stored weights are never more than before."""
    path = tmp_path_factory.mktemp("chain") / "net.onnx"
    path.write_bytes(chain(build, *graph).SerializeToString())
    n_stored = sum(numpy_helper.to_array(t).size for t in onnx.load(path).graph.initializer if len(t.dims) == 2)
    network = load_network(path)
    if not network.weights:
        return

    check_compressed(path, {"x": floats(3, graph[0], seed=9)}, step=step)

    assert network.n_weights <= n_stored


BAD: dict[str, Callable[[onnx.ModelProto], object]] = {
    "negative length": lambda m: m.graph.initializer[0].dims.__setitem__(0, -3),
    "huge length": lambda m: m.graph.initializer[0].dims.__setitem__(0, 2**60),
    "short data": lambda m: setattr(m.graph.initializer[0], "raw_data", b"123"),
    "unknown type": lambda m: setattr(m.graph.initializer[0], "data_type", 99),
    "no type": lambda m: setattr(m.graph.initializer[0], "data_type", 0),
    "no output": lambda m: m.graph.output.pop(),
    "output of nothing": lambda m: setattr(m.graph.output[0], "name", "gone"),
    "input of nothing": lambda m: m.graph.node[0].input.__setitem__(0, "gone"),
    "no operator": lambda m: setattr(m.graph.node[0], "op_type", ""),
    "unknown operator": lambda m: setattr(m.graph.node[0], "op_type", "MatMull"),
    "unknown domain": lambda m: setattr(m.graph.node[0], "domain", "org.nowhere"),
    "no opset": lambda m: m.opset_import.pop(),
    "opset of the future": lambda m: setattr(m.opset_import[0], "version", 999),
    "ir of the future": lambda m: setattr(m, "ir_version", 999),
    "defined twice": lambda m: m.graph.node.append(m.graph.node[0]),
    "in a circle": lambda m: m.graph.node[0].input.__setitem__(0, "y"),
    "external without a place": lambda m: setattr(m.graph.initializer[0], "data_location", TensorProto.EXTERNAL),
}


def test_names_of_lengths_that_are_not_utf_8_are_refused(build: Build, save: Save) -> None:
    path = save(build([node("MatMul", ["x", "w"], ["y"])], stored={"w": floats(3, 2)}, inputs={"x": ["rows", 3]}))
    path.write_bytes(path.read_bytes().replace(b"rows", b"ro\xd7\xff"))

    with pytest.raises(InvalidFile, match="is damaged"):
        load_network(path)


@pytest.mark.parametrize("fault", BAD)
def test_damaged_graphs_are_refused_with_a_fix(build: Build, save: Save, fault: str) -> None:
    model = build([node("MatMul", ["x", "w"], ["y"])], stored={"w": floats(3, 2)})
    BAD[fault](model)

    with pytest.raises(ExplorerError, match="fix:") as raised:
        load_network(save(model))

    assert raised.value.exit_code == 3
