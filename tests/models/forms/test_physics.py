"""Physical forms: each against an independent formula, signs, reference designs, restriction to varied quantities."""

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.models.forms.forms import FunctionalForm, evaluate_form
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs, fit_coordinates
from explorer.models.forms.physics import physical_forms, signed_slope_prior
from explorer.models.response.tables import measured_knobs
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples, paper_samples
from explorer.problem.columns import Columns, Float

PAPER = paper_samples()
NUMBERS = ("pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
COORDINATES = fit_coordinates(PAPER.columns, measured_knobs(PAPER))
VALUES = np.linspace(1.0, 2.0, 10)
# The least compressed design of each family in Tables 1 and 2: R, D, V, f.
REFERENCES = {
    "CNN": (0.33, 0.02, 1.0, 2.5e9),
    "DNN": (0.35, 0.02, 0.8, 2.0e9),
    "RNN": (0.29, 0.02, 0.8, 1.7e9),
    "Transformer": (0.35, 0.02, 1.1, 3.0e9),
}
Natural = Mapping[str, float]


def forms_of(target: str, coordinates: InputCoordinates = COORDINATES) -> dict[str, FunctionalForm]:
    return {form.name: form for form in physical_forms(target, coordinates, VALUES)}


# Formulas in natural coefficients, without code of the project. x has the relative quantities of one family:
# remaining weights r, bits q, voltage v, clock c, and R and D themselves.
def work(x: Columns, k: Natural) -> Float:
    return np.asarray(x["r"] ** k["tilt"] * x["q"] ** (1 / k["tilt"]))


def time(x: Columns, k: Natural) -> Float:
    return np.asarray(work(x, k) ** k["a"] / x["c"])


def shared(parts: list[tuple[float, Float]]) -> Float:
    return np.log(sum(share * part for share, part in parts) / sum(share for share, _ in parts))


def accuracy_with_cliff(x: Columns, k: Natural) -> Float:
    strain = (x["D"] / k["step edge"]) ** (1 / k["step width"] / k["corner"])
    strain = strain + (k["pruning edge"] / (1 - x["R"])) ** (1 / k["pruning width"] / k["corner"])
    share = k["chance"] + (k["plateau"] - k["chance"]) / (1 + strain ** k["corner"])
    return np.log(share / (1 - share))


Formula = Callable[[Columns, Natural], Float]
BY_HAND: dict[tuple[str, str], Formula] = {
    ("energy_j", "switched and leaked"): lambda x, k: np.log(
        1 - k["p"] + k["p"] * ((1 - k["leak"]) * work(x, k) * x["v"] ** 2 + k["leak"] * x["v"] * time(x, k))
    ),
    ("energy_j", "fixed and voltage"): lambda x, k: np.log(1 - k["p"] + k["p"] * x["v"] ** 2),
    ("energy_j", "voltage"): lambda x, _: 2 * np.log(x["v"]),
    ("energy_j", "voltage power"): lambda x, k: k["beta"] * np.log(x["v"]),
    ("energy_j", "fixed and compressed"): lambda x, k: np.log(1 - k["p"] + k["p"] * work(x, k)),
    ("energy_j", "fixed, compressed, voltage"): lambda x, k: shared(
        [(1.0, np.ones(len(x["v"]))), (k["compressed"], work(x, k)), (k["voltage"], x["v"] ** 2)]
    ),
    ("energy_j", "fixed, static, switched, voltage"): lambda x, k: shared(
        [
            (1.0, np.ones(len(x["v"]))), (k["static"], x["v"] * time(x, k)),
            (k["switched"], x["v"] ** 2 * work(x, k)), (k["voltage"], x["v"] ** 2),
        ]
    ),
    ("energy_j", "switched power"): lambda x, k: np.log(x["v"] ** 2 * work(x, k) ** k["g"]),
    ("power_w", "fixed and switched"): lambda x, k: np.log(
        1 - k["p"] + k["p"] * x["r"] ** k["g"] * x["v"] ** 2 * x["c"]
    ),
    ("power_w", "fixed, leaked, switched"): lambda x, k: shared(
        [
            (1.0, np.ones(len(x["v"]))), (k["leaked"], x["v"]),
            (k["switched"], x["r"] ** k["g"] * x["v"] ** 2 * x["c"]),
        ]
    ),
    ("power_w", "powers"): lambda x, k: np.log(x["r"] ** k["w"] * x["v"] ** 2 * x["c"] ** k["k"]),
    ("latency_s", "compression and clock"): lambda x, k: np.log(
        work(x, k) ** k["a"] * (k["clocked"] / x["c"] + 1 - k["clocked"])
    ),
    ("size_bytes", "stored bits"): lambda x, k: np.log(x["r"] * x["q"] ** k["z"]),
    ("size_bytes", "weights and bits power"): lambda x, k: np.log(x["r"] ** k["w"] * x["q"] ** k["z"]),
    ("accuracy", "log-odds power"): lambda x, k: k["w"] * np.log(x["r"]) + k["b"] * np.log(x["q"]),
    ("accuracy", "losses"): lambda x, k: -k["b_R"] * x["R"] / (1 - x["R"]) - k["b_D"] * x["D"] / 0.02,
    ("accuracy", "plateau and cliff"): accuracy_with_cliff,
    ("throughput_ops", "speed power"): lambda x, k: k["h"] * (np.log(x["c"]) - k["a"] * np.log(work(x, k))),
}  # fmt: skip
TARGETS = tuple(dict.fromkeys(target for target, _ in BY_HAND))


def designs(n: int, seed: int) -> Columns:
    """Return n random designs of the paper's families, beyond the samples' ranges."""
    rng = np.random.default_rng(seed)
    return {
        "family": rng.choice([*REFERENCES], n).astype(object),
        "pruning_ratio": rng.uniform(0, 0.9, n), "quant_step": np.exp(rng.uniform(np.log(0.003), np.log(0.4), n)),
        "voltage_v": rng.uniform(0.6, 1.3, n), "frequency_hz": rng.uniform(0.8e9, 3.5e9, n),
    }  # fmt: skip


def relative(table: Columns) -> Columns:
    """Return the quantities of designs relative to the reference designs, from the paper's tables."""
    r0, d0, v0, f0 = np.array([REFERENCES[family] for family in table["family"]]).T
    return {
        "R": table["pruning_ratio"], "D": table["quant_step"],
        "r": (1 - table["pruning_ratio"]) / (1 - r0),
        "q": np.log2(2 / table["quant_step"]) / np.log2(2 / d0),
        "v": table["voltage_v"] / v0, "c": table["frequency_hz"] / f0,
    }  # fmt: skip


def random_coefficients(form: FunctionalForm, seed: int) -> tuple[dict[str, Float], dict[str, float]]:
    """Return coefficients drawn from the prior, as predictors and in natural units; level and plateau slopes are 0."""
    rng = np.random.default_rng(seed)
    sums, natural = {"level": np.zeros(1)}, {}
    logarithmic = {"pruning width", "corner"}  # of the cliff: log scale, but not reported one by one
    for term in form.terms:
        if term.categories or term.powers or term.predictor == "level":
            continue
        value = np.array([rng.normal(term.center, term.width)])
        sums[term.predictor] = value
        natural[term.predictor] = float(np.exp(value[0]) if term.predictor in logarithmic else term.natural(value)[0])
    if "plateau" in natural:
        natural["plateau"] = float(1 / (1 + np.exp(-sums["plateau"][0])))
    return sums, natural


def test_all_physical_forms_have_an_independent_formula() -> None:
    assert {(target, name) for target in TARGETS for name in forms_of(target)} == set(BY_HAND)


@pytest.mark.parametrize(("target", "name"), BY_HAND, ids=lambda text: text)
def test_form_equals_its_formula(target: str, name: str) -> None:
    form, table = forms_of(target)[name], designs(50, seed=1)
    for seed in range(20):
        sums, natural = random_coefficients(form, seed)
        computed = evaluate_form(form, sums, COORDINATES.transform(table))
        expected = BY_HAND[target, name](relative(table), natural)

        np.testing.assert_allclose(np.broadcast_to(computed, 50), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("target", "name"), [pair for pair in BY_HAND if pair[0] != "accuracy"], ids=lambda text: text)
def test_form_is_zero_at_the_reference_design(target: str, name: str) -> None:
    """The level is then the linked value of the least compressed design."""
    form, rows = forms_of(target)[name], np.array([REFERENCES[family] for family in REFERENCES]).T
    table: Columns = {"family": np.array([*REFERENCES], dtype=object), **dict(zip(NUMBERS, rows, strict=True))}
    sums, _ = random_coefficients(form, 3)

    np.testing.assert_allclose(
        np.broadcast_to(evaluate_form(form, sums, COORDINATES.transform(table)), 4), 0, atol=1e-9
    )


# Direction of each knob under every physical form, at any coefficients: +1 never falls, -1 never rises.
SIGNS = {
    ("accuracy", "pruning_ratio"): -1, ("accuracy", "quant_step"): -1,
    ("size_bytes", "pruning_ratio"): -1, ("size_bytes", "quant_step"): -1,
    ("latency_s", "pruning_ratio"): -1, ("latency_s", "quant_step"): -1, ("latency_s", "frequency_hz"): -1,
    ("energy_j", "pruning_ratio"): -1, ("energy_j", "quant_step"): -1,
    ("energy_j", "voltage_v"): 1, ("energy_j", "frequency_hz"): -1,
    ("power_w", "pruning_ratio"): -1, ("power_w", "voltage_v"): 1, ("power_w", "frequency_hz"): 1,
    ("throughput_ops", "pruning_ratio"): 1, ("throughput_ops", "frequency_hz"): 1,
}  # fmt: skip
STEPS = {"pruning_ratio": 0.04, "quant_step": 0.1, "voltage_v": 0.3, "frequency_hz": 1e9}


@given(seed=st.integers(0, 2**31), knob_target=st.sampled_from(sorted(SIGNS)), step=st.floats(1e-3, 1.0))
def test_no_physical_form_has_an_impossible_sign(seed: int, knob_target: tuple[str, str], step: float) -> None:
    target, knob = knob_target
    less = designs(30, seed)
    more = {**less, knob: less[knob] + step * STEPS[knob]}
    for form in forms_of(target).values():
        sums, _ = random_coefficients(form, seed)
        before, after = (evaluate_form(form, sums, COORDINATES.transform(table)) for table in (less, more))

        assert np.all(SIGNS[knob_target] * (after - before) >= -1e-9), form.name


@pytest.mark.parametrize(("target", "knob"), sorted(SIGNS), ids=lambda text: text)
def test_signed_slope_prior_excludes_the_wrong_sign_at_95_percent(target: str, knob: str) -> None:
    center, width = signed_slope_prior(target, knob, COORDINATES)
    # Weights remain where R falls: the scaled knob runs against the pruning ratio.
    rising = 1 if knob != "pruning_ratio" else -1

    if center:
        assert np.sign(center) == SIGNS[target, knob] * rising
        assert width <= abs(center) / 1.64


def test_reference_is_the_least_compressed_design_of_each_family() -> None:
    for family, (r0, d0, v0, f0) in REFERENCES.items():
        expected = {
            "weights": np.log(1 - r0),
            "bits": np.log(np.log2(2 / d0)),
            "voltage": np.log(v0),
            "clock": np.log(f0),
        }
        assert COORDINATES.references[family] == pytest.approx(expected, rel=1e-12)


def test_equal_weights_are_ordered_by_bits_then_clock() -> None:
    table = {"weight_bits": np.array([4.0, 8.0, 8.0]), "frequency_hz": np.array([3e9, 1e9, 2e9])}
    references = fit_coordinates(table, (KnobSpec("weight_bits", "number"), KnobSpec("frequency_hz", "number")))

    assert references.references[""] == pytest.approx({"bits": np.log(8), "clock": np.log(2e9)})


def coordinates_of(table: Columns) -> InputCoordinates:
    return fit_coordinates(table, tuple(KnobSpec(name, "number") for name in table))


def quantities(form: FunctionalForm) -> set[str]:
    return {quantity for part in form.parts for quantity in part.powers}


VOLTS, CLOCK, RATIO = np.linspace(0.7, 1.1, 10), np.linspace(1e9, 2e9, 10), np.linspace(0, 0.6, 10)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    ("table", "varied"),
    [
        ({"voltage_v": VOLTS, "frequency_hz": np.full(10, 1e9)}, {"voltage"}),
        ({"pruning_ratio": RATIO, "voltage_v": np.full(10, 1.0)}, {"weights"}),
        ({"frequency_hz": CLOCK}, {"clock"}),
        ({"voltage_v": VOLTS, "frequency_hz": CLOCK}, {"voltage", "clock"}),
    ],
)
def test_forms_contain_varied_quantities_only(target: str, table: Columns, varied: set[str]) -> None:
    forms = forms_of(target, coordinates_of(table))

    assert all(quantities(form) <= varied for form in forms.values())
    # Forms that become equal without the constant quantities occur once.
    assert len({str(form.parts) for form in forms.values() if form.law == "mix"}) == sum(
        form.law == "mix" for form in forms.values()
    )
    # No coefficient is left that nothing depends on.
    for form in forms.values():
        if form.law == "mix":
            factors = [f for part in form.parts for f in part.weight]
            factors += [f for part in form.parts for _, names in part.powers.values() for f in names]
            assert set(form.predictors) - {"level"} == {factor.strip("+-/") for factor in factors}


