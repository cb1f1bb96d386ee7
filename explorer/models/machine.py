"""Machine and clock of a model: which device its numbers hold for, and which targets depend on the clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from explorer.devices.device import read_device
from explorer.devices.machines import MachineCheck, check_machine
from explorer.devices.operating_points import OperatingPoints
from explorer.models.evaluator import Evaluator
from explorer.models.samples.machine import TIMED_TARGETS
from explorer.models.samples.samples import Samples
from explorer.problem.columns import COLUMNS, Float
from explorer.problem.design_space import DesignSpace
from explorer.problem.study import Study

# Clocks that differ by less are one clock: half the width of the range of a constant knob (see `applicability`).
_SAME_CLOCK = 0.025


@dataclass(frozen=True, slots=True)
class UnsupportedTarget:
    """Target that its samples do not support at the operating points of a space: the reason, and what to measure."""

    target: str
    reason: str
    fix: str


def machine_of(evaluator: Evaluator) -> str:
    """Return what an evaluator's numbers were measured on; several are joined by "; ", empty if not stated."""
    samples = getattr(evaluator, "samples", None)
    if isinstance(samples, Samples):
        return samples.machine
    return str(getattr(evaluator, "machine", ""))


def is_timed(targets: Iterable[str]) -> bool:
    """Return True if any of some targets depends on the machine: latency, energy, power or throughput."""
    return not set(TIMED_TARGETS).isdisjoint(targets)


def check_device(
    evaluator: Evaluator, device: str, *, unsupported: Sequence[UnsupportedTarget] = (), base: Path | None = None
) -> MachineCheck:
    """Compare the machine of a model with a device; the same where no number is predicted that depends on the machine.

    Args:
        evaluator: the model.
        device: name or file of the device.
        unsupported: targets that the model does not predict at the operating points of its study.
        base: the folder that a relative path starts from; default: the working directory.

    Raises:
        WrongUsage: no such device.
        InvalidFile: the device's file is invalid.
    """
    machine = machine_of(evaluator)
    predicted = set(evaluator.targets) - {one.target for one in unsupported}
    if not evaluator.is_vectorized or not is_timed(predicted):
        return MachineCheck(machine, Path(device).stem, "same")
    return check_machine(machine, device, read_device(device, base=base))


def machine_checks(
    study: Study, evaluator: Evaluator, unsupported: Sequence[UnsupportedTarget] = ()
) -> tuple[MachineCheck, ...]:
    """Compare the machine of a model with every device whose operating points a study searches."""
    devices = {
        space.file.operating_points.device: space.path.parent
        for space in study.spaces
        if space.file.operating_points.device is not None
    }
    return tuple(check_device(evaluator, name, unsupported=unsupported, base=base) for name, base in devices.items())


def machine_notes(study: Study, evaluator: Evaluator, unsupported: Sequence[UnsupportedTarget] = ()) -> tuple[str, ...]:
    """Return notes on a study whose devices are not the machine of its model, and on targets without the clock."""
    left_out = {one.reason: [u.target for u in unsupported if u.reason == one.reason] for one in unsupported}
    return (
        *(check.text for check in machine_checks(study, evaluator, unsupported) if check.text),
        *(f"{', '.join(names)} cannot be predicted at these clocks: {reason}" for reason, names in left_out.items()),
    )


def unsupported_targets(region: DesignSpace, samples: Samples) -> tuple[UnsupportedTarget, ...]:
    """Return the targets that depend on the clock, but whose samples do not cover the region's operating points.

    Their samples lack the clock, or lack the voltage although the region has several voltages at one clock. Or all
    samples are of one clock, the domain is not enforced, and the region has another clock.

    Args:
        region: the design space of one family.
        samples: what the model was fitted to; a knob that a target's table lacks is NaN.
    """
    clocks, volts = _operating_points(region)
    if not clocks.size:
        return ()
    reasons = {target: _reason(target, samples, clocks, volts, region) for target in TIMED_TARGETS}
    return tuple(UnsupportedTarget(target, *reason) for target, reason in reasons.items() if reason)


def _reason(target: str, samples: Samples, clocks: Float, volts: Float, region: DesignSpace) -> tuple[str, str] | None:
    if target not in samples.targets:
        return None
    measured = _knob_values(samples, target, "frequency_hz")
    text = COLUMNS["frequency_hz"].text
    low, high = float(clocks.min()), float(clocks.max())
    span = text(low) if low == high else f"{text(low)} to {text(high)}"
    if not measured.size:
        return f"its samples have no clock, and the space sets {span}", _MEASURE_CLOCKS
    one = float(measured[0])
    is_beyond = max(high / one, one / low) > 1 + _SAME_CLOCK
    if measured.size == 1 and is_beyond and not np.isfinite(region.widen):
        return f"all its samples are at {text(one)}, and the space sets {span}", _MEASURE_CLOCKS
    n_points = len({*zip(clocks.tolist(), volts.tolist(), strict=True)}) if volts.size else 0
    if n_points > len(set(clocks.tolist())) and not _knob_values(samples, target, "voltage_v").size:
        return "its samples have no voltage, and the space has several at one clock", _MEASURE_VOLTAGES
    return None


_MEASURE_CLOCKS = (
    "write [operating_points] law = 'none' in the space without a clock, or measure at several clocks (column "
    "frequency_hz)"
)
_MEASURE_VOLTAGES = "list one voltage for each clock, or measure at several voltages (column voltage_v)"


def _operating_points(region: DesignSpace) -> tuple[Float, Float]:
    """Return the clocks of a region in hertz and their voltages in volt, shape (k,) each; empty without a clock."""
    if isinstance(region.operating, OperatingPoints):
        return np.array(region.operating.frequency_hz), np.array(region.operating.voltage_v)
    if region.operating is not None:
        return np.array([clock for clock in region.clock_hz if 0 < clock < np.inf]), np.empty(0)
    for axis in region.axes:
        if axis.name == "frequency_hz":
            return np.asarray(axis.columns.get(axis.name, (axis.low, axis.high)), dtype=np.float64), np.empty(0)
    return np.empty(0), np.empty(0)


def _knob_values(samples: Samples, target: str, knob: str) -> Float:
    """Return the distinct values of a knob among the rows that measure a target; empty if any of them lacks it."""
    columns: Mapping[str, np.ndarray] = samples.columns
    if knob not in columns:
        return np.empty(0)
    values = np.asarray(columns[knob][np.isfinite(columns[target])], dtype=np.float64)
    return np.unique(values) if np.isfinite(values).all() else np.empty(0)
