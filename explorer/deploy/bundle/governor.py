"""Operating points by slack: the Pareto-optimal points of a device for one network, for a run-time governor."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from explorer.deploy.bundle.placement import Placement, study_problem
from explorer.deploy.bundle.schema import GovernorFile, GovernorPoint, LeftOutPoint
from explorer.deploy.bundle.selected import SelectedDesign
from explorer.deploy.device.target import Control
from explorer.devices.device import read_device, read_device_points
from explorer.devices.operating_points import POINT_POWER, OperatingPoints
from explorer.errors import NoFeasibleDesign, WrongUsage
from explorer.models.evaluation import DOMAIN_LIMIT, Problem
from explorer.models.intervals import add_intervals
from explorer.models.limits import chance_columns
from explorer.models.posterior_draws import N_DRAWS, PosteriorModel, posterior_draws, predict_draws
from explorer.pareto.geometry.dominance import is_nondominated
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import Columns, Float, bounds, knobs_of, own_knobs
from explorer.problem.constraints import MAX_PROBABILITY, MIN_PROBABILITY, Constraint, parse_constraint
from explorer.problem.objectives import OBJECTIVES

GOVERNOR = "governor.json"
_NEEDS = ("latency_s", "energy_j")
NOTES = (
    "least slack: time to the deadline within which one inference ends with the stated probability",
    "the probability is that of the model's posterior draws, with the scatter of a measurement",
    "highest rate: of periodic arrivals, each with the next as its deadline; a queue of irregular ones is not in it",
    "energy: of one inference, without idle time, and without the time and energy that a change of the clock takes",
)


@dataclass(frozen=True, slots=True)
class PointTable:
    """A table of operating points, its origin in words, and what sets its clocks; '' if no device is named."""

    points: OperatingPoints
    source: str
    device: str = ""
    control: Control | None = None


def build_governor(
    selected: SelectedDesign,
    placement: Placement,
    *,
    folder: Path,
    device: str | None,
    bin_name: str,
    confidence: float,
    allow_extrapolation: bool,
    warnings: Sequence[str] = (),
) -> GovernorFile:
    """Return the operating points that a chosen design may run at, by the slack that each of them needs.

    Args:
        selected: the chosen design: its network (R, D and own knobs) is fixed, its clock is replaced.
        placement: the placement of the design, with the study's problem if that was loaded.
        folder: folder of its file, relative to which its study file is located.
        device: name or file of the device; None uses that of chosen.json, or the table of the study's space.
        bin_name: speed bin of the device.
        confidence: probability that one inference ends within the slack.
        allow_extrapolation: allow operating points outside the model's domain.
        warnings: what the predictions do not hold for.

    Raises:
        WrongUsage: the confidence is not a probability that draws resolve, the design has no clock, its study cannot be
            loaded again unchanged, has no model of latency and energy, or there is no table of operating points.
        InvalidFile: the device's file has faults.
        NoFeasibleDesign: no operating point is inside the model's domain and meets the limits of the study.
    """
    if not MIN_PROBABILITY <= confidence <= MAX_PROBABILITY:
        raise WrongUsage(
            f"--confidence {confidence:g} is outside [{MIN_PROBABILITY:g}, {MAX_PROBABILITY:g}]",
            fix="give a probability such as 0.9",
        )
    if selected.file.design.frequency_hz is None:
        raise WrongUsage(
            f"design {selected.file.design.design_id} has no clock: a governor has nothing to set",
            fix="leave --governor out, or search a space with operating points",
        )
    problem, reasons = (placement.problem, ()) if placement.problem else study_problem(selected, folder=folder)
    if problem is None or reasons:
        raise WrongUsage(
            f"--governor needs the model of the study: {'; '.join(reasons)}", fix="run the study and choose again"
        )
    table = _table(selected, problem, device=device, bin_name=bin_name)
    designs, latency, chances = _evaluate(selected, problem, table.points)
    excluded = _exclusions(selected, problem, designs | chances, allow_extrapolation=allow_extrapolation)
    rows, slack = select_points(designs["energy_j"], latency, excluded, confidence=confidence)
    if not rows:
        raise NoFeasibleDesign(
            f"none of the {len(excluded)} operating points of {table.source} can be used: {excluded[0]}",
            fix="loosen that limit, measure samples at these clocks, or take the risk with --allow-extrapolation",
        )
    text = "slower and no cheaper than another point"
    return GovernorFile(
        schema="explorer.governor/1", study=selected.file.study, design_id=selected.file.design.design_id,
        chosen_sha256=selected.sha256, device=table.device, source=table.source, control=table.control,
        confidence=confidence, n_draws=len(latency),
        points=tuple(_point(table, designs, i, slack[i]) for i in rows),
        left_out=tuple(
            LeftOutPoint(operating_point=label, reason=excluded[i] or text)
            for i, label in enumerate(table.points.labels) if i not in rows
        ),
        warnings=tuple(warnings), notes=NOTES,
    )  # fmt: skip


def select_points(
    energy: Float, latency_by_draw: Float, excluded: Sequence[str], *, confidence: float
) -> tuple[list[int], Float]:
    """Return the points that are Pareto-optimal in least slack and energy, from fast to slow, and the slack of all.

    With any slack, the last of these points whose least slack is not more than it takes the least energy among all
    points that end within it with the stated probability.

    Args:
        energy: predicted energy of one inference at each point, shape (m,).
        latency_by_draw: its latency in every posterior draw, shape (S, m).
        excluded: why a point must not be used, '' if it may be, length m.
        confidence: probability that one inference ends within the slack.

    Returns:
        the rows, and the confidence-quantile of the latency of each point (an order statistic), shape (m,).
    """
    limit = Constraint("latency_s", "<=", 1.0, confidence)
    slack = chance_columns((limit,), {"latency_s": latency_by_draw})[limit.compared]
    usable = np.array([i for i, reason in enumerate(excluded) if not reason], dtype=np.int64)
    values = np.stack([slack[usable], energy[usable]], axis=-1)
    front = usable[is_nondominated(values, [OBJECTIVES["latency_s"], OBJECTIVES["energy_j"]])]
    return [int(i) for i in front[np.argsort(slack[front], kind="stable")]], slack


def _table(selected: SelectedDesign, problem: Problem, *, device: str | None, bin_name: str) -> PointTable:
    """Return the table of the named device, of the one that the design was chosen for, or of the study's space."""
    applied = selected.file.applied
    if device is None and applied is not None:
        device, bin_name = applied.device, bin_name or applied.bin
    if device is not None:
        file = read_device(device)
        name = Path(device).stem  # not the path, which may contain private folder names
        return PointTable(read_device_points(device, bin_name=bin_name), file.title or name, name, file.control)
    family = selected.file.design.family
    region = problem.regions.get(family)
    space = next((space for space in problem.study.spaces if family in space.families), None)
    if region is None or space is None or not isinstance(region.operating, OperatingPoints):
        raise WrongUsage(
            f"study '{selected.file.study}' has no table of operating points: no governor can choose among them",
            fix="name a device with --device, or give its space one: [operating_points] device = 'NAME'",
        )
    named = space.file.operating_points.device
    if named is None:
        return PointTable(region.operating, f"space '{space.name}'")
    file = read_device(named, base=space.path.parent)
    return PointTable(region.operating, file.title or Path(named).stem, Path(named).stem, file.control)


