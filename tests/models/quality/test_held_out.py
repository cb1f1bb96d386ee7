"""Held-out rows: baselines by hand, products, pairs of rows, the moved reference, rows without a prediction."""

import numpy as np
import pytest

from explorer.models.quality.held_out import (
    EDP,
    baseline_errors,
    interval_of,
    moved_reference_error,
    pair_calibration,
    rows_held_out,
)
from explorer.models.response.averaging import fit_response
from explorer.models.response.fit_surrogate import fit_surrogate
from explorer.models.response.response import HeldOutRows
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import with_knobs
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples
from explorer.problem.columns import NUMERIC_KNOBS

CLOCK = KnobSpec("frequency_hz", "number", is_log=True)


def only(samples: Samples, target: str) -> Samples:
    columns = {name: samples.columns[name] for name in ("family", *NUMERIC_KNOBS, target)}
    return Samples(columns, samples.labels, "", "")


def test_family_mean_baseline_excludes_the_row(model: Surrogate) -> None:
    """RNN has accuracies 0.89 and 0.87, each predicted by the other; accuracies from Table 2."""
    table = {"CNN": [0.94, 0.93, 0.91], "DNN": [0.92, 0.90, 0.88], "RNN": [0.89, 0.87], "Transformer": [0.95, 0.93]}
    gaps = [abs(x - (sum(xs) - x) / (len(xs) - 1)) for xs in table.values() for x in xs]

    assert baseline_errors("accuracy", model.responses["accuracy"])[0] == pytest.approx(sum(gaps) / 10)


def test_edp_is_the_product_of_both_predictions(model: Surrogate) -> None:
    rows = rows_held_out(model)
    energy, latency, edp = rows["energy_j"], rows["latency_s"], rows[EDP]

    np.testing.assert_allclose(np.exp(edp.middle), np.exp(energy.middle) * np.exp(latency.middle))
    np.testing.assert_allclose(
        np.exp(edp.values), model.samples.columns["energy_j"] * model.samples.columns["latency_s"]
    )
    np.testing.assert_allclose(edp.sd**2, energy.sd**2 + latency.sd**2)


@pytest.mark.slow
def test_error_shared_with_a_derived_target_counts_fully_in_edp() -> None:
    """Latency is energy over power, so the error of energy enters energy times latency twice."""
    rng = np.random.default_rng(0)
    clock = np.geomspace(0.5e9, 2e9, 24)
    energy = (1 + (clock / 1e9) ** 2) * np.exp(0.05 * rng.standard_normal(24))
    power = 2 * (clock / 1e9) * np.exp(0.001 * rng.standard_normal(24))
    columns = {
        "family": np.full(24, "x", dtype=object), "frequency_hz": clock, "energy_j": energy, "power_w": power,
        "latency_s": energy / power,
    }  # fmt: skip
    model = fit_surrogate([with_knobs(Samples(columns, ("row",) * 24, "", ""))], name="x")
    rows = rows_held_out(model)
    truth, _, low, high = interval_of(EDP, rows[EDP])

    assert model.product is not None
    np.testing.assert_allclose(truth, energy**2 / power, rtol=1e-9)
    assert np.mean((low <= truth) & (truth <= high)) >= 0.85
    # The error of EDP is about twice that of energy.
    assert np.median(rows[EDP].sd) > 1.6 * np.median((rows.get("energy_j") or rows[EDP]).sd)


def test_rows_are_those_of_the_table_in_its_units(model: Surrogate) -> None:
    for target, rows in rows_held_out(model).items():
        truth, predicted, low, high = interval_of(target, rows)
        if target != EDP:
            np.testing.assert_allclose(truth, model.samples.columns[target], rtol=1e-9)
        assert np.all((low < predicted) & (predicted < high))


def test_family_with_one_row_is_not_predicted(samples: Samples) -> None:
    one_dnn = samples.rows((samples.columns["family"] != "DNN") | (np.array(samples.labels) == "DNN1"))
    model = fit_surrogate([with_knobs(only(one_dnn, "size_bytes"))], name="x")
    rows = rows_held_out(model)["size_bytes"]

    assert len(rows.values) == 8
    assert int(np.isfinite(rows.middle).sum()) == 7
    assert len(interval_of("size_bytes", rows)[0]) == 7


