"""Design on a device: snap it to the nearest operating point of the device's table, and evaluate it again."""

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
from explorer.problem.constraints import Constraint, joint_groups, joint_text
from explorer.problem.design_space import ROW


@dataclass(frozen=True, slots=True)
class AppliedDesign:
    """A design at an operating point of a device: the point's name, and the evaluated columns of the design."""

    point: str
    design: dict[str, Any]

    @property
    def is_extrapolated(self) -> bool:
        """True if the design is outside the model's domain."""
        return bool(is_extrapolated(self.design["domain_distance"]))


def snap(designs: Columns, points: OperatingPoints) -> Columns:
    """Return designs at the operating point with the nearest clock (by ratio), with the voltage of that point.

    The clock alone decides: matching V and f together often has no solution on a real table, because the same clock
    needs another voltage on another chip.

    Raises:
        WrongUsage: the designs have no clock, have a voltage but the table has none, or are measured rows.
    """
    if ROW in designs:
        raise WrongUsage(
            "the designs are rows of a table, measured at their own operating points", fix="leave --device out"
        )
    if "frequency_hz" not in designs:
        raise WrongUsage("the designs have no clock to select an operating point by", fix="leave --device out")
    index = points.nearest(designs["frequency_hz"])
    point = {name: np.asarray(values)[index] for name, values in points.columns.items()}
    if "voltage_v" in designs and "voltage_v" not in point:
        # The device sets a voltage that its table does not list, so the design's voltage cannot be used.
        raise WrongUsage(
            "the device's table lists no voltages, and the model needs one", fix="use a device table with voltages"
        )
    knobs = {name: designs[name] for name in knobs_of(designs) if name != POINT_POWER}
    return {**knobs, **point}


def evaluate_on_device(
    design: dict[str, Any], *, problem: Problem, points: OperatingPoints, conditions: Sequence[Constraint],
    allow_extrapolation: bool,
) -> AppliedDesign:  # fmt: skip
    """Evaluate a design at the operating point of a device that is nearest to it.

    Args:
        design: the columns of the design.
        problem: the study of the design.
        points: the device's table.
        conditions: conditions of the selection, checked again together with the study's constraints.
        allow_extrapolation: accept a point outside the model's domain.

    Raises:
        WrongUsage: the design has no clock, or the device's table no voltage although the model needs it.
        NoFeasibleDesign: the design violates a constraint or condition at that point, or the model extrapolates.
    """
    table = {k: np.array([v], dtype=object if isinstance(v, str) else np.float64) for k, v in design.items()}
    knobs = snap({name: table[name] for name in knobs_of(table)}, points)
    regions = {family: replace(region, operating=points) for family, region in problem.regions.items()}
    limits = tuple(dict.fromkeys((*problem.study.constraints, *conditions)))
    asked = replace(problem, regions=regions, study=replace(problem.study, constraints=limits))
    columns = asked.evaluate(knobs)
    model = problem.evaluator
    if isinstance(model, PosteriorModel):
        constants = problem.study.constants
        columns = add_intervals(columns, model=model, draws=posterior_draws(model), constants=constants)
    point = points.labels[int(points.nearest(knobs["frequency_hz"])[0])]
    applied = AppliedDesign(point, {name: values[0] for name, values in columns.items()})
    violated = [f"{c.text} (value {float(columns[c.compared][0]):.4g})" for c in limits if c.violation(columns)[0] > 0]
    violated += [joint_text(probability) for name, probability, _ in joint_groups(limits) if columns[name][0] > 0]
    if violated:
        texts = "; ".join(violated)
        raise NoFeasibleDesign(
            f"at the device's nearest operating point, {point}, the design violates {texts}",
            fix="search the device's own points: [operating_points] device = '...' in the space",
        )
    if applied.is_extrapolated and not allow_extrapolation:
        raise NoFeasibleDesign(
            f"the device's nearest operating point, {point}, lies outside the model's domain: it extrapolates",
            fix="measure samples at the device's operating points, or accept it with --allow-extrapolation",
        )
    return applied
