"""How sure the front is: the probability that a design is on it, over the posterior of the model."""

import numpy as np

from explorer.models.assessment import Assessment
from explorer.models.draws import Draws, PosteriorModel, blocks_of, drawn_targets
from explorer.pareto.front import is_nondominated
from explorer.problem.columns import Columns, Float, n_rows, take
from explorer.problem.objectives import add_objectives

SURE = 0.95
POSSIBLE = 0.05
# A design needs to be within this many layers of non-dominated designs to have a chance worth computing.
_MAX_CANDIDATES = 1_500


def front_probability(table: Columns, assessment: Assessment, *, model: PosteriorModel, draws: Draws) -> Float:
    """Return for each design the posterior probability that it is feasible and no other design beats it, shape (n,).

    In each draw of the coefficients all designs are compared with the same coefficients, without the scatter of single
    measurements: what two designs share, they share in every draw. Compared are the designs of the table with each
    other; those many layers behind the front are not computed and have 0.

    Args:
        table: assessed designs.
        assessment: the study.
        model: the model that predicted them.
        draws: its draws.
    """
    rows = _candidates(table, assessment)
    result = np.zeros(n_rows(table))
    if not rows.size:
        return result
    values, is_feasible = _drawn(take(table, rows), assessment, model, draws)
    objectives = assessment.study.objectives
    count = np.zeros(len(rows))
    for drawn, feasible in zip(values, is_feasible, strict=True):
        alive = np.flatnonzero(feasible)
        count[alive[is_nondominated(drawn[alive], objectives)]] += 1
    result[rows] = count / len(values)
    return result


def certainty(p_front: Float) -> "np.ndarray[tuple[int, ...], np.dtype[np.object_]]":
    """Name each probability: 'sure' (at least 95 %), 'possible' (at least 5 %) or 'dominated', shape (n,)."""
    words = np.where(p_front >= SURE, "sure", np.where(p_front >= POSSIBLE, "possible", "dominated"))
    return words.astype(object)


def _candidates(table: Columns, assessment: Assessment) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    excess = assessment.excess(table)
    fixed = [name for name in excess if name not in {c.text for c in assessment.study.constraints}]
    left = np.flatnonzero(np.all(np.stack([excess[name] for name in fixed]) <= 0, axis=0))
    values = assessment.values(table)
    chosen: list[np.ndarray] = []
    # Layer by layer, so that what is left out lies behind everything that is compared.
    while left.size and sum(map(len, chosen)) < _MAX_CANDIDATES:
        layer = is_nondominated(values[left], assessment.study.objectives)
        chosen.append(left[layer][: _MAX_CANDIDATES - sum(map(len, chosen))])
        left = left[~layer]
    return np.sort(np.concatenate(chosen)) if chosen else np.empty(0, dtype=np.int64)


def _drawn(
    designs: Columns, assessment: Assessment, model: PosteriorModel, draws: Draws
) -> tuple[Float, "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]"]:
    """Return objectives, shape (S, n, m), and feasibility, shape (S, n), of designs in every draw."""
    study = assessment.study
    values, feasible = [], []
    for block in blocks_of(designs):
        drawn = add_objectives(drawn_targets(model, draws, block, with_noise=False), study.weights)
        values.append(np.stack([drawn[objective.name] for objective in study.objectives], axis=-1))
        # Constraints on knobs or checks do not depend on the draw.
        columns = {name: drawn.get(name, block[name][None, :]) for name in block}
        met = [constraint.excess(columns) <= 0 for constraint in study.constraints]
        everywhere = np.ones(values[-1].shape[:2], dtype=np.bool_)
        feasible.append(np.all(np.stack([everywhere, *[everywhere & m for m in met]]), axis=0))
    return np.concatenate(values, axis=1), np.concatenate(feasible, axis=1)
