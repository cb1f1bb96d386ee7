"""Learning sampler in plain Optuna: `optimize`, ask-and-tell, threads, enqueued trials, failures, failed fits."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import moocore
import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

import explorer
from explorer.devices.operating_points import AlphaPowerLaw
from explorer.models.evaluation import Problem
from explorer.models.online.surrogate import fit_online
from explorer.pareto.acquisition.expected_improvement import select_by_ehvi
from explorer.pareto.geometry.dominance import hypervolume
from explorer.problem.applicability import Range
from explorer.problem.columns import Columns, n_rows
from explorer.problem.constraints import parse_constraint
from explorer.problem.design_space import CLOCK_SHARE, DesignSpace, Dimension, categorical
from explorer.problem.objectives import OBJECTIVES
from explorer.problem.study import read_study
from explorer.search.encoding import Encoding, columns_of
from explorer.search.samplers.learning_sampler import LearningSampler
from explorer.search.samplers.observations import MAX_ROWS, observations_from

OPEN = (0.0, np.inf)
R, D = Dimension("pruning_ratio", 0.0, 0.95), Dimension("quant_step", 0.001, 0.5, is_log=True)
PLANE = {"CNN": DesignSpace("CNN", (R, D), None, OPEN, np.inf)}
FEW = {
    "CNN": DesignSpace(
        "CNN",
        (
            categorical("pruning_ratio", (0.0, 0.4, 0.8)), categorical("quant_step", (0.01, 0.1)),
            categorical("kind", ("a", "b")),
        ),
        None, OPEN, np.inf,
    )
}  # fmt: skip
PAIRS = Dimension("pair", 0.0, 1.0, labels=("p", "q"), columns={"quant_step": (0.02, 0.05), "side": (1.0, 1.5)})
FAMILIES = {
    "CNN": DesignSpace("CNN", (R, D, Dimension("side", 0.5, 2.0)), None, OPEN, np.inf),
    "RNN": DesignSpace("RNN", (R, PAIRS), None, OPEN, np.inf),
}
LAW = AlphaPowerLaw(4.0e9, 0.3, 1.3)
CLOCKED = {
    "CNN": DesignSpace(
        "CNN", (R, Dimension("voltage_v", 0.5, 1.3), Dimension(CLOCK_SHARE, 0.0, 1.0)), LAW, (2e9, 4e9), np.inf
    )
}
SIZE = ("size_bytes", "accuracy")
REFERENCE = (1e6, 0.3)


@dataclass(frozen=True)
class Device:
    """Device and network in closed form, measured design by design: a cliff of accuracy, sizes by power laws."""

    regions: Mapping[str, DesignSpace]
    name: str = "device"
    targets: tuple[str, ...] = ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes")
    notes: tuple[str, ...] = ()
    is_vectorized: bool = False

    @property
    def families(self) -> tuple[str, ...]:
        return tuple(self.regions)

    @property
    def domain(self) -> Mapping[str, Mapping[str, Range]]:
        return {family: {} for family in self.regions}

    def targets_of(self, family: str) -> tuple[str, ...]:  # noqa: ARG002
        return self.targets

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:  # noqa: ARG002
        return {}

    def law(self, family: str) -> AlphaPowerLaw | None:  # noqa: ARG002
        return None

    def evaluate(self, designs: Columns) -> Columns:
        one = np.ones(n_rows(designs))
        ratio, step = designs["pruning_ratio"], designs.get("quant_step", 0.03 * one)
        side, volts = designs.get("side", one), designs.get("voltage_v", one)
        clock = designs.get("frequency_hz", 2e9 * one) / 2e9
        factor = np.where(designs.get("kind", one) == "b", 1.5, 1.0) * np.where(designs["family"] == "RNN", 0.8, 1.0)
        size = 1e6 * factor * np.sqrt(side) * (0.05 + (1 - ratio) * np.log2(2 / step) / 8)
        right = factor**0.05 * side**0.1 / (1 + (ratio / 0.8) ** 8 + (step / 0.15) ** 2)
        latency, energy = 0.01 * np.sqrt(size / 1e6) / clock, 0.01 + 0.1 * volts**2 * (size / 1e6) ** 0.7
        return {
            **designs, "size_bytes": size, "accuracy": np.clip(0.1 + 0.8 * right, 0.01, 0.99), "latency_s": latency,
            "energy_j": energy, "power_w": energy / latency, "domain_distance": 0.0 * one,
        }  # fmt: skip


def study_problem(
    regions: Mapping[str, DesignSpace] = PLANE, objectives: tuple[str, ...] = SIZE, constraints: tuple[str, ...] = ()
) -> Problem:
    study = replace(
        read_study("edp-accuracy"),
        objectives=tuple(OBJECTIVES[name] for name in objectives),
        constraints=tuple(parse_constraint(text) for text in constraints),
        reference_point=None,
    )
    return Problem(study, Device(regions), regions)


def study_of(problem: Problem, sampler: optuna.samplers.BaseSampler) -> optuna.Study:
    return optuna.create_study(directions=[o.direction for o in problem.study.objectives], sampler=sampler)


def learned(
    problem: Problem, n: int = 0, *, reference: tuple[float, ...] = REFERENCE, seed: int = 0, is_recorded: bool = True
) -> tuple[optuna.Study, LearningSampler]:
    """Return a study of n trials by the learning sampler."""
    sampler = LearningSampler(problem, reference=reference, seed=seed)
    study = study_of(problem, sampler)
    study.optimize(plain(problem, is_recorded=is_recorded), n_trials=n)
    return study, sampler


def randomly(problem: Problem, n: int, *, seed: int = 0) -> optuna.Study:
    """Return a study of n trials at random."""
    study = study_of(problem, optuna.samplers.RandomSampler(seed=seed))
    study.optimize(plain(problem), n_trials=n)
    return study


def suggest(problem: Problem, trial: optuna.Trial) -> dict[str, object]:
    """Suggest by name and range, as a user of plain Optuna does."""
    params: dict[str, object] = {}
    for name, one in Encoding(problem.regions).distributions().items():
        if isinstance(one, CategoricalDistribution):
            params[name] = trial.suggest_categorical(name, one.choices)
        elif isinstance(one, FloatDistribution):
            params[name] = trial.suggest_float(name, one.low, one.high, log=one.log)
    return params


def plain(problem: Problem, *, is_recorded: bool = True) -> Callable[[optuna.Trial], list[float]]:
    """Return a plain objective: it suggests, measures, records the targets if `is_recorded`, and returns the values."""

    def objective(trial: optuna.Trial) -> list[float]:
        params = suggest(problem, trial)
        columns = problem.evaluate(Encoding(problem.regions).decode(columns_of([params]), n=1))
        for name, misses in problem.constraint_violations(columns).items():
            trial.set_constraint(name, float(misses[0]))
        if is_recorded:
            for name in problem.evaluator.targets:
                trial.set_user_attr(name, float(columns[name][0]))
        return [float(value) for value in problem.values(columns)[0]]

    return objective


def designs(study: optuna.Study, problem: Problem) -> list[tuple[object, ...]]:
    """Return the design of each trial."""
    params = columns_of([trial.params for trial in study.trials])
    table = Encoding(problem.regions).decode(params, n=len(study.trials))
    rounded = [v.tolist() if v.dtype == object else np.round(v, 12).tolist() for v in table.values()]
    return list(zip(*rounded, strict=True))


def n_different(study: optuna.Study, problem: Problem) -> int:
    return len(set(designs(study, problem)))


def is_feasible(study: optuna.Study) -> list[bool]:
    return [all(c <= 0 for c in trial.constraints.values()) for trial in study.trials]


def reached(study: optuna.Study, problem: Problem, reference: tuple[float, ...] = REFERENCE) -> float:
    """Return the share of the hypervolume that 40,000 designs reach."""
    unit = np.stack(np.meshgrid(*[np.linspace(0, 1, 200)] * 2), axis=-1).reshape(-1, 2)
    every = problem.evaluate(problem.regions["CNN"].from_unit(unit))
    values = np.array([trial.values for trial in study.trials])
    feasible = [values[is_feasible(study)], problem.values(every)[every["is_feasible"]]]
    reached_volume, total_volume = (hypervolume(rows, reference, problem.study.objectives) for rows in feasible)
    return reached_volume / total_volume


@pytest.mark.parametrize(
    ("problem", "reference", "is_recorded", "n", "n_random", "least"),
    [
        pytest.param(study_problem(), REFERENCE, True, 20, 100, 0.97, id="targets recorded"),
        # A product without recorded factors is fitted as one target.
        pytest.param(
            study_problem(objectives=("edp_js", "accuracy")), (0.001, 0.3), False, 20, 100, 0.97, id="objectives only"
        ),
        pytest.param(
            study_problem(objectives=("size_bytes",), constraints=("accuracy >= 0.8",)), (3e6,), True, 14, 60, 0.995,
            id="one objective",
        ),
    ],
)  # fmt: skip
@pytest.mark.slow
def test_few_evaluations_reach_more_than_random_search(
    problem: Problem, reference: tuple[float, ...], is_recorded: bool, n: int, n_random: int, least: float
) -> None:
    study, sampler = learned(problem, n, reference=reference, is_recorded=is_recorded)

    assert reached(study, problem, reference) > least > reached(randomly(problem, n_random), problem, reference)
    assert n_different(study, problem) == n
    assert not sampler.fallbacks


EDP = ("edp_js", "accuracy")
KINDS = {
    "three objectives": (study_problem(objectives=("size_bytes", "energy_j", "accuracy")), (1e6, 0.2, 0.3)),
    "families of other axes": (study_problem(FAMILIES), REFERENCE),
    "clocks": (study_problem(CLOCKED, EDP, ("frequency_max_hz >= 1.5 GHz",)), (0.1, 0.3)),
    "caps": (study_problem(objectives=EDP, constraints=("power_w <= 8 W",)), (0.1, 0.3)),
    "no feasible design": (study_problem(constraints=("accuracy >= 0.99",)), REFERENCE),
    "few feasible designs": (study_problem(constraints=("accuracy >= 0.88", "size_bytes <= 0.7 MB")), REFERENCE),
}


@pytest.mark.parametrize(("problem", "reference"), KINDS.values(), ids=KINDS)
@pytest.mark.slow
def test_no_kind_of_study_repeats_a_design(problem: Problem, reference: tuple[float, ...]) -> None:
    study, sampler = learned(problem, 7, reference=reference)

    assert explorer.samplers.LearningSampler is LearningSampler
    assert not sampler.fallbacks
    assert n_different(study, problem) == 7
    assert sampler.distributions == Encoding(problem.regions).distributions()
    assert study.ask(sampler.distributions).params.keys() == sampler.distributions.keys()


@pytest.mark.slow
def test_most_designs_satisfy_a_learned_constraint() -> None:
    problem = study_problem(constraints=("accuracy >= 0.7",))
    study, _ = learned(problem, 16)

    assert np.mean(is_feasible(study)[4:]) > 0.75
    assert np.mean(is_feasible(randomly(problem, 100))) < 0.65


@pytest.mark.slow
def test_seed_and_trials_determine_the_next_design() -> None:
    """Also for a new sampler with the same trials: the state of a sampler has no effect."""
    problem = study_problem()
    study, _ = learned(problem, 7, seed=5)
    different, _ = learned(problem, 5, seed=6)
    resumed, another = learned(problem, seed=5)
    resumed.add_trials(study.trials)
    study.optimize(plain(problem), n_trials=2)
    for _ in range(2):
        another.expect(1)
        resumed.optimize(plain(problem), n_trials=1)

    assert designs(resumed, problem) == designs(study, problem) == designs(learned(problem, 9, seed=5)[0], problem)
    assert not set(designs(study, problem)) & set(designs(different, problem))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Return the number of fits and of selections."""
    counts: Counter[str] = Counter()

    def counted(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args, **kwargs: (counts.update([name]), function(*args, **kwargs))[1]

    module = "explorer.search.samplers.learning_sampler"
    monkeypatch.setattr(f"{module}.fit_online", counted("fit", fit_online))
    monkeypatch.setattr(f"{module}.select_by_ehvi", counted("selection", select_by_ehvi))
    return counts


def test_a_batch_shares_one_fit_and_one_selection(calls: Counter[str]) -> None:
    problem = study_problem()
    study, sampler = learned(problem, 5)
    calls.clear()
    sampler.expect(4)
    running = [study.ask(sampler.distributions) for _ in range(4)]
    assert calls == {"fit": 1, "selection": 1}

    # After the batch, designs are selected again, from the same fit until a new measurement.
    study.ask(sampler.distributions)
    assert calls == {"fit": 1, "selection": 2}

    study.tell(running[2], plain(problem)(running[2]))
    study.ask(sampler.distributions)
    assert calls == {"fit": 2, "selection": 3}
    assert n_different(study, problem) == 11


@pytest.mark.slow
def test_enqueued_design_is_excluded_from_the_batch(calls: Counter[str]) -> None:
    problem = study_problem()
    batches: list[list[dict[str, Any]]] = []
    for is_enqueued in (False, True):
        study, sampler = learned(problem, 5)
        calls.clear()
        sampler.expect(4)
        batches.append([study.ask(sampler.distributions).params])
        if is_enqueued:
            study.enqueue_trial(batches[0][1])
        batches[-1] += [study.ask(sampler.distributions).params for _ in range(3)]

    assert batches[0] == batches[1]
    assert calls == {"fit": 1, "selection": 1}


@pytest.mark.parametrize(("n_expected", "n_fits"), [(1, 0), (8, 1)])
def test_two_results_suffice_for_a_fit_with_many_in_flight(calls: Counter[str], n_expected: int, n_fits: int) -> None:
    problem = study_problem()
    study, sampler = learned(problem)
    sampler.expect(n_expected)
    running = [study.ask(sampler.distributions) for _ in range(8)]
    for trial in running[3:5]:
        study.ask(sampler.distributions)
        study.tell(trial, plain(problem)(trial))
    study.ask(sampler.distributions)

    assert calls["fit"] == n_fits
    assert n_different(study, problem) == 11


def test_three_batches_of_eight_match_sequential_search(calls: Counter[str]) -> None:
    problem = study_problem()
    study, sampler = learned(problem)
    for _ in range(3):
        sampler.expect(8)
        for trial in [study.ask(sampler.distributions) for _ in range(8)]:
            study.tell(trial, plain(problem)(trial))

    assert reached(study, problem) > 0.97
    assert calls == {"fit": 2, "selection": 2}
    assert n_different(study, problem) == 24


@pytest.mark.slow
def test_learning_sampler_continues_after_another_sampler() -> None:
    problem = study_problem()
    study = randomly(problem, 7, seed=1)
    before = reached(study, problem)
    study.sampler = learned(problem)[1]
    study.optimize(plain(problem), n_trials=7)

    assert reached(study, problem) > max(0.9, before)


@pytest.mark.slow
def test_finite_study_starts_spread_and_repeats_no_design() -> None:
    problem = study_problem(FEW)
    for seed in range(5):
        study, _ = learned(problem, 4, seed=seed)
        assert all(len({trial.params[name] for trial in study.trials}) > 1 for name in Encoding(FEW).distributions())
    study.optimize(plain(problem), n_trials=10)
    designs_of_study = designs(study, problem)

    assert len(set(designs_of_study[:12])) == 12
    assert set(designs_of_study[12:]) <= set(designs_of_study[:12])


@pytest.mark.parametrize("n_expected", [0, 4, 12])
@pytest.mark.parametrize("n_before", [0, 5], ids=["initial designs", "learned"])
def test_running_trials_without_parameters_count_as_pending(n_before: int, n_expected: int) -> None:
    """All trials suggest their first parameter, then all their second, like concurrent threads."""
    problem = study_problem(FEW)
    study, sampler = learned(problem, n_before)
    sampler.expect(n_expected)
    running = [study.ask() for _ in range(12 - n_before)]
    for name, one in Encoding(FEW).distributions().items():
        assert isinstance(one, CategoricalDistribution)
        for trial in running:
            trial.suggest_categorical(name, one.choices)

    assert n_different(study, problem) == 12


@pytest.mark.slow
def test_threads_repeat_no_design_while_another_is_left() -> None:
    problem = study_problem(FEW)
    study, _ = learned(problem)
    study.optimize(plain(problem), n_trials=12, n_jobs=4)

    assert n_different(study, problem) == 12


@pytest.mark.slow
def test_enqueued_trials_come_first_and_are_completed() -> None:
    problem = study_problem(FEW)
    study, _ = learned(problem)
    study.enqueue_trial({"pruning_ratio": "0.4", "quant_step": "0.1", "kind": "c"})  # misspelt: affects no other trial
    assert observations_from(study.trials, problem, exclude=1).pending.n == 0

    study, _ = learned(problem)
    wanted = [{"pruning_ratio": ratio, "quant_step": "0.1", "kind": "b"} for ratio in ("0.4", "0", "0.8")]
    for params in wanted:
        study.enqueue_trial(params)
    study.optimize(plain(problem), n_trials=12)
    assert [trial.params for trial in study.trials[:3]] == wanted
    assert n_different(study, problem) == 12

    study, _ = learned(study_problem(), 5)
    study.enqueue_trial({"pruning_ratio": 0.123})
    study.optimize(plain(study_problem()), n_trials=2)
    assert study.trials[5].params["pruning_ratio"] == 0.123
    assert study.trials[5].params.keys() == study.trials[6].params.keys() == {"pruning_ratio", "quant_step"}


@pytest.mark.parametrize(
    ("outcome", "objectives", "reference"),
    [
        ({"state": TrialState.FAIL}, ("size_bytes",), (3e6,)),
        ({"state": TrialState.PRUNED}, ("size_bytes",), (3e6,)),
        ({"values": [np.inf, 0.5]}, SIZE, REFERENCE),
    ],
    ids=["failed", "pruned", "infinite"],
)
def test_design_without_a_finite_value_is_not_repeated(
    outcome: dict[str, Any], objectives: tuple[str, ...], reference: tuple[float, ...]
) -> None:
    problem = study_problem(FEW, objectives)
    study, sampler = learned(problem, reference=reference)
    for i in range(12):
        trial = study.ask(sampler.distributions)
        study.tell(trial, **(outcome if i % 2 else {"values": plain(problem)(trial)}))

    assert n_different(study, problem) == 12
    assert not sampler.fallbacks


def test_failed_designs_are_not_repeated() -> None:
    problem = study_problem()
    study, sampler = learned(problem)
    for _ in range(100):
        study.tell(study.ask(sampler.distributions), state=TrialState.FAIL)

    assert n_different(study, problem) == 100


@pytest.mark.parametrize(
    ("problem", "n", "values", "reason"),
    [
        # A zero energy has no logarithm, so that the fit fails. TPE alone would repeat designs of `FEW`.
        (study_problem(PLANE, ("energy_j", "accuracy")), 14, [0.0, 0.5], "energy_j is not positive"),
        (study_problem(FEW, ("energy_j", "accuracy")), 12, [0.0, 0.5], "energy_j is not positive"),
        # Neither the target nor the violation was recorded: a fit has no data.
        (study_problem(constraints=("power_w <= 8 W",)), 5, [1e6, 0.5], "power_w was never measured"),
    ],
)
def test_tpe_proposes_new_designs_after_a_failed_fit(
    problem: Problem, n: int, values: list[float], reason: str
) -> None:
    study, sampler = learned(problem, reference=(0.2, 0.3))
    for _ in range(n):
        study.tell(study.ask(sampler.distributions), values)

    assert dict(sampler.fallbacks) == {f"ValueError: {reason}": n - 4}
    assert n_different(study, problem) == n


def test_unknown_parameters_are_sampled_independently() -> None:
    problem = study_problem()

    def with_more(trial: optuna.Trial) -> list[float]:
        trial.suggest_float("learning_rate", 1e-4, 1e-1, log=True)
        return plain(problem)(trial)

    study, _ = learned(problem)
    study.optimize(with_more, n_trials=6)

    assert {len(trial.params) for trial in study.trials} == {3}
    assert len({trial.params["learning_rate"] for trial in study.trials}) == 6


@pytest.mark.slow
def test_fit_of_many_trials_uses_the_front_and_the_latest() -> None:
    problem, rng, n = study_problem(), np.random.default_rng(0), MAX_ROWS + 60
    distributions = Encoding(PLANE).distributions()
    table = problem.evaluate(PLANE["CNN"].from_unit(rng.random((n, 2))))
    study, sampler = learned(problem)
    for i, values in enumerate(problem.values(table).tolist()):
        params = {name: float(table[name][i]) for name in distributions}
        study.add_trial(create_trial(params=params, distributions=distributions, values=values))
    observations = observations_from(study.trials, problem, exclude=-1)
    rows = set(observations.fit_rows.tolist())
    study.tell(study.ask(distributions), [1e6, 0.5])

    assert (len(rows), len(observations.values)) == (MAX_ROWS, n)
    # Including the latest: without poor recent results, similar designs would be proposed repeatedly.
    assert set(range(n - MAX_ROWS // 3, n)) <= rows
    assert set(np.flatnonzero(moocore.is_nondominated(observations.values)).tolist()) <= rows
    assert not sampler.fallbacks
    assert n_different(study, problem) == n + 1


@pytest.mark.slow
def test_target_missing_in_some_trials_is_fitted_to_the_rest() -> None:
    """The first trials have objectives only; the later ones record their targets."""
    problem = study_problem(objectives=("edp_js", "accuracy"))
    study, sampler = learned(problem, 5, reference=(0.1, 0.3), is_recorded=False)
    study.optimize(plain(problem), n_trials=5)
    observations = observations_from(study.trials, problem, exclude=-1)

    assert set(observations.fit_columns) == {"energy_j", "latency_s", "accuracy"}
    assert np.isfinite(observations.measured["energy_j"]).tolist() == [False] * 5 + [True] * 5
    assert np.isfinite(observations.measured["accuracy"]).all()
    assert not sampler.fallbacks
