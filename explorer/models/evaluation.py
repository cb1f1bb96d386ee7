"""Evaluation of designs for one study: predictions, objectives, constraint violations and feasibility as columns."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np

from explorer.errors import Fault, InvalidFile, suggestion
from explorer.models.evaluator import Evaluator, as_measurer
from explorer.models.limits import Statistics
from explorer.models.machine import UnsupportedTarget, unsupported_targets
from explorer.models.measured.table import TableEvaluator
from explorer.models.response.surrogate import Surrogate
from explorer.models.samples.samples import Samples
from explorer.models.worst_case import WorstCase, resolve_worst_case
from explorer.problem.applicability import constant_knobs, domain_distance
from explorer.problem.columns import (
    STOPPED,
    TARGETS,
    Columns,
    Float,
    base_of_case,
    bounded_names,
    bounds,
    by_family,
    is_end,
    n_rows,
    stack,
    take,
)
from explorer.problem.constraints import Constraint, joint_groups, joint_text
from explorer.problem.design_space import DesignSpace
from explorer.problem.objectives import OBJECTIVES, add_objectives, needs_of
from explorer.problem.space_builder import build_design_space
from explorer.problem.study import Study
from explorer.problem.workload.usage import overload

OPERATING_POINT_LIMIT = "operating_point"
WORKLOAD_LIMIT = "workload"
DOMAIN_LIMIT = "domain"
_CORNER_AXES = 12  # 2^12 corners; beyond that, the corners of the first twelve axes


@dataclass(frozen=True, slots=True)
class Problem:
    """Optimization problem: a study, its evaluator and the design space of each family. Independent of Optuna.

    Args:
        study: the study.
        evaluator: its model.
        regions: the design space of each family.
        unsupported: targets whose samples do not cover the operating points of the regions; their columns are NaN.
    """

    study: Study
    evaluator: Evaluator
    regions: Mapping[str, DesignSpace]
    unsupported: tuple[UnsupportedTarget, ...] = field(default=(), kw_only=True)
    _cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __repr__(self) -> str:
        names = ", ".join(objective.name for objective in self.study.objectives)
        return f"Problem({self.study.name}: {names}; model {self.evaluator.name}; {', '.join(self.regions)})"

    @property
    def is_vectorized(self) -> bool:
        """True if the evaluator predicts thousands of designs at once, False if it measures each of them."""
        return self.evaluator.is_vectorized

    @property
    def constraint_names(self) -> tuple[str, ...]:
        """Constraint names in the order of `constraint_violations`: operating point, domain, workload, the study's."""
        limits = self.study.constraints
        declared = tuple(constraint.text for constraint in limits)
        declared += tuple(joint_text(probability) for _, probability, _ in joint_groups(limits))
        regions = self.regions.values()
        operating = (OPERATING_POINT_LIMIT,) if any(region.operating is not None for region in regions) else ()
        domain = (DOMAIN_LIMIT,) if any(np.isfinite(region.widen) for region in regions) else ()
        workload = (WORKLOAD_LIMIT,) if self.study.constants.workload else ()
        return (*operating, *domain, *workload, *declared)

    @property
    def is_table(self) -> bool:
        """Whether the designs are the rows of a table: all of them are evaluated by a look-up."""
        return isinstance(self.evaluator, TableEvaluator)

    @property
    def n_designs(self) -> float:
        """Number of distinct designs; infinite where a knob is continuous."""
        return sum(region.n_designs for region in self.regions.values())

    def every_design(self) -> Columns:
        """Return all designs of a finite design space, region by region."""
        return stack([region.every_design() for region in self.regions.values()])

    @property
    def needed_targets(self) -> frozenset[str]:
        """The targets that objectives, constraints and the workload need."""
        return frozenset(need for name in self.study.compared_columns for need in needs_of(name) or (name,))

    @property
    def statistics(self) -> Statistics:
        """The columns of the study that are statistics over posterior draws."""
        if "statistics" not in self._cache:
            study = self.study
            names = [*(o.name for o in study.objectives), *(c.column for c in study.constraints)]
            ends = tuple(dict.fromkeys(name for name in names if is_end(name)))
            self._cache["statistics"] = Statistics(
                study.constraints, ends, self.needed_targets, study.constants,
                is_objective=any(is_end(o.name) for o in study.objectives), cases=self.worst_case.cases,
            )  # fmt: skip
        return cast("Statistics", self._cache["statistics"])

    def statistics_of(self, constraints: Sequence[Constraint]) -> Statistics:
        """Return the statistics of other limits than the study's own."""
        targets = frozenset(need for c in constraints for need in needs_of(c.column))
        return Statistics(tuple(constraints), (), targets, self.study.constants, cases=self.worst_case.cases)

    def evaluate(
        self, designs: Mapping[str, Any], *, is_needed_only: bool = False, has_statistics: bool = True
    ) -> Columns:
        """Return designs with predictions, `frequency_max_hz`, objectives and `is_feasible`, shape (n,) each.

        Args:
            designs: the knobs as columns, shape (n,) each, or as a DataFrame.
            is_needed_only: predict only what objectives and constraints need, where the evaluator predicts.
            has_statistics: compute limits with a probability, which costs a hundred times as much as a prediction; else
                they count as met in `is_feasible`.
        """
        if not isinstance(designs, dict):
            designs = {str(name): np.asarray(designs[name]) for name in designs}
        predict = partial(self._predict, is_needed_only=is_needed_only)
        columns = predict(designs)
        if OPERATING_POINT_LIMIT in self.constraint_names:
            columns["frequency_max_hz"] = self._frequency_max(designs)
        columns = add_objectives(columns, self.study.constants)
        columns |= self.worst_case.columns(columns, predict, is_needed_only=is_needed_only)
        if self.statistics and (has_statistics or self.statistics.ends):
            columns |= self.statistics.columns(self.evaluator, columns)
        met = [misses <= 0 for misses in self.constraint_violations(columns).values()]
        if STOPPED in columns:  # its accuracy is an estimate
            met.append(columns[STOPPED] == 0)
        columns["is_feasible"] = np.all(met, axis=0) if met else np.ones(n_rows(columns), dtype=np.bool_)
        return columns

    def _predict(self, designs: Columns, *, is_needed_only: bool = False) -> Columns:
        if is_needed_only and isinstance(self.evaluator, Surrogate):
            columns = self.evaluator.evaluate(designs, targets=self.needed_targets)
        else:
            columns = self.evaluator.evaluate(designs)
        return columns | {one.target: np.full(n_rows(columns), np.nan) for one in self.unsupported}

    @property
    def worst_case(self) -> WorstCase:
        """The cases of the study's scenarios, and the columns of their worst; without scenarios there are none."""
        if "worst_case" not in self._cache:
            self._cache["worst_case"] = resolve_worst_case(self.study, self.evaluator, self.regions)
        return cast("WorstCase", self._cache["worst_case"])

    def with_domain_columns(self, designs: Columns) -> Columns:
        """Return designs with the columns that their limits need and that follow from knobs alone, shape (n,) each.

        `domain_distance` is 0 where designs are measured: a measurement does not extrapolate.
        """
        is_measured = not self.evaluator.is_vectorized
        distance = np.zeros(n_rows(designs)) if is_measured else domain_distance(designs, self.evaluator.domain)
        columns = {**designs, "domain_distance": distance}
        if OPERATING_POINT_LIMIT in self.constraint_names:
            columns["frequency_max_hz"] = self._frequency_max(designs)
        return columns

    def constraint_violations(self, columns: Columns) -> Columns:
        """Return the violation of each constraint by evaluated designs, shape (n,) each; at most 0 is feasible."""
        result: Columns = {}
        if OPERATING_POINT_LIMIT in self.constraint_names:
            result[OPERATING_POINT_LIMIT] = self._by_region(columns, self.worst_case.operating_excess)
        if DOMAIN_LIMIT in self.constraint_names:
            widen = self._by_region(columns, lambda region, rows: np.full(n_rows(rows), region.widen))
            # The widened edge itself is inside; its distance is subject to the rounding of a logarithm.
            beyond = columns["domain_distance"] - widen
            result[DOMAIN_LIMIT] = np.where(np.abs(beyond) < 1e-9, 0.0, np.maximum(beyond, -1e9))
        if WORKLOAD_LIMIT in self.constraint_names:
            result[WORKLOAD_LIMIT] = overload(self.worst_case.limited(columns, "utilization"))
        return result | self.limit_violations(columns)

    def limit_violations(self, columns: Columns) -> Columns:
        """Return the violation of each limit of the study, and of those that hold jointly; shapes as in `columns`.

        Limits whose statistics over posterior draws were not computed are left out.
        """
        limits = [c for c in self.study.constraints if c.compared in columns or c.probability is None]
        result: Columns = {constraint.text: constraint.violation(columns) for constraint in limits}
        for name, probability, _ in joint_groups(self.study.constraints):
            if name in columns:
                result[joint_text(probability)] = columns[name]
        return result

    def values(self, columns: Columns) -> Float:
        """Return the objectives of evaluated designs, shape (n, number of objectives)."""
        return np.stack([columns[objective.name] for objective in self.study.objectives], axis=-1)

    def sample(self, n: int, *, seed: int = 0, is_needed_only: bool = False, has_statistics: bool = True) -> Columns:
        """Return about n evaluated designs of all regions: scrambled Sobol points and all corners; see `evaluate`."""
        share = max(2, n // len(self.regions))
        tables = [
            region.every_design()
            if region.n_designs <= share
            else region.from_unit(low_discrepancy_points(len(region.axes), share, seed=seed))
            for region in self.regions.values()
        ]
        return self.evaluate(stack(tables), is_needed_only=is_needed_only, has_statistics=has_statistics)

    def _frequency_max(self, designs: Columns) -> Float:
        return self._by_region(designs, lambda region, rows: region.frequency_max(rows))

    def _by_region(self, columns: Columns, compute: Callable[[DesignSpace, Columns], Float]) -> Float:
        names, index = by_family(columns["family"])
        if len(names) == 1:
            return compute(self.regions[names[0]], columns)
        result = np.zeros(n_rows(columns))
        for i, name in enumerate(names):
            rows = np.flatnonzero(index == i)
            result[rows] = compute(self.regions[name], take(columns, rows))
        return result


def low_discrepancy_points(n_axes: int, n: int, *, seed: int = 0) -> Float:
    """Return at least n points of the unit cube, shape (k, n_axes): scrambled Sobol points, then all corners.

    Sobol' (1967), scrambled as in Matousek (1998). A power of two of points keeps the sequence balanced.
    """
    from scipy.stats import qmc

    points = qmc.Sobol(n_axes, rng=seed).random_base2(math.ceil(math.log2(n)))
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * min(n_axes, _CORNER_AXES), indexing="ij"), axis=-1)
    corners = corners.reshape(-1, min(n_axes, _CORNER_AXES))
    middle = np.full((len(corners), n_axes - corners.shape[1]), 0.5)
    return np.concatenate([points, np.concatenate([corners, middle], axis=1)])


