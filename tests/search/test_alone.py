"""Searching alone: generations that read no history, parents of every origin, what plain Optuna goes on from."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import TrialState

from explorer.pareto.reference import exact_front
from explorer.search.begin import Run
from explorer.search.collect import collect
from explorer.search.generations import GENERATION_KEYS
from explorer.search.run import search

MakeRun = Callable[..., Run]


def reached(run: Run) -> float:
    exact = exact_front(run.assessment, run.reference)
    assert exact is not None
    return collect(run).hypervolume / exact.hypervolume


def plain(folder: Path, name: str = "cnn") -> optuna.Study:
    path = str(folder / "out" / "study.journal")
    storage = JournalStorage(JournalFileBackend(path, lock_obj=JournalFileOpenLock(path)))
    return optuna.load_study(study_name=name, storage=storage)


@pytest.mark.parametrize(("question", "least"), [("cnn", 0.985), ("capped", 0.985), ("union", 0.985), ("three", 0.96)])
def test_auto_reaches_nearly_everything_with_two_hundred_trials(make_run: MakeRun, question: str, least: float) -> None:
    run = make_run(question, sampler="auto", trials=200)
    search(run)

    assert reached(run) > least
    assert max(Counter(_designs(collect(run).table)).values()) == 1


def test_auto_goes_on_with_what_it_lacks_whatever_came_before(make_run: MakeRun) -> None:
    search(make_run(sampler="random", trials=60))
    search(make_run(sampler="auto", trials=160))
    run = make_run(sampler="auto", trials=260)
    search(run)

    assert reached(run) > 0.99
    assert max(Counter(_designs(collect(run).table)).values()) == 1


def test_four_objectives_are_searched_by_generations(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run("four", sampler="auto", trials=120)
    search(run)

    keys = {key for trial in plain(tmp_path, "four").trials for key in trial.system_attrs}
    assert GENERATION_KEYS["nsga3"] in keys
    assert collect(run).n_complete == 120


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
def test_generations_learn(make_run: MakeRun, sampler: str) -> None:
    shares = []
    for trials in (100, 800):
        run = make_run(sampler=sampler, trials=trials)
        search(run)
        shares.append(reached(run))

    assert shares[1] > 0.955 > shares[0]


def test_given_designs_become_parents(make_run: MakeRun) -> None:
    """Fifty designs of the exact front are given; their children are then far better than a first generation is."""
    search(make_run(sampler="auto", trials=50, folder="given"))
    given, blank = make_run(sampler="nsga2", trials=100, folder="given"), make_run(sampler="nsga2", trials=53)
    search(given)
    search(blank)
    table = collect(given).table
    children = np.median(table["edp_js"][50:]), np.median(table["accuracy"][50:])
    strangers = np.median(collect(blank).table["edp_js"][3:]), np.median(collect(blank).table["accuracy"][3:])
    front = np.median(table["edp_js"][3:50])

    assert abs(children[0] - front) < abs(strangers[0] - front)
    assert children != strangers


def test_what_somebody_enqueued_is_tried_first_and_becomes_a_parent(make_run: MakeRun, tmp_path: Path) -> None:
    search(make_run(sampler="nsga2", trials=5))
    stored = plain(tmp_path)
    wish = {name: d.low for name, d in stored.trials[0].distributions.items()}  # type: ignore[attr-defined]
    stored.enqueue_trial(wish)
    search(make_run(sampler="nsga2", trials=60))
    trials = plain(tmp_path).trials

    assert [t.number for t in trials if t.params == wish] == [5]
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    assert len(trials) == 60


@pytest.mark.parametrize("sampler", ["auto", "nsga2"])
def test_plain_optuna_goes_on_from_our_generations(make_run: MakeRun, tmp_path: Path, sampler: str) -> None:
    search(make_run(sampler=sampler, trials=100))
    stored = plain(tmp_path)
    stored.sampler = optuna.samplers.NSGAIISampler(population_size=50, seed=0)
    distributions = dict(stored.trials[0].distributions)
    own = [trial.params for trial in stored.trials]
    children = [stored.ask(distributions) for _ in range(10)]
    inherited = [
        name
        for child in children
        for name, value in child.params.items()
        if any(value == pytest.approx(one[name], rel=1e-12) for one in own)
    ]

    assert len(inherited) >= 20  # of forty: a mutation redraws one in four
    assert children[0].number == 100


def test_a_long_search_by_generations_costs_no_more_for_each_trial_than_a_short_one(make_run: MakeRun) -> None:
    """Optuna's own NSGA reads all trials at each; the number of reads, not the time, is what is held here."""
    run = make_run(sampler="nsga2", trials=400)
    reads: list[int] = []
    study, before = run.study, run.study.get_trials

    def counting(*args: Any, **kwargs: Any) -> Any:
        reads.append(1)
        return before(*args, **kwargs)

    study.get_trials = counting  # type: ignore[method-assign]
    search(run)

    assert len(reads) < 30


def test_a_trial_without_parameters_is_no_design(make_run: MakeRun, tmp_path: Path) -> None:
    search(make_run(trials=5))
    plain(tmp_path).add_trial(optuna.trial.create_trial(values=[1.0, 0.5]))

    assert collect(make_run()).n_complete == 5
    assert search(make_run(trials=8)) == 3


def _designs(table: Any) -> list[tuple[Any, ...]]:
    names = ("family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
    return list(zip(*[table[name].tolist() for name in names], strict=True))
