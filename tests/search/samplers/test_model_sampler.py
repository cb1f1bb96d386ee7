"""Model sampler in plain Optuna: `optimize`, ask-and-tell, with and after other samplers."""

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState

import explorer
from explorer.errors import WrongUsage
from explorer.models.evaluation import Problem
from explorer.pareto.exact_front import exact_front
from explorer.pareto.geometry.dominance import hypervolume
from explorer.search.encoding import Encoding, columns_of
from explorer.search.samplers.model_sampler import ModelSampler


@pytest.fixture(scope="module")
def problem() -> Problem:
    return explorer.load_study("edp-accuracy")


def study_of(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    return optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)


def evaluated(problem: Problem, trial: optuna.Trial) -> tuple[float, float]:
    """Suggest by name and range and return two numbers, as a user of plain Optuna does."""
    params = {
        name: trial.suggest_float(name, d.low, d.high, log=d.log)  # type: ignore[attr-defined]
        for name, d in ModelSampler(problem).distributions.items()
    }
    columns = problem.evaluate(Encoding(problem.regions).decode(columns_of([params])))
    return float(columns["edp_js"][0]), float(columns["accuracy"][0])


def optimize(study: optuna.Study, problem: Problem, n: int) -> None:
    study.optimize(lambda trial: evaluated(problem, trial), n_trials=n)


def share(study: optuna.Study, problem: Problem) -> float:
    reference = problem.study.reference_point
    assert reference is not None
    exact = exact_front(problem, reference)
    assert exact is not None
    values = np.array([trial.values for trial in study.best_trials])
    return hypervolume(values, reference, problem.study.objectives) / exact.hypervolume


def n_different(study: optuna.Study) -> int:
    return len({tuple(trial.params.items()) for trial in study.trials})


@pytest.mark.parametrize(("n_planned", "n", "least"), [(100, 100, 0.985), (10, 75, 0.98)])
@pytest.mark.slow
def test_optimize_reaches_nearly_the_exact_front(problem: Problem, n_planned: int, n: int, least: float) -> None:
    """Also with more trials than planned."""
    study = study_of(explorer.samplers.ModelSampler(problem, n_trials=n_planned))
    optimize(study, problem, n)

    assert share(study, problem) > least
    assert n_different(study) == n


@pytest.mark.slow
def test_model_sampler_alternates_with_other_samplers(problem: Problem) -> None:
    study = study_of(optuna.samplers.RandomSampler(seed=0))
    tpe = optuna.samplers.TPESampler(seed=0)
    for sampler in (study.sampler, ModelSampler(problem), tpe, ModelSampler(problem)):
        study.sampler = sampler
        optimize(study, problem, 30)

    assert n_different(study) == 120
    assert share(study, problem) > 0.98


@pytest.mark.slow
def test_two_samplers_with_one_seed_share_a_plan(problem: Problem) -> None:
    """Two samplers model two processes, which share only the storage."""
    twins = [ModelSampler(problem, seed=3), ModelSampler(problem, seed=3)]
    study, alone = study_of(twins[0]), study_of(ModelSampler(problem, seed=3))
    for i in range(60):
        study.sampler = twins[i % 2]
        trial = study.ask(twins[i % 2].distributions)
        study.tell(trial, evaluated(problem, trial))
    optimize(alone, problem, 60)

    assert [trial.params for trial in study.trials] == [trial.params for trial in alone.trials]


def test_failed_trial_is_not_repeated(problem: Problem) -> None:
    study = study_of(sampler := ModelSampler(problem))
    for i in range(40):
        trial = study.ask(sampler.distributions)
        if i % 4:
            study.tell(trial, evaluated(problem, trial))
        else:
            study.tell(trial, state=TrialState.FAIL)

    assert n_different(study) == 40


def test_unknown_parameters_are_sampled_independently(problem: Problem) -> None:
    def with_more(trial: optuna.Trial) -> tuple[float, float]:
        trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
        return evaluated(problem, trial)

    study = study_of(ModelSampler(problem))
    study.optimize(with_more, n_trials=20)

    assert {len(trial.params) for trial in study.trials} == {5}


def test_four_objectives_error_names_another_sampler(tmp_path: Path) -> None:
    four = tmp_path / "four.toml"
    four.write_text('space = "cnn"\nobjectives = ["energy_j", "latency_s", "accuracy", "size_bytes"]\n')
    with pytest.raises(WrongUsage, match=r"at most three objectives(.|\n)*NSGAIIISampler"):
        ModelSampler(explorer.load_study(str(four)))
