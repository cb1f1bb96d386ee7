"""Responses: they find the truth of made worlds, know how sure they are, and are the same after a trip to a file."""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import UnknownName, WrongUsage
from explorer.io.declarations import validate
from explorer.models.model_files.response import response_faults, response_from_file, response_to_json
from explorer.models.model_files.response_schema import ResponseFile
from explorer.models.response.input_scaling import KnobSpec
from explorer.models.response.response import Response, draw_response
from explorer.models.response.selection import fit_response
from explorer.problem.columns import Columns, Float, take

RATIO = KnobSpec("pruning_ratio", "number")
BATCH = KnobSpec("batch_size", "number", is_log=True)
KNOBS = (KnobSpec("family", "category"), RATIO, BATCH)
CLOCK = KnobSpec("frequency_hz", "number", is_log=True)
VOLTAGE = KnobSpec("voltage_v", "number")


def world(truth: Callable[[Columns], Float], *, n: int, noise: float, seed: int) -> tuple[Columns, Float]:
    """Return n designs of two families at random and what measuring them gave: exp(truth + noise)."""
    rng = np.random.default_rng(seed)
    designs: Columns = {
        "family": np.where(np.arange(n) % 2 == 0, "CNN", "RNN").astype(object),
        "pruning_ratio": rng.uniform(0, 0.8, n),
        "batch_size": 2.0 ** rng.integers(0, 8, n),
    }
    return designs, np.exp(truth(designs) + noise * rng.standard_normal(n))


def power_law(designs: Columns) -> Float:
    """Energy that falls with the remaining weights to a power of 0.6 and with the batch to one of 0.3."""
    level = np.where(designs["family"] == "CNN", 0.0, 1.0)
    return np.asarray(level + 0.6 * np.log(1 - designs["pruning_ratio"]) - 0.3 * np.log(designs["batch_size"]))


def from_json(data: dict[str, Any]) -> Response:
    file = validate(json.loads(json.dumps(data, allow_nan=False)), ResponseFile, path="model.json")
    assert response_faults(file) == []
    return response_from_file(file)


@pytest.fixture(scope="module")
def response() -> Response:
    designs, values = world(power_law, n=40, noise=0.05, seed=0)
    return fit_response("energy_j", designs, values, knobs=KNOBS)


def line(ratios: Float, batch: float = 16.0) -> Columns:
    return {
        "family": np.array(["CNN"] * len(ratios), dtype=object),
        "pruning_ratio": ratios, "batch_size": np.full(len(ratios), batch),
    }  # fmt: skip


def test_a_power_law_is_recovered_within_its_noise(response: Response) -> None:
    designs, values = world(power_law, n=200, noise=0.0, seed=99)

    assert np.median(np.abs(response.predict(designs) / values - 1)) < 0.03


def test_a_fixed_part_plus_a_part_that_scales_is_recovered_beyond_the_rows() -> None:
    """Latency of a + b/f, measured from 0.5 to 2 GHz; a power law would be far off at 4 GHz."""
    clock = np.geomspace(0.5e9, 2e9, 12)
    values = 0.01 + 0.02e9 / clock
    response = fit_response("latency_s", {"frequency_hz": clock}, values, knobs=(CLOCK,))

    assert response.fit.form.name.startswith("fixed + scaling parts")
    assert response.predict({"frequency_hz": np.array([4e9])})[0] == pytest.approx(0.015, rel=0.05)


def test_power_with_voltage_and_clock_is_switching_leakage_and_a_rest() -> None:
    rng = np.random.default_rng(1)
    volts = np.repeat([0.8, 0.9, 1.0, 1.1], 4)
    clock = np.tile([0.6e9, 1e9, 1.4e9, 1.8e9], 4)
    truth = 0.5 + 0.3 * volts + 2e-9 * volts**2 * clock
    measured = truth * np.exp(0.01 * rng.standard_normal(16))
    designs = {"voltage_v": volts, "frequency_hz": clock}
    response = fit_response("power_w", designs, measured, knobs=(VOLTAGE, CLOCK))

    assert np.max(np.abs(response.predict(designs) / truth - 1)) < 0.03


def test_a_cliff_is_found_and_predicted_at_steps_that_were_not_measured() -> None:
    """The plateau at .97, the edge at D = .1 (for less pruned networks a little later), chance at .1."""
    ratio, step = (grid.ravel() for grid in np.meshgrid([0.0, 0.3, 0.6], [0.01, 0.02, 0.04, 0.07, 0.1, 0.15, 0.25]))

    def accuracy(ratio: Float, step: Float) -> Float:
        return 0.1 + 0.87 / (1 + np.exp((np.log(step) - np.log(0.1) - 0.3 * np.log(1 - ratio)) / 0.2))

    rng = np.random.default_rng(0)
    measured = np.clip(accuracy(ratio, step) + 0.005 * rng.standard_normal(len(step)), 0.01, 0.99)
    knobs = (RATIO, KnobSpec("quant_step", "number", is_log=True))
    response = fit_response("accuracy", {"pruning_ratio": ratio, "quant_step": step}, measured, knobs=knobs)
    asked = {"pruning_ratio": np.full(4, 0.45), "quant_step": np.array([0.0, 0.03, 0.085, 0.12])}

    assert response.fit.form.law == "cliff"
    assert (
        np.max(
            np.abs(response.predict(asked) - accuracy(asked["pruning_ratio"], np.maximum(asked["quant_step"], 1e-9)))
        )
        < 0.05
    )


