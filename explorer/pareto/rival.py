"""Rivals: of all designs that beat one, the one that beats it most, by how much and how surely."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from explorer.models.assessment import Assessment
from explorer.models.draws import Draws
from explorer.models.evaluator import Evaluator
from explorer.pareto.front import minimized
from explorer.pareto.rates import interval, worlds
from explorer.pareto.results import Results
from explorer.problem.columns import knobs_of, take


@dataclass(frozen=True, slots=True)
class Rival:
    """The design that beats another most: of all that dominate it, the one that gains most over all objectives.

    Args:
        design_id: its number.
        n: how many designs dominate the explained one.
        gains: for each objective, what changes from the explained design to this one: (change, lo, hi), SI; lo and hi
            are NaN where the model has no posterior.
        probability: the share of the posterior's draws in which it dominates; NaN without one.
    """

    design_id: int
    n: int
    gains: Mapping[str, tuple[float, float, float]]
    probability: float


def rival_of(
    results: Results, row: int, *, assessment: Assessment, model: Evaluator, draws: Draws | None
) -> Rival | None:  # fmt: skip
    """Return the design that beats one row of the results most; None where none does.

    A design beats another where it is feasible, no worse in any objective and better in one. Gains of several
    objectives are added, each as a share of the front's range in it.

    Args:
        results: the results.
        row: the design's row in their table.
        assessment: the study.
        model: the model that predicts.
        draws: its draws; None where it has no posterior.
    """
    turned = minimized(results.values, results.objectives)
    gains = turned[row] - turned
    beats = results.table["is_feasible"] & np.all(gains >= 0, axis=1) & np.any(gains > 0, axis=1)
    if not beats.any():
        return None
    front = turned[results.is_front] if results.is_front.any() else turned
    spread = np.ptp(front, axis=0)
    total = np.sum(gains / np.where(spread > 0, spread, 1.0), axis=1)
    best = int(np.argmax(np.where(beats, total, -np.inf)))
    pair = take({name: results.table[name] for name in knobs_of(results.table)}, np.array([row, best]))
    mode, drawn = worlds(pair, assessment=assessment, model=model, draws=draws)
    changes = {o.name: drawn[o.name][:, 1] - drawn[o.name][:, 0] for o in results.objectives}
    better = np.stack([o.sign * changes[o.name] for o in results.objectives], axis=-1)
    wins = np.all(better <= 0, axis=1) & np.any(better < 0, axis=1)
    told = {}
    for o in results.objectives:
        change = float(mode[o.name][1] - mode[o.name][0])
        told[o.name] = (change, *interval(change, changes[o.name]))
    return Rival(
        int(results.table["design_id"][best]), int(beats.sum()), told, float(wins.mean()) if wins.size else math.nan
    )
