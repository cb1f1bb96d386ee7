"""The objectives that several studies can be compared by: columns that all of them hold and that mean the same."""

from collections.abc import Sequence

import numpy as np

from explorer.errors import UnknownName, WrongUsage
from explorer.pareto.changes import cost_weights, weights_text
from explorer.pareto.results import Results
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
