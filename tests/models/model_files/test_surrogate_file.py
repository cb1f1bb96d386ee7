"""Loading models: model files reproduce predictions; a damaged file is refused with all of its faults."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.errors import InvalidFile, WrongUsage
from explorer.models.loading import load_model, load_samples, model_to_json
from explorer.models.parametric.surrogate import Surrogate, fit_surrogate
from explorer.models.samples.samples import Samples
from explorer.problem.columns import NUMERIC_KNOBS, Columns


@pytest.fixture
def payload(model: Surrogate) -> dict[str, Any]:
    return json.loads(json.dumps(model_to_json(model), allow_nan=False))


def test_loaded_model_predicts_identically(tmp_path: Path, model: Surrogate, payload: dict[str, Any]) -> None:
    again = load_model(str(_written(tmp_path, payload)))
    rng = np.random.default_rng(0)
    designs = _designs(rng, 200, model.families)
    expected, actual = model.evaluate(designs), again.evaluate(designs)

    assert list(actual) == list(expected)
    for name in (*model.targets, "domain_distance"):
        assert actual[name].tolist() == expected[name].tolist()
    assert [again.law(f) for f in model.families] == [model.law(f) for f in model.families]


def test_loaded_model_keeps_samples_and_uncertainty(tmp_path: Path, model: Surrogate, payload: dict[str, Any]) -> None:
    again = load_model(str(_written(tmp_path, payload)))

    assert again.samples.labels == model.samples.labels
    assert again.samples.sha256 == model.samples.sha256
    for target, fit in model.fits.items():
        assert (again.fits[target].covariance == fit.covariance).all()
        assert again.fits[target].noise == fit.noise


def test_order_of_targets_in_a_model_file_is_irrelevant(
    tmp_path: Path, model: Surrogate, payload: dict[str, Any]
) -> None:
    payload["targets"] = dict(reversed(payload["targets"].items()))
    again = load_model(str(_written(tmp_path, payload)))
    designs = _designs(np.random.default_rng(1), 20, model.families)

    assert again.evaluate(designs)["energy_j"].tolist() == model.evaluate(designs)["energy_j"].tolist()


def test_missing_values_survive_a_model_file(tmp_path: Path, samples: Samples) -> None:
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["accuracy"][[0, 5]] = np.nan
    model = fit_surrogate(Samples(columns, samples.labels, "", ""), name="x")
    again = load_model(str(_written(tmp_path, model_to_json(model))))

    assert np.isnan(again.samples.columns["accuracy"]).tolist() == np.isnan(columns["accuracy"]).tolist()


def _drop(*keys: str) -> Callable[[dict[str, Any]], None]:
    def change(payload: dict[str, Any]) -> None:
        for key in keys[:-1]:
            payload = payload[key]
        del payload[keys[-1]]

    return change


def _set(value: Any, *keys: str | int) -> Callable[[dict[str, Any]], None]:
    def change(payload: Any) -> None:
        for key in keys[:-1]:
            payload = payload[key]
        payload[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_drop("samples"), "'samples' is missing", id="no samples"),
        pytest.param(_set("explorer.model/9", "schema"), "schema", id="another schema"),
        pytest.param(_set("x", "surprise"), "unknown name 'surprise'", id="unknown key"),
        pytest.param(_drop("samples", "columns", "voltage_v"), r"columns.voltage_v", id="a knob is missing"),
        pytest.param(_set(None, "samples", "columns", "voltage_v", 0), r"columns.voltage_v", id="a knob is null"),
        pytest.param(_set(1.5, "samples", "columns", "pruning_ratio", 0), r"columns.pruning_ratio", id="R of 1.5"),
        pytest.param(_set([0.9], "samples", "columns", "accuracy"), r"columns.accuracy", id="a short column"),
        pytest.param(_set([1.0] * 10, "samples", "columns", "beauty"), r"columns.beauty", id="an unknown column"),
        pytest.param(_set(["x"], "samples", "labels"), "labels", id="too few labels"),
        pytest.param(_drop("references", "CNN"), "references", id="a reference is missing"),
        pytest.param(_drop("references", "CNN", "voltage_v"), "references", id="a reference lacks a knob"),
        pytest.param(_set(1.0, "references", "CNN", "pruning_ratio"), "references", id="a reference without weights"),
        pytest.param(_set(0.0, "references", "CNN", "voltage_v"), "references", id="a reference without voltage"),
        pytest.param(_drop("laws", "DNN"), "laws", id="a law is missing"),
        pytest.param(_set(-1.0, "laws", "DNN", "constant"), r"DNN.*constant", id="a negative constant"),
        pytest.param(_set({}, "targets", "beauty"), "beauty", id="an unknown target"),
        pytest.param(_drop("targets", "accuracy"), "accuracy", id="a target is missing"),
        pytest.param(_set([1.0, 2.0, 3.0], "targets", "latency_s", "mode"), "latency_s", id="a coefficient too many"),
        pytest.param(_set([[1.0]], "targets", "latency_s", "covariance"), "latency_s", id="a small covariance"),
        pytest.param(_set(0, "targets", "latency_s", "noise"), r"latency_s.noise", id="no scatter"),
        pytest.param(_drop("targets", "latency_s", "levels", "CNN"), "latency_s", id="a level is missing"),
    ],
)
def test_damaged_model_file_is_refused_with_the_faulty_key(
    tmp_path: Path, payload: dict[str, Any], damage: Callable[[dict[str, Any]], None], message: str
) -> None:
    damage(payload)
    path = _written(tmp_path, payload)
    with pytest.raises(InvalidFile, match=rf"(?s)model\.json.*{message}.*fix: ") as caught:
        load_model(str(path)).evaluate(_designs(np.random.default_rng(0), 4, ("CNN", "DNN")))

    assert caught.value.exit_code == 3


def test_all_faults_of_a_model_file_are_reported_at_once(tmp_path: Path, payload: dict[str, Any]) -> None:
    _set(["x"], "samples", "labels")(payload)
    _drop("laws", "DNN")(payload)
    _set([1.0, 2.0, 3.0], "targets", "latency_s", "mode")(payload)
    with pytest.raises(InvalidFile, match=r"(?s)labels.*laws.*latency_s") as caught:
        load_model(str(_written(tmp_path, payload)))

    assert len(caught.value.faults) == 3


@pytest.mark.parametrize(
    "text",
    [
        pytest.param('{"schema": "explorer.model/1", "samp', id="cut off"),
        pytest.param("[" * 100_000, id="nested without end"),
        pytest.param('{"schema": ' + "1" * 5000 + "}", id="a number of 5,000 digits"),
        pytest.param("[1, 2]", id="a list"),
        pytest.param("3", id="a number"),
        pytest.param("  ", id="empty"),
    ],
)
def test_file_that_is_no_model_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidFile, match=r"model\.json.*\n? *fix: "):
        load_model(str(path))


def test_unknown_model_name_is_refused() -> None:
    with pytest.raises(WrongUsage, match=r"no model is called 'papre'\n  fix: name paper"):
        load_model("papre")


def test_overlong_model_name_is_refused() -> None:
    with pytest.raises(WrongUsage, match="no model is called"):
        load_model("m" * 5000)


def test_paper_loads_the_ten_samples() -> None:
    (table,) = load_samples(["paper"])

    assert table.samples.labels[5] == "DNN3"


def _written(folder: Path, payload: dict[str, Any]) -> Path:
    path = folder / "model.json"
    path.write_text(json.dumps(payload), encoding="utf-8")
    return path


def _designs(rng: np.random.Generator, n: int, families: tuple[str, ...]) -> Columns:
    low = {"pruning_ratio": 0.2, "quant_step": 0.01, "voltage_v": 0.7, "frequency_hz": 1e9}
    high = {"pruning_ratio": 0.7, "quant_step": 0.1, "voltage_v": 1.2, "frequency_hz": 3e9}
    knobs: Columns = {name: rng.uniform(low[name], high[name], n) for name in NUMERIC_KNOBS}
    return {"family": np.array([families[i % len(families)] for i in range(n)], dtype=object), **knobs}