def test_no_row_is_predicted_with_one_row_per_family(samples: Samples) -> None:
    firsts = samples.rows(np.array([label.endswith("1") for label in samples.labels]))
    model = fit_surrogate([with_knobs(only(firsts, "size_bytes"))], name="x")

    assert np.isnan(rows_held_out(model)["size_bytes"].middle).all()
    assert all(np.isnan(error) for error in baseline_errors("size_bytes", model.responses["size_bytes"]))


def test_edp_is_judged_on_the_rows_that_have_both_targets(samples: Samples) -> None:
    columns = {name: samples.columns[name].copy() for name in ("family", *NUMERIC_KNOBS, "energy_j", "latency_s")}
    columns["energy_j"][3] = np.nan
    model = fit_surrogate([with_knobs(Samples(columns, samples.labels, "", ""))], name="x")

    assert len(rows_held_out(model)[EDP].values) == len(samples.labels) - 1


def pairs_of(sd: float, noise: float, *, n: int = 60, seed: int = 0) -> HeldOutRows:
    """Return rows whose predictions have an error of `noise` and state a standard deviation of `sd`."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(0, 0.3, n)
    return HeldOutRows(truth, np.arange(n), truth + noise * rng.standard_normal(n), np.full(n, sd))


def test_pairs_of_honest_predictions_are_right_as_stated() -> None:
    pairs = pair_calibration(pairs_of(0.1, 0.1))

    assert pairs.n > 400
    assert pairs.stated >= 0.95
    assert pairs.right >= pairs.stated - 0.02


def test_pairs_of_overconfident_predictions_are_right_less_often_than_stated() -> None:
    pairs = pair_calibration(pairs_of(0.02, 0.2))

    assert pairs.stated > 0.99
    assert pairs.right < 0.95


def test_pairs_of_vague_predictions_make_no_statement() -> None:
    pairs = pair_calibration(pairs_of(10.0, 0.1))

    assert pairs.n == 0
    assert np.isnan(pairs.stated)
    assert np.isnan(pairs.right)


def test_repeats_of_one_design_are_no_pair() -> None:
    rows = pairs_of(0.01, 0.01, n=2)

    assert pair_calibration(HeldOutRows(rows.values, np.zeros(2, dtype=np.int64), rows.middle, rows.sd)).n == 0
    assert pair_calibration(rows).n == 1


def test_unpredictable_rows_are_in_no_pair() -> None:
    rows = pairs_of(0.01, 0.01, n=3)
    middle = np.where(np.arange(3) == 1, np.nan, rows.middle)

    assert pair_calibration(HeldOutRows(rows.values, rows.design, middle, rows.sd)).n <= 1


def test_pairs_of_large_tables_are_limited() -> None:
    assert pair_calibration(pairs_of(0.01, 0.01, n=3_000)).n <= 400 * 399 // 2


@pytest.mark.slow
def test_moved_reference_is_that_of_refitted_forms() -> None:
    """Of a clock sweep the highest clock is the reference; without it the next highest is."""
    clock = np.array([0.4, 0.6, 0.8, 1.0, 1.4, 1.8, 2.0]) * 1e9
    values = (0.01 + 0.02e9 / clock) * np.exp(0.02 * np.random.default_rng(0).standard_normal(7))
    response = fit_response("latency_s", {"frequency_hz": clock}, values, knobs=(CLOCK,))
    moved = moved_reference_error(response)

    assert moved is not None
    assert moved == pytest.approx(response.checked.error, rel=0.3)


def test_moved_reference_is_not_stated_for_many_rows() -> None:
    clock = np.geomspace(0.4e9, 2e9, 30)
    response = fit_response("latency_s", {"frequency_hz": clock}, 0.01 + 0.02e9 / clock, knobs=(CLOCK,))

    assert moved_reference_error(response) is None
