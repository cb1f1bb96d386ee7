"""Place a design on a device: nearest clock of its table, predictions at it, and warnings of another machine."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from explorer.deploy.bundle.selected import SelectedDesign
from explorer.deploy.device.target import TargetDevice
from explorer.devices.device import DeviceFile, read_device, read_device_points
from explorer.devices.machines import check_machine
from explorer.devices.operating_points import OperatingPoints
from explorer.errors import InvalidFile, NoFeasibleDesign, WrongUsage
from explorer.models.evaluation import Problem, make_problem
from explorer.models.loading import load_evaluator
from explorer.models.machine import is_timed
from explorer.pareto.decision.device_point import AppliedDesign, evaluate_on_device
from explorer.pareto.results.origin import locate_study_file, provenance_changes
from explorer.problem.columns import own_knobs
from explorer.problem.constraints import parse_constraint
from explorer.problem.study import read_study
from explorer.units import factor


@dataclass(frozen=True, slots=True)
class Placement:
    """A device at the applied operating point, the design's columns at it (None: not evaluated), and remarks.

    `problem` is the study's, if it was loaded to evaluate the design.
    """

    target: TargetDevice | None = None
    applied_columns: Mapping[str, Any] | None = None
    remarks: tuple[str, ...] = ()
    problem: Problem | None = None


def place_on_device(
    selected: SelectedDesign, *, folder: Path, device: str | None, bin_name: str, allow_extrapolation: bool
) -> Placement:
    """Place a chosen design on a device, or by default on the device that it was chosen for.

    Args:
        selected: the chosen design.
        folder: folder of its file, relative to which its study file is located.
        device: name or file of the device.
        bin_name: speed bin of the device.
        allow_extrapolation: allow an operating point outside the model's domain.

    Raises:
        WrongUsage: the device does not exist, or the design has no clock.
        InvalidFile: the device's file has faults, or has several speed bins and none is named.
        NoFeasibleDesign: at the device's operating point a constraint is violated, or the model extrapolates.
    """
    applied = selected.file.applied
    if device is None and applied is not None:
        device, bin_name = applied.device, bin_name or applied.bin
    if device is None:
        return Placement()
    clock = selected.file.design.frequency_hz
    if clock is None:
        raise WrongUsage(f"design {selected.file.design.design_id} has no clock to set", fix="leave --device out")
    file, points = read_device(device), read_device_points(device, bin_name=bin_name)
    target = _target(device, bin_name, file, points=points, clock=clock)
    if applied is not None and applied.device == device and applied.design.get("frequency_hz") == target.clock_hz:
        return Placement(target, applied.design)
    problem, reasons = study_problem(selected, folder=folder)
    if problem is not None and not reasons:
        try:
            evaluated = _evaluate(selected, points, problem=problem, allow_extrapolation=allow_extrapolation)
            return Placement(target, evaluated.design, problem=problem)
        except (WrongUsage, InvalidFile) as error:
            reasons = (error.problem.splitlines()[0],)
    return Placement(target, None, tuple(f"not evaluated at the applied clock: {reason}" for reason in reasons))


def check_selected_machine(
    selected: SelectedDesign, *, device: str | None, allow_other_machine: bool
) -> tuple[str, ...]:
    """Compare the machine of a chosen design with the device that it is deployed to; return the warnings.

    Args:
        selected: the chosen design.
        device: name or file of the device; None uses the one of chosen.json, if any.
        allow_other_machine: accept predictions of another machine.

    Raises:
        WrongUsage: no such device.
        InvalidFile: the device's file is invalid.
        NoFeasibleDesign: the samples were measured on another machine, which is not allowed.
    """
    file, is_other, texts = selected.file, selected.file.is_other_machine, list(selected.file.warnings)
    device = device or (file.applied.device if file.applied else None)
    predicted = [name for name, value in selected.columns.items() if value is not None]
    if device is not None and file.provenance.question.live is None and is_timed(predicted):
        check = check_machine(file.machine, device, read_device(device))
        is_other |= check.relation == "other"
        texts += [check.text] if check.text else []
    if is_other and not allow_other_machine:
        reason = next((text for text in reversed(texts) if text.startswith("numbers of another")), "")
        raise NoFeasibleDesign(
            reason or "the numbers of this design are those of another machine",
            fix="measure samples on that device (their column 'machine' names it, or machine = '...' in the device's "
            "file does), or take the risk with --allow-other-machine",
        )
    return tuple(dict.fromkeys(texts))


def study_problem(selected: SelectedDesign, *, folder: Path) -> tuple[Problem | None, tuple[str, ...]]:
    """Load the study of a chosen design again.

    Args:
        selected: the chosen design.
        folder: folder of its file, relative to which its study file is located.

    Returns:
        The problem, None if it cannot be loaded, and why it is not the one that the design was chosen from; no reason
        if it is.
    """
    origin = selected.file.provenance.model_dump(mode="json")
    try:
        study = read_study(locate_study_file(origin, folder=folder, asked=selected.file.study))
        problem = make_problem(study, load_evaluator(study))
        return problem, provenance_changes(origin, problem)
    except (WrongUsage, InvalidFile) as error:
        return None, (error.problem.splitlines()[0],)


def _evaluate(
    selected: SelectedDesign, points: OperatingPoints, *, problem: Problem, allow_extrapolation: bool
) -> AppliedDesign:
    columns = {name: value for name, value in selected.columns.items() if value is not None}
    own = own_knobs(dict.fromkeys(columns))  # type: ignore[arg-type]
    conditions = [parse_constraint(text, where="chosen.json", own=own) for text in selected.file.rule.where]
    return evaluate_on_device(
        columns, problem=problem, points=points, conditions=conditions, allow_extrapolation=allow_extrapolation
    )


def _target(device: str, bin_name: str, file: DeviceFile, *, points: OperatingPoints, clock: float) -> TargetDevice:
    index = int(points.nearest(clock))
    hertz = factor(file.frequency_unit, "Hz")
    nodes = {(point.frequency * hertz, point.node) for point in file.points or ()}
    clocks = sorted(set(points.frequency_hz))
    return TargetDevice(
        device=Path(device).stem,  # not the path, which may contain private folder names
        title=file.title or Path(device).stem,
        source=file.source,
        bin_name=bin_name,
        control=file.control,
        clocks_hz=tuple(clocks),
        clock_hz=points.frequency_hz[index],
        point=points.labels[index],
        opp_table=file.opp_table,
        nodes=tuple(_node({node for frequency, node in nodes if frequency == each}) for each in clocks),
    )


def _node(names: set[str]) -> str:
    """Return the node name of a clock, '' if it is not unique, as for chips with several speed bins."""
    return names.pop() if len(names) == 1 else ""
