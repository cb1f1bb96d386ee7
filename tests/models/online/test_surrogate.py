"""The learner: draws keep to what was measured, differ where nothing was, and hold the truth as often as they say."""

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
# A camera's knobs: none of them is one that the paper has.
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
World = Callable[[Columns], Columns]


def world(rng: np.random.Generator) -> World:
    """Draw a device and a network of which no form of the learner is the law: cliffs of tanh, additive energies."""
    edge, bend, cliff = rng.uniform(0.6, 0.9), rng.uniform(4, 12), np.exp(rng.uniform(np.log(0.05), np.log(0.3)))
    top, static, volts = rng.uniform(0.8, 0.97), rng.uniform(0.1, 0.5), rng.uniform(1.6, 2.4)
    scale = np.exp(rng.normal(0, 3, 3))

    def measured(designs: Columns) -> Columns:
        ratio, step, v = (designs[name] for name in ("pruning_ratio", "quant_step", "voltage_v"))
        kept, bits = 1 - ratio, np.log2(2 / step)
        burden = np.tanh((ratio / edge) ** bend) + np.tanh((step / cliff) ** 1.5)
        slower = np.where(designs["family"] == "RNN", 1.6, 1.0)
        return {
            "accuracy": 0.1 + (top - 0.1) * np.exp(-burden),
            "energy_j": scale[0] * slower * (static + v**volts * (0.3 + kept * bits / 8)),
            "latency_s": scale[1] * slower * (0.3 + kept**0.6) / v,
            "size_bytes": 1e6 * scale[2] * (0.05 + kept * bits / 8),
        }

    return measured


def somewhere(regions: Regions, rng: np.random.Generator, n: int) -> Columns:
    """Return n designs, the families in turns."""
    tables = [region.from_unit(rng.random((n, len(region.axes)))) for region in regions.values()]
    turn = np.arange(n) % len(tables)
    rows = [np.choose(turn, [table[name] for table in tables]) for name in tables[0]]
    return dict(zip(tables[0], rows, strict=True))


def learned(
    truth: World, designs: Columns, *, regions: Regions = PLAIN, targets: tuple[str, ...] = TARGETS, seed: int = 0
) -> OnlineSurrogate:
    return fit_online({**designs, **truth(designs)}, targets, build_input_space(regions), seed=seed)


def bounds(drawn: Float, level: float = 0.9) -> tuple[Float, Float]:
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


@settings(max_examples=8)
@given(seed=seeds, n=st.integers(1, 15))
def test_every_draw_goes_through_what_was_measured(seed: int, n: int) -> None:
    """To a thousandth of an odds ratio or a factor: less than any meter tells."""
    rng = np.random.default_rng(seed)
    truth, designs = world(rng), somewhere(PLAIN, rng, n)
    drawn, told = learned(truth, designs).draws(16)(designs), truth(designs)

    for target in TARGETS:
        np.testing.assert_allclose(drawn[target], np.tile(told[target], (16, 1)), rtol=3e-3, err_msg=target)


def test_intervals_hold_new_measurements_as_often_as_they_say_or_a_little_less() -> None:
    """25 worlds that no form of the learner has for its law, 12 measurements of each, 40 new ones.

    A design close to the cliff of accuracy errs together with all designs that are: worlds count, not designs.
    """
    rng, covered = np.random.default_rng(7), dict.fromkeys(TARGETS, 0.0)
    for i in range(25):
        truth, designs, new = world(rng), somewhere(PLAIN, rng, 12), somewhere(PLAIN, rng, 40)
        drawn, told = learned(truth, designs, seed=i).draws(64, seed=i)(new), truth(new)
        for target in TARGETS:
            low, high = bounds(drawn[target])
            covered[target] += float(np.mean((low <= told[target]) & (told[target] <= high))) / 25

    for target in TARGETS:
        assert 0.8 <= covered[target] <= 0.995, target


def test_twelve_measurements_tell_more_than_four_and_forty_more_than_twelve() -> None:
    """The median error of the draws' medians over four worlds, in logarithms; accuracy as it is."""
    errors = []
    for n in (4, 12, 40):
        rng, found = np.random.default_rng(3), []
        for i in range(4):
            truth, new, designs = world(rng), somewhere(PLAIN, rng, 60), somewhere(PLAIN, rng, n)
            drawn, told = learned(truth, designs, seed=i).draws(32)(new), truth(new)
            found.append([np.mean(np.abs(np.median(np.log(drawn[t]), axis=0) - np.log(told[t]))) for t in TARGETS])
        errors.append(np.mean(found, axis=0))

    assert (errors[1] < errors[0]).all()
    assert (errors[2] < errors[1]).all()


def test_far_from_all_measurements_draws_differ_more_than_close_to_one() -> None:
    rng = np.random.default_rng(0)
    truth, designs = world(rng), PLAIN["CNN"].from_unit(0.2 * rng.random((10, 3)))
    near_and_far = PLAIN["CNN"].from_unit(np.array([[0.1, 0.1, 0.1], [0.9, 0.9, 0.9]]))
    drawn = learned(truth, designs).draws(64)(near_and_far)

    for target in TARGETS:
        low, high = bounds(drawn[target])
        assert (high - low)[1] > 2 * (high - low)[0], target


