"""Measured rows as designs of a study: which of them count, under which number, and with which values."""

import numpy as np
import pytest

from explorer.models.evaluation import Problem, make_problem
from explorer.models.response.surrogate import Surrogate
from explorer.models.samples.samples import Samples, paper_samples
from explorer.problem.columns import NUMERIC_KNOBS
from explorer.search.collect import collect_results
from explorer.search.measured_designs import measured_designs
from explorer.search.run import search
from tests.paper_fit import fit_to
from tests.search.conftest import MakeProblem, MakeSession


def _with_samples(problem: Problem, samples: Samples) -> Problem:
    return make_problem(problem.study, fit_to(samples))


def test_samples_of_the_space_are_designs_with_their_readings(problem: MakeProblem, model: Surrogate) -> None:
    rows = measured_designs(problem("cnn"))
    samples = paper_samples().columns

    assert rows["design_id"].tolist() == [-1, -2, -3]
    assert set(rows["origin"]) == {"sample"}
    for name in (*NUMERIC_KNOBS, "accuracy", "energy_j", "latency_s"):
        np.testing.assert_allclose(rows[name], samples[name][samples["family"] == "CNN"], rtol=1e-9)
    np.testing.assert_allclose(rows["edp_js"], rows["energy_j"] * rows["latency_s"])
    assert rows["domain_distance"].tolist() == [0, 0, 0]
    assert rows["is_feasible"].all()


def test_samples_outside_the_space_are_no_designs(problem: MakeProblem) -> None:
    """The space `table` fixes D = .03: one of three samples has that step. No sample has the D = .04 of `new`."""
    assert measured_designs(problem("table"))["quant_step"].tolist() == [0.03]
    assert measured_designs(problem("new")) == {}


def test_constraints_apply_to_the_readings(problem: MakeProblem) -> None:
    rows = measured_designs(problem("capped"))

    assert rows["is_feasible"].tolist() == (rows["power_w"] <= 22).tolist()


def test_repeats_are_one_design_with_their_average(problem: MakeProblem) -> None:
    samples = paper_samples()
    index = np.array([*range(len(samples.labels)), 0])
    columns = {name: values[index].copy() for name, values in samples.columns.items()}
    columns["energy_j"][-1] = 2 * columns["energy_j"][0]
    repeated = Samples(columns, (*samples.labels, "again"), "test", "0" * 64)
    rows = measured_designs(_with_samples(problem("cnn"), repeated))

    assert len(rows["design_id"]) == 3
    assert rows["energy_j"][0] == pytest.approx(1.5 * columns["energy_j"][0])


def test_row_without_an_objective_is_no_design(problem: MakeProblem) -> None:
    samples = paper_samples()
    columns = {name: values.copy() for name, values in samples.columns.items()}
    columns["accuracy"][0] = np.nan
    columns["size_bytes"][1] = np.nan
    rows = measured_designs(_with_samples(problem("cnn"), Samples(columns, samples.labels, "test", "0" * 64)))

    assert rows["design_id"].tolist() == [-1, -2]
    assert np.isnan(rows["size_bytes"]).tolist() == [True, False]  # not read, and no objective: no prediction either


@pytest.mark.parametrize("name", ["cnn", "union"])
def test_measured_rows_follow_the_trials_and_are_no_trials(make_session: MakeSession, name: str) -> None:
    for trials in (12, 20):
        search(make_session(name, trials=trials))
        results = collect_results(make_session(name))
        ids = results.table["design_id"].tolist()
        n_samples = 3 if name == "cnn" else 10

        assert ids == [*range(trials), *range(-1, -1 - n_samples, -1)]
        assert results.n_complete == trials
        assert results.table["origin"][:n_samples].tolist() == ["initial"] * n_samples
        assert results.is_superseded.sum() == n_samples  # also where several families share their parameters
