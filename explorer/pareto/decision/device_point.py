"""Applying a design to a device: the nearest point of its own table, and what the model says of the design there."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from explorer.devices.operating_points import POINT_POWER, OperatingPoints
from explorer.errors import NoFeasibleDesign, WrongUsage
from explorer.models.evaluation import Problem
from explorer.models.intervals import add_intervals
from explorer.models.posterior_draws import PosteriorModel, posterior_draws
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Columns, knobs_of
from explorer.problem.constraints import Constraint
from explorer.problem.design_space import ROW


@dataclass(frozen=True, slots=True)
class Applied:
    """A design as a device can run it: the operating point's name, and the design's columns there."""

    point: str
    design: dict[str, Any]

    @property
    def is_extrapolated(self) -> bool:
        """Whether the model was asked outside its domain."""
        return bool(is_extrapolated(self.design["domain_distance"]))


def snap(designs: Columns, points: OperatingPoints) -> Columns:
    """Return designs at the listed point whose clock is nearest to theirs (by ratio), its voltage following.

    A rule on both V and f often has no answer on a real table: the same clock needs another voltage on another chip.

    Raises:
        WrongUsage: the designs have no clock, or a voltage where the table has none, or are measured rows.
    """
    if ROW in designs:
        raise WrongUsage(
            "the designs are rows of a table, measured at operating points of their own", fix="leave --device out"
        )
    if "frequency_hz" not in designs:
        raise WrongUsage("the designs have no clock to choose an operating point by", fix="leave --device out")
    index = points.nearest(designs["frequency_hz"])
    there = {name: np.asarray(values)[index] for name, values in points.columns.items()}
    if "voltage_v" in designs and "voltage_v" not in there:
        # The device runs at a voltage that it does not show, which is not the design's.
        raise WrongUsage(
            "the device's table lists no voltages, and the model needs one", fix="take a table with voltages"
        )
    kept = {name: designs[name] for name in knobs_of(designs) if name != POINT_POWER}
    return {**kept, **there}


def apply_to(
    design: dict[str, Any], *, problem: Problem, points: OperatingPoints, conditions: Sequence[Constraint],
    allow_extrapolation: bool,
) -> Applied:  # fmt: skip
    """Return a design at a device's nearest operating point, evaluated there.

    Args:
        design: its columns.
        problem: the study that it is of.
        points: the device's table.
        conditions: what was asked of it; checked again, with the study's constraints.
        allow_extrapolation: take a point outside the model's domain as well.

    Raises:
        WrongUsage: the design has no clock, or the device no voltage that the model needs.
        NoFeasibleDesign: at the device's point a constraint or condition is not met, or the model extrapolates.
    """
    table = {k: np.array([v], dtype=object if isinstance(v, str) else np.float64) for k, v in design.items()}
    knobs = snap({name: table[name] for name in knobs_of(table)}, points)
    regions = {family: replace(region, operating=points) for family, region in problem.regions.items()}
    columns = replace(problem, regions=regions).evaluate(knobs)
    model = problem.evaluator
    if isinstance(model, PosteriorModel):
        weights = problem.study.weights
        columns = add_intervals(columns, model=model, draws=posterior_draws(model), weights=weights)
    point = points.labels[int(points.nearest(knobs["frequency_hz"])[0])]
    applied = Applied(point, {name: values[0] for name, values in columns.items()})
    missed = [c for c in (*problem.study.constraints, *conditions) if c.violation(columns)[0] > 0]
    if missed:
        told = "; ".join(f"{c.text} (there: {float(columns[c.column][0]):.4g})" for c in missed)
        raise NoFeasibleDesign(
            f"at the device's nearest point, {point}, the design misses {told}",
            fix="search the device's own points: [operating_points] device = '...' in the space",
        )
    if applied.is_extrapolated and not allow_extrapolation:
        raise NoFeasibleDesign(
            f"the device's nearest point, {point}, lies outside the model's domain: the prediction there extrapolates",
            fix="measure samples at the device's points, or take the risk with --allow-extrapolation",
        )
    return applied
