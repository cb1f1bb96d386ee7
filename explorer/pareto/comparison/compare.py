"""Comparing the fronts of several studies: one reference point, hypervolumes, and who covers whom."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import moocore
import numpy as np

from explorer.errors import NoFeasibleDesign, UnknownName, WrongUsage
from explorer.pareto.comparison.declaration_diff import (
    DeclarationChange,
    cost_weights,
    declaration_changes,
    inequalities,
    weights_text,
)
from explorer.pareto.geometry.dominance import default_reference, feasible_front, hypervolume, to_minimization
from explorer.pareto.results.results import Results
from explorer.problem.columns import Columns, Float, n_rows, take
from explorer.problem.objectives import OBJECTIVES, Objective

LEAST = 2
_READABLE = 3
_COST = "weighted_cost"


def common_objectives(
    results: Sequence[Results], *, labels: Sequence[str], asked: Sequence[str] | None = None
) -> tuple[tuple[Objective, ...], tuple[str, ...]]:
    """Return what studies can be compared by, and notes on what was left out.

    Those asked for; otherwise those that all declare, or, where these are fewer than two, those that any declares and
    all tables hold.

    Raises:
        UnknownName: an objective asked for is none; the nearest name is told.
        WrongUsage: there are fewer than two; a table lacks one; or weighted_cost has another alpha or E_max in each.
    """
    if unknown := [name for name in asked or () if name not in OBJECTIVES]:
        raise UnknownName("--objectives", unknown[0], OBJECTIVES)
    declared = [[objective.name for objective in one.objectives] for one in results]
    anyone = list(dict.fromkeys(name for own in declared for name in own))
    everyone = [name for name in anyone if all(name in own for own in declared)]
    held = [name for name in OBJECTIVES if all(_holds(one, name) for one in results)]
    is_one_cost = len({cost_weights(one) for one in results}) == 1
    comparable = [name for name in held if name != _COST or is_one_cost]
    if asked:
        wanted = list(dict.fromkeys(asked))
    elif everyone == anyone:
        wanted = everyone
    else:
        shared = [name for name in everyone if name in comparable]
        wanted = shared if len(shared) >= LEAST else [name for name in anyone if name in comparable]
    fix = _fix(comparable)
    if lacking := [name for name in wanted if name not in held]:
        raise WrongUsage(f"not all of the studies hold {', '.join(lacking)}", fix=fix)
    if _COST in wanted and not is_one_cost:
        said = "; ".join(
            f"{label}: {weights_text(cost_weights(one))}" for label, one in zip(labels, results, strict=True)
        )
        raise WrongUsage(f"weighted_cost means different things ({said})", fix=fix)
    if len(wanted) < LEAST:
        raise WrongUsage(f"fewer than two objectives to compare by ({', '.join(wanted) or 'none'})", fix=fix)
    return tuple(OBJECTIVES[name] for name in wanted), _left_out(labels, declared, wanted)


def _holds(results: Results, name: str) -> bool:
    """Tell whether a table has this column, with a number for every feasible design."""
    values = results.table.get(name)
    return values is not None and bool(np.isfinite(values[results.table["is_feasible"].astype(bool)]).all())


def _fix(comparable: Sequence[str]) -> str:
    if len(comparable) < LEAST:
        return "compare studies whose tables share two or more objectives"
    return f"compare by what all of them hold: --objectives with two or more of {','.join(comparable)}"


def _left_out(labels: Sequence[str], declared: Sequence[Sequence[str]], wanted: Sequence[str]) -> tuple[str, ...]:
    """Say which objectives are not compared, and which study was searched for others than it is compared by."""
    notes = []
    if left := dict.fromkeys(name for own in declared for name in own if name not in wanted):
        notes.append(f"LEFT OUT: {', '.join(left)}; the fronts are compared by {', '.join(wanted)}")
    others = [
        f"{label} was searched for {', '.join(own)}"
        for label, own in zip(labels, declared, strict=True)
        if set(own) != set(wanted)
    ]
    if others:
        notes.append(f"OBJECTIVES DIFFER: {'; '.join(others)}; a search does not aim at a front by other objectives")
    if len(wanted) > _READABLE:
        notes.append(
            f"{len(wanted)} OBJECTIVES: by so many, few designs dominate others; --objectives picks two or three"
        )
    return tuple(notes)


SCHEMA = "explorer.compare/1"


@dataclass(frozen=True, slots=True)
class ComparedResults:
    """One study in a comparison.

    Args:
        label: what it is called here.
        study: its own name.
        n_complete: number of finished designs.
        front: its front in the comparison's objectives, in order of the first.
        values: the front's objectives, shape (k, m).
        hypervolume: what the front dominates up to the common reference point.
        share: of the hypervolume of all fronts' union; NaN where that is zero.
        n_surviving: how many of the front's designs no design of another front dominates.
        reached: the share of its own exact front that its own search found, by its own objectives; NaN if not known.
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
    """Fronts of several studies side by side.

    Args:
        sides: the studies, in the order given.
        objectives: what the fronts are compared by, m of them.
        reference_point: common to all, length m.
        reference_origin: where that point comes from.
        union_size: number of distinct points on the union's front.
        union_hypervolume: what the union dominates up to the reference point.
        coverage: C(i, j) of each ordered pair, shape (s, s); NaN where front j is empty.
        changes: what differs in the declarations; empty where nothing does.
        notes: what to know before believing a comparison.
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


def compare(
    results: Sequence[Results], *, labels: Sequence[str] | None = None, objectives: Sequence[str] | None = None
) -> Comparison:
    """Compare the fronts of two or more studies by common objectives and one reference point.

    Fronts are taken anew in the common objectives, from all feasible designs. Values are the predicted ones; intervals
    are not compared.

    Args:
        results: two or more.
        labels: what to call them; default: the studies' names.
        objectives: compare by these; default: see `common.common_objectives`.

    Raises:
        WrongUsage: there are fewer than two results or common objectives, or their columns mean different things.
        NoFeasibleDesign: no study has a feasible design.
    """
    if len(results) < LEAST:
        raise WrongUsage(f"{len(results)} study given", fix="give two or more studies or result folders")
    labels = list(labels or [one.study for one in results])
    wanted, notes = common_objectives(results, labels=labels, asked=objectives)
    fronts = [_front(one, wanted) for one in results]
    values = [_values(front, wanted) for front in fronts]
    together = np.concatenate(values)
    if not len(together):
        raise NoFeasibleDesign("none of the studies has a feasible design", fix="run them with looser constraints")
    reference, origin = _reference(results, wanted, together)
    sizes = [hypervolume(own, reference, wanted) for own in values]
    union = hypervolume(together, reference, wanted)
    turned = to_minimization(together, wanted)
    survives = np.asarray(moocore.is_nondominated(turned, keep_weakly=True), dtype=np.bool_)
    ends = np.cumsum([len(own) for own in values])[:-1]
    sides = tuple(
        ComparedResults(
            label, one.study, one.n_complete, front, own, size, _share(size, union), int(alive.sum()), one.reached
        )
        for label, one, front, own, size, alive in zip(
            labels, results, fronts, values, sizes, np.split(survives, ends), strict=True
        )
    )
    return Comparison(
        sides=sides,
        objectives=wanted,
        reference_point=reference,
        reference_origin=origin,
        union_size=len(np.unique(turned[survives], axis=0)),
        union_hypervolume=union,
        coverage=np.array([[coverage(a, b, wanted) for b in values] for a in values]),
        changes=declaration_changes(results),
        notes=(*inequalities(results, labels), *notes),
    )


def coverage(first: Float, second: Float, objectives: Sequence[Objective]) -> float:
    """Return C(first, second): the share of the second front's points that a point of the first dominates or equals.

    C(A, B) and C(B, A) are two numbers: neither follows from the other. It counts points, and says nothing of how far
    one front lies before the other; hypervolume does.

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
    one, other = to_minimization(first, objectives), to_minimization(second, objectives)
    # Two more coordinates, in which every point of the first is better than any of the second and no two of the second
    # can be compared: then the filter leaves of the second just what no point of the first is as good as.
    place = np.arange(len(other), dtype=np.float64)
    extra = np.concatenate([np.full((len(one), 2), -1.0 - len(other)), np.column_stack([place, -place])])
    is_left = np.asarray(
        moocore.is_nondominated(np.column_stack([np.concatenate([one, other]), extra])), dtype=np.bool_
    )
    return int(np.sum(~is_left[len(one) :])) / len(second)


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


def _front(results: Results, objectives: Sequence[Objective]) -> Columns:
    rows = np.flatnonzero(feasible_front(_values(results.table, objectives), results.table["is_feasible"], objectives))
    order = np.argsort(results.table[objectives[0].name][rows], kind="stable")
    return take(results.table, rows[order])


def _values(columns: Columns, objectives: Sequence[Objective]) -> Float:
    return np.stack([columns[o.name].astype(np.float64) for o in objectives], axis=-1)


def _reference(
    results: Sequence[Results], objectives: Sequence[Objective], together: Float
) -> tuple[tuple[float, ...], str]:
    own = [dict(zip([o.name for o in one.objectives], one.reference_point, strict=True)) for one in results]
    points = {tuple(one.get(o.name) for o in objectives) for one in own}
    if len(points) == 1 and None not in (point := points.pop()):
        return tuple(float(x) for x in point if x is not None), "the studies' own, equal in all"
    return default_reference(together, objectives), "a tenth of the fronts' spread beyond their worst values"


def _share(size: float, union: float) -> float:
    return size / union if union > 0 else math.nan
