"""What clock this machine is set to, where it shows that it is the device that a bundle is for."""

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

    A part of this machine that lists just the clocks of the device's table is taken for the device; without one,
    nothing is measured.
    """
    if point.control == "nvidia-smi":
        return _nvidia(point)
    names, clock = SYSFS[point.control], to_driver_units(point.frequency_hz, point.control)
    table = {to_driver_units(hertz, point.control) for hertz in point.clocks_hz}
    promised = f"{clock} {names['UNIT']}"
    folder = sysfs / names["PARENT"]
    parts = sorted(folder.iterdir()) if folder.is_dir() else []
    mine = [part for part in parts if set(_numbers(part / names["LISTED"])) == table]
    if not mine:
        return Check("clock", promised, None, "not measured", "this machine does not list the clocks of the device")
    found = {part.name: (*_numbers(part / names["LOWEST"]), *_numbers(part / names["HIGHEST"])) for part in mine}
    told = ", ".join(f"{name} {' to '.join(str(n) for n in sorted(set(ends)))}" for name, ends in found.items())
    is_set = all(ends == (clock, clock) for ends in found.values())
    return Check(
        "clock", promised, told, "kept" if is_set else "broken", "" if is_set else "sh apply.sh --apply sets it"
    )


def _numbers(path: Path) -> list[int]:
    try:
        return [int(word) for word in path.read_text(encoding="ascii").split()]
    except (OSError, ValueError):
        return []


def _nvidia(point: AppliedPoint) -> Check:
    """Tell the GPU's clock of this moment; a lock cannot be read back, so nothing is judged by it."""
    promised = f"{counted(point.frequency_hz, point.control)} MHz"
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Check("clock", promised, None, "not measured", "nvidia-smi is not here")
    command = [tool, "--query-gpu=clocks.sm", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return Check("clock", promised, None, "not measured", "nvidia-smi does not answer")
    found = ", ".join(said.stdout.split("\n")[:-1]) or None
    return Check(
        "clock", promised, found, "not measured", "a lock cannot be read back; this is the clock of the moment"
    )
