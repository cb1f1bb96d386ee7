"""The sampler that knows the model, in plain Optuna: `optimize`, ask and tell, with others, after others."""

import optuna
import pytest
from optuna.trial import TrialState

import explorer
from explorer.api import load
from explorer.errors import WrongUsage
from explorer.models.assessment import Assessment
from explorer.pareto.front import hypervolume
from explorer.pareto.reference import exact_front
from explorer.search.encoding import Encoding, columns_of
from explorer.search.model_sampler import ModelSampler


@pytest.fixture(scope="module")
def assessment() -> Assessment:
    return load("edp-accuracy")


def objective(assessment: Assessment, trial: optuna.Trial) -> tuple[float, float]:
    """What a user of plain Optuna writes: suggest by name and range, return two numbers."""
    params = {
        name: trial.suggest_float(name, d.low, d.high, log=d.log)  # type: ignore[attr-defined]
        for name, d in ModelSampler(assessment).distributions.items()
    }
    columns = assessment.assess(Encoding(assessment.regions).decode(columns_of([params])))
    return float(columns["edp_js"][0]), float(columns["accuracy"][0])


def share(study: optuna.Study, assessment: Assessment) -> float:
    reference = assessment.study.reference_point
    assert reference is not None
    exact = exact_front(assessment, reference)
    assert exact is not None
    values = [trial.values for trial in study.best_trials]
    found = hypervolume(__import__("numpy").array(values), reference, assessment.study.objectives)
    return found / exact.hypervolume


def study_of(sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    return optuna.create_study(directions=["minimize", "maximize"], sampler=sampler)


def test_it_is_an_ordinary_sampler_of_optimize(assessment: Assessment) -> None:
    study = study_of(ModelSampler(assessment, n_trials=100))
    study.optimize(lambda trial: objective(assessment, trial), n_trials=100)

    assert share(study, assessment) > 0.985
    assert len({tuple(t.params.items()) for t in study.trials}) == 100


def test_its_trials_go_on_with_any_other_sampler_and_it_goes_on_after_any_other(assessment: Assessment) -> None:
    study = study_of(optuna.samplers.RandomSampler(seed=0))
    for sampler in (
        study.sampler,
        ModelSampler(assessment),
        optuna.samplers.TPESampler(seed=0),
        ModelSampler(assessment),
    ):
        study.sampler = sampler
        study.optimize(lambda trial: objective(assessment, trial), n_trials=30)

    assert len({tuple(t.params.items()) for t in study.trials}) == 120
    assert share(study, assessment) > 0.98


def test_two_processes_with_one_seed_never_repeat_each_other(assessment: Assessment) -> None:
    """Two samplers stand for two processes: each sees the storage, neither the other."""
    study = study_of(ModelSampler(assessment, seed=3))
    twins = [ModelSampler(assessment, seed=3), ModelSampler(assessment, seed=3)]
    for i in range(60):
        study.sampler = twins[i % 2]
        trial = study.ask(twins[i % 2].distributions)
        study.tell(trial, objective(assessment, trial))

    alone = study_of(ModelSampler(assessment, seed=3))
    alone.optimize(lambda trial: objective(assessment, trial), n_trials=60)
    assert [t.params for t in study.trials] == [t.params for t in alone.trials]


def test_a_trial_that_failed_costs_its_own_design_only(assessment: Assessment) -> None:
    study = study_of(ModelSampler(assessment))
    for i in range(40):
        trial = study.ask(ModelSampler(assessment).distributions)
        if i % 4:
            study.tell(trial, objective(assessment, trial))
        else:
            study.tell(trial, state=TrialState.FAIL)

    assert len({tuple(t.params.items()) for t in study.trials}) == 40


def test_more_trials_than_were_expected_are_planned_on(assessment: Assessment) -> None:
    study = study_of(ModelSampler(assessment, n_trials=10))
    study.optimize(lambda trial: objective(assessment, trial), n_trials=75)

    assert len({tuple(t.params.items()) for t in study.trials}) == 75
    assert share(study, assessment) > 0.98


def test_parameters_of_other_names_are_drawn_beside(assessment: Assessment) -> None:
    def with_more(trial: optuna.Trial) -> tuple[float, float]:
        trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
        return objective(assessment, trial)

    study = study_of(ModelSampler(assessment))
    study.optimize(with_more, n_trials=20)

    assert {len(t.params) for t in study.trials} == {5}


def test_what_it_cannot_know_is_refused(assessment: Assessment, tmp_path: "object") -> None:
    four = tmp_path / "four.toml"  # type: ignore[operator]
    four.write_text('space = "cnn"\nobjectives = ["energy_j", "latency_s", "accuracy", "size_bytes"]\n')
    with pytest.raises(WrongUsage, match=r"more than three objectives(.|\n)*NSGAIIISampler"):
        ModelSampler(load(str(four)))


def test_it_is_offered_from_python() -> None:
    assert explorer.ModelSampler is ModelSampler
