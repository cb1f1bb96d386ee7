"""Summary of `explorer fit`: errors against baselines, forms, coefficients with priors, assumptions and warnings."""

import json
from typing import Any

import numpy as np
import pytest

from explorer.models.quality.assumptions import assumption_rows, coefficient_rows, identifiability
from explorer.models.quality.summary import law_rows, model_summary
from explorer.models.response.fit_surrogate import fit_surrogate
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import with_knobs
from explorer.models.samples.samples import Samples
from explorer.problem.columns import NUMERIC_KNOBS


@pytest.fixture(scope="module")
def summary(model: Surrogate) -> dict[str, Any]:
    return model_summary(model, is_full=False)


def fitted(samples: Samples, *targets: str) -> Surrogate:
    columns = {name: samples.columns[name] for name in ("family", *NUMERIC_KNOBS, *targets)}
    return fit_surrogate([with_knobs(Samples(columns, samples.labels, "", ""))], name="x")


def test_summary_has_its_documented_keys(summary: dict[str, Any]) -> None:
    assert summary["schema"] == "explorer.fit/1"
    assert {"n", "loo_mae", "loo_mape", "baseline_loo_mae", "coverage_90", "forms", "pairs"} <= set(
        summary["targets"]["energy_j"]
    )
    assert {"form", "weight", "error"} <= set(summary["targets"]["energy_j"]["forms"][0])
    assert {"name", "value", "lo", "hi", "prior", "data_share"} <= set(summary["coefficients"][0])
    assert {"kind", "text"} == set(summary["warnings"][0])
    assert {"knobs", "text"} == set(summary["collinear"][0])
    assert summary["n_samples"] == 10


def test_weights_of_the_forms_sum_to_one(summary: dict[str, Any]) -> None:
    for target, entry in summary["targets"].items():
        if target != "edp_js":
            assert sum(form["weight"] for form in entry["forms"]) == pytest.approx(1), target


def test_pairs_are_right_as_often_as_stated(summary: dict[str, Any]) -> None:
    for target, entry in summary["targets"].items():
        assert entry["pairs"]["n"] >= 20, target
        assert entry["pairs"]["stated"] >= 0.95
        assert entry["pairs"]["right"] >= 0.95


def test_coefficients_are_inside_their_intervals_with_priors(model: Surrogate) -> None:
    rows = coefficient_rows(model)

    assert {row["target"] for row in rows} == set(model.targets)
    for row in rows:
        assert row["lo"] < row["value"] < row["hi"]
        assert row["prior"]["lo"] < row["prior"]["value"] < row["prior"]["hi"]
        assert row["prior"]["source"]
        assert row["prior"]["meaning"]
        assert 0 <= row["data_share"] <= 1


def test_every_prior_is_listed_with_its_width(model: Surrogate) -> None:
    rows = assumption_rows(model)
    texts = {(row["target"], row["assumption"]) for row in rows}

    assert all(row["source"] and row["width"] is not None for row in rows)
    # Also those that no data can change.
    assert any(row["width"] == 0 and row["target"] == "energy_j" for row in rows)
    assert any(row["width"] == 0 and row["target"] == "latency_s" for row in rows)
    for coefficient in coefficient_rows(model):
        meaning = coefficient["prior"]["meaning"]
        assert (coefficient["target"], f"{coefficient['name']}: {meaning}") in texts
    assert any("scatter" in text for _, text in texts)
    assert any("threshold voltage" in text for _, text in texts)


def test_priors_chosen_after_seeing_the_rows_say_so(model: Surrogate) -> None:
    sources = [row["source"] for row in assumption_rows(model)]

    assert any("after a look at the paper's rows" in source for source in sources)


def test_laws_have_sources_for_each_family(model: Surrogate) -> None:
    rows = law_rows(model)

    assert [row["family"] for row in rows] == list(model.families)
    assert all(row["constant_source"] and row["threshold_source"] and row["exponent_source"] for row in rows)


def test_effects_that_the_rows_do_not_identify_are_stated(model: Surrogate) -> None:
    texts = identifiability(model)

    assert any(text.startswith("energy_j: these samples do not identify") and "voltage_v" in text for text in texts)
    (decided,) = [text for text in texts if text.startswith("mostly decided by priors")]
    assert "accuracy" in decided


@pytest.mark.slow
def test_constant_knob_is_stated_as_assumed(samples: Samples) -> None:
    columns = {name: samples.columns[name] for name in ("family", *NUMERIC_KNOBS, "size_bytes")}
    columns["voltage_v"] = np.full(10, 0.9)
    model = fit_surrogate([with_knobs(Samples(columns, samples.labels, "", ""))], name="x")

    assert "size_bytes: voltage_v is constant, so its effect is assumed, not measured" in identifiability(model)


@pytest.mark.slow
def test_model_no_better_than_a_baseline_gets_a_warning(samples: Samples) -> None:
    """Power without any relation to the knobs; energy as measured."""
    rng = np.random.default_rng(1)
    n = 24
    columns = {
        "family": np.full(n, "CNN", dtype=object), "voltage_v": rng.uniform(0.7, 1.1, n),
        "frequency_hz": rng.uniform(1e9, 2e9, n),
    }  # fmt: skip
    columns["power_w"] = np.exp(0.3 * rng.standard_normal(n))
    columns["energy_j"] = 3 * columns["voltage_v"] ** 2 * np.exp(0.01 * rng.standard_normal(n))
    model = fit_surrogate([with_knobs(Samples(columns, ("row",) * n, "", ""))], name="x")
    warned = [one.text for one in model.warnings if one.kind == "no_better_than_baseline"]

    assert len(warned) == 1
    assert warned[0].startswith("power_w")


@pytest.mark.slow
def test_targets_that_cannot_be_judged_have_no_error(samples: Samples) -> None:
    firsts = samples.rows(np.array([label.endswith("1") for label in samples.labels]))
    entry = model_summary(fitted(firsts, "energy_j"))["targets"]["energy_j"]

    assert entry["n"] == 0
    assert entry["loo_mae"] is None
    assert entry["baseline_loo_mae"] is None


@pytest.mark.slow
def test_summary_is_plain_json_with_an_undefined_baseline(samples: Samples) -> None:
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["power_w"][1] = np.nan
    cnn = Samples(columns, samples.labels, "", "").rows(columns["family"] == "CNN")
    summary = model_summary(fitted(cnn, "power_w", "energy_j"))

    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