def test_every_draw_is_physically_possible_wherever_it_is_asked() -> None:
    rng = np.random.default_rng(1)
    truth, designs = world(rng), somewhere(PLAIN, rng, 3)
    drawn = learned(truth, designs).draws(64)(PLAIN["CNN"].from_unit(rng.random((500, 3))))

    assert ((drawn["accuracy"] > 0) & (drawn["accuracy"] < 1)).all()
    assert all((drawn[name] > 0).all() and np.isfinite(drawn[name]).all() for name in TARGETS)


def test_the_same_seeds_give_the_same_draws_and_other_seeds_others() -> None:
    rng = np.random.default_rng(2)
    truth, designs, new = world(rng), somewhere(PLAIN, rng, 8), somewhere(PLAIN, rng, 5)
    one, again, other = (learned(truth, designs, seed=3).draws(8, seed=s)(new) for s in (4, 4, 5))

    for target in TARGETS:
        np.testing.assert_array_equal(one[target], again[target])
        assert not np.array_equal(one[target], other[target])


def test_a_draw_is_one_function_whatever_else_is_asked_of_it() -> None:
    rng = np.random.default_rng(2)
    truth, designs, new = world(rng), somewhere(PLAIN, rng, 8), somewhere(PLAIN, rng, 30)
    at = learned(truth, designs).draws(8)
    together, alone = at(new), at(take(new, np.array([17])))

    for target in TARGETS:
        np.testing.assert_allclose(alone[target][:, 0], together[target][:, 17], rtol=1e-9)