@pytest.mark.parametrize("n", [10, 24])
def test_ninety_percent_intervals_hold_about_ninety_percent_of_new_measurements(n: int) -> None:
    covered = []
    for seed in range(4):
        designs, values = world(power_law, n=n, noise=0.05, seed=seed)
        response = fit_response("energy_j", designs, values, knobs=KNOBS)
        asked, new = world(power_law, n=60, noise=0.05, seed=1000 + seed)
        low, high = response.interval(asked)
        covered.append(np.mean((low <= new) & (new <= high)))

    assert 0.8 <= np.mean(covered) <= 0.99


def test_intervals_widen_outside_the_measured_range(response: Response) -> None:
    low, high = response.interval(line(np.array([0.4, 0.9, 0.95, 0.99])))
    width = np.log(high / low)

    assert width[0] < width[1] < width[2] < width[3]
    assert width[3] > 1.5 * width[0]


def test_intervals_widen_between_the_values_at_which_a_knob_was_measured() -> None:
    """A bump between the measured ratios that their neighbours do not foretell: leaving one out shows the cost."""
    rng = np.random.default_rng(0)
    ratio = np.repeat([0.0, 0.2, 0.4, 0.6, 0.8], 8)
    batch = np.tile(2.0 ** np.arange(8), 5)
    quirk = np.repeat([0.0, 0.3, -0.2, 0.25, 0.0], 8)
    values = np.exp(np.log(1 - ratio) + quirk - 0.3 * np.log(batch) + 0.01 * rng.standard_normal(40))
    response = fit_response("energy_j", {"pruning_ratio": ratio, "batch_size": batch}, values, knobs=(RATIO, BATCH))
    low, high = response.interval({"pruning_ratio": np.array([0.4, 0.5]), "batch_size": np.array([16.0, 16.0])})

    assert response.widening.away["pruning_ratio"].factor > 1
    assert math.log(high[1] / low[1]) > 1.3 * math.log(high[0] / low[0])


def test_the_spread_of_repeats_is_their_noise() -> None:
    designs, _ = world(power_law, n=20, noise=0.0, seed=3)
    twice = {name: np.concatenate([column] * 4) for name, column in designs.items()}
    rng = np.random.default_rng(4)
    values = np.exp(power_law(twice) + 0.1 * rng.standard_normal(80))
    response = fit_response("energy_j", twice, values, knobs=KNOBS)

    assert response.repeat_sd == pytest.approx(0.1, rel=0.2)
    assert response.noise >= response.repeat_sd
    assert response.counts.tolist() == [4] * 20


def test_a_target_that_no_knob_explains_is_said_to_be_unexplained() -> None:
    rng = np.random.default_rng(5)
    designs, _ = world(power_law, n=30, noise=0.0, seed=5)
    response = fit_response("power_w", designs, np.exp(0.3 * rng.standard_normal(30)), knobs=KNOBS)

    assert any("EXPLAINS NOTHING" in warning for warning in response.warnings)
    assert response.checked.r2 < 0.2


def test_a_fit_that_explains_much_has_no_such_warning(response: Response) -> None:
    assert response.warnings == ()
    assert response.checked.r2 > 0.95
    assert response.choice.startswith("energy_j: '")


def test_voltage_that_was_never_varied_moves_energy_as_physics_says_within_wide_intervals() -> None:
    """GAP9 (MLPerf Tiny v1.0, results of GreenWaves): 0.65 V and 240 MHz measured, 0.8 V and 370 MHz asked.

    Energies at the second point were 1.39, 1.46, 1.44 and 1.43 times those at the first; V^2 alone says 1.51.
    """
    task = np.array(["ad", "ic", "kws", "vww"], dtype=object)
    first = {"task": task, "voltage_v": np.full(4, 0.65), "frequency_hz": np.full(4, 240e6)}
    second = {"task": task, "voltage_v": np.full(4, 0.8), "frequency_hz": np.full(4, 370e6)}
    energy = np.array([5.252e-6, 2.771e-5, 1.8561e-5, 4.0801e-5])
    measured = np.array([7.294e-6, 4.0356e-5, 2.6659e-5, 5.8356e-5])
    response = fit_response("energy_j", first, energy, knobs=(KnobSpec("task", "category"), VOLTAGE, CLOCK))
    low, high = response.interval(second)

    assert np.all((low <= measured) & (measured <= high))
    assert np.max(np.abs(response.predict(second) / measured - 1)) < 0.08


