"""Operation counts against closed forms, and Eq. (1) with a declared technology."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from explorer.errors import InvalidFile, UnknownName
from explorer.network.graph.model import Network
from explorer.network.graph.op_counts import OpCounts, count_operations
from explorer.network.measurement.technology import SHIPPED, load_technology, modelled_energy
from explorer.network.task.labelled_data import LabelledData
from explorer.paper.equations import mac_memory_energy
from tests.network.conftest import NAMES, Build


def ones(*shape: int) -> Any:
    return np.ones(shape, dtype=np.float32)


def node_of(operator: str, inputs: list[str], **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs, ["y"], name="it", **attributes)


def counted(build: Build, node: onnx.NodeProto, x: Any, **stored: Any) -> OpCounts:
    model = build([node], stored=stored, inputs={"x": [None] * x.ndim}, output=None)
    return count_operations(model, {"x": x})


def test_convolution_counts_match_the_closed_form(build: Build) -> None:
    """8 outputs of 5 x 6 positions; each sums 3 channels x 3 x 3. Read: input, weights, biases. Written: the output."""
    counts = counted(build, node_of("Conv", ["x", "w", "b"], pads=[1, 1, 1, 1]), ones(1, 3, 5, 6),
                     w=ones(8, 3, 3, 3), b=ones(8))  # fmt: skip

    assert counts.n_macs == 8 * 5 * 6 * 3 * 3 * 3
    assert counts.n_accesses == 3 * 5 * 6 + 8 * 3 * 3 * 3 + 8 + 8 * 5 * 6
    assert counts.operators[0].weight_reads == {"w": 216, "b": 8}


def test_depthwise_strided_convolution_macs_match_the_closed_form(build: Build) -> None:
    """Depthwise: each of 4 channels has its own 3 x 3 filter; stride 2 leaves 3 x 3 of 7 x 7 positions."""
    counts = counted(build, node_of("Conv", ["x", "w"], group=4, strides=[2, 2]), ones(2, 4, 7, 7), w=ones(4, 1, 3, 3))

    assert counts.n_macs == 2 * 4 * 3 * 3 * 9


def test_transposed_convolution_macs_match_the_closed_form(build: Build) -> None:
    """Each input element is multiplied with every weight of its channel."""
    counts = counted(build, node_of("ConvTranspose", ["x", "w"]), ones(1, 2, 4, 4), w=ones(2, 5, 3, 3))

    assert counts.n_macs == 2 * 4 * 4 * 5 * 3 * 3


@pytest.mark.parametrize("is_transposed", [0, 1])
def test_gemm_counts_match_the_closed_form(build: Build, is_transposed: int) -> None:
    x = ones(7, 2) if is_transposed else ones(2, 7)
    counts = counted(build, node_of("Gemm", ["x", "w", "b"], transA=is_transposed), x, w=ones(7, 5), b=ones(5))

    assert counts.n_macs == 2 * 7 * 5
    assert counts.n_accesses == 2 * 7 + 7 * 5 + 5 + 2 * 5


def test_batched_matmul_of_activations_reads_no_weights(build: Build) -> None:
    counts = counted(build, node_of("MatMul", ["x", "x"]), ones(3, 4, 6, 6))

    assert counts.n_macs == 3 * 4 * 6 * 6 * 6
    assert counts.operators[0].weight_reads == {}


def test_einsum_macs_match_the_closed_form(build: Build) -> None:
    counts = counted(build, node_of("Einsum", ["x", "w"], equation="bij,jk->bik"), ones(2, 3, 4), w=ones(4, 5))

    assert counts.n_macs == 2 * 3 * 4 * 5


@pytest.mark.parametrize(("operator", "gates", "states"), [("RNN", 1, 1), ("GRU", 3, 1), ("LSTM", 4, 2)])
@pytest.mark.parametrize("directions", [1, 2])
def test_recurrent_counts_match_the_closed_form(
    build: Build, operator: str, gates: int, states: int, directions: int
) -> None:
    """T steps; the recurrent weights and the states move in each of them, the input weights once."""
    steps, batch, n_in, width = 5, 2, 3, 4
    w, r = gates * width * n_in * directions, gates * width * width * directions
    direction = "forward" if directions == 1 else "bidirectional"
    node = node_of(operator, ["x", "w", "r", "b"], hidden_size=width, direction=direction)
    counts = counted(build, node, ones(steps, batch, n_in), w=ones(directions, gates * width, n_in),
                     r=ones(directions, gates * width, width), b=ones(directions, 2 * gates * width))  # fmt: skip

    assert counts.n_macs == steps * batch * (w + r)
    state = steps * batch * directions * width * states
    assert counts.n_accesses == steps * batch * n_in + w + steps * r + 2 * gates * width * directions + 2 * state


def test_reshape_is_free_and_gather_reads_selected_elements_only(build: Build) -> None:
    assert counted(build, node_of("Reshape", ["x", "s"]), ones(4, 6), s=np.array([6, 4])).n_accesses == 0
    assert counted(build, node_of("Gather", ["x", "i"]), ones(1000, 8), i=np.array([3])).n_accesses == 17


def test_activation_functions_have_accesses_but_no_macs(build: Build) -> None:
    counts = counted(build, node_of("Relu", ["x"]), ones(2, 9))

    assert (counts.n_macs, counts.n_accesses) == (0, 36)


@pytest.mark.parametrize("name", NAMES)
def test_macs_scale_with_the_batch_and_weight_reads_do_not(
    zoo: Mapping[str, Network], digits: LabelledData, name: str
) -> None:
    """The batch is symbolic in the file: shapes come from a run."""
    one, two = (count_operations(zoo[name].model, {"x": digits.inputs["x"][:n].astype(np.float32)}) for n in (1, 2))

    assert two.n_macs == 2 * one.n_macs
    assert not one.uncounted
    for before, after in zip(one.operators, two.operators, strict=True):
        assert before.weight_reads == after.weight_reads


def test_macs_of_shipped_networks_match_their_layers(zoo: Mapping[str, Network], digits: LabelledData) -> None:
    x = {"x": digits.inputs["x"][:1].astype(np.float32)}
    attention = 8 * 32 * 96 + 2 * 4 * 8 * 8 * 8 + 8 * 32 * 32  # q, k, v; scores and mixing in 4 heads; output
    block = attention + 2 * 8 * 32 * 64

    def inverted_residual(n_in: int, n_out: int, *, width: int, n_before: int, n_after: int) -> int:
        gate = 2 * width * width // 4
        return n_before * n_in * width + n_after * (9 * width + width * n_out) + gate

    by_hand = {
        "digits-cnn": 64 * 16 * 9 + 64 * 32 * 16 * 9 + 512 * 64 + 64 * 10,
        "digits-mlp": 64 * 128 + 128 * 64 + 64 * 10,
        "digits-mobile": 64 * 16 * 9
        + inverted_residual(16, 16, width=48, n_before=64, n_after=64)
        + inverted_residual(16, 24, width=64, n_before=64, n_after=16)
        + 2 * inverted_residual(24, 24, width=96, n_before=16, n_after=16)
        + 16 * 24 * 96
        + 96 * 10,
        "digits-gru": 8 * 3 * 64 * (8 + 64) + 64 * 10,
        "digits-transformer": 8 * 8 * 32 + 2 * block + 32 * 10,
    }

    assert {name: count_operations(network.model, x).n_macs for name, network in zoo.items()} == by_hand


def test_uncountable_operators_are_listed(build: Build) -> None:
    """A loop: how often it runs is known only inside onnxruntime."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Relu", ["z"], ["r"]), helper.make_node("Identity", ["go"], ["on"])], "b",
        [value("i", TensorProto.INT64, []), value("go", TensorProto.BOOL, []), value("z", TensorProto.FLOAT, None)],
        [value("on", TensorProto.BOOL, []), value("r", TensorProto.FLOAT, None)],
    )  # fmt: skip
    node = helper.make_node("Loop", ["n", "", "x"], ["y"], name="it", body=body)
    counts = count_operations(build([node], stored={"n": np.array(3)}, output=None), {"x": ones(1, 3)})

    assert counts.uncounted == ("Loop 'it'",)
    assert counted(build, node_of("Einsum", ["x", "w"], equation="...j,jk->...k"), ones(2, 4), w=ones(4, 5)).uncounted


