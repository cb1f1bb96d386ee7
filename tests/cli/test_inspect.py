"""`explorer inspect`: what is fed, read, scored and compressed, in one screen, and what is in the way."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import explorer
from tests.cli.conftest import Cli

KEYS = {
    "schema", "inputs", "outputs", "scored_output", "fixed_batch", "n_weights", "n_weights_compressible", "problems",
    "coverage", "n_macs", "opset", "sha256", "notes",
}  # fmt: skip


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """Write a network with two outputs, embeddings first, and a batch fixed at 1; return its path."""
    random = np.random.default_rng(1)
    w, e = (random.normal(size=shape).astype(np.float32) for shape in ((12, 10), (12, 40)))
    nodes = [helper.make_node("MatMul", ["x", "e"], ["emb"]), helper.make_node("MatMul", ["x", "w"], ["logits"])]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "two", [value("x", TensorProto.FLOAT, [1, 12])],
        [value("emb", TensorProto.FLOAT, [1, 40]), value("logits", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(e, "e"), numpy_helper.from_array(w, "w")],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), tmp_path / "n.onnx")
    x = random.normal(size=(50, 12)).astype(np.float32)
    np.savez(tmp_path / "v.npz", x=x, y=(x @ w).argmax(axis=1))
    return tmp_path / "n.onnx"


def test_json_says_what_is_fed_scored_and_compressed(net: Path) -> None:
    found = explorer.inspect(net, data=str(net.with_name("v.npz"))).to_json()

    assert found.keys() >= KEYS
    assert found["schema"] == "explorer.inspect/1"
    assert found["inputs"] == [{"name": "x", "type": "float32", "shape": [1, 12]}]
    assert [port["name"] for port in found["outputs"]] == ["emb", "logits"]
    assert (found["scored_output"], found["source"]) == ("logits", {"accuracy": 1.0})
    assert (found["fixed_batch"], found["batch"], found["opset"]) == (1, 1, 17)
    assert (found["n_weights"], found["n_weights_compressible"], found["n_macs"]) == (600, 600, 600)
    assert found["problems"] == []


def test_output_to_score_is_left_open_without_data(net: Path) -> None:
    found = explorer.inspect(net).to_json()

    assert (found["scored_output"], found["batch"], found["n_macs"]) == (None, None, 600)


def test_data_that_does_not_fit_is_a_problem_with_its_fix(net: Path) -> None:
    np.savez(net.with_name("bad.npz"), x=np.zeros((5, 7), np.float32), y=np.zeros(5, np.int64))

    (problem,) = explorer.inspect(net, data=str(net.with_name("bad.npz"))).to_json()["problems"]

    assert "input 'x'" in problem["problem"] or "array 'x'" in problem["problem"]
    assert problem["fix"]


def test_a_problem_of_the_data_is_told_alone_and_with_its_fix(cli: Cli, net: Path) -> None:
    np.savez(net.with_name("bad.npz"), x=np.zeros((5, 7), np.float32), y=np.zeros(5, np.int64))

    screen = cli("inspect", "n.onnx", "--data", "bad.npz").stdout

    assert screen.count("problem ") == 1
    assert "Fix: " in screen
    assert "\nscored   -\n" in screen


def test_a_network_at_chance_is_a_problem(net: Path) -> None:
    found = explorer.inspect(net, data=str(net.with_name("v.npz")), output="emb").to_json()

    assert found["scored_output"] == "emb"
    assert any("no better than" in problem["problem"] for problem in found["problems"])


def test_the_command_fits_a_screen_of_80_columns(cli: Cli, net: Path) -> None:
    done = cli("inspect", str(net), "--data", str(net.with_name("v.npz")))
    lines = done.stdout.splitlines()

    assert done.returncode == 0
    assert max(map(len, lines)) < 80
    assert len(lines) <= 24
    assert "logits float32 (1, 10), scored" in done.stdout
    assert json.loads(cli("inspect", str(net), "--json").stdout).keys() >= KEYS


def test_a_damaged_file_has_its_faults_and_exit_code(cli: Cli, net: Path) -> None:
    net.write_bytes(net.read_bytes()[:200])
    done = cli("inspect", str(net))

    assert done.returncode == 3
    assert "n.onnx" in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