@settings(max_examples=6)
@given(seed=seeds, factor=st.floats(1e-9, 1e9))
def test_the_unit_of_a_positive_target_changes_nothing_but_the_unit(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    truth, designs, new = world(rng), somewhere(PLAIN, rng, 8), somewhere(PLAIN, rng, 5)
    measured = {**designs, "energy_j": truth(designs)["energy_j"]}
    one = fit_online(measured, ("energy_j",), build_input_space(PLAIN)).draws(8)(new)["energy_j"]
    scaled = {**measured, "energy_j": factor * measured["energy_j"]}
    other = fit_online(scaled, ("energy_j",), build_input_space(PLAIN)).draws(8)(new)["energy_j"]

    np.testing.assert_allclose(other / factor, one, rtol=1e-5)


def test_repeats_that_disagree_count_by_their_mean_and_spoil_nothing_else() -> None:
    """Six designs, three of them measured three times, each time a little different, as meters and training have it."""
    rng = np.random.default_rng(5)
    truth, designs, new = world(rng), somewhere(PLAIN, rng, 6), somewhere(PLAIN, rng, 50)
    often = take(designs, np.array([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 4, 5]))
    told = {name: values * (1 + 0.02 * rng.standard_normal(12)) for name, values in truth(often).items()}
    told["accuracy"] = np.clip(told["accuracy"], 0.01, 0.99)
    at = fit_online({**often, **told}, TARGETS, build_input_space(PLAIN)).draws(32)
    means = {name: np.array([np.mean(values[3 * i : 3 * i + 3]) for i in range(3)]) for name, values in told.items()}
    once = learned(truth, designs).draws(32)(new)

    for target in TARGETS:
        np.testing.assert_allclose(np.median(at(take(designs, np.arange(3)))[target], axis=0), means[target], rtol=3e-3)
        low, high = bounds(at(new)[target])
        narrow_low, narrow_high = bounds(once[target])
        assert np.median(high - low) > 0.3 * np.median(narrow_high - narrow_low)
        assert np.mean((low <= truth(new)[target]) & (truth(new)[target] <= high)) > 0.7, target


def test_what_was_not_measured_everywhere_is_learned_where_it_was() -> None:
    """Half of the designs have no energy: theirs is drawn, that of the others is what was measured."""
    rng = np.random.default_rng(6)
    truth, designs = world(rng), somewhere(PLAIN, rng, 10)
    measured = {**designs, **truth(designs)}
    measured["energy_j"] = np.where(np.arange(10) < 5, measured["energy_j"], np.nan)
    drawn = fit_online(measured, ("accuracy", "energy_j"), build_input_space(PLAIN)).draws(32)(designs)
    spread = np.std(np.log(drawn["energy_j"]), axis=0)

    assert (spread[:5] < 1e-3).all()
    assert (spread[5:] > 1e-3).all()
    assert (np.std(drawn["accuracy"], axis=0) < 1e-3).all()


def test_families_differ_by_a_factor_that_few_measurements_tell() -> None:
    """One family takes 1.6 times the energy; what is learned of one tells the other's, but for that factor."""
    rng = np.random.default_rng(8)
    truth, designs = world(rng), somewhere(FAMILIES, rng, 16)
    new = somewhere(FAMILIES, rng, 40)
    drawn, told = learned(truth, designs, regions=FAMILIES).draws(64)(new), truth(new)
    error = np.abs(np.median(np.log(drawn["energy_j"]), axis=0) - np.log(told["energy_j"]))

    assert np.mean(error[0::2]) < 0.1
    assert np.mean(error[1::2]) < 0.1


def camera(designs: Columns) -> Columns:
    weight = np.where(designs["precision"] == "fp32", 4.0, 1.0)
    return {
        "energy_j": 1e-3 * designs["side"] ** 2 * weight * (1 + 0.2 / designs["batch_size"]),
        "accuracy": 1 - 0.5 / (1 + designs["side"] * weight**0.2 / 100),
    }


def test_knobs_of_ones_own_are_learned_like_any_other() -> None:
    rng = np.random.default_rng(9)
    designs, new = somewhere(OWN, rng, 20), somewhere(OWN, rng, 60)
    drawn = learned(camera, designs, regions=OWN, targets=("energy_j", "accuracy")).draws(64)(new)
    told = camera(new)
    off = np.abs(np.median(np.log(drawn["energy_j"]), axis=0) - np.log(told["energy_j"]))

    assert np.mean(off) < 0.05
    assert np.mean(np.abs(np.median(drawn["accuracy"], axis=0) - told["accuracy"])) < 0.01


@pytest.mark.parametrize("n", [1, 6])
def test_a_target_that_never_changed_is_expected_to_stay_close_to_what_it_was(n: int) -> None:
    rng = np.random.default_rng(n)
    designs, new = somewhere(PLAIN, rng, n), somewhere(PLAIN, rng, 50)
    measured = {**designs, "latency_s": np.full(n, 0.01), "accuracy": np.full(n, 0.9)}
    drawn = fit_online(measured, ("latency_s", "accuracy"), build_input_space(PLAIN)).draws(64)(new)
    median = np.median(drawn["latency_s"], axis=0)

    assert ((median > 0.003) & (median < 0.03)).all()
    assert np.isfinite(drawn["accuracy"]).all()


def test_accuracy_counted_on_few_samples_is_less_certain_than_on_many() -> None:
    """All answers right, or none, is no certainty: of 50 samples less than of 50,000."""
    rng = np.random.default_rng(4)
    designs, new = somewhere(PLAIN, rng, 8), somewhere(PLAIN, rng, 40)
    told = np.where(np.arange(8) < 6, 1.0, 0.0)
    few, many = (
        fit_online({**designs, "accuracy": told}, ("accuracy",), build_input_space(PLAIN), trials=np.full(8, n)).draws(
            64
        )
        for n in (50.0, 50_000.0)
    )

    assert few(designs)["accuracy"].max() < many(designs)["accuracy"].max() < 1
    assert np.all(np.isfinite(many(new)["accuracy"]))


@pytest.mark.parametrize(
    ("target", "values", "told"),
    [
        pytest.param("energy_j", [np.nan, np.nan, np.nan], "energy_j was never measured", id="never measured"),
        pytest.param("energy_j", [1.0, 0.0, 2.0], "energy_j is not positive", id="zero"),
        pytest.param("latency_s", [1.0, -1.0, 2.0], "latency_s is not positive", id="negative"),
    ],
)
def test_what_cannot_be_learned_is_refused(target: str, values: list[float], told: str) -> None:
    designs = somewhere(PLAIN, np.random.default_rng(0), 3)
    with pytest.raises(ValueError, match=told):
        fit_online({**designs, target: np.array(values)}, (target,), build_input_space(PLAIN))


def test_infinite_values_are_no_measurements() -> None:
    rng = np.random.default_rng(0)
    designs, new = somewhere(PLAIN, rng, 3), somewhere(PLAIN, rng, 5)
    told = np.array([1.0, np.inf, 2.0])
    one, other = (
        fit_online({**take(designs, rows), "size_bytes": told[rows]}, ("size_bytes",), build_input_space(PLAIN)).draws(
            4
        )(new)
        for rows in (np.arange(3), np.array([0, 2]))
    )

    np.testing.assert_array_equal(one["size_bytes"], other["size_bytes"])


def test_what_is_asked_and_learned_stays_as_it_was() -> None:
    rng = np.random.default_rng(0)
    designs = somewhere(PLAIN, rng, 6)
    measured = {**designs, **world(rng)(designs)}
    before = {name: values.copy() for name, values in measured.items()}
    fit_online(measured, TARGETS, build_input_space(PLAIN)).draws(4)(designs)

    assert {name: values.tolist() for name, values in measured.items()} == {k: v.tolist() for k, v in before.items()}


@given(seed=seeds, spread=st.floats(0.01, 10))
def test_rounding_prunes_what_it_makes_zero_and_never_gives_weights_back(seed: int, spread: float) -> None:
    designs = somewhere(PLAIN, np.random.default_rng(seed), 20)
    rounded = with_rounded_zeros(designs, spread)

    assert (rounded["pruning_ratio"] >= designs["pruning_ratio"]).all()
    assert (rounded["pruning_ratio"] <= 1).all()
    assert n_rows(rounded) == 20
    np.testing.assert_array_equal(with_rounded_zeros(designs, np.inf)["pruning_ratio"], designs["pruning_ratio"])
