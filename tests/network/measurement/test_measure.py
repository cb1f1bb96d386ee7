"""Measurement of real networks: rows, caching, failures, time limits, and the shipped surface."""

import csv
import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from explorer.devices.meters import rapl_meter
from explorer.errors import InvalidFile, MeasurementFailed, OutOfRange, UnknownName, WrongUsage
from explorer.network.graph.model import ZOO, Network, load_network
from explorer.network.measurement import measure
from explorer.network.measurement.design_grid import grid_designs
from explorer.network.measurement.host import processor
from explorer.network.measurement.measure import MEASURED, as_columns, measure_design, measure_table
from explorer.network.measurement.provenance import provenance
from explorer.network.measurement.setup import (
    MeasurementOptions,
    MeasurementSetup,
    prepare_measurement,
    start_time_limit,
)
from explorer.network.task.accuracy import wilson_interval
from explorer.network.task.labelled_data import LabelledData, make_labelled_data
from tests.network.conftest import NAMES, Build, Save

NO_ENERGY = MeasurementOptions(energy="none")
# Correct samples of 719 after training; another processor may round one or two of them differently.
N_CORRECT = {"digits-cnn": 713, "digits-mlp": 704, "digits-gru": 692, "digits-mobile": 717, "digits-transformer": 697}


