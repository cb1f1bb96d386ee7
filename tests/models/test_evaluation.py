"""Problem: operating points, domain, constraints of the study, and feasibility as their conjunction."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import InvalidFile
from explorer.models.evaluation import DOMAIN_LIMIT, OPERATING_POINT_LIMIT, Problem, make_problem
from explorer.models.loading import fit_samples, load_model
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import with_knobs
from explorer.models.samples.samples import Samples
from explorer.paper.equations import energy_delay_product, weighted_cost
from explorer.problem.columns import Columns, n_rows
from explorer.problem.study import read_study

SHIPPED = ("paper", "edp-accuracy", "energy-latency-accuracy", "power-cap", "all-families")
CAP = make_problem(read_study("power-cap"), load_model("paper"))


@pytest.fixture
def problem_of(tmp_path: Path, model: Surrogate) -> Callable[..., Problem]:
    def build(text: str, *, evaluator: Surrogate = model) -> Problem:
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        return make_problem(read_study(str(tmp_path / "study.toml")), evaluator)

    return build


@pytest.mark.parametrize("name", SHIPPED)
def test_samples_of_a_shipped_study_meet_clock_and_domain_limits(model: Surrogate, name: str) -> None:
    problem = make_problem(read_study(name), model)
    scan = problem.sample(512)

    assert (scan["frequency_hz"] <= scan["frequency_max_hz"] * (1 + 1e-9)).all()
    assert (scan["domain_distance"] <= 0.5 + 1e-9).all()
    assert set(scan["family"]) == set(problem.regions)


@pytest.mark.parametrize("name", SHIPPED)
def test_lowest_voltage_excludes_the_highest_clock(model: Surrogate, name: str) -> None:
    for region in make_problem(read_study(name), model).regions.values():
        voltage = next(axis for axis in region.axes if axis.name == "voltage_v")
        highest_clock = region.operating.frequency_max(np.array([voltage.low]))[0]

        assert highest_clock < 0.9 * region.clock_hz[1]


def test_sample_is_reproducible_by_seed(model: Surrogate) -> None:
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
def test_design_is_feasible_iff_no_constraint_is_violated(rows: list[tuple[float, ...]]) -> None:
    columns = CAP.evaluate(_designs(rows))
    violations = CAP.constraint_violations(columns)

    assert set(violations) == set(CAP.constraint_names) == {OPERATING_POINT_LIMIT, DOMAIN_LIMIT, "power_w <= 22 W"}
    for i in range(len(rows)):
        exists = columns["frequency_hz"][i] <= columns["frequency_max_hz"][i] * (1 + 1e-9)
        inside = columns["domain_distance"][i] <= 0.5 + 1e-9
        cool = columns["power_w"][i] <= 22
        assert columns["is_feasible"][i] == (exists and inside and cool)


@pytest.mark.parametrize(("beyond", "is_inside"), [(0.0, True), (1e-6, False), (-1e-6, True)])
def test_widened_domain_includes_exactly_its_edge(beyond: float, is_inside: bool) -> None:
    """CNN: R from 0.33 to 0.54, widened by half of that range to 0.645."""
    design = _designs([(0.645 + beyond, 0.03, 0.9, 1.9e9)])

    assert CAP.evaluate(design)["is_feasible"].tolist() == [is_inside]


@settings(max_examples=40, deadline=None)
@given(row=st.tuples(st.floats(0.1, 0.8), st.floats(0.005, 0.3), st.floats(0.5, 1.3), st.floats(0.5e9, 4e9)))
def test_objectives_follow_the_equations_of_the_paper(row: tuple[float, ...]) -> None:
    columns = CAP.evaluate(_designs([row]))

    assert columns["edp_js"] == energy_delay_product(energy=columns["energy_j"], time=columns["latency_s"])
    cost = weighted_cost(columns["accuracy"], columns["energy_j"], energy_max=39.6, alpha=0.9)
    assert columns["weighted_cost"] == cost


def test_values_have_the_order_of_the_objectives(model: Surrogate) -> None:
    problem = make_problem(read_study("energy-latency-accuracy"), model)
    scan = problem.sample(8)

    assert problem.values(scan).T.tolist() == [scan[n].tolist() for n in ("energy_j", "latency_s", "accuracy")]


def test_domain_without_enforcement_is_no_constraint(tmp_path: Path, problem_of: Callable[..., Problem]) -> None:
    (tmp_path / "wide.toml").write_text(
        'family = "CNN"\n[axes]\npruning_ratio = { range = [0.0, 0.9] }\nquant_step = { range = [0.005, 0.4] }\n'
        "voltage = { range = [0.6, 1.3] }\nfrequency = { range = [0.5, 4.0] }\n[domain]\nenforce = false\n",
        encoding="utf-8",
    )
    problem = problem_of('space = "wide"\nobjectives = ["edp_js", "accuracy"]\n')
    scan = problem.sample(256)

    assert problem.constraint_names == (OPERATING_POINT_LIMIT,)
    assert scan["is_feasible"].all()
    assert scan["domain_distance"].max() > 0.5


def test_caps_that_differ_in_the_fifth_digit_are_two_constraints(problem_of: Callable[..., Problem]) -> None:
    """Constraints are keyed by their text: rounding it would silently drop one."""
    problem = problem_of(
        'space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n'
        'constraints = ["accuracy >= 0.912344", "accuracy >= 0.912336"]\n'
    )
    columns = problem.sample(16)

    assert len(set(problem.constraint_names)) == 4
    assert len(problem.constraint_violations(columns)) == 4


def test_family_without_samples_is_refused(problem_of: Callable[..., Problem], samples: Samples) -> None:
    rnn = fit_samples([with_knobs(samples.rows(samples.columns["family"] == "RNN"))], name="rnn.csv")
    with pytest.raises(InvalidFile, match=r"families: model 'rnn.csv' has no samples of 'CNN'"):
        problem_of('space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n', evaluator=rnn)


@pytest.mark.parametrize(
    ("lines", "message"),
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
            id="a constraint on a target that is no objective",
        ),
    ],
)
def test_missing_target_is_refused(
    problem_of: Callable[..., Problem], samples: Samples, lines: str, message: str
) -> None:
    columns = {k: v for k, v in samples.columns.items() if k not in {"accuracy", "throughput_ops"}}
    evaluator = fit_samples([with_knobs(Samples(columns, samples.labels, "", ""))], name="mine.csv")
    with pytest.raises(InvalidFile, match=rf"{message}, which model 'mine.csv' lacks") as caught:
        problem_of(f'space = "cnn"\n{lines}\n', evaluator=evaluator).sample(4)

    assert caught.value.exit_code == 3


@pytest.mark.slow
def test_target_measured_for_another_family_only_is_refused(
    problem_of: Callable[..., Problem], samples: Samples
) -> None:
    """Families do not predict each other: without a measured row the CNN's accuracy is unknown, not zero."""
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["accuracy"][columns["family"] == "CNN"] = np.nan
    evaluator = fit_samples([with_knobs(Samples(columns, samples.labels, "", ""))], name="mine.csv")
    with pytest.raises(InvalidFile, match=r"accuracy.*CNN|CNN.*accuracy"):
        problem_of('space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n', evaluator=evaluator).sample(4)


@pytest.mark.slow
def test_target_that_is_not_needed_may_be_missing(problem_of: Callable[..., Problem], samples: Samples) -> None:
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["energy_j"][columns["family"] == "CNN"] = np.nan
    evaluator = fit_samples([with_knobs(Samples(columns, samples.labels, "", ""))], name="mine.csv")
    scan = problem_of('space = "cnn"\nobjectives = ["power_w", "accuracy"]\n', evaluator=evaluator).sample(4)

    assert np.isfinite(scan["power_w"]).all()
    assert n_rows(scan) >= 4


def _designs(rows: list[tuple[float, ...]]) -> Columns:
    names = ("pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
    table: Columns = {name: np.array([row[i] for row in rows]) for i, name in enumerate(names)}
    return {"family": np.full(len(rows), "CNN", dtype=object), **table}
