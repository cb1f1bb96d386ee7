"""Clock of this machine, checked if the machine is the target device of a bundle."""

import shutil
import subprocess
from pathlib import Path

from explorer.deploy.bundle.schema import AppliedPoint
from explorer.deploy.device.scripts import SYSFS, to_driver_units
from explorer.deploy.verification.check import Check

ROOT = Path("/sys")
_SECONDS = 20


def verify_clock(point: AppliedPoint, *, sysfs: Path = ROOT) -> Check:
    """Compare the clock that is set with the applied one.

    A cluster or GPU of this machine is the target device if it lists exactly the clocks of the device's table. Without
    a match, nothing is measured.
    """
    if point.control == "nvidia-smi":
        return _nvidia(point)
    names, clock = SYSFS[point.control], to_driver_units(point.frequency_hz, point.control)
    table = {to_driver_units(hertz, point.control) for hertz in point.clocks_hz}
    promised = f"{clock} {names['UNIT']}"
    folder = sysfs / names["PARENT"]
    parts = sorted(folder.iterdir()) if folder.is_dir() else []
    matches = [part for part in parts if set(_read_integers(part / names["LISTED"])) == table]
    if not matches:
        return Check("clock", promised, None, "not measured", "this machine does not have the clocks of the device")
    limits = {
        part.name: (*_read_integers(part / names["LOWEST"]), *_read_integers(part / names["HIGHEST"]))
        for part in matches
    }
    text = ", ".join(f"{name} {' to '.join(str(n) for n in sorted(set(ends)))}" for name, ends in limits.items())
    is_set = all(ends == (clock, clock) for ends in limits.values())
    return Check(
        "clock", promised, text, "kept" if is_set else "broken", "" if is_set else "sh apply.sh --apply sets it"
    )


def _read_integers(path: Path) -> list[int]:
    try:
        return [int(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []


def _nvidia(point: AppliedPoint) -> Check:
    """Report the present clock of the GPU without a verdict: nvidia-smi cannot read a clock lock back."""
    promised = f"{to_driver_units(point.frequency_hz, point.control)} MHz"
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("clock", promised, None, "not measured", "nvidia-smi is not installed")
    command = [tool, "--query-gpu=clocks.sm", "--format=csv,noheader"]
    try:
        result = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return Check("clock", promised, None, "not measured", "nvidia-smi does not answer")
    clocks = ", ".join(result.stdout.split("\n")[:-1]) or None
    return Check(
        "clock", promised, clocks, "not measured", "a clock lock cannot be read back; this is the present clock"
    )