def test_modelled_energy_equals_eq_1_of_the_shipped_technology(build: Build) -> None:
    """Float MACs of 4.6 pJ; 7 x 5 codes of 8 bits; 14 inputs, 5 biases and 10 outputs of 32; DRAM 1300 pJ a word."""
    counts = counted(build, node_of("Gemm", ["x", "w", "b"]), ones(2, 7), w=ones(7, 5), b=ones(5))
    energy = modelled_energy(counts, load_technology(), level="dram", weight_bits={"w": 8})
    bits = 7 * 5 * 8 + (14 + 5 + 10) * 32

    assert energy == pytest.approx(70 * 4.6e-12 + bits * 1300e-12 / 64)
    assert energy == pytest.approx(
        float(mac_memory_energy(mac_ops=70, mac_energy=4.6e-12, mem_accesses=bits / 64, access_energy=1300e-12))
    )


def test_modelled_energy_depends_mainly_on_the_memory_level(zoo: Mapping[str, Network], digits: LabelledData) -> None:
    network, technology = zoo["digits-cnn"], load_technology()
    counts = count_operations(network.model, {"x": digits.inputs["x"][:1].astype(np.float32)})
    bits = {weight.name: 8 for weight in network.weights}
    sram, dram = (
        modelled_energy(counts, technology, level=level, weight_bits=bits, arithmetic="int8")
        for level in ("sram-8KiB", "dram")
    )

    assert dram > 20 * sram