def make_problem(study: Study, evaluator: Evaluator) -> Problem:
    """Combine a study and an evaluator into a problem.

    Raises:
        InvalidFile: the study needs families, objectives or constraints that the model does not provide.
    """
    faults = []
    faults += [
        Fault(
            "families",
            f"model '{evaluator.name}' has no samples of '{family}'",
            suggestion(family, sorted(evaluator.families)),
        )
        for family in _families(study, evaluator)
        if family not in evaluator.families
    ]
    faults += _missing_targets(study, evaluator)
    if faults:
        raise InvalidFile(study.path, faults)
    if isinstance(evaluator, TableEvaluator):
        rows = {family: evaluator.region(family) for family in _families(study, evaluator)}
        return _validate(Problem(study, evaluator, rows))
    constant = constant_knobs(evaluator.domain)
    regions = {
        family: build_design_space(
            space.file,
            path=space.path,
            family=family,
            spans=dict(evaluator.domain[family]),
            law=evaluator.law(family),
            choices=evaluator.choices(family),
            constant=constant,
        )
        for space in study.spaces
        for family in space.families
    }
    return _validate(Problem(study, evaluator, regions, unsupported=_unsupported(study, evaluator, regions)))


def _unsupported(
    study: Study, evaluator: Evaluator, regions: Mapping[str, DesignSpace]
) -> tuple[UnsupportedTarget, ...]:
    """Return the targets whose samples do not cover the regions' operating points.

    Raises:
        InvalidFile: an objective or constraint of the study needs one of them.
    """
    samples = getattr(evaluator, "samples", None)
    if not isinstance(samples, Samples):
        return ()
    found = {one.target: one for region in regions.values() for one in unsupported_targets(region, samples)}
    needed = {need for name in study.compared_columns for need in needs_of(name) or (name,)}
    by_reason: dict[tuple[str, str], list[str]] = {}
    for one in found.values():
        if one.target in needed:
            by_reason.setdefault((one.reason, one.fix), []).append(one.target)
    faults = [
        Fault("objectives or constraints", f"{', '.join(targets)} cannot be predicted at these clocks: {reason}", fix)
        for (reason, fix), targets in by_reason.items()
    ]
    if faults:
        raise InvalidFile(study.path, faults)
    return tuple(found.values())