def test_a_draw_is_one_function_however_it_is_asked(response: Response) -> None:
    """Differences between designs are meaningful only if a block of them gets what each alone gets."""
    designs, drawn = line(np.linspace(0, 0.9, 7)), draw_response(response, n=20, seed=3)
    whole = drawn.at(designs, with_noise=False)
    parts = [drawn.at(take(designs, np.array([i])), with_noise=False) for i in range(7)]

    np.testing.assert_allclose(whole, np.concatenate(parts, axis=1), rtol=1e-9)


def test_close_designs_are_drawn_close(response: Response) -> None:
    drawn = response.draws(line(np.array([0.5, 0.501])), n=200, with_noise=False)

    assert np.std(np.log(drawn[:, 0] / drawn[:, 1])) < 0.1 * np.std(np.log(drawn[:, 0]))


def test_the_middle_of_the_draws_is_the_prediction(response: Response) -> None:
    designs = line(np.linspace(0.1, 0.7, 5))
    middle = np.median(response.draws(designs, n=2000, with_noise=False), axis=0)

    np.testing.assert_allclose(middle, response.predict(designs), rtol=0.01)


@settings(max_examples=25)
@given(ratio=st.floats(0, 0.999), batch=st.floats(1e-3, 1e6), seed=st.integers(0, 99))
def test_predictions_and_draws_are_positive_and_finite_wherever_they_are_asked(
    response: Response, ratio: float, batch: float, seed: int
) -> None:
    designs = line(np.array([ratio]), batch)
    drawn = response.draws(designs, n=30, seed=seed)

    assert np.isfinite(response.predict(designs)).all()
    assert np.all((drawn > 0) & np.isfinite(drawn))


@settings(max_examples=12)
@given(
    n=st.integers(2, 14),
    seed=st.integers(0, 10_000),
    target=st.sampled_from(["accuracy", "latency_s", "energy_j"]),
    scale=st.sampled_from([1e-9, 1.0, 1e12]),
)
def test_any_small_table_is_fitted_without_a_crash_and_survives_a_file(
    n: int, seed: int, target: str, scale: float
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
    back = from_json(response_to_json(response))

    assert np.all(np.isfinite(response.predict(designs)))
    np.testing.assert_array_equal(back.predict(designs), response.predict(designs))
    np.testing.assert_array_equal(back.draws(designs, n=5), response.draws(designs, n=5))
    if target == "accuracy":
        assert np.all((response.draws(designs) > 0) & (response.draws(designs) < 1))


def test_a_response_is_the_same_after_a_trip_to_a_file(response: Response) -> None:
    back = from_json(response_to_json(response))

    assert response_to_json(back) == response_to_json(response)


def test_rows_that_lack_a_knob_are_left_out_and_counted() -> None:
    designs, values = world(power_law, n=20, noise=0.05, seed=6)
    designs["batch_size"][3:5] = np.nan
    values[7] = np.nan
    response = fit_response("energy_j", designs, values, knobs=KNOBS)

    assert len(response.table.values) == 17
    assert response.warnings[0] == "energy_j: 2 of 19 rows lack a knob and are left out of the fit"


def test_a_level_that_was_never_measured_is_refused(response: Response) -> None:
    designs = line(np.array([0.1]))
    designs["family"][:] = "RRN"

    with pytest.raises(UnknownName, match=r"unknown name 'RRN'\n  fix: did you mean 'RNN'"):
        response.predict(designs)


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(WrongUsage, match=r"fewer than two rows[\s\S]*fix: measure more"):
        fit_response("energy_j", line(np.array([0.1])), np.array([1.0]), knobs=KNOBS)


def test_energy_of_nothing_is_refused() -> None:
    with pytest.raises(WrongUsage, match=r"a value is not positive[\s\S]*fix: leave the cell empty"):
        fit_response("energy_j", line(np.array([0.1, 0.2, 0.3])), np.array([1.0, 0.0, 2.0]), knobs=KNOBS)


def test_a_hundred_thousand_designs_are_predicted_at_once(response: Response) -> None:
    designs = line(np.linspace(0, 0.8, 100_000))
    few = take(designs, np.array([0, 54_321, 99_999]))

    np.testing.assert_allclose(response.predict(designs)[[0, 54_321, 99_999]], response.predict(few), rtol=1e-12)


def test_fitting_changes_none_of_its_arguments() -> None:
    designs, values = world(power_law, n=12, noise=0.05, seed=8)
    before = {name: column.copy() for name, column in designs.items()}, values.copy()
    fit_response("energy_j", designs, values, knobs=KNOBS)

    assert all(np.array_equal(before[0][name], designs[name]) for name in designs)
    assert np.array_equal(before[1], values)