def _evaluate(selected: SelectedDesign, problem: Problem, points: OperatingPoints) -> tuple[Columns, Float, Columns]:
    """Evaluate the design at every point.

    Returns:
        its columns with intervals, shape (m,) each; its latency in every draw, with the scatter of a measurement, shape
        (S, m); the percentiles that the conditions of its rule compare, shape (m,) each.
    """
    model, family = problem.evaluator, selected.file.design.family
    lacking = [name for name in _NEEDS if name not in model.targets_of(family)]
    lacking += [one.target for one in problem.unsupported if one.target in _NEEDS]
    if not isinstance(model, PosteriorModel) or lacking:
        what = f"model '{model.name}' predicts no {', '.join(lacking)}" if lacking else "its designs are measured"
        raise WrongUsage(
            f"no latency and energy at other clocks: {what}",
            fix="leave --governor out, or fit a model to samples at several clocks",
        )
    regions = {name: replace(region, operating=points) for name, region in problem.regions.items()}
    designs = replace(problem, regions=regions).evaluate(_at_every_point(selected.columns, points))
    draws = posterior_draws(model, n=N_DRAWS)
    designs = add_intervals(designs, model=model, draws=draws, constants=problem.study.constants)
    latency = predict_draws(model, draws, designs, with_noise=True)["latency_s"]
    uncertain = [condition for condition in _conditions(selected) if condition.probability is not None]
    chances = chance_columns(uncertain, problem.statistics.by_draw(model, designs, draws)) if uncertain else {}
    return designs, latency, chances


