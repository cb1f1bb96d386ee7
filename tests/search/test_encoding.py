"""Encoding of designs as trial parameters and its inverse, for every kind of region."""

from collections.abc import Callable

import numpy as np
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution

from explorer.models.evaluation import Problem
from explorer.problem.columns import NUMERIC_KNOBS, take
from explorer.search.encoding import Encoding, columns_of, rows_of

Build = Callable[..., Problem]


@pytest.mark.parametrize("name", ["cnn", "union", "table", "mixed"])
def test_encode_and_decode_are_inverse(problem: Build, name: str) -> None:
    """Encoded designs lie in the distributions, and every sample of the distributions decodes to a feasible design."""
    built, rng = problem(name), np.random.default_rng(0)
    encoding, designs = Encoding(built.regions), take(built.sample(64, seed=5), rng.permutation(64))
    distributions, params = encoding.distributions(), encoding.encode(designs)
    again = encoding.decode(params)
    extremes = [
        {
            key: rng.choice(d.choices) if isinstance(d, CategoricalDistribution) else rng.choice([d.low, d.high])
            for key, d in distributions.items()
        }
        for _ in range(50)
    ]
    columns = built.evaluate(encoding.decode(columns_of(extremes)))

    assert again["family"].tolist() == designs["family"].tolist()  # in trial order
    for knob in NUMERIC_KNOBS:
        assert again[knob] == pytest.approx(designs[knob], rel=1e-9)
    for row in rows_of(params):
        assert set(row) == set(distributions)
        for key, distribution in distributions.items():
            assert distribution._contains(distribution.to_internal_repr(row[key])), (key, row)  # noqa: SLF001
    assert columns["is_feasible"].all()
    assert (columns["frequency_hz"] <= columns["frequency_max_hz"] * (1 + 1e-9)).all()


def test_parameters_of_one_region_have_axis_names_and_units(problem: Build) -> None:
    """A fixed axis is not sampled; a table of operating points is categorical."""
    law, table = (Encoding(problem(name).regions).distributions() for name in ("cnn", "table"))
    step = law["quant_step"]
    labels = ("2.1 GHz @ 0.85 V", "2.3 GHz @ 0.9 V", "2.5 GHz @ 1 V")

    assert list(law) == ["pruning_ratio", "quant_step", "voltage_v", "clock_share"]
    assert isinstance(step, FloatDistribution)
    assert step.log
    assert law["clock_share"] == FloatDistribution(0.0, 1.0)
    assert list(table) == ["pruning_ratio", "operating_point"]
    assert table["operating_point"] == CategoricalDistribution(labels)


def test_parameters_of_several_regions_are_shares_of_ranges(problem: Build) -> None:
    distributions = Encoding(problem("union").regions).distributions()

    assert distributions["family"] == CategoricalDistribution(("CNN", "DNN", "RNN", "Transformer"))
    assert {d for name, d in distributions.items() if name != "family"} == {FloatDistribution(0.0, 1.0)}


def test_decode_ignores_axes_of_other_families(problem: Build) -> None:
    """A table has no clock share and a law no operating point; Optuna may have sampled both."""
    encoding = Encoding(problem("mixed").regions)
    every = dict.fromkeys(encoding.distributions(), 0.0)

    assert encoding.decode(columns_of([{**every, "family": "CNN"}]))["voltage_v"].tolist() == [0.85]
