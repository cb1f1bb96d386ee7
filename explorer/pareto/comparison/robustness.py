"""Price of robustness: the front whose limits hold in every scenario, compared with the nominal front.

Source of the term: D. Bertsimas and M. Sim, "The Price of Robustness", Operations Research 52(1), 2004.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import NoFeasibleDesign, WrongUsage
from explorer.models.evaluation import OPERATING_POINT_LIMIT, Problem
from explorer.pareto.comparison.compare import SCHEMA
from explorer.pareto.exact_front import MAX_OBJECTIVES, front_designs
from explorer.pareto.geometry.dominance import hypervolume, is_nondominated, to_minimization
from explorer.pareto.geometry.refinement import Budget
from explorer.problem.columns import Columns, Float, n_rows
from explorer.problem.objectives import Objective
from explorer.problem.scenarios.declared import NO_SCENARIOS, nominal_limit, nominal_objectives, worst_case_limit
from explorer.problem.study import Study

_MAX_COMPARED = 2_000  # designs of each front at equal other objectives: 2,000 x 2,000 comparisons take 0.1 s
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class ObjectivePrice:
    """Price of robustness in one objective, by its nominal values.

    Args:
        objective: the objective.
        nominal: its best value on the nominal front.
        robust: its best value on the robust front.
        median: how much worse it is on the robust front than on the nominal front at equal or better other objectives,
            as a share of the nominal value: the median over the robust front.
        largest: the largest such share.
    """

    objective: Objective
    nominal: float
    robust: float
    median: float
    largest: float


@dataclass(frozen=True, slots=True)
class RobustnessPrice:
    """Nominal and robust front of one study, both exact, by the nominal values of its objectives.

    Args:
        study: the study's name.
        cases: every case of its scenarios, as text.
        objectives: the nominal objectives.
        reference_point: of both hypervolumes, in the order of the objectives.
        nominal_hypervolume: of the front without deviations.
        robust_hypervolume: of the front whose limits hold in every scenario.
        n_nominal: number of designs of the nominal front.
        n_robust: number of designs of the robust front.
        n_broken: number of designs of the nominal front that break a limit in some scenario.
        broken: number of them that break each limit.
        prices: one for each objective.
    """

    study: str
    cases: tuple[str, ...]
    objectives: tuple[Objective, ...]
    reference_point: tuple[float, ...]
    nominal_hypervolume: float
    robust_hypervolume: float
    n_nominal: int
    n_robust: int
    n_broken: int
    broken: tuple[tuple[str, int], ...]
    prices: tuple[ObjectivePrice, ...]

    def __repr__(self) -> str:
        return (
            f"RobustnessPrice({self.study}: hypervolume {self.nominal_hypervolume:.5g} nominal, "
            f"{self.robust_hypervolume:.5g} robust; {self.n_broken} of {self.n_nominal} nominal designs break a limit)"
        )

    @property
    def lost(self) -> float:
        """The share of the nominal hypervolume that robustness costs; NaN where that is zero."""
        if self.nominal_hypervolume <= 0:
            return float("nan")
        return 1 - self.robust_hypervolume / self.nominal_hypervolume


def with_worst_case_limits(study: Study) -> Study:
    """Return a study with limits that hold in every scenario, whatever its mode."""
    if study.scenarios.is_worst_case:
        return study
    limits = tuple(map(worst_case_limit, study.constraints))
    return replace(study, constraints=limits, scenarios=replace(study.scenarios, mode="worst"))


def without_scenarios(study: Study) -> Study:
    """Return the nominal study: the same limits and objectives without deviations.

    Raises:
        WrongUsage: two objectives are the same without scenarios.
    """
    objectives = nominal_objectives(study.objectives)
    if len({objective.name for objective in objectives}) < len(objectives):
        names = ", ".join(objective.name for objective in study.objectives)
        raise WrongUsage(f"{study.name}: {names} are the same without scenarios", fix="list each objective once")
    limits = tuple(dict.fromkeys(nominal_limit(constraint) for constraint in study.constraints))
    return replace(study, objectives=objectives, constraints=limits, scenarios=NO_SCENARIOS)


def price_of_robustness(
    problem: Problem, reference: Sequence[float], *, seed: int = 0, budget: Budget | None = None
) -> RobustnessPrice:
    """Compare the exact front whose limits hold in every scenario with the exact front without scenarios.

    Args:
        problem: a study with scenarios, whatever its mode, of two or three objectives and with a vectorized evaluator.
        reference: the reference point of the hypervolumes, in the order of the study's objectives.
        seed: of the scan and the refinement.
        budget: stopping rule of each region.

    Raises:
        WrongUsage: the study has no scenarios, measures its designs, or has no exact front.
        NoFeasibleDesign: no design meets the limits, nominally or in every scenario.
    """
    study = problem.study
    if not study.scenarios:
        raise WrongUsage(f"{study.name} has no scenarios", fix="add [scenario.NAME] to its file, or give two studies")
    if not problem.is_vectorized:
        raise WrongUsage(f"{study.name} measures its designs: it has no exact front", fix="give two result folders")
    if len(study.objectives) > MAX_OBJECTIVES:
        raise WrongUsage(f"{study.name} has {len(study.objectives)} objectives: it has no exact front",
                         fix=f"give it at most {MAX_OBJECTIVES} objectives")  # fmt: skip
    robust, nominal = (replace(problem, study=one) for one in (with_worst_case_limits(study), without_scenarios(study)))
    fronts = []
    for one, words in ((nominal, "without deviations"), (robust, "in every scenario")):
        front = front_designs(one, reference, seed=seed, budget=budget).designs
        if not n_rows(front):
            raise NoFeasibleDesign(f"no design of {study.name} meets its limits {words}", fix="loosen the limits")
        fronts.append(front)
    objectives = nominal.study.objectives
    values = [nominal.values(nominal.evaluate(front, is_needed_only=True)) for front in fronts]
    # A front of worst cases need not be one of nominal values.
    robust_values = values[1][is_nondominated(values[1], objectives)]
    broken = _broken(robust, fronts[0])
    return RobustnessPrice(
        study=study.name,
        cases=tuple(case.text for case in problem.worst_case.cases),
        objectives=objectives,
        reference_point=tuple(float(x) for x in reference),
        nominal_hypervolume=hypervolume(values[0], reference, objectives),
        robust_hypervolume=hypervolume(robust_values, reference, objectives),
        n_nominal=len(values[0]),
        n_robust=len(values[1]),
        n_broken=int(np.sum(np.any([*broken.values()], axis=0))) if broken else 0,
        broken=tuple((name, int(mask.sum())) for name, mask in broken.items() if mask.any()),
        prices=tuple(_price(j, objectives, values[0], robust_values) for j in range(len(objectives))),
    )


def _broken(robust: Problem, front: Columns) -> dict[str, NDArray[np.bool_]]:
    """Return a mask of the designs that violate each limit of the robust study, shape (n,) each."""
    violations = robust.constraint_violations(robust.evaluate(front, is_needed_only=True))
    texts = {OPERATING_POINT_LIMIT: "the clock that the lowest voltage supports"}
    return {texts.get(name, name): ~(excess <= 0) for name, excess in violations.items()}


def _price(j: int, objectives: Sequence[Objective], nominal: Float, robust: Float) -> ObjectivePrice:
    objective = objectives[j]
    own, others = to_minimization(nominal, objectives), to_minimization(robust, objectives)
    extra = _extra(j, _thinned(own), _thinned(others))
    best = [float(objective.sign * values[:, j].min()) for values in (own, others)]
    finite = extra[np.isfinite(extra)]
    median, largest = (float(np.median(finite)), float(finite.max())) if finite.size else (np.nan, np.nan)
    return ObjectivePrice(objective, best[0], best[1], median, largest)


def _extra(j: int, nominal: Float, robust: Float) -> Float:
    """Return how much worse each robust point is in objective j than nominal ones at least as good in all others.

    Args:
        j: the objective.
        nominal: points to be minimized, shape (k, m).
        robust: points to be minimized, shape (n, m).

    Returns:
        shares of the nominal value, at least 0, shape (n,); NaN where no nominal point is as good in all others.
    """
    rest = [i for i in range(nominal.shape[1]) if i != j]
    slack = _EQUAL * np.abs(robust[:, rest])
    is_as_good = np.all(nominal[None, :, rest] <= (robust[:, rest] + slack)[:, None, :], axis=-1)
    best = np.min(np.where(is_as_good, nominal[None, :, j], np.inf), axis=1)
    known = np.isfinite(best) & (best != 0)
    extra = np.full(len(robust), np.nan)
    extra[known] = np.maximum(robust[known, j] - best[known], 0.0) / np.abs(best[known])
    return extra


def _thinned(values: Float) -> Float:
    if len(values) <= _MAX_COMPARED:
        return values
    order = np.argsort(values[:, 0], kind="stable")
    return np.asarray(values[order[np.linspace(0, len(order) - 1, _MAX_COMPARED).astype(np.int64)]])


def robustness_json(price: RobustnessPrice) -> dict[str, Any]:
    """Return the comparison as plain JSON values; undefined numbers are NaN."""
    return {
        "schema": SCHEMA,
        "study": price.study,
        "scenarios": list(price.cases),
        "objectives": [{"name": o.name, "direction": o.direction} for o in price.objectives],
        "reference_point": list(price.reference_point),
        "nominal": {"front_size": price.n_nominal, "hypervolume": price.nominal_hypervolume},
        "robust": {"front_size": price.n_robust, "hypervolume": price.robust_hypervolume},
        "hypervolume_lost": price.lost,
        "n_nominal_broken": price.n_broken,
        "broken": [{"limit": name, "n": n} for name, n in price.broken],
        "prices": [
            {
                "objective": one.objective.name,
                "nominal_best": one.nominal,
                "robust_best": one.robust,
                "median_at_equal_others": one.median,
                "largest_at_equal_others": one.largest,
            }
            for one in price.prices
        ],
    }