def surface() -> list[dict[str, str]]:
    with (ZOO / "digits-surface.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def never_twice(*_: object, **__: object) -> Any:
    pytest.fail("the same network was measured twice")


@pytest.fixture
def small(linear: onnx.ModelProto, save: Save) -> Callable[..., MeasurementSetup]:
    """Return a function that prepares the linear network, by default with its own classes as labels."""

    def make(
        *, data: LabelledData | None = None, model: onnx.ModelProto | None = None, **options: Any
    ) -> MeasurementSetup:
        x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
        network = load_network(save(model or linear))
        if data is None:
            data = make_labelled_data({"x": x, "y": (x @ network.weights[0].values).argmax(axis=1)}, source="linear")
        return prepare_measurement(network, data, options=replace(NO_ENERGY, **options))

    return make


@pytest.mark.parametrize("name", NAMES)
def test_shipped_networks_have_their_training_accuracy(
    zoo: Mapping[str, Network], digits: LabelledData, name: str
) -> None:
    setup = prepare_measurement(zoo[name], digits, options=NO_ENERGY)

    assert abs(setup.task.source["accuracy"].n_right - N_CORRECT[name]) <= 2


def test_mild_compression_keeps_accuracy_and_harsh_loses_it(mlp_setup: MeasurementSetup) -> None:
    mild = measure_design(mlp_setup, pruning_ratio=0.1, quant_step=0.001, cache={})
    harsh = measure_design(mlp_setup, pruning_ratio=0.95, quant_step=1.0, cache={})

    assert mild["n_lost"] + mild["n_gained"] <= 2
    assert harsh["accuracy"] < 0.4
    assert harsh["n_lost"] - harsh["n_gained"] == mlp_setup.task.source["accuracy"].n_right - harsh["n_right"]


def test_row_has_all_columns_with_consistent_values(mlp_setup: MeasurementSetup) -> None:
    row = measure_design(mlp_setup, pruning_ratio=0.5, quant_step=0.02, cache={})
    low, high = wilson_interval(row["n_right"], 719)

    assert set(row) == set(MEASURED) - {"energy_j", "power_w", "energy_window_s", "energy_runs"}
    assert row["accuracy"] == row["n_right"] / row["n_samples"]
    assert (row["accuracy_lo"], row["accuracy_hi"]) == (float(low), float(high))
    assert row["latency_s_lo"] <= row["latency_s"] <= row["latency_s_hi"]
    assert 0 < row["latency_s"] < 1
    assert row["size_bytes"] == row["size_deflate_bytes"]
    assert row["r_effective"] >= 0.5
    assert row["n_macs"] == 17_024
    assert (row["energy_basis"], row["energy_meter"], row["error"]) == ("none", "", "")


def test_designs_with_equal_codes_are_measured_once(
    mlp_setup: MeasurementSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D = 0.3 alone zeroes most weights, so R = 0, 0.2 and 0.4 give one network."""
    cache: dict[str, Any] = {}
    first = measure_design(mlp_setup, pruning_ratio=0.0, quant_step=0.3, cache=cache)
    monkeypatch.setattr(measure, "_measure_compression", never_twice)
    repeats = [measure_design(mlp_setup, pruning_ratio=ratio, quant_step=0.3, cache=cache) for ratio in (0.2, 0.4)]

    assert repeats == [first, first]
    assert len(cache) == 1


def test_failed_design_is_recorded_and_the_rest_is_measured(small: Callable[..., MeasurementSetup]) -> None:
    """A step of 1e-9 needs codes of a billion."""
    designs = grid_designs("R=0,D=0.000000001:0.1:3", family="LIN")
    rows = list(measure_table(small(), designs))
    columns = as_columns(rows)

    assert "the range of int16 codes" in columns["error"][0]
    assert columns["error"][1:].tolist() == ["", ""]
    assert np.isnan(columns["accuracy"]).tolist() == [True, False, False]
    assert columns["family"].tolist() == ["LIN"] * 3


def test_rows_are_yielded_lazily(mlp_setup: MeasurementSetup) -> None:
    rows = measure_table(mlp_setup, grid_designs("R=0:0.9:10000,D=0.05", family="MLP"))

    assert len(list(itertools.islice(rows, 2))) == 2


def test_row_counts_clipped_codes(small: Callable[..., MeasurementSetup]) -> None:
    assert measure_design(small(), pruning_ratio=0, quant_step=0.01, cache={})["n_clipped"] == 0
    row = measure_design(small(clip_to="int4"), pruning_ratio=0, quant_step=0.01, cache={})
    assert (row["n_clipped"], row["container"]) == (5, "int4")


def test_knob_out_of_range_is_rejected(small: Callable[..., MeasurementSetup]) -> None:
    with pytest.raises(OutOfRange, match=r"pruning_ratio = 1\.5"):
        measure_design(small(), pruning_ratio=1.5, quant_step=0.1, cache={})


def test_fixed_batch_is_padded_and_each_sample_counts_once(
    build: Build, small: Callable[..., MeasurementSetup]
) -> None:
    """40 samples in batches of 16: the last batch has 8."""
    weights = np.array([[0.5, -0.25], [0.125, 1.0], [-0.75, 0.0625]], dtype=np.float32)
    model = build(
        [helper.make_node("MatMul", ["x", "w"], ["y"])], stored={"w": weights}, inputs={"x": [16, 3]}, output=(16, 2)
    )
    setup = small(model=model)

    assert setup.task.source["accuracy"].n_right == 40
    assert measure_design(setup, pruning_ratio=0, quant_step=0.001, cache={})["latency_batch"] == 16


def test_row_names_its_machine_and_the_ratio_to_the_source(mlp_setup: MeasurementSetup) -> None:
    row = measure_design(mlp_setup, pruning_ratio=0.1, quant_step=0.02, cache={})

    assert row["machine"] == processor()
    assert row["latency_ratio"] == pytest.approx(row["latency_s"] / row["latency_source_s"])
    assert row["is_busy"] in {True, False}
    assert provenance(mlp_setup, when="now")["machine"]["name"] == row["machine"]


def test_network_with_two_inputs_takes_two_arrays(build: Build, small: Callable[..., MeasurementSetup]) -> None:
    nodes = [helper.make_node("Add", ["a", "b"], ["s"]), helper.make_node("MatMul", ["s", "w"], ["y"])]
    model = build(nodes, stored={"w": np.eye(3, dtype=np.float32)}, inputs={"a": ["n", 3], "b": ["n", 3]}, output=None)
    a, b = np.eye(3, dtype=np.float32), np.zeros((3, 3))
    setup = small(model=model, data=make_labelled_data({"a": a, "b": b, "y": np.arange(3)}, source="d"))

    assert setup.task.source["accuracy"].n_right == 3


def test_label_beyond_the_classes_is_reported_with_its_row(small: Callable[..., MeasurementSetup]) -> None:
    data = make_labelled_data({"x": np.ones((3, 3)), "y": np.array([0, 7, 1])}, source="other.npz")

    with pytest.raises(InvalidFile, match="has class 7 in row 1, but the network has 2 classes, from 0"):
        small(data=data)


def test_nan_outputs_are_reported(small: Callable[..., MeasurementSetup], build: Build) -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["h"]), helper.make_node("Log", ["h"], ["y"])]
    model = build(nodes, stored={"w": -np.ones((3, 2), dtype=np.float32)})
    data = make_labelled_data({"x": np.ones((3, 3)), "y": np.zeros(3, dtype=int)}, source="d")

    with pytest.raises(MeasurementFailed, match="output 'y' is NaN or infinite for 3 of 3 samples"):
        small(model=model, data=data)


def test_custom_predict_defines_the_classes(small: Callable[..., MeasurementSetup]) -> None:
    """Class 1 is a positive second score."""
    data = make_labelled_data(
        {"x": np.array([[0, 1, 0], [1, 0, 0]]), "y": np.array([1, 0])}, source="python:mine",
        predict=lambda run, inputs: (run(inputs)["y"][:, 1] > 0).astype(int),
    )  # fmt: skip

    assert small(data=data).task.source["accuracy"].n_right == 2


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (lambda _run, _inputs: [0], r"predict of python:mine returned shape \(1,\)"),
        (lambda _run, inputs: inputs["nothing"], "predict of python:mine: KeyError"),
        (lambda run, _inputs: run({"x": np.ones((2, 9), dtype=np.float32)}), "onnxruntime cannot run the network"),
    ],
)
def test_failing_predict_is_reported(small: Callable[..., MeasurementSetup], predict: Any, message: str) -> None:
    data = make_labelled_data({"x": np.ones((2, 3)), "y": np.array([0, 1])}, source="python:mine", predict=predict)

    with pytest.raises(MeasurementFailed, match=message):
        small(data=data)


def test_endless_run_is_terminated_by_the_time_limit(build: Build, small: Callable[..., MeasurementSetup]) -> None:
    """A loop of 2^60 rounds; the limit is 0.3 s."""
    scalar = [helper.make_tensor_value_info(n, t, []) for n, t in (("i", TensorProto.INT64), ("go", TensorProto.BOOL))]
    state = helper.make_tensor_value_info("h", TensorProto.FLOAT, ["n", 3])
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["again"]), helper.make_node("Relu", ["h"], ["h2"])], "body",
        [*scalar, state],
        [helper.make_tensor_value_info("again", TensorProto.BOOL, []),
         helper.make_tensor_value_info("h2", TensorProto.FLOAT, ["n", 3])],
    )  # fmt: skip
    nodes = [
        helper.make_node("Loop", ["rounds", "yes", "x"], ["out"], body=body),
        helper.make_node("MatMul", ["out", "w"], ["y"]),
    ]
    stored = {"rounds": np.array(1 << 60), "yes": np.array(True), "w": np.ones((3, 2), dtype=np.float32)}
    data = make_labelled_data({"x": np.ones((2, 3)), "y": np.array([0, 1])}, source="d")

    with pytest.raises(MeasurementFailed, match="the time limit was exceeded during a run\n  fix: raise --time-limit"):
        small(model=build(nodes, stored=stored), data=data, seconds=0.3)


def test_time_limit_is_checked_between_runs() -> None:
    remaining = start_time_limit(1e-9)

    with pytest.raises(MeasurementFailed, match="the time limit of 1e-09 s is exceeded"):
        remaining()
    assert start_time_limit(None)() is None


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan"), float("inf")])
def test_invalid_time_limit_is_rejected(small: Callable[..., MeasurementSetup], seconds: float) -> None:
    with pytest.raises(WrongUsage, match="a time limit of"):
        small(seconds=seconds)


def test_unknown_device_or_memory_level_is_rejected(small: Callable[..., MeasurementSetup]) -> None:
    with pytest.raises(WrongUsage, match="cannot run on 'tpu'\n  fix: choose one of: cpu"):
        small(device="tpu")
    with pytest.raises(UnknownName, match="unknown name 'sram'"):
        small(level="sram")


@pytest.mark.slow
def test_energy_row_names_meter_and_window(small: Callable[..., MeasurementSetup], tmp_path: Path) -> None:
    """A regular file replaces the RAPL counter; every run of the network adds 20 mJ to it."""
    zone = tmp_path / "powercap" / "intel-rapl:0"
    zone.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "0")):
        (zone / name).write_text(text)
    setup = replace(small(), meter=rapl_meter(zone.parent))
    inner = setup.session.inner

    class Counted:
        def run(self, *arguments: Any) -> Any:
            (zone / "energy_uj").write_text(str(int((zone / "energy_uj").read_text()) + 20_000))
            return inner.run(*arguments)

    row = measure._energy(setup, replace(setup.session, inner=Counted()), remaining=lambda: None)  # noqa: SLF001 - the window takes 2 s

    assert row["energy_j"] == pytest.approx(0.02, rel=0.01)
    assert (row["energy_basis"], row["energy_meter"]) == ("measured", "RAPL package-0")
    assert row["energy_window_s"] >= 2
    assert row["power_w"] == pytest.approx(row["energy_j"] * row["energy_runs"] / row["energy_window_s"])
    assert provenance(setup, when="now")["energy"]["basis"] == "measured"


def test_without_a_meter_energy_is_only_modelled(mlp_setup: MeasurementSetup) -> None:
    row = measure_design(mlp_setup, pruning_ratio=0.5, quant_step=0.02, cache={})
    origins = provenance(mlp_setup, when="now")

    assert "energy_j" not in row
    assert row["energy_mac_mem_j"] > 0
    assert (origins["energy"]["basis"], origins["energy_mac_mem"]["basis"]) == ("none", "modelled")


def test_full_int8_network_is_measured(zoo: Mapping[str, Network], digits: LabelledData) -> None:
    setup = prepare_measurement(zoo["digits-mlp"], digits, options=NO_ENERGY, calibration=digits)
    row = measure_design(setup, pruning_ratio=0.3, quant_step=0.02, cache={})

    assert row["accuracy"] > 0.95
    assert row["container"] == "int8"
    assert provenance(setup, when="now")["activations"] == "int8"


def test_provenance_contains_no_folders(small: Callable[..., MeasurementSetup]) -> None:
    text = json.dumps(provenance(small(), when="now"))

    assert "/tmp" not in text  # noqa: S108 - the string under test


def test_shipped_surface_belongs_to_the_shipped_networks() -> None:
    origins = json.loads((ZOO / "digits-surface.provenance.json").read_text(encoding="utf-8"))

    assert tuple(origins) == NAMES
    assert len(surface()) == 5 * 49
    for name, origin in origins.items():
        assert origin["network"]["sha256"] == load_network(name).sha256
        assert origin["energy"]["basis"] == "none"


@pytest.mark.parametrize("name", NAMES)
def test_measurement_reproduces_the_shipped_surface(
    zoo: Mapping[str, Network], digits: LabelledData, name: str
) -> None:
    """Every tenth design; latency depends on the machine and is not compared."""
    setup = prepare_measurement(zoo[name], digits, options=NO_ENERGY)
    for row in [row for row in surface() if row["family"] == name][::10]:
        now = measure_design(
            setup, pruning_ratio=float(row["pruning_ratio"]), quant_step=float(row["quant_step"]), cache={}
        )
        assert abs(now["n_right"] - int(row["n_right"])) <= 3
        assert now["effective"] == row["effective"]
        assert now["r_effective"] == pytest.approx(float(row["r_effective"]))
        assert (now["size_dense_bytes"], now["container"]) == (int(row["size_dense_bytes"]), row["container"])
        assert now["size_bytes"] == pytest.approx(int(row["size_bytes"]), rel=0.02)
