"""Assessing designs for a study: what can exist, what is inside the domain, what the study asks, and their union."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import InvalidFile
from explorer.models.evaluation import DOMAIN_LIMIT, OPERATING_POINT_LIMIT, Problem, make_problem
from explorer.models.parametric.surrogate import Surrogate, fit_surrogate
from explorer.models.samples.samples import Samples, paper_samples
from explorer.paper.equations import energy_delay_product, weighted_cost
from explorer.problem.columns import Columns, n_rows
from explorer.problem.study import read_study

SHIPPED = ("paper", "edp-accuracy", "energy-latency-accuracy", "power-cap", "all-families")
CAP = make_problem(read_study("power-cap"), fit_surrogate(paper_samples(), name="paper"))


@pytest.fixture
def assess_study(tmp_path: Path, model: Surrogate) -> Callable[..., Problem]:
    def build(text: str, *, evaluator: Surrogate = model) -> Problem:
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        return make_problem(read_study(str(tmp_path / "study.toml")), evaluator)

    return build


@pytest.mark.parametrize("name", SHIPPED)
def test_a_scan_of_a_shipped_study_stays_where_designs_can_exist(model: Surrogate, name: str) -> None:
    problem = make_problem(read_study(name), model)
    scan = problem.sample(512)

    assert (scan["frequency_hz"] <= scan["frequency_max_hz"] * (1 + 1e-9)).all()
    assert (scan["domain_distance"] <= 0.5 + 1e-9).all()
    assert set(scan["family"]) == set(problem.regions)


@pytest.mark.parametrize("name", SHIPPED)
def test_no_design_of_a_shipped_study_joins_the_lowest_voltage_with_the_highest_clock(
    model: Surrogate, name: str
) -> None:
    for region in make_problem(read_study(name), model).regions.values():
        voltage = next(axis for axis in region.axes if axis.name == "voltage_v")
        at_the_lowest = region.operating.frequency_max(np.array([voltage.low]))[0]

        assert at_the_lowest < 0.9 * region.clock_hz[1]


def test_a_scan_is_the_same_for_the_same_seed(model: Surrogate) -> None:
    problem = make_problem(read_study("paper"), model)
    first, same, other = problem.sample(256, seed=3), problem.sample(256, seed=3), problem.sample(256, seed=4)

    assert first["edp_js"].tolist() == same["edp_js"].tolist()
    assert first["edp_js"].tolist() != other["edp_js"].tolist()


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.floats(0.1, 0.8), st.floats(0.005, 0.3), st.floats(0.5, 1.3), st.floats(0.5e9, 4e9)),
        min_size=1,
        max_size=5,
    )
)
def test_a_design_is_feasible_exactly_where_no_limit_is_missed(rows: list[tuple[float, ...]]) -> None:
    columns = CAP.evaluate(_designs(rows))
    excess = CAP.constraint_violations(columns)

    assert set(excess) == set(CAP.constraint_names) == {OPERATING_POINT_LIMIT, DOMAIN_LIMIT, "power_w <= 22 W"}
    for i in range(len(rows)):
        exists = columns["frequency_hz"][i] <= columns["frequency_max_hz"][i] * (1 + 1e-9)
        inside = columns["domain_distance"][i] <= 0.5 + 1e-9
        cool = columns["power_w"][i] <= 22
        assert columns["is_feasible"][i] == (exists and inside and cool)


@pytest.mark.parametrize(("beyond", "is_inside"), [(0.0, True), (1e-6, False), (-1e-6, True)])
def test_the_widened_edge_of_the_domain_is_inside_and_the_next_step_is_not(beyond: float, is_inside: bool) -> None:
    """CNN: R from .33 to .54, widened by half of that width to .645."""
    design = _designs([(0.645 + beyond, 0.03, 0.9, 1.9e9)])

    assert CAP.evaluate(design)["is_feasible"].tolist() == [is_inside]


@settings(max_examples=40, deadline=None)
@given(row=st.tuples(st.floats(0.1, 0.8), st.floats(0.005, 0.3), st.floats(0.5, 1.3), st.floats(0.5e9, 4e9)))
def test_objectives_are_the_papers_equations_of_the_predictions(row: tuple[float, ...]) -> None:
    columns = CAP.evaluate(_designs([row]))

    assert columns["edp_js"] == energy_delay_product(energy=columns["energy_j"], time=columns["latency_s"])
    cost = weighted_cost(columns["accuracy"], columns["energy_j"], energy_max=39.6, alpha=0.9)
    assert columns["weighted_cost"] == cost


def test_values_come_in_the_order_of_the_studys_objectives(model: Surrogate) -> None:
    problem = make_problem(read_study("energy-latency-accuracy"), model)
    scan = problem.sample(8)

    assert problem.values(scan).T.tolist() == [scan[n].tolist() for n in ("energy_j", "latency_s", "accuracy")]


def test_where_the_domain_is_not_enforced_it_is_no_limit(tmp_path: Path, assess_study: Callable[..., Problem]) -> None:
    (tmp_path / "wide.toml").write_text(
        'family = "CNN"\n[axes]\npruning_ratio = { range = [0.0, 0.9] }\nquant_step = { range = [0.005, 0.4] }\n'
        "voltage = { range = [0.6, 1.3] }\nfrequency = { range = [0.5, 4.0] }\n[domain]\nenforce = false\n",
        encoding="utf-8",
    )
    problem = assess_study('space = "wide"\nobjectives = ["edp_js", "accuracy"]\n')
    scan = problem.sample(256)

    assert problem.constraint_names == (OPERATING_POINT_LIMIT,)
    assert scan["is_feasible"].all()
    assert scan["domain_distance"].max() > 0.5


def test_two_caps_that_differ_in_the_fifth_digit_are_two_limits(assess_study: Callable[..., Problem]) -> None:
    """They are told apart by their text: rounding it would drop one without a word."""
    problem = assess_study(
        'space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n'
        'constraints = ["accuracy >= 0.912344", "accuracy >= 0.912336"]\n'
    )
    columns = problem.sample(16)

    assert len(set(problem.constraint_names)) == 4
    assert len(problem.constraint_violations(columns)) == 4


def test_a_family_that_the_model_lacks_is_refused(assess_study: Callable[..., Problem], samples: Samples) -> None:
    rnn = fit_surrogate(samples.rows(samples.columns["family"] == "RNN"), name="rnn.csv")
    with pytest.raises(InvalidFile, match=r"families: model 'rnn.csv' has no samples of 'CNN'"):
        assess_study('space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n', evaluator=rnn)


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        pytest.param('objectives = ["edp_js", "accuracy"]', "objectives: 'accuracy' needs accuracy", id="objective"),
        pytest.param(
            'objectives = ["weighted_cost", "power_w"]', "objectives: 'weighted_cost' needs accuracy", id="derived"
        ),
        pytest.param(
            'objectives = ["edp_js", "power_w"]\nconstraints = ["accuracy >= 0.9"]',
            "constraints: 'accuracy' needs accuracy",
            id="constraint",
        ),
        pytest.param(
            'objectives = ["edp_js", "power_w"]\nconstraints = ["throughput_ops >= 1e11"]',
            "constraints: 'throughput_ops' needs throughput_ops",
            id="a constraint on what is no objective",
        ),
    ],
)
def test_what_the_model_cannot_predict_is_refused_before_any_search(
    assess_study: Callable[..., Problem], samples: Samples, lines: str, told: str
) -> None:
    columns = {k: v for k, v in samples.columns.items() if k not in {"accuracy", "throughput_ops"}}
    evaluator = fit_surrogate(Samples(columns, samples.labels, "", ""), name="mine.csv")
    with pytest.raises(InvalidFile, match=rf"{told}, which model 'mine.csv' lacks") as caught:
        assess_study(f'space = "cnn"\n{lines}\n', evaluator=evaluator).sample(4)

    assert caught.value.exit_code == 3


def test_a_target_measured_for_another_family_only_is_refused_before_any_search(
    assess_study: Callable[..., Problem], samples: Samples
) -> None:
    """Families do not predict each other: without one measured row the CNN's accuracy is unknown, not zero."""
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["accuracy"][columns["family"] == "CNN"] = np.nan
    evaluator = fit_surrogate(Samples(columns, samples.labels, "", ""), name="mine.csv")
    with pytest.raises(InvalidFile, match=r"accuracy.*CNN|CNN.*accuracy"):
        assess_study('space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n', evaluator=evaluator).sample(4)


def test_a_target_that_is_not_asked_for_may_be_missing_for_a_family(
    assess_study: Callable[..., Problem], samples: Samples
) -> None:
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["energy_j"][columns["family"] == "CNN"] = np.nan
    evaluator = fit_surrogate(Samples(columns, samples.labels, "", ""), name="mine.csv")
    scan = assess_study('space = "cnn"\nobjectives = ["power_w", "accuracy"]\n', evaluator=evaluator).sample(4)

    assert np.isfinite(scan["power_w"]).all()
    assert n_rows(scan) >= 4


def _designs(rows: list[tuple[float, ...]]) -> Columns:
    names = ("pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
    table: Columns = {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)}
    return {"family": np.full(len(rows), "CNN", dtype=object), **table}
