"""Comparison of the fronts of several studies: hypervolume up to a common reference point, and coverage."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np

from explorer.errors import NoFeasibleDesign, WrongUsage
from explorer.pareto.comparison.declaration_diff import (
    DeclarationChange,
    comparability_warnings,
    cost_weights,
    declaration_changes,
    weights_text,
)
from explorer.pareto.geometry.dominance import default_reference, feasible_front, hypervolume, to_minimization
from explorer.pareto.results.results import Results
from explorer.problem.columns import Columns, Float, n_rows, take
from explorer.problem.naming.column_names import resolve_column
from explorer.problem.objectives import OBJECTIVES, Objective, objective_of

SCHEMA = "explorer.compare/1"

_MIN_COMPARED = 2  # studies, and objectives
_MAX_READABLE = 3
_COST = "weighted_cost"


@dataclass(frozen=True, slots=True)
class ComparedResults:
    """One study in a comparison.

    Args:
        label: its name in the comparison.
        study: its own name.
        n_complete: number of finished designs.
        front: its front in the objectives of the comparison, ordered by the first.
        values: the front's objectives, shape (k, m).
        hypervolume: of the front, up to the common reference point.
        share: the same as a share of the hypervolume of the union of all fronts; NaN if that is zero.
        n_surviving: number of designs of the front on the front of the union.
        reached: the hypervolume of the study's own front as a share of its exact front; NaN without an exact front.
    """

    label: str
    study: str
    n_complete: int
    front: Columns
    values: Float
    hypervolume: float
    share: float
    n_surviving: int
    reached: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Fronts of several studies, compared.

    Args:
        sides: the compared studies, in order of the arguments.
        objectives: the m objectives of the comparison.
        reference_point: of all hypervolumes, length m.
        reference_origin: the origin of that point, as text.
        union_size: number of distinct points on the front of the union.
        union_hypervolume: hypervolume of the union up to the reference point.
        coverage: C(i, j) of each ordered pair of the s studies, shape (s, s); NaN where front j is empty.
        changes: differences between the declarations.
        notes: warnings on the validity of the comparison.
    """

    sides: tuple[ComparedResults, ...]
    objectives: tuple[Objective, ...]
    reference_point: tuple[float, ...]
    reference_origin: str
    union_size: int
    union_hypervolume: float
    coverage: Float
    changes: tuple[DeclarationChange, ...]
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        volumes = ", ".join(f"{side.label} {side.hypervolume:.5g}" for side in self.sides)
        return f"Comparison(hypervolumes: {volumes}; union {self.union_hypervolume:.5g})"


def compare_results(
    results: Sequence[Results], *, labels: Sequence[str] | None = None, objectives: Sequence[str] | None = None
) -> Comparison:
    """Compare the fronts of two or more studies by common objectives and one reference point.

    Each front is computed in the common objectives from all feasible designs, by predicted values without intervals.

    Args:
        results: two or more.
        labels: their names in the comparison; default: the studies' names.
        objectives: names of the objectives; default: see `common_objectives`.

    Raises:
        WrongUsage: fewer than two results or common objectives, or weighted_cost with different weights.
        NoFeasibleDesign: no study has a feasible design.
    """
    if len(results) < _MIN_COMPARED:
        raise WrongUsage(
            f"{len(results)} study given", fix="give two or more studies or result folders, or one with --nominal"
        )
    labels = list(labels or [one.study for one in results])
    common, notes = common_objectives(results, labels=labels, requested=objectives)
    fronts = [_front(one, common) for one in results]
    values = [_values(front, common) for front in fronts]
    union = np.concatenate(values)
    if not len(union):
        raise NoFeasibleDesign("none of the studies has a feasible design", fix="run them with looser constraints")
    reference, origin = _reference(results, common, union)
    sizes = [hypervolume(own, reference, common) for own in values]
    union_hypervolume = hypervolume(union, reference, common)
    minimized = to_minimization(union, common)
    survives = np.asarray(moocore.is_nondominated(minimized, keep_weakly=True), dtype=np.bool_)
    ends = np.cumsum([len(own) for own in values])[:-1]
    sides = tuple(
        ComparedResults(
            label=label,
            study=one.study,
            n_complete=one.n_complete,
            front=front,
            values=own,
            hypervolume=size,
            share=size / union_hypervolume if union_hypervolume > 0 else math.nan,
            n_surviving=int(is_surviving.sum()),
            reached=one.reached,
        )
        for label, one, front, own, size, is_surviving in zip(
            labels, results, fronts, values, sizes, np.split(survives, ends), strict=True
        )
    )
    return Comparison(
        sides=sides,
        objectives=common,
        reference_point=reference,
        reference_origin=origin,
        union_size=len(np.unique(minimized[survives], axis=0)),
        union_hypervolume=union_hypervolume,
        coverage=np.array([[coverage(a, b, common) for b in values] for a in values]),
        changes=declaration_changes(results),
        notes=(*comparability_warnings(results, labels), *notes),
    )


