"""Online surrogate: draws interpolate the measurements, and their intervals are calibrated."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.models.online.input_space import build_input_space
from explorer.models.online.surrogate import OnlineSurrogate, fit_online, with_rounded_zeros
from explorer.problem.columns import Columns, Float, n_rows, take
from explorer.problem.design_space import DesignSpace, Dimension, categorical

OPEN = (0.0, np.inf)
R, D = Dimension("pruning_ratio", 0.0, 0.95), Dimension("quant_step", 0.001, 0.5, is_log=True)
V = Dimension("voltage_v", 0.5, 1.3)
Regions = Mapping[str, DesignSpace]
PLAIN: Regions = {"CNN": DesignSpace("CNN", (R, D, V), None, OPEN, np.inf)}
FAMILIES: Regions = {name: DesignSpace(name, (R, D, V), None, OPEN, np.inf) for name in ("CNN", "RNN")}
# Knobs of a camera; none of them is a knob of the paper.
OWN: Regions = {
    "Camera": DesignSpace(
        "Camera",
        (
            Dimension("side", 96.0, 224.0),
            Dimension("batch_size", 1.0, 64.0, is_log=True),
            categorical("precision", ("fp32", "int8")),
        ),
        None, OPEN, np.inf,
    )
}  # fmt: skip
TARGETS = ("accuracy", "energy_j", "latency_s", "size_bytes")
seeds = st.integers(0, 2**32 - 1)
Truth = Callable[[Columns], Columns]


def draw_truth(rng: np.random.Generator) -> Truth:
    """Return a random device and network that no form of the surrogate contains: tanh cliffs, additive energies."""
    edge, bend, cliff = rng.uniform(0.6, 0.9), rng.uniform(4, 12), np.exp(rng.uniform(np.log(0.05), np.log(0.3)))
    top, static, volts = rng.uniform(0.8, 0.97), rng.uniform(0.1, 0.5), rng.uniform(1.6, 2.4)
    scale = np.exp(rng.normal(0, 3, 3))

    def measured(designs: Columns) -> Columns:
        ratio, step, v = (designs[name] for name in ("pruning_ratio", "quant_step", "voltage_v"))
        density, bits = 1 - ratio, np.log2(2 / step)
        burden = np.tanh((ratio / edge) ** bend) + np.tanh((step / cliff) ** 1.5)
        slower = np.where(designs["family"] == "RNN", 1.6, 1.0)
        return {
            "accuracy": 0.1 + (top - 0.1) * np.exp(-burden),
            "energy_j": scale[0] * slower * (static + v**volts * (0.3 + density * bits / 8)),
            "latency_s": scale[1] * slower * (0.3 + density**0.6) / v,
            "size_bytes": 1e6 * scale[2] * (0.05 + density * bits / 8),
        }

    return measured


def random_designs(regions: Regions, rng: np.random.Generator, n: int) -> Columns:
    """Return n random designs, families in rotation."""
    tables = [region.from_unit(rng.random((n, len(region.axes)))) for region in regions.values()]
    turn = np.arange(n) % len(tables)
    rows = [np.choose(turn, [table[name] for table in tables]) for name in tables[0]]
    return dict(zip(tables[0], rows, strict=True))


def fit(
    truth: Truth, designs: Columns, *, regions: Regions = PLAIN, targets: tuple[str, ...] = TARGETS, seed: int = 0
) -> OnlineSurrogate:
    return fit_online({**designs, **truth(designs)}, targets, build_input_space(regions), seed=seed)


def bounds(draws: Float, level: float = 0.9) -> tuple[Float, Float]:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


@settings(max_examples=8)
@given(seed=seeds, n=st.integers(1, 15))
@pytest.mark.slow
def test_draws_interpolate_the_measurements(seed: int, n: int) -> None:
    """Within a few thousandths of a factor or an odds ratio, below the resolution of any meter."""
    rng = np.random.default_rng(seed)
    truth, designs = draw_truth(rng), random_designs(PLAIN, rng, n)
    draws, expected = fit(truth, designs).draws(16)(designs), truth(designs)

    for target in TARGETS:
        np.testing.assert_allclose(draws[target], np.tile(expected[target], (16, 1)), rtol=3e-3, err_msg=target)


@pytest.mark.slow
def test_intervals_cover_new_measurements_at_about_nominal_rate() -> None:
    """25 truths that no form contains, 12 measurements of each, 40 new ones.

    Errors close to the cliff of accuracy are correlated within a truth: the number of truths counts, not of designs.
    """
    rng, covered = np.random.default_rng(7), dict.fromkeys(TARGETS, 0.0)
    for i in range(25):
        truth, designs, new = draw_truth(rng), random_designs(PLAIN, rng, 12), random_designs(PLAIN, rng, 40)
        draws, expected = fit(truth, designs, seed=i).draws(64, seed=i)(new), truth(new)
        for target in TARGETS:
            low, high = bounds(draws[target])
            covered[target] += float(np.mean((low <= expected[target]) & (expected[target] <= high))) / 25

    for target in TARGETS:
        assert 0.8 <= covered[target] <= 0.995, target


@pytest.mark.slow
def test_error_falls_with_the_number_of_measurements() -> None:
    """Mean absolute error of the medians in logarithms, over four truths with 4, 12 and 40 measurements."""
    errors = []
    for n in (4, 12, 40):
        rng, found = np.random.default_rng(3), []
        for i in range(4):
            truth, new, designs = draw_truth(rng), random_designs(PLAIN, rng, 60), random_designs(PLAIN, rng, n)
            draws, expected = fit(truth, designs, seed=i).draws(32)(new), truth(new)
            found.append([np.mean(np.abs(np.median(np.log(draws[t]), axis=0) - np.log(expected[t]))) for t in TARGETS])
        errors.append(np.mean(found, axis=0))

    assert (errors[1] < errors[0]).all()
    assert (errors[2] < errors[1]).all()


def test_intervals_widen_with_distance_from_the_measurements() -> None:
    rng = np.random.default_rng(0)
    truth, designs = draw_truth(rng), PLAIN["CNN"].from_unit(0.2 * rng.random((10, 3)))
    close_and_far = PLAIN["CNN"].from_unit(np.array([[0.1, 0.1, 0.1], [0.9, 0.9, 0.9]]))
    draws = fit(truth, designs).draws(64)(close_and_far)

    for target in TARGETS:
        low, high = bounds(draws[target])
        assert (high - low)[1] > 2 * (high - low)[0], target


def test_draws_stay_in_physical_range() -> None:
    rng = np.random.default_rng(1)
    truth, designs = draw_truth(rng), random_designs(PLAIN, rng, 3)
    draws = fit(truth, designs).draws(64)(PLAIN["CNN"].from_unit(rng.random((500, 3))))

    assert ((draws["accuracy"] > 0) & (draws["accuracy"] < 1)).all()
    assert all((draws[name] > 0).all() and np.isfinite(draws[name]).all() for name in TARGETS)


def test_draws_are_reproducible_by_seed() -> None:
    rng = np.random.default_rng(2)
    truth, designs, new = draw_truth(rng), random_designs(PLAIN, rng, 8), random_designs(PLAIN, rng, 5)
    one, same, other = (fit(truth, designs, seed=3).draws(8, seed=s)(new) for s in (4, 4, 5))

    for target in TARGETS:
        np.testing.assert_array_equal(one[target], same[target])
        assert not np.array_equal(one[target], other[target])


def test_a_draw_is_a_function_of_the_design_alone() -> None:
    rng = np.random.default_rng(2)
    truth, designs, new = draw_truth(rng), random_designs(PLAIN, rng, 8), random_designs(PLAIN, rng, 30)
    at = fit(truth, designs).draws(8)
    together, alone = at(new), at(take(new, np.array([17])))

    for target in TARGETS:
        np.testing.assert_allclose(alone[target][:, 0], together[target][:, 17], rtol=1e-9)


@settings(max_examples=6)
@given(seed=seeds, factor=st.floats(1e-9, 1e9))
def test_fit_is_equivariant_to_the_unit_of_a_positive_target(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    truth, designs, new = draw_truth(rng), random_designs(PLAIN, rng, 8), random_designs(PLAIN, rng, 5)
    measured = {**designs, "energy_j": truth(designs)["energy_j"]}
    one = fit_online(measured, ("energy_j",), build_input_space(PLAIN)).draws(8)(new)["energy_j"]
    scaled = {**measured, "energy_j": factor * measured["energy_j"]}
    other = fit_online(scaled, ("energy_j",), build_input_space(PLAIN)).draws(8)(new)["energy_j"]

    np.testing.assert_allclose(other / factor, one, rtol=1e-5)


def test_repeats_are_averaged() -> None:
    """Six designs, three of them measured three times with small differences."""
    rng = np.random.default_rng(5)
    truth, designs, new = draw_truth(rng), random_designs(PLAIN, rng, 6), random_designs(PLAIN, rng, 50)
    repeated = take(designs, np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4, 5]))
    expected = {name: values * (1 + 0.02 * rng.standard_normal(12)) for name, values in truth(repeated).items()}
    expected["accuracy"] = np.clip(expected["accuracy"], 0.01, 0.99)
    at = fit_online({**repeated, **expected}, TARGETS, build_input_space(PLAIN)).draws(32)
    means = {
        name: np.array([np.mean(values[3 * i : 3 * i + 3]) for i in range(3)]) for name, values in expected.items()
    }
    once = fit(truth, designs).draws(32)(new)

    for target in TARGETS:
        np.testing.assert_allclose(np.median(at(take(designs, np.arange(3)))[target], axis=0), means[target], rtol=3e-3)
        low, high = bounds(at(new)[target])
        narrow_low, narrow_high = bounds(once[target])
        assert np.median(high - low) > 0.3 * np.median(narrow_high - narrow_low)
        assert np.mean((low <= truth(new)[target]) & (truth(new)[target] <= high)) > 0.5, target


def test_target_with_missing_values_is_fitted_to_the_others() -> None:
    """Half of the designs have no energy: only theirs is uncertain."""
    rng = np.random.default_rng(6)
    truth, designs = draw_truth(rng), random_designs(PLAIN, rng, 10)
    measured = {**designs, **truth(designs)}
    measured["energy_j"] = np.where(np.arange(10) < 5, measured["energy_j"], np.nan)
    draws = fit_online(measured, ("accuracy", "energy_j"), build_input_space(PLAIN)).draws(32)(designs)
    spread = np.std(np.log(draws["energy_j"]), axis=0)

    assert (spread[:5] < 1e-3).all()
    assert (spread[5:] > 1e-3).all()
    assert (np.std(draws["accuracy"], axis=0) < 1e-3).all()


def test_factor_between_families_is_fitted() -> None:
    """One family needs 1.6 times the energy: apart from that factor, measurements of both families are pooled."""
    rng = np.random.default_rng(8)
    truth, designs = draw_truth(rng), random_designs(FAMILIES, rng, 16)
    new = random_designs(FAMILIES, rng, 40)
    draws, expected = fit(truth, designs, regions=FAMILIES).draws(64)(new), truth(new)
    error = np.abs(np.median(np.log(draws["energy_j"]), axis=0) - np.log(expected["energy_j"]))

    assert np.mean(error[0::2]) < 0.1
    assert np.mean(error[1::2]) < 0.1


def camera(designs: Columns) -> Columns:
    weight = np.where(designs["precision"] == "fp32", 4.0, 1.0)
    return {
        "energy_j": 1e-3 * designs["side"] ** 2 * weight * (1 + 0.2 / designs["batch_size"]),
        "accuracy": 1 - 0.5 / (1 + designs["side"] * weight**0.2 / 100),
    }


def test_user_defined_knobs_are_fitted() -> None:
    rng = np.random.default_rng(9)
    designs, new = random_designs(OWN, rng, 20), random_designs(OWN, rng, 60)
    draws = fit(camera, designs, regions=OWN, targets=("energy_j", "accuracy")).draws(64)(new)
    expected = camera(new)
    error = np.abs(np.median(np.log(draws["energy_j"]), axis=0) - np.log(expected["energy_j"]))

    assert np.mean(error) < 0.05
    assert np.mean(np.abs(np.median(draws["accuracy"], axis=0) - expected["accuracy"])) < 0.01


@pytest.mark.parametrize("n", [1, 6])
def test_constant_target_is_predicted_close_to_its_value(n: int) -> None:
    rng = np.random.default_rng(n)
    designs, new = random_designs(PLAIN, rng, n), random_designs(PLAIN, rng, 50)
    measured = {**designs, "latency_s": np.full(n, 0.01), "accuracy": np.full(n, 0.9)}
    draws = fit_online(measured, ("latency_s", "accuracy"), build_input_space(PLAIN)).draws(64)(new)
    median = np.median(draws["latency_s"], axis=0)

    assert ((median > 0.003) & (median < 0.03)).all()
    assert np.isfinite(draws["accuracy"]).all()


def test_accuracy_is_less_certain_on_fewer_samples() -> None:
    """An accuracy of 1 or 0 is less certain on 50 samples than on 50,000."""
    rng = np.random.default_rng(4)
    designs, new = random_designs(PLAIN, rng, 8), random_designs(PLAIN, rng, 40)
    expected = np.where(np.arange(8) < 6, 1.0, 0.0)
    measured, space = {**designs, "accuracy": expected}, build_input_space(PLAIN)
    few, many = (
        fit_online(measured, ("accuracy",), space, n_counted=np.full(8, n)).draws(64) for n in (50.0, 50_000.0)
    )

    assert few(designs)["accuracy"].max() < many(designs)["accuracy"].max() < 1
    assert np.all(np.isfinite(many(new)["accuracy"]))


@pytest.mark.parametrize(
    ("target", "values", "message"),
    [
        pytest.param("energy_j", [np.nan, np.nan, np.nan], "energy_j was never measured", id="never measured"),
        pytest.param("energy_j", [1.0, 0.0, 2.0], "energy_j is not positive", id="zero"),
        pytest.param("latency_s", [1.0, -1.0, 2.0], "latency_s is not positive", id="negative"),
    ],
)
def test_target_that_cannot_be_fitted_is_refused(target: str, values: list[float], message: str) -> None:
    designs = random_designs(PLAIN, np.random.default_rng(0), 3)
    with pytest.raises(ValueError, match=message):
        fit_online({**designs, target: np.array(values)}, (target,), build_input_space(PLAIN))


def test_infinite_values_are_ignored() -> None:
    rng = np.random.default_rng(0)
    designs, new = random_designs(PLAIN, rng, 3), random_designs(PLAIN, rng, 5)
    measured, space = {**designs, "size_bytes": np.array([1.0, np.inf, 2.0])}, build_input_space(PLAIN)
    one, other = (
        fit_online(take(measured, rows), ("size_bytes",), space).draws(4)(new)
        for rows in (np.arange(3), np.array([0, 2]))
    )

    np.testing.assert_array_equal(one["size_bytes"], other["size_bytes"])


def test_fit_and_draws_do_not_modify_their_inputs() -> None:
    rng = np.random.default_rng(0)
    designs = random_designs(PLAIN, rng, 6)
    measured = {**designs, **draw_truth(rng)(designs)}
    before = {name: values.copy() for name, values in measured.items()}
    fit_online(measured, TARGETS, build_input_space(PLAIN)).draws(4)(designs)

    assert {name: values.tolist() for name, values in measured.items()} == {k: v.tolist() for k, v in before.items()}


@given(seed=seeds, spread=st.floats(0.01, 10))
def test_rounding_to_zero_never_lowers_the_pruning_ratio(seed: int, spread: float) -> None:
    designs = random_designs(PLAIN, np.random.default_rng(seed), 20)
    rounded = with_rounded_zeros(designs, spread)

    assert (rounded["pruning_ratio"] >= designs["pruning_ratio"]).all()
    assert (rounded["pruning_ratio"] <= 1).all()
    assert n_rows(rounded) == 20
    np.testing.assert_array_equal(with_rounded_zeros(designs, np.inf)["pruning_ratio"], designs["pruning_ratio"])
