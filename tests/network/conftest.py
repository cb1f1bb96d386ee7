"""Fixtures for networks: the shipped ones, loaded once, and small hand-made ONNX models."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from explorer.errors import ExplorerError
from explorer.network.graph.model import Network, load_network
from explorer.network.measurement.setup import MeasurementOptions, MeasurementSetup, prepare_measurement
from explorer.network.reference.stored_codes import StoredCodes, read_stored_codes
from explorer.network.task.labelled_data import LabelledData, load_data

# Shipped classifiers of the digits.
NAMES = ("digits-cnn", "digits-gru", "digits-mlp", "digits-mobile", "digits-transformer")
Build = Callable[..., onnx.ModelProto]
Save = Callable[[onnx.ModelProto], Path]


def refusal(call: Callable[[], Any]) -> ExplorerError | None:
    """Return the ExplorerError of a call, None if it succeeds; any other exception fails the test."""
    try:
        call()
    except ExplorerError as error:
        return error
    return None


@pytest.fixture(scope="session")
def zoo() -> Mapping[str, Network]:
    """Return the shipped classifiers by name."""
    return {name: load_network(name) for name in NAMES}


@pytest.fixture(scope="session")
def digits() -> LabelledData:
    """Return the held-out digits."""
    return load_data("digits")


@pytest.fixture(scope="session")
def mlp_setup(zoo: Mapping[str, Network], digits: LabelledData) -> MeasurementSetup:
    """Return the measurement setup of the smallest network."""
    return prepare_measurement(zoo["digits-mlp"], digits, options=MeasurementOptions(energy="none"))


@pytest.fixture(scope="session")
def build() -> Build:
    """Return a function that builds a model from nodes, inputs, an output and stored tensors."""

    def make(
        nodes: Sequence[onnx.NodeProto],
        *,
        stored: Mapping[str, Any],
        inputs: Mapping[str, Sequence[Any]] | None = None,
        output: Sequence[Any] = ("n", 2),
        opset: int = 21,
    ) -> onnx.ModelProto:
        graph = helper.make_graph(
            list(nodes),
            "hand-made",
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
                for name, shape in (inputs or {"x": ["n", 3]}).items()
            ],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, output)],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in stored.items()],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)

    return make


@pytest.fixture
def linear(build: Build) -> onnx.ModelProto:
    """Return y = x W with three inputs and two classes."""
    weights = np.array([[0.5, -0.25], [0.125, 1.0], [-0.75, 0.0625]], dtype=np.float32)
    return build([helper.make_node("MatMul", ["x", "w"], ["y"])], stored={"w": weights})


@pytest.fixture
def save(tmp_path: Path) -> Save:
    """Return a function that writes a model and returns its path."""

    def write(model: onnx.ModelProto) -> Path:
        path = tmp_path / "net.onnx"
        path.write_bytes(model.SerializeToString())
        return path

    return write


def codes_of(model: onnx.ModelProto) -> dict[str, StoredCodes]:
    """Return the codes that a file stores, by the name of their weight, read as `verify` reads them."""
    return {re.sub(r"(/codes|_quantized)$", "", one.name): one for one in read_stored_codes(model) if one.uses}