def _at_every_point(columns: Mapping[str, Any], points: OperatingPoints) -> Columns:
    """Return the knobs of a design repeated at every operating point, shape (m,) each.

    Raises:
        WrongUsage: the design has a voltage and the table lists none.
    """
    known = {name: np.asarray([value]) for name, value in columns.items() if value is not None}
    at_points = {name: np.asarray(values) for name, values in points.columns.items()}
    if "voltage_v" in known and "voltage_v" not in at_points:
        raise WrongUsage("the table lists no voltages, and the model needs one", fix="use a table with voltages")
    if "voltage_v" not in known:
        at_points.pop("voltage_v", None)
    n = len(points.frequency_hz)
    fixed = {name: known[name] for name in knobs_of(known) if name not in points.columns and name != POINT_POWER}
    texts = {name: values.astype(object) if isinstance(values[0], str) else values for name, values in fixed.items()}
    return {**{name: np.repeat(values, n) for name, values in texts.items()}, **at_points}


def _conditions(selected: SelectedDesign) -> list[Constraint]:
    own = own_knobs(dict.fromkeys(selected.columns, np.empty(0)))
    return [parse_constraint(text, where="chosen.json", own=own) for text in selected.file.rule.where]


def _exclusions(
    selected: SelectedDesign, problem: Problem, columns: Columns, *, allow_extrapolation: bool
) -> list[str]:
    """Return why the design must not run at each point, '' where it may: limits of its study and the model's domain."""
    misses = {text: values for text, values in problem.constraint_violations(columns).items() if text != DOMAIN_LIMIT}
    # Conditions on annotations (p_front, sample_distance) are of the search's front, not of a clock.
    misses |= {one.text: one.violation(columns) for one in _conditions(selected) if one.compared in columns}
    outside = is_extrapolated(columns["domain_distance"]) & (not allow_extrapolation)
    return [
        "outside the model's domain: it would extrapolate" if outside[i]
        else "; ".join(f"breaks {text}" for text, values in misses.items() if not values[i] <= 0)
        for i in range(len(outside))
    ]  # fmt: skip


def _point(table: PointTable, designs: Mapping[str, Any], row: int, slack: float) -> GovernorPoint:
    ends = {end: float(designs[end][row]) for name in _NEEDS for end in bounds(name)}
    return GovernorPoint(
        operating_point=table.points.labels[row], frequency_hz=table.points.frequency_hz[row],
        latency_s=float(designs["latency_s"][row]), energy_j=float(designs["energy_j"][row]), **ends,
        slack_s=float(slack), rate_hz=1 / float(slack),
    )  # fmt: skip


def slack_ns(point: GovernorPoint) -> int:
    """Return the least slack in whole nanoseconds, rounded up: a shell has no fractions."""
    return math.ceil(point.slack_s * 1e9)