def common_objectives(
    results: Sequence[Results], *, labels: Sequence[str], requested: Sequence[str] | None = None
) -> tuple[tuple[Objective, ...], tuple[str, ...]]:
    """Return the objectives of a comparison, and notes on those left out.

    These are the requested objectives; otherwise those that all studies declare; or, if fewer than two and not all that
    any declares, those that any study declares and all tables hold.

    Raises:
        UnknownName: a requested objective does not exist; the message suggests the closest name.
        WrongUsage: too few objectives, a table without one of them, or weighted_cost with different weights.
    """
    requested = [resolve_column(name, OBJECTIVES, label="--objectives") for name in requested or ()]
    declared = [[objective.name for objective in one.objectives] for one in results]
    by_any = list(dict.fromkeys(name for own in declared for name in own))
    by_all = [name for name in by_any if all(name in own for own in declared)]
    named = dict.fromkeys([*OBJECTIVES, *by_any, *(requested or ())])  # also worst cases and ends of intervals
    available = [name for name in named if all(_holds(one, name) for one in results)]
    is_one_cost = len({cost_weights(one) for one in results}) == 1
    comparable = [name for name in available if name != _COST or is_one_cost]
    if requested:
        names = list(dict.fromkeys(requested))
    elif by_all == by_any:
        names = by_all
    else:
        shared = [name for name in by_all if name in comparable]
        names = shared if len(shared) >= _MIN_COMPARED else [name for name in by_any if name in comparable]
    fix = _fix(comparable)
    if lacking := [name for name in names if name not in available]:
        raise WrongUsage(f"not all of the studies hold {', '.join(lacking)}", fix=fix)
    if _COST in names and not is_one_cost:
        weights = "; ".join(
            f"{label}: {weights_text(cost_weights(one))}" for label, one in zip(labels, results, strict=True)
        )
        raise WrongUsage(f"weighted_cost means different things ({weights})", fix=fix)
    if len(names) < _MIN_COMPARED and (not names or names != by_any):  # the only objective of all studies is enough
        raise WrongUsage(f"fewer than two objectives to compare by ({', '.join(names) or 'none'})", fix=fix)
    return tuple(objective_of(name) for name in names), _notes(labels, declared, names)


def coverage(first: Float, second: Float, objectives: Sequence[Objective]) -> float:
    """Return C(first, second): the share of the second front's points that a point of the first dominates or equals.

    C(A, B) and C(B, A) are independent. Coverage counts points; the distance between fronts is measured by hypervolume.

    Args:
        first: shape (k, m).
        second: shape (n, m).
        objectives: m objectives, for their direction.

    Returns:
        A share in [0, 1]; NaN where the second front is empty.

    Source: E. Zitzler and L. Thiele, "Multiobjective Evolutionary Algorithms: A Comparative Case Study and the Strength
    Pareto Approach", IEEE Transactions on Evolutionary Computation 3(4), 1999, definition of C (coverage of two sets).

    >>> from explorer.problem.objectives import OBJECTIVES
    >>> objectives = (OBJECTIVES["energy_j"], OBJECTIVES["latency_s"])
    >>> coverage(np.array([[1.0, 1.0]]), np.array([[2.0, 1.0], [0.5, 3.0]]), objectives)
    0.5
    """
    if not len(second):
        return math.nan
    a, b = to_minimization(first, objectives), to_minimization(second, objectives)
    # Two extra coordinates make every point of A better than any of B, and all points of B mutually non-dominated: the
    # non-dominated filter then removes exactly the points of B that a point of A dominates or equals.
    index = np.arange(len(b), dtype=np.float64)
    extra = np.concatenate([np.full((len(a), 2), -1.0 - len(b)), np.column_stack([index, -index])])
    is_uncovered = np.asarray(moocore.is_nondominated(np.column_stack([np.concatenate([a, b]), extra])), dtype=np.bool_)
    return int(np.sum(~is_uncovered[len(a) :])) / len(second)


