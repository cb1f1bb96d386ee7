"""Prediction of designs given as text: units, ranges, families."""

import numpy as np
import pytest

from explorer.errors import OutOfRange, UnknownName, WrongUsage
from explorer.models.predict import parse_design, predict_designs
from explorer.models.response.surrogate import Surrogate


def test_voltage_and_clock_accept_units(model: Surrogate) -> None:
    design = parse_design(model, {**_SAMPLE, "voltage_v": "1000 mV", "frequency_hz": "2.5 GHz"})

    assert {name: values[0] for name, values in design.items()} == {
        "family": "CNN",
        "pruning_ratio": 0.33,
        "quant_step": 0.02,
        "voltage_v": 1.0,
        "frequency_hz": 2.5e9,
    }


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"pruning_ratio": "1"}, r"pruning_ratio = 1 is outside \[0, 1\)"),
        ({"pruning_ratio": "-0.1"}, r"pruning_ratio = -0.1 is outside"),
        ({"quant_step": "0"}, r"quant_step = 0 is outside \(0, 1\]"),
        ({"voltage_v": "0"}, r"voltage_v = 0 is outside"),
        ({"frequency_hz": "-1 GHz"}, r"frequency_hz = -1e\+09 is outside"),
        ({"frequency_hz": "20000 GHz"}, r"frequency_hz = 2e\+13 is outside"),
    ],
)
def test_knob_out_of_range_is_refused(model: Surrogate, knobs: dict[str, str], message: str) -> None:
    with pytest.raises(OutOfRange, match=rf"{message}(.|\n)*fix: check its unit"):
        parse_design(model, {**_SAMPLE, **knobs})


@pytest.mark.parametrize(
    "knobs", [{"voltage_v": "1 GHz"}, {"frequency_hz": "2 V"}, {"voltage_v": "high"}, {"pruning_ratio": "nan"}]
)
def test_wrong_unit_is_refused(model: Surrogate, knobs: dict[str, str]) -> None:
    with pytest.raises(WrongUsage, match=r"is not a (unit of|number with)"):
        parse_design(model, {**_SAMPLE, **knobs})


def test_prediction_includes_the_highest_clock_at_its_voltage(model: Surrogate) -> None:
    predicted = predict_designs(model, parse_design(model, _SAMPLE))
    law = model.law("CNN")

    assert law is not None
    assert predicted["frequency_max_hz"].tolist() == law.frequency_max([1.0]).tolist()
    assert list(predicted)[-2:] == ["frequency_max_hz", "domain_distance"]


def test_first_sample_is_predicted_within_leave_one_out_errors(model: Surrogate) -> None:
    """Table 2 of the paper prints 0.94, 22.5 J, 25 W and 18 MB, Table 1 0.15 s."""
    predicted = {k: v[0] for k, v in predict_designs(model, parse_design(model, _SAMPLE)).items()}

    assert predicted["accuracy"] == pytest.approx(0.94, abs=0.005)
    assert predicted["energy_j"] == pytest.approx(22.5, rel=0.05)
    assert predicted["power_w"] == pytest.approx(25, rel=0.08)
    assert predicted["size_bytes"] == pytest.approx(18e6, rel=0.08)
    assert predicted["latency_s"] == pytest.approx(0.15, rel=0.08)


def test_unknown_family_is_refused_with_the_nearest_name(model: Surrogate) -> None:
    with pytest.raises(UnknownName, match=r"family: unknown name 'Transformers'\n  fix: did you mean 'Transformer'\?"):
        predict_designs(model, parse_design(model, {**_SAMPLE, "family": "Transformers"}))


def test_empty_table_gives_empty_predictions(model: Surrogate) -> None:
    empty = {name: values[:0] for name, values in parse_design(model, _SAMPLE).items()}

    assert {len(np.asarray(values)) for values in predict_designs(model, empty).values()} == {0}


_SAMPLE = {
    "family": "CNN",
    "pruning_ratio": "0.33",
    "quant_step": "0.02",
    "voltage_v": "1.0",
    "frequency_hz": "2.5e9",
}


def test_predictions_of_many_designs_are_those_of_few(model: Surrogate) -> None:
    """Designs are predicted in blocks of 8,192."""
    rng, n = np.random.default_rng(0), 9_000
    designs = {
        "family": rng.choice(np.array(["CNN", "DNN"], dtype=object), n),
        "pruning_ratio": rng.uniform(0.0, 0.9, n), "quant_step": rng.uniform(0.005, 0.1, n),
        "voltage_v": rng.uniform(0.7, 1.0, n), "frequency_hz": rng.uniform(1e9, 2.5e9, n),
    }  # fmt: skip
    whole, rows = model.evaluate(designs), np.array([0, 8_191, 8_192, n - 1])
    few = model.evaluate({name: values[rows] for name, values in designs.items()})

    for name, values in few.items():
        if values.dtype != object:
            np.testing.assert_allclose(whole[name][rows], values, rtol=1e-12)
