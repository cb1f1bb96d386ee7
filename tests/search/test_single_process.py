"""Search of predicted designs by plan and by NSGA, also from trials of other samplers and plain Optuna."""

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
from tests.search.conftest import MakeSession, designs_of
from tests.search.measured import plain_study, states


def reached(session: SearchSession) -> float:
    exact = exact_front(session.problem, session.reference)
    assert exact is not None
    return collect_results(session).hypervolume / exact.hypervolume


@pytest.mark.parametrize(("name", "least"), [("cnn", 0.985), ("capped", 0.985), ("union", 0.985), ("three", 0.96)])
@pytest.mark.slow
def test_auto_reaches_nearly_the_exact_front_in_200_trials(make_session: MakeSession, name: str, least: float) -> None:
    search(session := make_session(name, sampler="auto", trials=200))

    assert reached(session) > least
    assert len(set(designs_of(collect_results(session).table))) == 200


def test_auto_sampler_resumes_after_another_sampler(make_session: MakeSession) -> None:
    for sampler, trials in (("random", 60), ("auto", 160), ("auto", 260)):
        search(session := make_session(sampler=sampler, trials=trials))

    assert reached(session) > 0.99
    assert len(set(designs_of(collect_results(session).table))) == 260


@pytest.mark.parametrize("sampler", ["nsga2", "nsga3"])
@pytest.mark.slow
def test_hypervolume_grows_with_generations(make_session: MakeSession, sampler: str) -> None:
    shares = []
    for trials in (100, 800):
        search(session := make_session(sampler=sampler, trials=trials))
        shares.append(reached(session))

    assert shares[1] > 0.955 > shares[0]


def test_trials_of_another_sampler_become_parents(make_session: MakeSession) -> None:
    """Children of fifty designs of the exact front are far nearer to it than a first generation is."""
    search(make_session(sampler="auto", trials=50, folder="given"))
    medians: dict[str, Any] = {}
    for folder, trials, n_before in (("given", 100, 50), ("blank", 53, 3)):
        search(session := make_session(sampler="nsga2", trials=trials, folder=folder))
        table = collect_results(session).table
        medians[folder] = [np.median(table[name][n_before:]) for name in ("edp_js", "accuracy")]
        medians.setdefault("front", np.median(table["edp_js"][3:50]))

    assert abs(medians["given"][0] - medians["front"]) < abs(medians["blank"][0] - medians["front"])
    assert medians["given"] != medians["blank"]


def test_enqueued_design_is_evaluated_first(make_session: MakeSession, tmp_path: Path) -> None:
    search(make_session(sampler="nsga2", trials=5))
    stored = plain_study(tmp_path / "out/study.journal", "cnn")
    wish = {name: d.low for name, d in stored.trials[0].distributions.items()}  # type: ignore[attr-defined]
    stored.enqueue_trial(wish)
    search(make_session(sampler="nsga2", trials=60))

    assert [t.number for t in stored.trials if t.params == wish] == [5]
    assert states(stored.trials) == {optuna.trial.TrialState.COMPLETE: 60}


@pytest.mark.parametrize("sampler", ["auto", "nsga2"])
def test_plain_optuna_resumes_our_generations(make_session: MakeSession, tmp_path: Path, sampler: str) -> None:
    search(make_session(sampler=sampler, trials=100))
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


def test_long_nsga_search_reads_its_trials_rarely(make_session: MakeSession) -> None:
    """Optuna's NSGA-II reads all trials at every trial; the reads are counted."""
    session = make_session(sampler="nsga2", trials=400)
    reads: list[int] = []
    study, before = session.study, session.study.get_trials

    def counting(*args: Any, **kwargs: Any) -> Any:
        reads.append(1)
        return before(*args, **kwargs)

    study.get_trials = counting  # type: ignore[method-assign]
    search(session)

    assert len(reads) < 30