def comparison_json(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain JSON values; an undefined share is NaN."""
    return {
        "schema": SCHEMA,
        "objectives": [{"name": o.name, "direction": o.direction} for o in comparison.objectives],
        "reference_point": list(comparison.reference_point),
        "reference_origin": comparison.reference_origin,
        "studies": [
            {
                "label": side.label,
                "study": side.study,
                "n_complete": side.n_complete,
                "front_size": n_rows(side.front),
                "hypervolume": side.hypervolume,
                "union_share": side.share,
                "n_on_union_front": side.n_surviving,
                "exact_share": side.reached,
            }
            for side in comparison.sides
        ],
        "union": {"front_size": comparison.union_size, "hypervolume": comparison.union_hypervolume},
        "coverage": comparison.coverage.tolist(),
        "changes": [{"what": change.what, "values": list(change.values)} for change in comparison.changes],
        "notes": list(comparison.notes),
    }


def _holds(results: Results, name: str) -> bool:
    """Return whether a table has a column with a number for every feasible design."""
    values = results.trials.get(name)
    return values is not None and bool(np.isfinite(values[results.trials["is_feasible"].astype(bool)]).all())


def _fix(comparable: Sequence[str]) -> str:
    if len(comparable) < _MIN_COMPARED:
        return "compare studies whose tables share two or more objectives"
    return f"compare by what all of them hold: --objectives with two or more of {','.join(comparable)}"


def _notes(labels: Sequence[str], declared: Sequence[Sequence[str]], names: Sequence[str]) -> tuple[str, ...]:
    """Return notes on declared objectives that are not compared, and on studies that optimized other objectives."""
    notes = []
    if omitted := dict.fromkeys(name for own in declared for name in own if name not in names):
        notes.append(f"LEFT OUT: {', '.join(omitted)}; the fronts are compared by {', '.join(names)}")
    differing = [
        f"{label} was searched for {', '.join(own)}"
        for label, own in zip(labels, declared, strict=True)
        if set(own) != set(names)
    ]
    if differing:
        notes.append(
            f"OBJECTIVES DIFFER: {'; '.join(differing)}; a search optimizes the front of its own objectives only"
        )
    if len(names) > _MAX_READABLE:
        notes.append(
            f"{len(names)} OBJECTIVES: with so many, few designs dominate others; --objectives picks two or three"
        )
    return tuple(notes)


def _front(results: Results, objectives: Sequence[Objective]) -> Columns:
    """Return the front of a study's trials: measured rows are no result of its search."""
    table = results.trials
    rows = np.flatnonzero(feasible_front(_values(table, objectives), table["is_feasible"], objectives))
    order = np.argsort(table[objectives[0].name][rows], kind="stable")
    return take(table, rows[order])


def _values(columns: Columns, objectives: Sequence[Objective]) -> Float:
    return np.stack([columns[o.name].astype(np.float64) for o in objectives], axis=-1)


def _reference(
    results: Sequence[Results], objectives: Sequence[Objective], union: Float
) -> tuple[tuple[float, ...], str]:
    own = [dict(zip([o.name for o in one.objectives], one.reference_point, strict=True)) for one in results]
    points = {tuple(one.get(o.name) for o in objectives) for one in own}
    if len(points) == 1 and None not in (point := points.pop()):
        return tuple(float(x) for x in point if x is not None), "the studies' own, equal in all"
    return default_reference(union, objectives), "a tenth of the fronts' spread beyond their worst values"
