"""Placing a design on a device: the nearest clock of its own table, and what the study's model says there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.deploy.bundle.selected import Chosen
from explorer.deploy.device.target import Target
from explorer.devices.device import DeviceFile, device_points, read_device
from explorer.devices.operating_points import OperatingPoints
from explorer.errors import InvalidFile, WrongUsage
from explorer.models.evaluation import Problem
from explorer.pareto.decision.device_point import AppliedDesign, evaluate_on_device
from explorer.pareto.results.origin import locate_study_file, provenance_changes
from explorer.problem.columns import own_knobs
from explorer.problem.constraints import parse_constraint
from explorer.units import factor

Load = Callable[[str], Problem]


@dataclass(frozen=True, slots=True)
class Placement:
    """A device at the applied point, the design's columns there (None: not evaluated), and what is to be said of it."""

    target: Target | None = None
    there: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()


def place_on_device(
    chosen: Chosen, *, folder: Path, device: str | None, bin_name: str, load: Load, allow_extrapolation: bool
) -> Placement:
    """Place a chosen configuration on the device that is named, or else on the one that it was chosen for.

    Args:
        chosen: the configuration.
        folder: where its file lies, from which its study is looked for.
        device: name or file of the device.
        bin_name: its speed bin.
        load: loads a study with its model.
        allow_extrapolation: take a point outside the model's domain as well.

    Raises:
        WrongUsage: there is no such device, or the design has no clock.
        InvalidFile: the device's file is not what it should be, or its bins leave a choice that was not made.
        NoFeasibleDesign: at the device's point a constraint is not met, or the model extrapolates.
    """
    before = chosen.file.applied
    if device is None and before is not None:
        device, bin_name = before.device, bin_name or before.bin
    if device is None:
        return Placement()
    clock = chosen.file.design.frequency_hz
    if clock is None:
        raise WrongUsage(f"design {chosen.file.design.design_id} has no clock to set", fix="leave --device out")
    file, points = read_device(device), device_points(device, bin_name=bin_name)
    target = _target(device, bin_name, file, points=points, clock=clock)
    if before is not None and before.device == device and before.design.get("frequency_hz") == target.clock_hz:
        return Placement(target, before.design)
    origin = chosen.file.provenance.model_dump(mode="json")
    try:
        problem = load(locate_study_file(origin, folder=folder, asked=chosen.file.study))
        changes = provenance_changes(origin, problem)
        if changes:
            return Placement(
                target, None, tuple(f"not evaluated again at the applied clock: {said}" for said in changes)
            )
        there = _evaluated(chosen, points, problem=problem, allow_extrapolation=allow_extrapolation)
    except (WrongUsage, InvalidFile) as error:
        return Placement(target, None, (f"not evaluated again at the applied clock: {error.problem.splitlines()[0]}",))
    return Placement(target, there.design)


def _evaluated(
    chosen: Chosen, points: OperatingPoints, *, problem: Problem, allow_extrapolation: bool
) -> AppliedDesign:
    columns = {name: value for name, value in chosen.columns.items() if value is not None}
    own = own_knobs(dict.fromkeys(columns))  # type: ignore[arg-type]
    conditions = [parse_constraint(text, where="chosen.json", own=own) for text in chosen.file.rule.where]
    return evaluate_on_device(
        columns, problem=problem, points=points, conditions=conditions, allow_extrapolation=allow_extrapolation
    )


def _target(device: str, bin_name: str, file: DeviceFile, *, points: OperatingPoints, clock: float) -> Target:
    index = int(points.nearest(clock))
    hertz = factor(file.frequency_unit, "Hz")
    named = {(point.frequency * hertz, point.node) for point in file.points or ()}
    clocks = sorted(set(points.frequency_hz))
    return Target(
        device=Path(device).stem,  # a path would tell where somebody keeps his files
        title=file.title or Path(device).stem,
        source=file.source,
        bin_name=bin_name,
        control=file.control,
        clocks_hz=tuple(clocks),
        clock_hz=points.frequency_hz[index],
        point=points.labels[index],
        opp_table=file.opp_table,
        nodes=tuple(_node({node for frequency, node in named if frequency == each}) for each in clocks),
    )


def _node(names: set[str]) -> str:
    """Return the one name of a clock's node; chips of several bins may have several, and then none is known."""
    return names.pop() if len(names) == 1 else ""
