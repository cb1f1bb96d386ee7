"""Search of predicted designs by planning and by generations, also from trials of other samplers and plain Optuna."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from explorer.pareto.exact_front import exact_front
from explorer.search.collect import collect_results
from explorer.search.run import search
from explorer.search.session import SearchSession
from tests.search.conftest import MakeRun, designs_of
from tests.search.measured import plain_study, states


def reached(run: SearchSession) -> float:
    exact = exact_front(run.problem, run.reference)
    assert exact is not None
    return collect_results(run).hypervolume / exact.hypervolume


@pytest.mark.parametrize(("name", "least"), [("cnn", 0.985), ("capped", 0.985), ("union", 0.985), ("three", 0.96)])
def test_auto_reaches_nearly_the_exact_front_in_200_trials(make_run: MakeRun, name: str, least: float) -> None:
    search(run := make_run(name, sampler="auto", trials=200))

    assert reached(run) > least
    assert len(set(designs_of(collect_results(run).table))) == 200


def test_auto_goes_on_from_trials_of_another_sampler(make_run: MakeRun) -> None:
    for sampler, trials in (("random", 60), ("auto", 160), ("auto", 260)):
        search(run := make_run(sampler=sampler, trials=trials))

    assert reached(run) > 0.99
    assert len(set(designs_of(collect_results(run).table))) == 260


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_generations_improve(make_run: MakeRun, sampler: str) -> None:
    shares = []
    for trials in (100, 800):
        search(run := make_run(sampler=sampler, trials=trials))
        shares.append(reached(run))

    assert shares[1] > 0.955 > shares[0]


def test_trials_of_another_sampler_become_parents(make_run: MakeRun) -> None:
    """Children of fifty designs of the exact front are far nearer to it than a first generation is."""
    search(make_run(sampler="auto", trials=50, folder="given"))
    medians: dict[str, Any] = {}
    for folder, trials, n_before in (("given", 100, 50), ("blank", 53, 3)):
        search(run := make_run(sampler="nsga2", trials=trials, folder=folder))
        table = collect_results(run).table
        medians[folder] = [np.median(table[name][n_before:]) for name in ("edp_js", "accuracy")]
        medians.setdefault("front", np.median(table["edp_js"][3:50]))

    assert abs(medians["given"][0] - medians["front"]) < abs(medians["blank"][0] - medians["front"])
    assert medians["given"] != medians["blank"]


def test_an_enqueued_design_is_evaluated_first_and_kept(make_run: MakeRun, tmp_path: Path) -> None:
    search(make_run(sampler="nsga2", trials=5))
    stored = plain_study(tmp_path / "out/study.journal", "cnn")
    wish = {name: d.low for name, d in stored.trials[0].distributions.items()}  # type: ignore[attr-defined]
    stored.enqueue_trial(wish)
    search(make_run(sampler="nsga2", trials=60))

    assert [t.number for t in stored.trials if t.params == wish] == [5]
    assert states(stored.trials) == {optuna.trial.TrialState.COMPLETE: 60}


@pytest.mark.parametrize("sampler", ["auto", "nsga2"])
def test_plain_optuna_goes_on_from_our_generations(make_run: MakeRun, tmp_path: Path, sampler: str) -> None:
    search(make_run(sampler=sampler, trials=100))
    nsga = optuna.samplers.NSGAIISampler(population_size=50, seed=0)
    stored = plain_study(tmp_path / "out/study.journal", "cnn", sampler=nsga)
    own = [trial.params for trial in stored.trials]
    children = [stored.ask(dict(stored.trials[0].distributions)) for _ in range(10)]
    inherited = Counter(
        any(value == pytest.approx(one[name], rel=1e-12) for one in own)
        for child in children
        for name, value in child.params.items()
    )

    assert inherited[True] >= 20  # of forty: a mutation redraws one in four
    assert children[0].number == 100


def test_a_long_search_by_generations_reads_its_trials_rarely(make_run: MakeRun) -> None:
    """Optuna's own NSGA-II reads all trials at each; counted, not timed."""
    run = make_run(sampler="nsga2", trials=400)
    reads: list[int] = []
    study, before = run.study, run.study.get_trials

    def counting(*args: Any, **kwargs: Any) -> Any:
        reads.append(1)
        return before(*args, **kwargs)

    study.get_trials = counting  # type: ignore[method-assign]
    search(run)

    assert len(reads) < 30
