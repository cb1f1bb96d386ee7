"""The twin of compression: equal codes, sizes and outputs, by other code; and it notices what it should."""

import io
import subprocess
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from onnx import TensorProto, helper, numpy_helper

from explorer.network.compression.compress import Recipe, compress_weights, compressed_onnx, compressed_sizes
from explorer.network.compression.quantization import prune, quantize_to_codes
from explorer.network.compression.sizes import CODECS
from explorer.network.graph.default_session import run_default_session
from explorer.network.graph.model import Network, load_network
from explorer.network.reference.expected_codes import CodeRule, expected_codes, source_weights
from explorer.network.reference.outputs import (
    compare_outputs,
    pack_runs,
    random_runs,
    reference_model,
    unpack_runs,
)
from explorer.network.reference.sizes import count_sizes
from explorer.network.reference.stored_codes import codes_at_step, read_stored_codes
from explorer.network.reference.tensors import to_array

Save = Callable[[onnx.ModelProto], Any]
weights_of_three = st.lists(
    arrays.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.sampled_from(
        [-1.5, -0.5, -0.25, -0.1, 0, 0.1, 0.25, 0.5, 0.75, 1]
    )), min_size=1, max_size=3,
)  # fmt: skip


@given(
    weights=weights_of_three, ratio=st.floats(0, 0.99), step=st.sampled_from([0.05, 0.1, 0.5, 0.3]), per=st.booleans()
)
def test_codes_equal_those_of_compression_with_many_ties(
    weights: list[Any], ratio: float, step: float, per: bool
) -> None:
    """Ten values give ties of magnitude and halves between two codes."""
    pruned = prune(weights, ratio=ratio, per_tensor=per)

    codes = expected_codes({((), str(i)): w for i, w in enumerate(weights)}, CodeRule(ratio, step, per, 7))

    for found, tensor in zip(codes.values(), pruned, strict=True):
        assert np.array_equal(found, quantize_to_codes(tensor, step=step, clip_to="int4").codes)