def test_every_value_of_the_shipped_technology_has_a_source() -> None:
    technology = load_technology()

    assert set(technology.sources) == {f"mac.{n}" for n in technology.mac_j} | {f"memory.{n}" for n in technology.bit_j}
    assert all(len(source) > 5 for source in technology.sources.values())


def test_undeclared_level_or_arithmetic_is_rejected(build: Build) -> None:
    counts = counted(build, node_of("Relu", ["x"]), ones(1, 1))

    with pytest.raises(UnknownName, match="did you mean 'dram'"):
        modelled_energy(counts, load_technology(), level="dramm", weight_bits={})
    with pytest.raises(UnknownName, match="did you mean 'int8'"):
        modelled_energy(counts, load_technology(), level="dram", weight_bits={}, arithmetic="int9")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("pj = 4.6", "pj = -4.6", r"mac.float32.pj: is -4.6"),
        ("pj = 4.6", 'pj = "4.6"', r"mac.float32.pj: is '4.6'"),
        ("pj = 4.6", "pj = inf", r"mac.float32.pj: is inf"),
        ("pj = 4.6", "pj = true", r"mac.float32.pj: is True"),
        ("pj = 4.6", f"pj = {'9' * 400}", r"mac.float32.pj: is 9"),
        ("bits = 64", "bits = 0", "memory.sram-8KiB.bits: is 0"),
        ("int8 =", "int7 =", "mac.int7: is not a supported arithmetic"),
        ('source = "the same, 32 KB"', "x = 1", "memory.sram-32KiB.source: is missing"),
        ("[memory]", "[memories]", r"(?s)memories: is not a key of a technology.*\[memory\]: is missing"),
        ("[mac]", "[mac", "is not TOML"),
        ("title", "mac = 3\ntitle", "is not TOML"),
        ("int8 = {", "int8 = 3 # {", r"mac.int8: is not a table"),
    ],
)
def test_faults_of_a_technology_file_are_reported(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SHIPPED.read_text().replace(before, after))

    with pytest.raises(InvalidFile, match=message):
        load_technology(path)