def _validate(problem: Problem) -> Problem:
    """Return the problem if every constraint compares a numeric column of its designs.

    Raises:
        InvalidFile: a constraint compares names or a missing column.
    """
    faults, study = [], problem.study
    for family, region in problem.regions.items():
        knobs = region.from_unit(np.full((1, len(region.axes)), 0.5))
        numbers = {name for name, values in knobs.items() if values.dtype != object}
        numbers |= {name for name, objective in OBJECTIVES.items() if not objective.lacking(study.constants)}
        numbers |= {*TARGETS, *(end for name in bounded_names() for end in bounds(name)), "domain_distance"}
        if problem.worst_case:
            numbers |= {c.column for c in study.constraints if base_of_case(c.column)}
        numbers |= {"frequency_max_hz"} if region.operating else set()
        for constraint in study.constraints:
            if constraint.column not in numbers:
                reason = "holds names" if constraint.column in knobs else f"is no column of the designs of {family}"
                problem_text = f"'{constraint.column}' {reason}: it cannot be compared"
                faults.append(Fault("constraints", problem_text, f"compare one of: {', '.join(sorted(numbers))}"))
    if faults:
        raise InvalidFile(study.path, list(dict.fromkeys(faults)))
    return problem


def _families(study: Study, evaluator: Evaluator) -> list[str]:
    """Return the families to search: those of the spaces, or of a table those that the study names (default: all)."""
    if not study.spaces:
        return list(study.families or evaluator.families)
    return [family for space in study.spaces for family in space.families]


