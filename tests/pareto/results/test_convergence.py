"""Hypervolume history: the hypervolume of prefixes of the designs, up to that of the whole study."""

import numpy as np
import pytest

from explorer.models.evaluation import make_problem
from explorer.pareto.geometry.dominance import feasible_front, hypervolume
from explorer.pareto.results.results import Results, hypervolume_history
from explorer.problem.columns import Columns, take
from explorer.problem.study import read_study
from tests.paper_fit import paper_model


def _results(study: str, n: int) -> Results:
    problem = make_problem(read_study(study), paper_model())
    table = take(problem.sample(n), np.random.default_rng(0).permutation(n))
    table["design_id"] = np.arange(n)
    reference = (6.0, 0.8) if study == "power-cap" else (30.0, 0.3, 0.8)
    return Results(study, study, table, problem.study.objectives, (), reference, {}, (), ())


@pytest.mark.parametrize("study", ["power-cap", "energy-latency-accuracy"])
def test_history_holds_the_hypervolume_of_each_prefix(study: str) -> None:
    results = _results(study, 256)
    counts, volumes = hypervolume_history(results, n_points=20)
    for count, volume in zip(counts, volumes, strict=True):
        prefix: Columns = take(results.table, np.arange(count))
        values = results.values[:count]
        front = feasible_front(values, prefix["is_feasible"], results.objectives)

        assert volume == pytest.approx(hypervolume(values[front], results.reference_point, results.objectives))


def test_history_never_falls_and_ends_at_the_whole_study() -> None:
    results = _results("power-cap", 512)
    counts, volumes = hypervolume_history(results)

    assert np.all(np.diff(volumes) >= -1e-12)
    assert counts[-1] == results.n_complete
    assert volumes[-1] == pytest.approx(results.hypervolume)
    assert np.all(np.diff(counts) > 0)


def test_study_without_designs_has_an_empty_history() -> None:
    counts, volumes = hypervolume_history(
        Results("s", "s", take(_results("power-cap", 8).table, np.arange(0)), read_study("power-cap").objectives, (),
                (6.0, 0.8), {}, (), ())
    )  # fmt: skip

    assert len(counts) == len(volumes) == 0
