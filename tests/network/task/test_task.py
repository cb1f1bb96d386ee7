"""Tasks: what a network is fed, which output is read, and how samples are run, decided once from the source."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from explorer.errors import InvalidFile, MeasurementFailed, UnknownName
from explorer.network.graph.session import Session, open_inference_session
from explorer.network.task.labelled_data import LabelledData, load_data, make_labelled_data
from explorer.network.task.task import Task, prepare_task
from tests.network.exports import CASES, NAMES, N, X, Y, data_of, export, write_case

Prepare = Callable[..., Task]


def session_of(name: str) -> Session:
    return open_inference_session(export(name).SerializeToString())


def labelled(name: str, **changed: Any) -> LabelledData:
    return make_labelled_data({**data_of(name), **changed}, source="d.npz")


@pytest.mark.parametrize("name", CASES)
def test_every_export_is_fed_and_read_as_it_is_meant(name: str, tmp_path: Path) -> None:
    """The control is plain onnxruntime, sample by sample: right in all of them."""
    path, data = write_case(name, tmp_path)
    session = open_inference_session(path.read_bytes())
    task = prepare_task(session, load_data(str(data)))

    assert task.source["accuracy"].n_right == N
    assert task.output == CASES[name][4]
    assert not task.warnings
    for feeds in (task.one_run, *task.sample_runs(3)):
        onnxruntime.InferenceSession(path).run(None, dict(feeds))


@pytest.mark.parametrize("name", ["plain", "batch_fixed_at_7", "no_batch_axis", "scalar_input"])
@settings(max_examples=5)
@given(data=st.data())
def test_rows_are_measured_as_in_the_whole(name: str, data: st.DataObject) -> None:
    """The labels of every third sample are wrong."""
    session = session_of(name)
    labels = np.where(np.arange(N) % 3 == 0, (Y + 1) % 10, Y)
    task = prepare_task(session, labelled(name, y=labels))
    rows = np.array(data.draw(st.lists(st.integers(0, N - 1), min_size=1, max_size=20)))

    quality = task.evaluate(session, rows)["accuracy"]

    assert np.array_equal(np.asarray(quality.per_sample), rows % 3 != 0)
    assert task.source["accuracy"].n_right == N - 67


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("batch_fixed_at_1", "the batch is fixed at 1: samples are run one by one"),
        ("batch_fixed_at_7", "the batch is fixed at 7: samples are run by 7"),
        ("reshape_to_one_sample", "a run of 3 samples fails (Reshape node. Name:''): samples are run one by one"),
        ("batch_changes_values", "a batch changes the values of output 'logits': samples are run one by one"),
        ("no_batch_axis", "input 'x' has no batch axis: samples are run one by one"),
        ("scalar_input", "the same in every run: 'rate' float32 ()"),
        ("embeddings_first", "not read: 'emb' (n, 40)"),
        ("confidence_first", "not read: 'conf' (n, 1) float32 is one value for each sample"),
        ("fully_convolutional", "read: output 'logits' (n, 10, 1, 1), the largest of 10 values is the class"),
        ("one_column_of_logits", "read: output 'c' (n, 1), class 1 above 0"),
        ("one_column_of_probabilities", "class 1 above 0.5"),
    ],
)
def test_notes_state_what_is_fed_and_read(name: str, note: str) -> None:
    assert note in "\n".join(prepare_task(session_of(name), labelled(name)).notes)


def test_a_named_output_is_read_and_a_source_at_chance_is_a_warning() -> None:
    task = prepare_task(session_of("embeddings_first"), labelled("embeddings_first"), output="emb")

    assert task.output == "emb"
    assert (task.source["accuracy"].n_right or 0) < N / 5
    assert "is no better than always class" in task.warnings[0]
    with pytest.raises(UnknownName, match="unknown name 'logit'"):
        prepare_task(session_of("plain"), labelled("plain"), output="logit")


def test_labels_decide_which_output_is_read() -> None:
    """The first output is right in 3 of 200 samples; of those alone, nothing tells it from the second."""
    arrays = data_of("embeddings_first")
    session = session_of("embeddings_first")
    both = session.run({"x": X})
    rows = both["emb"].argmax(axis=1) == Y
    data = make_labelled_data({name: values[rows] for name, values in arrays.items()}, source="d.npz")
    more = labelled("embeddings_first", y=np.where(rows, Y, 39))  # no class of the second one

    assert prepare_task(session, data).output == "emb"
    assert prepare_task(session, more).output == "emb"


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [
        ("scalar_input", {"rate": None}, r"input 'rate': has no array\n  fix: .* one number, float32"),
        ("scalar_input", {"rate": np.ones((3, 2))}, r"array for input 'rate': has shape .*: the input is a scalar"),
        ("plain", {"x": X[:, :5]}, r"has samples of shape \(5,\)\n  fix: the network takes 12"),
        ("plain", {"x": X[:3]}, "array 'x': has 3 samples, y has 200"),
        ("plain", {"x": X.astype(str)}, "is <U32\n  fix: the network takes float32"),
        ("plain", {"more": np.ones((N, 2))}, "array 'more': is not an input of the network"),
        ("plain", {"y": Y + 5}, r"has class 14 in row .*, but the network has 10 classes"),
        (
            "plain",
            {"y": np.arange(N) % 10 + 1},
            "but the network has 10 classes, from 0\n  fix: count the classes from 0: store y - 1",
        ),
    ],
)
def test_data_that_does_not_fit_is_refused(name: str, changed: dict[str, Any], message: str) -> None:
    arrays = {key: value for key, value in {**data_of(name), **changed}.items() if value is not None}

    with pytest.raises(InvalidFile, match=message):
        prepare_task(session_of(name), make_labelled_data(arrays, source="d.npz"))


def test_an_output_of_names_is_read_with_or_without_a_map_of_probabilities() -> None:
    """As exports of scikit-learn have it: one name a sample, which numpy returns as a plain string."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["best"], axis=1, keepdims=0),
        helper.make_node("ArrayFeatureExtractor", ["names", "best"], ["row"], domain="ai.onnx.ml"),
        helper.make_node("Reshape", ["row", "flat"], ["label"]),
    ]
    weights = np.random.default_rng(3).normal(size=(12, 4)).astype(np.float32)
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 12])],
        [helper.make_tensor_value_info("label", TensorProto.STRING, ["n"])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([-1]), "flat"),
         helper.make_tensor("names", TensorProto.STRING, [4], list("abcd"))],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    data = make_labelled_data({"x": X, "y": np.array(list("abcd"))[(X @ weights).argmax(axis=1)]}, source="d.npz")

    task = prepare_task(open_inference_session(model.SerializeToString()), data)

    assert task.source["accuracy"].value == 1.0


