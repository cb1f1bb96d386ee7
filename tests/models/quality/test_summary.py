"""Summary of `explorer fit`: coefficients with priors, errors against baselines, and warnings."""

import json
from collections.abc import Mapping

import numpy as np
import pytest

from explorer.models.parametric.surrogate import Surrogate, fit_surrogate
from explorer.models.quality.leave_one_out import CrossValidation, leave_one_out
from explorer.models.quality.summary import coefficient_rows, fit_warnings, law_rows, parametric_summary
from explorer.models.samples.samples import Samples


def test_summary_has_its_documented_keys(model: Surrogate, judged: Mapping[str, CrossValidation]) -> None:
    summary = parametric_summary(model, judged)

    assert summary["schema"] == "explorer.fit/1"
    assert {"n", "loo_mae", "loo_mape", "baseline_loo_mae"} <= set(summary["targets"]["energy_j"])
    assert {"name", "value", "lo", "hi", "prior", "data_share"} <= set(summary["coefficients"][0])
    assert summary["n_samples"] == 10


def test_baseline_is_the_better_of_two(model: Surrogate, judged: Mapping[str, CrossValidation]) -> None:
    power = parametric_summary(model, judged)["targets"]["power_w"]

    assert power["baseline_loo_mae"] == min(power["family_mean_loo_mae"], power["nearest_sample_loo_mae"])


def test_coefficients_are_inside_their_intervals_with_priors(model: Surrogate) -> None:
    for row in coefficient_rows(model):
        assert row["lo"] < row["value"] < row["hi"]
        assert row["prior"]["lo"] < row["prior"]["value"] < row["prior"]["hi"]
        assert row["prior"]["source"]
        assert row["prior"]["meaning"]
        assert 0 <= row["data_share"] <= 1


def test_posterior_is_never_wider_than_the_prior(model: Surrogate) -> None:
    for fit in model.fits.values():
        assert (fit.spreads <= np.array([p.width for p in fit.form.priors]) * (1 + 1e-9)).all()


def test_law_rows_have_sources_for_each_family(model: Surrogate) -> None:
    rows = law_rows(model)

    assert [row["family"] for row in rows] == list(model.families)
    assert all(row["constant_source"] and row["threshold_source"] and row["exponent_source"] for row in rows)


def test_prior_dominated_coefficients_are_listed(model: Surrogate, judged: Mapping[str, CrossValidation]) -> None:
    (text,) = [t for t in fit_warnings(model, judged) if "priors" in t]

    assert "leak, tilt of energy_j" in text
    assert "b_R, b_D of accuracy" in text
    assert "tilt of latency_s" in text
    assert "a, tilt of latency_s" not in text
    assert "throughput_ops" not in text


@pytest.mark.slow
def test_model_no_better_than_a_baseline_gets_a_warning(samples: Samples) -> None:
    """The measured power falls where physics predicts a rise."""
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["power_w"] = 1000 / columns["power_w"] ** 2
    inverted = Samples(columns, samples.labels, "", "")
    model, judged = fit_surrogate(inverted, name="x"), leave_one_out(inverted)

    assert any(
        t.startswith("power_w: the model predicts no better than a baseline") for t in fit_warnings(model, judged)
    )
    assert not any(t.startswith("energy_j: the model") for t in fit_warnings(model, judged))


def test_single_sample_families_and_unscored_targets_are_listed(samples: Samples) -> None:
    firsts = samples.rows(np.array([label.endswith("1") for label in samples.labels]))
    texts = fit_warnings(fit_surrogate(firsts, name="x"), leave_one_out(firsts))

    assert "energy_j: too few samples to judge (each family has one)" in texts
    assert any(t.startswith("one sample each of CNN, DNN, RNN, Transformer") for t in texts)


def test_summary_is_plain_json_with_an_undefined_baseline(samples: Samples) -> None:
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["power_w"][1] = np.nan
    cnn = Samples(columns, samples.labels, "", "").rows(columns["family"] == "CNN")
    summary = parametric_summary(fit_surrogate(cnn, name="x"), leave_one_out(cnn))

    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
