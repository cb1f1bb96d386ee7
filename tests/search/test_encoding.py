"""The map between trials' parameters and designs: there and back, for every kind of region."""

from collections.abc import Callable

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from explorer.models.assessment import Assessment
from explorer.problem.columns import NUMERIC_KNOBS
from explorer.search.encoding import Encoding, columns_of, rows_of

QUESTIONS = ["cnn", "union", "table", "mixed"]


@pytest.mark.parametrize("question", QUESTIONS)
def test_designs_are_told_as_parameters_and_made_again(assessment: Callable[..., Assessment], question: str) -> None:
    asked = assessment(question)
    encoding, designs = Encoding(asked.regions), asked.scan(64, seed=5)
    again = encoding.decode(encoding.encode(designs))

    assert again["family"].tolist() == designs["family"].tolist()
    for name in NUMERIC_KNOBS:
        assert again[name] == pytest.approx(designs[name], rel=1e-9)


@pytest.mark.parametrize("question", QUESTIONS)
def test_parameters_are_what_optuna_samples_from(assessment: Callable[..., Assessment], question: str) -> None:
    asked = assessment(question)
    encoding = Encoding(asked.regions)
    distributions = encoding.distributions()
    for params in rows_of(encoding.encode(asked.scan(64))):
        assert set(params) == set(distributions)
        for name, distribution in distributions.items():
            assert distribution._contains(distribution.to_internal_repr(params[name])), (name, params)  # noqa: SLF001


@pytest.mark.parametrize("question", QUESTIONS)
def test_any_parameters_mean_a_design_that_can_exist(assessment: Callable[..., Assessment], question: str) -> None:
    asked = assessment(question)
    encoding, rng = Encoding(asked.regions), np.random.default_rng(0)
    params = [
        {
            name: rng.choice(d.choices) if isinstance(d, CategoricalDistribution) else rng.choice([d.low, d.high])
            for name, d in encoding.distributions().items()
        }
        for _ in range(50)
    ]
    columns = asked.assess(encoding.decode(columns_of(params)))

    assert columns["is_feasible"].all()
    assert (columns["frequency_hz"] <= columns["frequency_max_hz"] * (1 + 1e-9)).all()


def test_designs_come_back_in_the_order_of_their_trials(assessment: Callable[..., Assessment]) -> None:
    """Families are decoded one after the other; their rows must find back to their places."""
    encoding = Encoding(assessment("union").regions)
    half = {"pruning_ratio_share": 0.5, "quant_step_share": 0.5, "voltage_v_share": 0.5, "clock_share": 0.5}
    families = ["RNN", "CNN", "Transformer", "CNN", "DNN", "RNN"]

    assert encoding.decode(columns_of([{"family": f, **half} for f in families]))["family"].tolist() == families


def test_one_region_shows_its_axes_under_their_own_names_and_units(assessment: Callable[..., Assessment]) -> None:
    distributions = Encoding(assessment("cnn").regions).distributions()

    assert list(distributions) == ["pruning_ratio", "quant_step", "voltage_v", "clock_share"]
    step = distributions["quant_step"]
    assert isinstance(step, FloatDistribution)
    assert step.log
    assert distributions["clock_share"] == FloatDistribution(0.0, 1.0)


def test_a_fixed_axis_is_not_sampled_and_a_table_is_a_choice(assessment: Callable[..., Assessment]) -> None:
    distributions = Encoding(assessment("table").regions).distributions()

    assert list(distributions) == ["pruning_ratio", "operating_point"]
    labels = ("2.1 GHz @ 0.85 V", "2.3 GHz @ 0.9 V", "2.5 GHz @ 1 V")
    assert distributions["operating_point"] == CategoricalDistribution(labels)


def test_several_regions_share_axes_as_shares_of_their_own_ranges(assessment: Callable[..., Assessment]) -> None:
    distributions = Encoding(assessment("union").regions).distributions()

    assert distributions["family"] == CategoricalDistribution(("CNN", "DNN", "RNN", "Transformer"))
    assert {d for name, d in distributions.items() if name != "family"} == {FloatDistribution(0.0, 1.0)}


def test_a_trial_of_one_family_ignores_the_axes_of_another(assessment: Callable[..., Assessment]) -> None:
    """A table has no clock share and a law no operating point, yet Optuna may have sampled both."""
    encoding = Encoding(assessment("mixed").regions)
    every = dict.fromkeys(encoding.distributions(), 0.0)

    assert encoding.decode(columns_of([{**every, "family": "CNN"}]))["voltage_v"].tolist() == [0.85]
