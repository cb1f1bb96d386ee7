"""How near designs came to each constraint, where none of them meets all."""

from collections.abc import Sequence

import numpy as np

from explorer.errors import NoFeasibleDesign
from explorer.pareto.results import Results
from explorer.problem.columns import Columns, describe, own_knobs
from explorer.problem.constraints import Constraint, parse_constraint


def nearest_misses(table: Columns, constraints: Sequence[Constraint]) -> list[str]:
    """Say, for each limit, how near the best design came to it, where no design meets them all."""
    lines = []
    for constraint in constraints:
        miss = constraint.excess(table)
        best = float(table[constraint.column][int(np.argmin(miss))])
        met = "met by some designs" if miss.min() <= 0 else f"nearest is {describe(constraint.column).text(best)}"
        lines.append(f"{constraint.text}: {met}")
    return lines


def nothing_feasible(results: Results) -> NoFeasibleDesign:
    """Return the error of results without a front: how near the designs came to each constraint, and what to do."""
    own = own_knobs(results.table)
    asked = [parse_constraint(text, own=own) for text in results.constraints]
    misses = "".join(f"\n  {line}" for line in nearest_misses(results.table, asked)) if results.n_complete else ""
    return NoFeasibleDesign(
        f"none of {results.n_complete} designs meets every constraint{misses}",
        fix="loosen the constraint that is furthest from being met, or widen the space",
    )