def test_the_twin_imports_nothing_of_compression() -> None:
    program = (
        "import sys, explorer.network.reference.sizes, explorer.network.reference.outputs\n"
        "import explorer.network.reference.expected_codes, explorer.network.graph.default_session\n"
        "print([name for name in sys.modules if name.startswith('explorer.network.compression')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_verification_names_nothing_of_compression() -> None:
    from tests.test_architecture import MODULES, ROOT, _imported

    wrong = [
        (path.name, name)
        for path in MODULES
        if path.is_relative_to(ROOT / "deploy/verification") or path.is_relative_to(ROOT / "network/reference")
        for name in _imported(path)
        if name.startswith("explorer.network.compression")
    ]

    assert not wrong


def assert_equal_twin(network: Network, recipe: Recipe) -> None:
    """Compare codes, keys, sizes and outputs of a compressed file with those of the twin."""
    compression = compress_weights(network, recipe)
    file = compressed_onnx(network, compression)
    model = onnx.load_from_string(file)
    stored = codes_at_step(read_stored_codes(model), recipe.quant_step)
    weights, keys = source_weights(network.model, stored)
    rule = CodeRule(recipe.pruning_ratio, recipe.quant_step, recipe.per_tensor, None)
    codes = expected_codes(weights, rule)
    sizes = compressed_sizes(network, compression, onnx=file)
    source = onnx.load_from_string(network.model.SerializeToString())
    feeds = random_runs(tuple(_inputs(source)))[:2]
    plain = reference_model(source, codes, step=recipe.quant_step)

    assert sum(array.size for array in weights.values()) == network.n_weights
    for one in stored:
        assert np.array_equal(codes[keys[one.name]], one.codes), one.name
    assert count_sizes(file, model, stored) == {codec: sizes.of(codec) for codec in CODECS}
    deviation = compare_outputs(run_default_session(plain, feeds), run_default_session(file, feeds))
    assert deviation.value <= 1e-5


def _inputs(model: onnx.ModelProto) -> Any:
    from explorer.network.graph.session import open_inference_session

    return open_inference_session(model.SerializeToString()).inputs


@pytest.mark.parametrize("name", ["digits-gru", "digits-mlp", "digits-transformer"])
def test_shipped_networks_have_an_equal_twin(zoo: Mapping[str, Network], name: str) -> None:
    assert_equal_twin(zoo[name], Recipe(0.6, 0.07, per_tensor=name == "digits-mlp"))


def _save_half(linear: onnx.ModelProto) -> onnx.ModelProto:
    (tensor,) = linear.graph.initializer
    half = numpy_helper.to_array(tensor).astype(np.float16)
    tensor.CopyFrom(numpy_helper.from_array(half, "w"))
    for value in (*linear.graph.input, *linear.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return linear


@pytest.mark.parametrize("opset", [17, 21])
@pytest.mark.parametrize("half", [False, True])
def test_packed_and_half_precision_weights_have_an_equal_twin(
    linear: onnx.ModelProto, save: Save, opset: int, half: bool
) -> None:
    """Steps of .15 give int4, which is packed two codes a byte before opset 21; .005 gives int16."""
    linear.opset_import[0].version = opset
    network = load_network(save(_save_half(linear) if half else linear))

    for step in (0.15, 0.01, 0.005):
        assert_equal_twin(network, Recipe(0.2, step))


def test_weights_inside_branches_are_told_apart_by_their_graphs(save: Save) -> None:
    """Both branches of an If use their own tensor, and one of the main graph."""
    value, random = helper.make_tensor_value_info, np.random.default_rng(0)

    def weights(name: str) -> onnx.TensorProto:
        return numpy_helper.from_array(random.normal(size=(3, 3)).astype(np.float32), name)

    def branch(name: str) -> onnx.GraphProto:
        nodes = [helper.make_node("MatMul", ["x", f"w{name}"], [f"a{name}"]),
                 helper.make_node("MatMul", [f"a{name}", "shared"], [f"y{name}"])]  # fmt: skip
        return helper.make_graph(nodes, name, [], [value(f"y{name}", 1, ["n", 3])], [weights(f"w{name}")])

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["s"], keepdims=0),
        helper.make_node("Greater", ["s", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch("1"), else_branch=branch("2")),
    ]
    graph = helper.make_graph(
        nodes, "branches", [value("x", 1, ["n", 3])], [value("y", 1, ["n", 3])],
        [weights("shared"), numpy_helper.from_array(np.float32(0), "zero")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    assert_equal_twin(load_network(save(model)), Recipe(0.3, 0.05))


@given(st.sampled_from([1, 2, 3, 5, 6, 7, 10, 11, 16, 21, 22]), st.booleans())
def test_stored_tensors_are_read_as_onnx_reads_them(kind: int, is_raw: bool) -> None:
    values = [0, 1, 3, 7, 2]
    tensor = helper.make_tensor("t", kind, [5], values)
    if is_raw:
        tensor = numpy_helper.from_array(numpy_helper.to_array(tensor), "t")

    assert to_array(tensor).astype(int).tolist() == values


def test_runs_survive_their_file_and_every_change_is_a_deviation() -> None:
    feeds = [{"a/b": np.arange(3.0)}, {"a/b": np.ones(3)}]
    outputs = [{"y": np.array([1.0, -2.0]), "k": np.array([1, 2])}, {"y": np.zeros(2), "k": np.array([3, 4])}]
    npz, n = pack_runs(feeds, outputs)
    read = unpack_runs(dict(np.load(io.BytesIO(npz))))

    assert n == 2
    assert compare_outputs(outputs, read[1]).value == 0
    assert read[0][1]["a/b"].tolist() == [1, 1, 1]
    for change, deviation in (
        ({"y": np.array([1.0, -2.2])}, 0.1),
        ({"k": np.array([1, 7])}, 0.25),
        ({"y": np.array([1.0, np.nan])}, np.inf),
        ({"y": np.zeros(3)}, np.inf),
    ):
        assert compare_outputs(outputs, [{**outputs[0], **change}, outputs[1]]).value == pytest.approx(deviation)
    assert pack_runs([{"x": np.zeros(2_000_000)}], [{}]) == (b"", 0)