def _missing_targets(study: Study, evaluator: Evaluator) -> Iterator[Fault]:
    """Yield a fault for each objective or constraint whose targets the model does not predict for a family."""
    families = [family for family in _families(study, evaluator) if family in evaluator.families]
    columns = [("objectives", objective.name) for objective in study.objectives]
    columns += [("constraints", constraint.column) for constraint in study.constraints]
    columns += [("workload", "utilization")] if study.constants.workload else []
    for key, name in dict.fromkeys(columns):
        needs = needs_of(name)
        for family in families:
            offered = evaluator.targets_of(family)
            missing = [need for need in needs if need not in offered]
            if missing:
                text = f"'{name}' needs {', '.join(missing)}, which model '{evaluator.name}' lacks for {family}"
                yield Fault(key, text, f"for {family} it offers {', '.join(offered)}")


def fingerprint(evaluator: Evaluator) -> dict[str, Any]:
    """Return the identity of a model as plain JSON values: digest of its samples, and coefficients or forms."""
    if measurer := as_measurer(evaluator):
        return measurer.fingerprint
    if isinstance(evaluator, TableEvaluator):
        return {"kind": "table", "samples_sha256": evaluator.samples.sha256}
    if isinstance(evaluator, Surrogate):
        forms = {
            target: {fit.form.name: float(f"{w:.3g}") for fit, w in zip(r.fits, r.weights, strict=True)}
            for target, r in evaluator.responses.items()
        }
        return {"samples_sha256": evaluator.samples.sha256, "forms": forms}
    return {"kind": type(evaluator).__name__}
