"""Responses: recovery of synthetic functions, interval coverage, draws, and the JSON round trip."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from explorer.errors import UnknownName, WrongUsage
from explorer.models.loading import load_model, model_to_json
from explorer.models.response.averaging import fit_response
from explorer.models.response.fit_surrogate import fit_surrogate
from explorer.models.response.response import Response, draw_response
from explorer.models.response.tables import KnobColumns
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples
from explorer.problem.columns import Columns, Float, take

RATIO = KnobSpec("pruning_ratio", "number")
BATCH = KnobSpec("batch_size", "number", is_log=True)
KNOBS = (KnobSpec("family", "category"), RATIO, BATCH)
CLOCK = KnobSpec("frequency_hz", "number", is_log=True)
VOLTAGE = KnobSpec("voltage_v", "number")


def synthetic(truth: Callable[[Columns], Float], *, n: int, noise: float, seed: int) -> tuple[Columns, Float]:
    """Return n random designs of two families and their measurements exp(truth + noise)."""
    rng = np.random.default_rng(seed)
    designs: Columns = {
        "family": np.where(np.arange(n) % 2 == 0, "CNN", "RNN").astype(object),
        "pruning_ratio": rng.uniform(0, 0.8, n),
        "batch_size": 2.0 ** rng.integers(0, 8, n),
    }
    return designs, np.exp(truth(designs) + noise * rng.standard_normal(n))


def power_law(designs: Columns) -> Float:
    """Return log energy: remaining weights to the power of 0.6, batch size to the power of -0.3."""
    level = np.where(designs["family"] == "CNN", 0.0, 1.0)
    return np.asarray(level + 0.6 * np.log(1 - designs["pruning_ratio"]) - 0.3 * np.log(designs["batch_size"]))


def form_weight(response: Response, start: str) -> float:
    """Return the weight of the forms whose name starts with a text."""
    pairs = zip(response.fits, response.weights, strict=True)
    return float(sum(weight for fit, weight in pairs if fit.form.name.startswith(start)))


@pytest.fixture(scope="module")
def response() -> Response:
    designs, values = synthetic(power_law, n=40, noise=0.05, seed=0)
    return fit_response("energy_j", designs, values, knobs=KNOBS)


def line(ratios: Float, batch: float = 16.0) -> Columns:
    return {
        "family": np.array(["CNN"] * len(ratios), dtype=object),
        "pruning_ratio": ratios, "batch_size": np.full(len(ratios), batch),
    }  # fmt: skip


def test_power_law_is_recovered_within_its_noise(response: Response) -> None:
    designs, values = synthetic(power_law, n=200, noise=0.0, seed=99)

    assert np.median(np.abs(response.predict(designs) / values - 1)) < 0.03


def test_fixed_plus_scaling_form_extrapolates() -> None:
    """Latency a + b/f is measured from 0.5 to 2 GHz; a power law would have a large error at 4 GHz."""
    clock = np.geomspace(0.5e9, 2e9, 12)
    values = 0.01 + 0.02e9 / clock
    response = fit_response("latency_s", {"frequency_hz": clock}, values, knobs=(CLOCK,))

    assert form_weight(response, "compression and clock") + form_weight(response, "fixed + scaling parts") > 0.8
    assert not response.is_outlier.any()  # an exact table has no outliers
    assert response.predict({"frequency_hz": np.array([4e9])})[0] == pytest.approx(0.015, rel=0.05)


def test_power_is_fitted_as_switching_leakage_and_constant() -> None:
    rng = np.random.default_rng(1)
    volts = np.repeat([0.8, 0.9, 1.0, 1.1], 4)
    clock = np.tile([0.6e9, 1e9, 1.4e9, 1.8e9], 4)
    truth = 0.5 + 0.3 * volts + 2e-9 * volts**2 * clock
    measured = truth * np.exp(0.01 * rng.standard_normal(16))
    designs = {"voltage_v": volts, "frequency_hz": clock}
    response = fit_response("power_w", designs, measured, knobs=(VOLTAGE, CLOCK))

    assert np.max(np.abs(response.predict(designs) / truth - 1)) < 0.03


def test_cliff_is_predicted_at_unmeasured_steps() -> None:
    """Plateau at 0.97, edge at D = 0.1 (higher for less pruned networks), chance at 0.1."""
    ratio, step = (grid.ravel() for grid in np.meshgrid([0.0, 0.3, 0.6], [0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.25]))

    def accuracy(ratio: Float, step: Float) -> Float:
        return 0.1 + 0.87 / (1 + np.exp((np.log(step) - np.log(0.1) - 0.3 * np.log(1 - ratio)) / 0.2))

    rng = np.random.default_rng(0)
    measured = np.clip(accuracy(ratio, step) + 0.005 * rng.standard_normal(len(step)), 0.01, 0.99)
    knobs = (RATIO, KnobSpec("quant_step", "number", is_log=True))
    response = fit_response("accuracy", {"pruning_ratio": ratio, "quant_step": step}, measured, knobs=knobs)
    designs = {"pruning_ratio": np.full(4, 0.45), "quant_step": np.array([0.0, 0.03, 0.085, 0.12])}

    laws = {fit.form.law: weight for fit, weight in zip(response.fits, response.weights, strict=True)}
    assert sum(weight for law, weight in laws.items() if "cliff" in law) > 0.9
    assert (
        np.max(
            np.abs(
                response.predict(designs) - accuracy(designs["pruning_ratio"], np.maximum(designs["quant_step"], 1e-9))
            )
        )
        < 0.05
    )


@pytest.mark.parametrize("n", [10, 24])
@pytest.mark.slow
def test_coverage_of_90_percent_intervals_is_nominal(n: int) -> None:
    covered = []
    for seed in range(4):
        designs, values = synthetic(power_law, n=n, noise=0.05, seed=seed)
        response = fit_response("energy_j", designs, values, knobs=KNOBS)
        new_designs, new = synthetic(power_law, n=60, noise=0.05, seed=1000 + seed)
        low, high = response.interval(new_designs)
        covered.append(np.mean((low <= new) & (new <= high)))

    assert 0.8 <= np.mean(covered) <= 0.995


def test_intervals_widen_outside_the_measured_range(response: Response) -> None:
    low, high = response.interval(line(np.array([0.4, 0.9, 0.95, 0.99])))
    width = np.log(high / low)

    assert width[0] < width[1] < width[2] < width[3]
    assert width[3] > 1.5 * width[0]


def test_intervals_widen_between_measured_levels() -> None:
    """Deviations of single levels that their neighbours do not predict require wider intervals between levels."""
    rng = np.random.default_rng(0)
    ratio = np.repeat([0.0, 0.2, 0.4, 0.6, 0.8], 8)
    batch = np.tile(2.0 ** np.arange(8), 5)
    deviation = np.repeat([0.0, 0.3, -0.2, 0.25, 0.0], 8)
    values = np.exp(np.log(1 - ratio) + deviation - 0.3 * np.log(batch) + 0.01 * rng.standard_normal(40))
    response = fit_response("energy_j", {"pruning_ratio": ratio, "batch_size": batch}, values, knobs=(RATIO, BATCH))
    low, high = response.interval({"pruning_ratio": np.array([0.4, 0.5]), "batch_size": np.array([16.0, 16.0])})

    assert response.widening.between_levels["pruning_ratio"].factor > 1
    assert math.log(high[1] / low[1]) > 1.3 * math.log(high[0] / low[0])


def test_repeat_standard_deviation_is_estimated() -> None:
    designs, _ = synthetic(power_law, n=20, noise=0.0, seed=3)
    twice = {name: np.concatenate([column] * 4) for name, column in designs.items()}
    rng = np.random.default_rng(4)
    values = np.exp(power_law(twice) + 0.1 * rng.standard_normal(80))
    response = fit_response("energy_j", twice, values, knobs=KNOBS)

    assert response.repeat_sd == pytest.approx(0.1, rel=0.2)
    assert response.noise >= response.repeat_sd
    assert response.counts.tolist() == [4] * 20


def test_fit_that_explains_nothing_is_no_better_than_the_mean() -> None:
    rng = np.random.default_rng(5)
    designs, _ = synthetic(power_law, n=30, noise=0.0, seed=5)
    response = fit_response("power_w", designs, np.exp(0.3 * rng.standard_normal(30)), knobs=KNOBS)

    assert response.checked.r2 < 0.2
    assert response.checked.error < 1.15 * response.candidates[0].error


def test_good_fit_explains_nearly_all(response: Response) -> None:
    assert response.checked.r2 > 0.95
    assert response.checked.error < 0.3 * response.candidates[0].error


def gap9() -> tuple[Response, Columns, Float]:
    """Return GAP9 (MLPerf Tiny v1.0, GreenWaves) fitted at 0.65 V and 240 MHz, and its measured second point.

    Measured energies at 0.8 V and 370 MHz are 1.39, 1.46, 1.44 and 1.43 times those at the first; V^2 alone gives 1.51.
    """
    task = np.array(["ad", "ic", "kws", "vww"], dtype=object)
    first = {"task": task, "voltage_v": np.full(4, 0.65), "frequency_hz": np.full(4, 240e6)}
    second = {"task": task, "voltage_v": np.full(4, 0.8), "frequency_hz": np.full(4, 370e6)}
    energy = np.array([5.252e-6, 2.771e-5, 1.8561e-5, 4.0801e-5])
    measured = np.array([7.294e-6, 4.0356e-5, 2.6659e-5, 5.8356e-5])
    return (
        fit_response("energy_j", first, energy, knobs=(KnobSpec("task", "category"), VOLTAGE, CLOCK)),
        second,
        measured,
    )


def test_constant_voltage_is_extrapolated_by_its_physical_prior() -> None:
    response, second, measured = gap9()
    low, high = response.interval(second)

    assert np.all((low <= measured) & (measured <= high))
    assert np.all(response.predict(second) > 1.15 * response.predict(response.samples))


def test_energy_at_another_voltage_is_predicted_within_8_percent() -> None:
    response, second, measured = gap9()

    assert np.max(np.abs(response.predict(second) / measured - 1)) < 0.08


def test_draw_does_not_depend_on_the_batch(response: Response) -> None:
    """Differences between designs are valid only if a design has the same draw alone and in a batch."""
    designs, draws = line(np.linspace(0, 0.9, 7)), draw_response(response, n=20, seed=3)
    whole = draws.evaluate(designs, with_noise=False)
    parts = [draws.evaluate(take(designs, np.array([i])), with_noise=False) for i in range(7)]

    np.testing.assert_allclose(whole, np.concatenate(parts, axis=1), rtol=1e-9)


def test_draws_of_close_designs_are_correlated(response: Response) -> None:
    draws = response.draws(line(np.array([0.5, 0.501])), n=200, with_noise=False)

    assert np.std(np.log(draws[:, 0] / draws[:, 1])) < 0.1 * np.std(np.log(draws[:, 0]))


def test_median_of_draws_equals_the_prediction(response: Response) -> None:
    designs = line(np.linspace(0.1, 0.7, 5))
    middle = np.median(response.draws(designs, n=2000, with_noise=False), axis=0)

    np.testing.assert_allclose(middle, response.predict(designs), rtol=0.01)


@settings(max_examples=25)
@given(ratio=st.floats(0, 0.999), batch=st.floats(1e-3, 1e6), seed=st.integers(0, 99))
def test_predictions_and_draws_are_positive_and_finite(
    response: Response, ratio: float, batch: float, seed: int
) -> None:
    designs = line(np.array([ratio]), batch)
    draws = response.draws(designs, n=30, seed=seed)

    assert np.isfinite(response.predict(designs)).all()
    assert np.all((draws > 0) & np.isfinite(draws))


def through_file(folder: Path, target: str, columns: Columns, knobs: tuple[KnobSpec, ...]) -> Response:
    """Fit one table, write its model and return the target's response as it is read."""
    samples = Samples(columns, tuple(map(str, range(len(columns[target])))), "made", "0")
    path = folder / "model.json"
    path.write_text(json.dumps(model_to_json(fit_surrogate([KnobColumns(samples, knobs)], name="made"))))
    return load_model(str(path)).responses[target]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n=st.integers(2, 14),
    seed=st.integers(0, 10_000),
    target=st.sampled_from(["accuracy", "latency_s", "energy_j"]),
    scale=st.sampled_from([1e-9, 1.0, 1e12]),
)
@pytest.mark.slow
def test_any_small_table_is_fitted_and_survives_json(
    tmp_path: Path, n: int, seed: int, target: str, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    designs: Columns = {
        "family": rng.choice(["a", "b"], n).astype(object),
        "pruning_ratio": rng.choice([0.0, 0.5, 0.9], n),
        "batch_size": rng.choice([1.0, 8.0], n),
        "quant_step": rng.choice([0.0, 0.01, 0.1, 0.3], n),
    }
    values = rng.uniform(0.05, 0.99, n) * (1.0 if target == "accuracy" else scale)
    knobs = (*KNOBS, KnobSpec("quant_step", "number"))
    response = fit_response(target, designs, values, knobs=knobs)
    restored = through_file(tmp_path, target, {**designs, target: values}, knobs)

    assert np.all(np.isfinite(response.predict(designs)))
    np.testing.assert_array_equal(restored.predict(designs), response.predict(designs))
    np.testing.assert_array_equal(restored.draws(designs, n=5), response.draws(designs, n=5))
    if target == "accuracy":
        assert np.all((response.draws(designs) > 0) & (response.draws(designs) < 1))


def test_rows_without_a_knob_are_omitted_and_counted() -> None:
    designs, values = synthetic(power_law, n=20, noise=0.05, seed=6)
    designs["batch_size"][3:5] = np.nan
    values[7] = np.nan
    response = fit_response("energy_j", designs, values, knobs=KNOBS)

    assert len(response.table.values) == 17
    table = KnobColumns(Samples({**designs, "energy_j": values}, ("row",) * 20, "made", "0"), KNOBS)
    notes = fit_surrogate([table], name="made").notes
    assert "energy_j: 2 of 19 rows lack a knob and are left out of the fit" in notes


def test_unmeasured_level_is_rejected(response: Response) -> None:
    designs = line(np.array([0.1]))
    designs["family"][:] = "RRN"

    with pytest.raises(UnknownName, match=r"unknown name 'RRN'\n  fix: did you mean 'RNN'"):
        response.predict(designs)


def test_too_few_rows_are_rejected() -> None:
    with pytest.raises(WrongUsage, match=r"fewer than two rows[\s\S]*fix: measure more"):
        fit_response("energy_j", line(np.array([0.1])), np.array([1.0]), knobs=KNOBS)


def test_nonpositive_energy_is_rejected() -> None:
    with pytest.raises(WrongUsage, match=r"a value is not positive[\s\S]*fix: leave the cell empty"):
        fit_response("energy_j", line(np.array([0.1, 0.2, 0.3])), np.array([1.0, 0.0, 2.0]), knobs=KNOBS)


def test_100_000_designs_are_predicted_in_blocks(response: Response) -> None:
    designs = line(np.linspace(0, 0.8, 100_000))
    rows = np.array([0, 54_321, 99_999])

    np.testing.assert_allclose(response.predict(designs)[rows], response.predict(take(designs, rows)), rtol=1e-12)


def test_fit_does_not_modify_its_arguments() -> None:
    designs, values = synthetic(power_law, n=12, noise=0.05, seed=8)
    copies = {name: column.copy() for name, column in designs.items()}, values.copy()
    fit_response("energy_j", designs, values, knobs=KNOBS)

    assert all(np.array_equal(copies[0][name], designs[name]) for name in designs)
    assert np.array_equal(copies[1], values)