def test_constant_knobs_have_no_physical_form() -> None:
    constant = {"voltage_v": np.full(10, 1.0), "side": np.linspace(1, 2, 10)}

    assert all(forms_of(target, coordinates_of(constant)) == {} for target in TARGETS)


def test_clock_without_voltage_has_an_energy_form_with_a_minimum() -> None:
    """The voltage that follows the clock is not in the table: static energy falls and switching energy rises."""
    coordinates = coordinates_of({"frequency_hz": CLOCK})
    form = forms_of("energy_j", coordinates)["static and switched by clock"]
    ones = {"level": np.zeros(1), "static": np.array([1.0]), "switched": np.array([0.0]), "d": np.array([0.7])}
    energy = evaluate_form(form, ones, coordinates.transform({"frequency_hz": np.linspace(0.5e9, 4e9, 60)}))

    assert 0 < int(np.argmin(energy)) < 59
    assert "static and switched by clock" not in forms_of("energy_j")


def test_bits_and_step_of_the_same_rows_are_the_same_quantity() -> None:
    steps = np.geomspace(0.01, 0.5, 10)
    by_step = coordinates_of({"pruning_ratio": RATIO, "quant_step": steps})
    by_bits = coordinates_of({"pruning_ratio": RATIO, "weight_bits": np.log2(2 / steps)})
    one: ScaledInputs = by_step.transform({"pruning_ratio": RATIO, "quant_step": steps})
    other = by_bits.transform({"pruning_ratio": RATIO, "weight_bits": np.log2(2 / steps)})

    np.testing.assert_allclose(one.logs["bits"], other.logs["bits"], rtol=1e-12)
    for target in TARGETS:
        forms = forms_of(target, by_step)
        assert list(forms) == list(forms_of(target, by_bits))
        for form in forms.values():
            if form.law != "accuracy_cliff":  # its plateau has a slope along the scaled knob
                sums, _ = random_coefficients(form, 5)
                np.testing.assert_allclose(
                    evaluate_form(form, sums, one), evaluate_form(form, sums, other), rtol=1e-9, atol=1e-12
                )


def test_physical_priors_have_meanings_and_sources() -> None:
    for target in TARGETS:
        for form in forms_of(target).values():
            reported = [term for term in form.terms if term.meaning]
            assert all(term.source for term in reported), form.name
            assert form.formula, form.name


def test_unknown_target_has_no_physical_form(samples: Samples) -> None:
    assert physical_forms("carbon_g", fit_coordinates(samples.columns, measured_knobs(samples)), VALUES) == ()
