"""Model files: they reproduce predictions, draws and intervals; a damaged one is refused with all of its faults."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.errors import InvalidFile
from explorer.models.intervals import add_intervals
from explorer.models.loading import fit_samples, load_model, model_to_json
from explorer.models.posterior_draws import posterior_draws
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import KnobColumns, with_knobs
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples
from explorer.problem.columns import NUMERIC_KNOBS, Columns
from explorer.problem.objectives import Constants

Damage = Callable[[dict[str, Any]], None]


@pytest.fixture(scope="module")
def text(model: Surrogate) -> str:
    return json.dumps(model_to_json(model), allow_nan=False)


@pytest.fixture
def payload(text: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(text)
    return content


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory, text: str) -> Surrogate:
    return load_model(str(_written(tmp_path_factory.mktemp("model"), json.loads(text))))


def with_intervals(model: Surrogate, designs: Columns) -> Columns:
    return add_intervals(model.evaluate(designs), model=model, draws=posterior_draws(model), constants=Constants())


def test_loaded_model_predicts_identically(model: Surrogate, again: Surrogate) -> None:
    designs = _designs(np.random.default_rng(0), 200, model.families)
    expected, actual = with_intervals(model, designs), with_intervals(again, designs)

    assert list(actual) == list(expected)
    for name in expected:
        assert actual[name].tolist() == expected[name].tolist()
    assert [again.law(f) for f in model.families] == [model.law(f) for f in model.families]
    assert again.domain == model.domain
    assert again.ceilings == model.ceilings


def test_loaded_model_keeps_samples_weights_and_warnings(model: Surrogate, again: Surrogate) -> None:
    assert again.samples.labels == model.samples.labels
    assert again.samples.sha256 == model.samples.sha256
    assert again.notes == model.notes
    assert again.warnings == model.warnings
    for target, response in model.responses.items():
        other = again.responses[target]
        assert [fit.form.name for fit in other.fits] == [fit.form.name for fit in response.fits]
        assert other.weights.tolist() == response.weights.tolist()
        assert other.candidates == response.candidates or str(other.candidates) == str(response.candidates)
        np.testing.assert_array_equal(other.held_out.middle, response.held_out.middle)
        np.testing.assert_array_equal(other.held_out.sd, response.held_out.sd)


def test_model_of_a_model_file_writes_the_same_file(again: Surrogate, payload: dict[str, Any]) -> None:
    written = json.loads(json.dumps(model_to_json(again), allow_nan=False))

    assert {**written, "name": ""} == {**payload, "name": ""}


def test_order_of_responses_in_a_model_file_is_irrelevant(
    tmp_path: Path, model: Surrogate, payload: dict[str, Any]
) -> None:
    payload["responses"].reverse()
    other = load_model(str(_written(tmp_path, payload)))
    designs = _designs(np.random.default_rng(1), 20, model.families)

    assert other.targets == model.targets
    assert other.evaluate(designs)["energy_j"].tolist() == model.evaluate(designs)["energy_j"].tolist()


def through_file(folder: Path, *tables: KnobColumns) -> tuple[Surrogate, Surrogate]:
    model = fit_samples(tables, name="x")
    return model, load_model(str(_written(folder, model_to_json(model))))


def test_missing_values_survive_a_model_file(tmp_path: Path, samples: Samples) -> None:
    columns = {name: samples.columns[name].copy() for name in ("family", *NUMERIC_KNOBS, "size_bytes")}
    columns["size_bytes"][[0, 5]] = np.nan
    _, other = through_file(tmp_path, with_knobs(Samples(columns, samples.labels, "", "")))

    assert np.isnan(other.samples.columns["size_bytes"]).tolist() == np.isnan(columns["size_bytes"]).tolist()


def test_derived_target_survives_a_model_file(tmp_path: Path) -> None:
    clock = np.geomspace(0.5e9, 2e9, 9)
    latency, power = 0.01 + 0.02e9 / clock, 2 + (clock / 1e9) ** 2
    columns: Columns = {
        "family": np.full(9, "x", dtype=object), "frequency_hz": clock, "latency_s": latency, "power_w": power,
        "energy_j": latency * power,
    }  # fmt: skip
    model, other = through_file(tmp_path, with_knobs(Samples(columns, ("row",) * 9, "", "")))
    designs: Columns = {"family": np.full(3, "x", dtype=object), "frequency_hz": np.array([0.6e9, 1e9, 1.7e9])}

    assert other.product == model.product
    assert other.product is not None
    for name, values in with_intervals(model, designs).items():
        np.testing.assert_array_equal(with_intervals(other, designs)[name], values)


@pytest.mark.slow
def test_groups_counts_and_outliers_survive_a_model_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    side = np.tile(np.linspace(96, 224, 8), 3)
    right = np.clip(0.6 + side / 1000 + 0.01 * rng.standard_normal(24), 0, 0.99)
    energy = side**2 * np.exp(0.02 * rng.standard_normal(24))
    energy[5] *= 4
    columns: Columns = {
        "family": np.full(24, "x", dtype=object), "side": side + 0.1 * np.repeat([0, 1, 2], 8), "accuracy": right,
        "energy_j": energy,
    }  # fmt: skip
    samples = Samples(columns, ("row",) * 24, "", "", n_counted=np.full(24, 500.0))
    knobs = (KnobSpec("family", "category"), KnobSpec("side", "number"))
    model, other = through_file(tmp_path, KnobColumns(samples, knobs, np.repeat(["a", "b", "c"], 8)))
    designs: Columns = {"family": np.full(3, "x", dtype=object), "side": np.array([100.0, 150.0, 230.0])}

    assert model.responses["energy_j"].is_outlier.any()
    assert other.responses["energy_j"].is_outlier.tolist() == model.responses["energy_j"].is_outlier.tolist()
    for name, values in with_intervals(model, designs).items():
        np.testing.assert_array_equal(with_intervals(other, designs)[name], values)


def test_machine_survives_a_model_file(tmp_path: Path, samples: Samples) -> None:
    columns = {name: samples.columns[name] for name in ("family", *NUMERIC_KNOBS, "size_bytes")}
    measured = Samples(columns, samples.labels, "", "", machine="Rockchip RK3399")
    _, other = through_file(tmp_path, with_knobs(measured))

    assert other.samples.machine == "Rockchip RK3399"


def test_forms_left_out_are_kept_in_a_model_file(tmp_path: Path, samples: Samples) -> None:
    columns = {name: samples.columns[name] for name in ("family", *NUMERIC_KNOBS, "size_bytes")}
    model = fit_samples([with_knobs(Samples(columns, samples.labels, "", ""))], name="x", without=("stored bits",))
    other = load_model(str(_written(tmp_path, model_to_json(model))))

    assert other.without == ("stored bits",)
    assert [fit.form.name for fit in other.responses["size_bytes"].fits] == [
        fit.form.name for fit in model.responses["size_bytes"].fits
    ]


def _drop(*keys: str | int) -> Damage:
    def change(payload: Any) -> None:
        for key in keys[:-1]:
            payload = payload[key]
        del payload[keys[-1]]

    return change


def _set(value: Any, *keys: str | int) -> Damage:
    def change(payload: Any) -> None:
        for key in keys[:-1]:
            payload = payload[key]
        payload[keys[-1]] = value

    return change


COLUMNS = ("tables", 0, "columns")
LATENCY = ("responses", 1)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(_drop("tables"), "'tables' is missing", id="no samples"),
        pytest.param(_set("explorer.model/9", "schema"), "schema", id="another schema"),
        pytest.param(_set("explorer.model/2", "schema"), "explorer.model/2, not explorer.model/3", id="an old schema"),
        pytest.param(_set("x", "surprise"), "unknown name 'surprise'", id="unknown key"),
        pytest.param(_drop(*COLUMNS, "voltage_v"), "column 'voltage_v' is missing", id="a knob is missing"),
        pytest.param(_set(1.5, *COLUMNS, "pruning_ratio", 0), "pruning_ratio is out of range", id="R of 1.5"),
        pytest.param(_set([0.9], *COLUMNS, "accuracy"), "accuracy has 1 values for 10 rows", id="a short column"),
        pytest.param(_set("x", *COLUMNS, "accuracy", 0), "accuracy mixes names and numbers", id="a name in numbers"),
        pytest.param(_set(["x"], "tables", 0, "labels"), "values for 1 rows", id="too few labels"),
        pytest.param(_set("number", "tables", 0, "knobs", 0, "kind"), "family", id="a family of numbers"),
        pytest.param(_set("beauty", *LATENCY, "target"), "it is no target", id="an unknown target"),
        pytest.param(_set("accuracy", *LATENCY, "target"), "two responses have this target", id="a target twice"),
        pytest.param(_set(7, *LATENCY, "table"), "its table has no such column", id="a table that is missing"),
        pytest.param(_set(0.9, *LATENCY, "fits", 0, "weight"), "do not sum to 1", id="weights above 1"),
        pytest.param(_set("made up", *LATENCY, "fits", 0, "form"), "is not a form of these samples", id="a new form"),
        pytest.param(_drop(*LATENCY, "middle", 0), "predictions have", id="a prediction is missing"),
        pytest.param(_set(0.4, *LATENCY, "inflation"), "inflation", id="intervals are deflated"),
        pytest.param(_set({"x": 0.5}, *LATENCY, "gaps"), "unknown knob", id="a gap of no knob"),
        pytest.param(_set([], *LATENCY, "fits"), "fits", id="no form"),
        pytest.param(_set([2.0] * 3, *LATENCY, "roughness"), "not of these rows", id="noise of other rows"),
        pytest.param(_set("carbon_g", "product"), "product", id="an unknown product"),
        pytest.param(_set("energy_j", "product"), "energy_j has a response as well", id="a product that is modelled"),
        pytest.param(_set("surprise", "warnings", 0, "kind"), "kind", id="an unknown warning"),
    ],
)
def test_damaged_model_file_is_refused_with_the_faulty_key(
    tmp_path: Path, payload: dict[str, Any], damage: Damage, message: str
) -> None:
    damage(payload)
    path = _written(tmp_path, payload)
    with pytest.raises(InvalidFile, match=rf"(?s)model\.json.*{message}.*fix: ") as caught:
        load_model(str(path)).evaluate(_designs(np.random.default_rng(0), 4, ("CNN", "DNN")))

    assert caught.value.exit_code == 3


@pytest.mark.parametrize("key", ["theta", "point"])
def test_coefficients_of_another_form_are_refused(tmp_path: Path, payload: dict[str, Any], key: str) -> None:
    for response in payload["responses"]:
        for fit in response["fits"]:
            if fit.get(key):
                fit[key] = [*fit[key], 1.0]
                with pytest.raises(InvalidFile, match=r"(?s)model\.json.*is not a form of these samples.*fix: "):
                    load_model(str(_written(tmp_path, payload)))
                return
    pytest.fail(f"no form has {key}")


def test_knob_without_a_value_is_refused(tmp_path: Path, payload: dict[str, Any]) -> None:
    """The row is then left out of the fit, whose predictions are of other rows."""
    _set(None, *COLUMNS, "voltage_v", 0)(payload)
    with pytest.raises(InvalidFile, match=r"(?s)model\.json.*not of these rows.*fix: "):
        load_model(str(_written(tmp_path, payload)))


def test_all_faults_of_a_model_file_are_reported_at_once(tmp_path: Path, payload: dict[str, Any]) -> None:
    _set(1.5, *COLUMNS, "pruning_ratio", 0)(payload)
    _set(0.9, *LATENCY, "fits", 0, "weight")(payload)
    _drop("responses", 2, "middle", 0)(payload)
    with pytest.raises(InvalidFile, match=r"(?s)pruning_ratio.*latency_s.*energy_j") as caught:
        load_model(str(_written(tmp_path, payload)))

    assert len(caught.value.faults) == 3


@pytest.mark.parametrize("value", [1e300, -1e300, 1e13, "1", True, None])
@pytest.mark.parametrize("key", ["theta", "point", "middle", "sd", "edges"])
def test_untrusted_numbers_are_refused_or_harmless(
    tmp_path: Path, payload: dict[str, Any], key: str, value: object
) -> None:
    """A file of someone else: no number makes reading fail in any other way, or predict what is not finite."""
    for response in payload["responses"]:
        for part in (response, *response["fits"]):
            if part.get(key):
                first = next(iter(part[key])) if isinstance(part[key], dict) else 0
                part[key][first] = value
    try:
        other = load_model(str(_written(tmp_path, payload)))
    except InvalidFile:
        return
    predicted = other.evaluate(_designs(np.random.default_rng(0), 4, other.families))
    assert all(np.isfinite(predicted[target]).all() for target in other.targets)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param('{"schema": "explorer.model/3", "tab', id="cut off"),
        pytest.param("[" * 100_000, id="nested without end"),
        pytest.param('{"schema": ' + "1" * 5000 + "}", id="a number of 5,000 digits"),
        pytest.param("[1, 2]", id="a list"),
        pytest.param("3", id="a number"),
        pytest.param("  ", id="empty"),
    ],
)
def test_file_that_is_no_model_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InvalidFile, match=r"model\.json.*\n? *fix: "):
        load_model(str(path))


def _written(folder: Path, payload: Any) -> Path:
    path = folder / "model.json"
    path.write_text(json.dumps(payload), encoding="utf-8")
    return path


def _designs(rng: np.random.Generator, n: int, families: tuple[str, ...]) -> Columns:
    low = {"pruning_ratio": 0.2, "quant_step": 0.01, "voltage_v": 0.7, "frequency_hz": 1e9}
    high = {"pruning_ratio": 0.7, "quant_step": 0.1, "voltage_v": 1.2, "frequency_hz": 3e9}
    knobs: Columns = {name: rng.uniform(low[name], high[name], n) for name in NUMERIC_KNOBS}
    return {"family": np.array([families[i % len(families)] for i in range(n)], dtype=object), **knobs}
