"""Loading of untrusted ONNX files: every fault is reported, and no file outside the folder is read."""

import os
import pickle
import random
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from explorer.errors import InvalidFile, UnknownName, WrongUsage
from explorer.network.compression.compress import Recipe, compress_weights
from explorer.network.graph import loading as load
from explorer.network.graph.loading import read_network_file
from explorer.network.graph.model import ZOO, load_network, shipped_networks
from tests.network.conftest import NAMES, Build, Save, refusal


def external(model: onnx.ModelProto, entries: Mapping[str, str]) -> onnx.ModelProto:
    """Replace the bytes of the only stored tensor by a reference to external data."""
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    return model


def bytes_of(model: onnx.ModelProto) -> bytes:
    return bytes(model.graph.initializer[0].raw_data)


def test_networks_are_shipped_within_the_size_limit() -> None:
    assert set(shipped_networks()) > {*NAMES}
    assert sum(path.stat().st_size for path in ZOO.iterdir()) < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_shipped_networks_contain_no_exporter_paths(name: str) -> None:
    """Exporters write folder names of the training machine into metadata."""
    data = (ZOO / f"{name}.onnx").read_bytes()

    assert b".py" not in data
    assert b"/home" not in data


def test_unknown_network_name_suggests_the_nearest() -> None:
    with pytest.raises(UnknownName, match=r"unknown name 'digits-cn'\n  fix: did you mean 'digits-cnn'\?"):
        load_network("digits-cn")


def test_missing_network_file_is_reported(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"(?s)nowhere.onnx: no such file.*fix:"):
        load_network(tmp_path / "nowhere.onnx")
    with pytest.raises(WrongUsage, match="is not a file"):
        load_network(tmp_path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"hello",
        b"PK\x03\x04",
        pickle.dumps({"w": 1}),
        b"\x80\x04\x95",
        random.Random(0).randbytes(1000),
        b"{}\n" * 50,
    ],
    ids=["empty", "nul", "text", "zip", "pickle", "opcode", "noise", "json"],
)
def test_file_that_is_not_onnx_is_rejected(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(data)

    with pytest.raises(InvalidFile, match="is not an ONNX file"):
        load_network(path)


@pytest.mark.parametrize("seed", range(50))
def test_corrupted_onnx_file_is_rejected_or_loaded(tmp_path: Path, seed: int) -> None:
    """Truncated, changed, inserted and removed bytes; a changed weight is not detectable."""
    rng = random.Random(seed)
    data = bytearray((ZOO / f"{NAMES[seed % len(NAMES)]}.onnx").read_bytes())
    at = rng.randrange(len(data)) if seed % 2 else rng.randrange(1500)
    match seed % 5:
        case 0:
            del data[at:]
        case 1:
            data[at : at + 1] = bytes([rng.randrange(256)])
        case 2:
            data[at:at] = rng.randbytes(8)
        case 3:
            del data[at : at + 8]
        case _:
            for _ in range(20):
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path = tmp_path / "net.onnx"
    path.write_bytes(data)

    error = refusal(lambda: load_network(path))

    assert error is None or (error.exit_code == 3 and "fix:" in str(error))


def test_oversized_file_is_rejected_without_reading(
    linear: onnx.ModelProto, save: Save, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "MAX_NETWORK_BYTES", 50)

    with pytest.raises(InvalidFile, match="keep it under 50 bytes"):
        read_network_file(save(linear))


def test_network_without_weights_is_loaded_but_not_compressed(build: Build, save: Save) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["h"]), helper.make_node("Add", ["h", "b"], ["y"])]
    network = load_network(save(build(nodes, stored={"b": np.ones(3, dtype=np.float32)}, output=("n", 3))))

    assert (network.n_weights, network.n_parameters, network.is_quantized) == (0, 3, False)
    with pytest.raises(WrongUsage, match=r"has no weights to compress: no operator of it uses stored weights"):
        compress_weights(network, Recipe(0.5, 0.1))


def test_unsupported_operator_is_reported(linear: onnx.ModelProto, save: Save) -> None:
    linear.graph.node[0].domain = "com.example"
    linear.opset_import.append(helper.make_opsetid("com.example", 1))

    with pytest.raises(InvalidFile, match=r"onnxruntime cannot load it: .*com.example"):
        load_network(save(linear))


def test_inconsistent_graph_is_rejected(linear: onnx.ModelProto, save: Save) -> None:
    linear.graph.node[0].input[1] = "nowhere"

    with pytest.raises(InvalidFile, match=r"is damaged: .*nowhere"):
        load_network(save(linear))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_weights_are_reported_by_name(linear: onnx.ModelProto, save: Save, value: float) -> None:
    weights = np.array([[value, 1], [1, 1], [1, 1]], dtype=np.float32)
    linear.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, "w"))

    with pytest.raises(InvalidFile, match="tensor 'w': has weights that are NaN or infinite"):
        load_network(save(linear))


def test_external_data_is_loaded_and_part_of_the_sha256(linear: onnx.ModelProto, save: Save) -> None:
    data = bytes_of(linear)
    path = save(external(linear, {"location": "w.bin", "offset": "4", "length": str(len(data))}))
    (path.parent / "w.bin").write_bytes(b"xxxx" + data)
    first = load_network(path)
    (path.parent / "w.bin").write_bytes(b"xxxx" + data[::-1])

    assert first.weights[0].values.tobytes() == data
    assert first.n_bytes == path.stat().st_size + len(data)
    assert read_network_file(path).sha256 != first.sha256