def test_samples_on_a_later_axis_are_told_how_they_are_stored() -> None:
    """A state of shape (1, n, 12) fits the whole input, so it is fed in every run."""
    nodes = [
        helper.make_node("Squeeze", ["state", "axis"], ["rows"]),
        helper.make_node("Add", ["x", "rows"], ["sum"]),
        helper.make_node("MatMul", ["sum", "w"], ["scores"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["n", 12]), value("state", TensorProto.FLOAT, [1, "n", 12])],
        [value("scores", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(np.ones((12, 10), np.float32), "w"), numpy_helper.from_array(np.array([0]), "axis")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = open_inference_session(model.SerializeToString())
    state = np.zeros((1, N, 12), np.float32)

    with pytest.raises(MeasurementFailed, match=r"store np.expand_dims\(np.moveaxis\(a, 1, 0\), 2\) of it"):
        prepare_task(session, make_labelled_data({"x": X, "state": state, "y": Y}, source="d.npz"))
    stored = np.expand_dims(np.moveaxis(state, 1, 0), 2)
    task = prepare_task(session, make_labelled_data({"x": X, "state": stored, "y": Y}, source="d.npz"))

    assert task.one_run["state"].shape == (1, 1, 12)


def test_a_network_with_a_random_operator_is_a_warning() -> None:
    nodes = [
        helper.make_node("Dropout", ["x", "half", "yes"], ["kept"]),
        helper.make_node("MatMul", ["kept", "w"], ["scores"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["n", 12])], [value("scores", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(np.ones((12, 10), np.float32), "w"), numpy_helper.from_array(np.array(True), "yes"),
         numpy_helper.from_array(np.float32(0.5), "half")],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    task = prepare_task(open_inference_session(model.SerializeToString()), labelled("plain"))

    assert "two runs of one sample differ" in task.warnings[0]
    assert not any("differ" in text for text in prepare_task(session_of("plain"), labelled("plain")).warnings)


def test_labels_that_no_output_gives_are_refused_with_every_reason() -> None:
    with pytest.raises(MeasurementFailed, match=r"'logits' .* has numbers, the labels are names"):
        prepare_task(session_of("plain"), labelled("plain", y=NAMES[Y]))
    with pytest.raises(MeasurementFailed, match=r"'c' .* for the classes 0 and 1; the labels have 9"):
        prepare_task(session_of("one_column_of_logits"), labelled("plain"))


@given(seed=st.integers(0, 100))
def test_order_of_samples_does_not_change_quality(seed: int) -> None:
    order = np.random.default_rng(seed).permutation(N)
    labels = np.where(np.arange(N) < 20, (Y + 1) % 10, Y)

    quality = prepare_task(session_of("plain"), labelled("plain", x=X[order], y=labels[order])).source["accuracy"]

    assert quality.n_right == N - 20


@pytest.mark.parametrize("rate", [1, np.ones(1), np.ones(N), np.float64(1)])
def test_a_scalar_input_takes_one_number_or_one_for_each_sample(rate: Any) -> None:
    task = prepare_task(session_of("scalar_input"), labelled("scalar_input", rate=rate))

    assert task.source["accuracy"].n_right == N
    assert np.shape(task.one_run["rate"]) == ()


def test_data_that_is_only_fed_needs_no_labels_of_the_network() -> None:
    task = prepare_task(session_of("plain"), labelled("plain", y=Y + 90), is_scored=False)

    assert len(task.sample_runs(5)) == 5
    assert task.sample_runs(5)[0]["x"].shape == (1, 12)
