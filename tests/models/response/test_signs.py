"""Physical properties of the paper's model: signs of the effects, ranges, independence of rows, V-f laws."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import UnknownName
from explorer.models.loading import load_model
from explorer.problem.columns import NUMERIC_KNOBS, Columns

MODEL = load_model("paper")
FAMILIES = st.sampled_from(MODEL.families)
# Up to half a range beyond the samples, as far as a search goes.
KNOBS = {
    "pruning_ratio": st.floats(0.2, 0.65),
    "quant_step": st.floats(0.013, 0.08),
    "voltage_v": st.floats(0.65, 1.15),
    "frequency_hz": st.floats(1.5e9, 3.2e9),
}
DESIGNS = st.fixed_dictionaries(KNOBS)
STEPS = st.floats(0.05, 1.0)
LAWS = settings(max_examples=40, deadline=None)
COMPRESSION = st.sampled_from(["pruning_ratio", "quant_step"])


@LAWS
@given(family=FAMILIES, design=DESIGNS, step=STEPS, knob=COMPRESSION)
def test_accuracy_never_rises_with_compression(family: str, design: dict[str, float], step: float, knob: str) -> None:
    less, more = _pair(family, design, knob, step)["accuracy"]

    assert more <= less


@LAWS
@given(family=FAMILIES, design=DESIGNS, step=STEPS, knob=COMPRESSION)
def test_size_falls_with_compression(family: str, design: dict[str, float], step: float, knob: str) -> None:
    less, more = _pair(family, design, knob, step)["size_bytes"]

    assert more <= less


@LAWS
@given(
    family=FAMILIES, design=DESIGNS, step=STEPS, knob=st.sampled_from(["pruning_ratio", "quant_step", "frequency_hz"])
)
def test_latency_falls_with_compression_and_clock(
    family: str, design: dict[str, float], step: float, knob: str
) -> None:
    before, after = _pair(family, design, knob, step)["latency_s"]

    assert after < before


@LAWS
@given(family=FAMILIES, design=DESIGNS, step=STEPS)
def test_energy_and_power_rise_with_voltage(family: str, design: dict[str, float], step: float) -> None:
    predicted = _pair(family, design, "voltage_v", step)

    assert predicted["energy_j"][0] < predicted["energy_j"][1]
    assert predicted["power_w"][0] < predicted["power_w"][1]


@LAWS
@given(family=FAMILIES, design=DESIGNS, step=STEPS)
def test_power_rises_and_energy_never_rises_with_the_clock(family: str, design: dict[str, float], step: float) -> None:
    """At a given voltage a faster run leaks for a shorter time."""
    predicted = _pair(family, design, "frequency_hz", step)

    assert predicted["power_w"][0] < predicted["power_w"][1]
    assert predicted["energy_j"][1] <= predicted["energy_j"][0] * (1 + 1e-9)


@LAWS
@given(family=FAMILIES, design=DESIGNS, step=STEPS, knob=COMPRESSION)
def test_energy_falls_with_compression(family: str, design: dict[str, float], step: float, knob: str) -> None:
    before, after = _pair(family, design, knob, step)["energy_j"]

    assert after < before


@LAWS
@given(
    family=FAMILIES,
    design=st.fixed_dictionaries(
        {
            "pruning_ratio": st.floats(0.0, 0.95), "quant_step": st.floats(0.001, 0.5),
            "voltage_v": st.floats(0.5, 1.3), "frequency_hz": st.floats(0.5e9, 4e9),
        }
    ),
)  # fmt: skip
def test_predictions_are_positive_and_accuracy_below_one(family: str, design: dict[str, float]) -> None:
    predicted = MODEL.evaluate(_columns(family, [design]))

    assert all(predicted[target][0] > 0 and np.isfinite(predicted[target][0]) for target in MODEL.targets)
    assert predicted["accuracy"][0] < 1


@settings(max_examples=20, deadline=None)
@given(data=st.lists(st.tuples(FAMILIES, DESIGNS), min_size=2, max_size=6))
@pytest.mark.slow
def test_rows_of_a_table_are_predicted_independently(data: list[tuple[str, dict[str, float]]]) -> None:
    rows = [_columns(family, [design]) for family, design in data]
    table = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    together = MODEL.evaluate(table)

    for name in (*MODEL.targets, "domain_distance"):
        assert together[name] == pytest.approx([MODEL.evaluate(row)[name][0] for row in rows], rel=1e-12)


def test_prediction_does_not_modify_the_designs() -> None:
    designs = _columns("CNN", [{"pruning_ratio": 0.4, "quant_step": 0.03, "voltage_v": 0.9, "frequency_hz": 2e9}])
    before = {name: values.copy() for name, values in designs.items()}
    MODEL.evaluate(designs)

    assert list(designs) == list(before)
    assert all((designs[name] == before[name]).all() for name in before)


@pytest.mark.parametrize("pruning_ratio", [0.999, 0.9999, 0.999999])
def test_extreme_pruning_is_predicted_without_overflow(pruning_ratio: float) -> None:
    """R is in [0, 1): pruning odds of a million stay finite."""
    design = {"pruning_ratio": pruning_ratio, "quant_step": 0.03, "voltage_v": 0.9, "frequency_hz": 2e9}
    predicted = MODEL.evaluate(_columns("CNN", [design]))

    assert 0 <= predicted["accuracy"][0] < 0.1
    assert all(np.isfinite(predicted[target][0]) and predicted[target][0] > 0 for target in MODEL.targets[1:])


@pytest.mark.parametrize("family", MODEL.families)
def test_samples_are_inside_their_domain(family: str) -> None:
    columns = MODEL.samples.rows(MODEL.samples.columns["family"] == family).columns

    assert (MODEL.evaluate(columns)["domain_distance"] == 0).all()


def test_paper_model_has_six_targets_and_four_families() -> None:
    assert MODEL.targets == ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes", "throughput_ops")
    assert MODEL.families == ("CNN", "DNN", "RNN", "Transformer")


def test_family_without_samples_is_refused_with_nearest_name() -> None:
    design = {"pruning_ratio": 0.4, "quant_step": 0.03, "voltage_v": 0.9, "frequency_hz": 2e9}
    with pytest.raises(UnknownName, match=r"unknown name 'RNM'\n  fix: did you mean 'RNN'\?"):
        MODEL.evaluate(_columns("RNM", [design]))


@pytest.mark.parametrize("family", MODEL.families)
def test_no_predicted_size_is_above_the_original(family: str) -> None:
    """The paper's originals: 48 MB for the CNN. Predictions and draws of an uncompressed network stay below."""
    original = {"CNN": 48e6, "DNN": 36e6, "RNN": 28e6, "Transformer": 85e6}[family]
    design = {"pruning_ratio": 0.0, "quant_step": 0.001, "voltage_v": 0.9, "frequency_hz": 2e9}
    designs = _columns(family, [design, {**design, "quant_step": 0.02}])

    assert MODEL.ceilings[family] == original
    assert (MODEL.evaluate(designs)["size_bytes"] <= original).all()
    assert (MODEL.draws(designs, n=200)["size_bytes"] <= original).all()