@pytest.mark.parametrize("location", ["/etc/passwd", "../secret.bin", "sub/../../secret.bin", "", "link.bin"])
def test_external_data_outside_the_folder_is_rejected(linear: onnx.ModelProto, tmp_path: Path, location: str) -> None:
    folder = tmp_path / "nets"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"s" * 24)
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    path = folder / "net.onnx"
    path.write_bytes(external(linear, {"location": location}).SerializeToString())

    with pytest.raises(InvalidFile, match=r"tensor 'w': its external data .* is outside the folder of the file"):
        load_network(path)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "gone.bin"}, "its external data 'gone.bin' is missing"),
        ({"location": "w.bin", "length": "9999"}, "ends too early"),
        ({"location": "w.bin", "length": "many"}, "is not a number"),
        ({"location": "w.bin", "offset": "-4"}, "has offset -4"),
        ({"location": "pipe"}, "its external data 'pipe' is missing"),
        ({"location": "w.bin", "length": str(10**15)}, "refers to 1,000,000,000,000,000 bytes"),
        ({"location": "w.bin", "length": "8"}, "(?s)damaged|cannot load"),
    ],
)
def test_missing_or_invalid_external_data_is_reported(
    linear: onnx.ModelProto, save: Save, entries: dict[str, str], message: str
) -> None:
    path = save(external(linear, entries))
    (path.parent / "w.bin").write_bytes(b"w" * 24)
    os.mkfifo(path.parent / "pipe")

    with pytest.raises(InvalidFile, match=message):
        load_network(path)


def test_constant_larger_than_the_limit_is_rejected(build: Build, save: Save) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["huge"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("MatMul", ["x", "w"], ["h"]),
        helper.make_node("Add", ["h", "sum"], ["y"]),
    ]
    stored = {"huge": np.array([1 << 20, 1 << 20]), "w": np.ones((3, 2), dtype=np.float32)}

    with pytest.raises(InvalidFile, match="tensor 'zeros': has more than 500,000,000 elements"):
        load_network(save(build(nodes, stored=stored)))


def test_sum_of_constants_above_the_limit_is_rejected(build: Build, save: Save) -> None:
    """Each constant is within the limit, but folding holds all of them."""
    blocks = [helper.make_node("ConstantOfShape", ["large"], [f"zeros{i}"]) for i in range(3)]
    sums = [helper.make_node("ReduceSum", [f"zeros{i}"], [f"sum{i}"], keepdims=0) for i in range(3)]
    rest = [helper.make_node("Sum", ["h", "sum0", "sum1", "sum2"], ["y"])]
    stored = {"large": np.array([20_000, 20_000]), "w": np.ones((3, 2), dtype=np.float32)}

    with pytest.raises(InvalidFile, match="constants expand to 1,200,000,003 elements, more than 1,000,000,000"):
        load_network(save(build([*blocks, *sums, helper.make_node("MatMul", ["x", "w"], ["h"]), *rest], stored=stored)))


@pytest.mark.parametrize("is_outer", [False, True])
def test_constants_of_branches_count_as_well(build: Build, save: Save, is_outer: bool) -> None:
    """Of lengths that the branch stores, and of those that the graph around it stores."""
    value = helper.make_tensor_value_info

    def branch(name: str) -> onnx.GraphProto:
        blocks = [helper.make_node("ConstantOfShape", ["large"], [f"{name}{i}"]) for i in range(3)]
        sums = [helper.make_node("ReduceSum", [f"{name}{i}"], [f"{name}s{i}"], keepdims=0) for i in range(3)]
        total = helper.make_node("Sum", ["x", *(f"{name}s{i}" for i in range(3))], [name])
        large = [] if is_outer else [numpy_helper.from_array(np.array([20_000, 20_000]), "large")]
        return helper.make_graph([*blocks, *sums, total], name, [], [value(name, TensorProto.FLOAT, ["n", 3])], large)

    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["is_positive"]),
        helper.make_node("If", ["is_positive"], ["y"], then_branch=branch("a"), else_branch=branch("b")),
    ]
    stored = {"zero": np.float32(0), **({"large": np.array([20_000, 20_000])} if is_outer else {})}

    with pytest.raises(InvalidFile, match="constants expand to 2,400,000,0"):
        load_network(save(build(nodes, stored=stored, output=("n", 3))))


def test_tensor_with_oversized_dims_is_rejected(linear: onnx.ModelProto, save: Save) -> None:
    linear.graph.initializer[0].dims[:] = [1 << 40, 2]

    with pytest.raises(InvalidFile, match="tensor 'w': has more than 500,000,000 elements"):
        load_network(save(linear))


def test_names_that_are_not_utf_8_are_rejected(tmp_path: Path) -> None:
    data = (ZOO / "digits-transformer.onnx").read_bytes()
    path = tmp_path / "net.onnx"
    path.write_bytes(data.replace(b"softmax", b"soft\xff\xfex"))

    with pytest.raises(InvalidFile, match="is damaged"):
        load_network(path)