def test_vf_law_admits_all_samples_with_the_fastest_at_its_limit() -> None:
    columns = MODEL.samples.columns
    for family in MODEL.families:
        law = MODEL.law(family)
        assert law is not None
        rows = columns["family"] == family
        used = columns["frequency_hz"][rows] / law.frequency_max(columns["voltage_v"][rows])

        assert np.max(used) == pytest.approx(1.0, abs=1e-12)


def test_vf_law_constants_are_reproduced() -> None:
    """Constants of the design study, f in GHz."""
    constants = {family: law.constant / 1e9 for family, law in MODEL.laws.items()}

    assert constants == pytest.approx({"CNN": 4.02, "DNN": 4.15, "RNN": 3.39, "Transformer": 4.45}, abs=0.01)


def _columns(family: str, designs: list[dict[str, float]]) -> Columns:
    table: Columns = {knob: np.array([design[knob] for design in designs]) for knob in NUMERIC_KNOBS}
    return {"family": np.full(len(designs), family, dtype=object), **table}


def _pair(family: str, design: dict[str, float], knob: str, step: float) -> Columns:
    """Return predictions of a design, and of the same design with one knob increased by a share of its range."""
    width = {"pruning_ratio": 0.04, "quant_step": 0.02, "voltage_v": 0.3, "frequency_hz": 1e9}[knob]
    return MODEL.evaluate(_columns(family, [design, {**design, knob: design[knob] + step * width}]))
