"""Devices: tables of operating points by name, and spaces that refer to one."""

from pathlib import Path

from explorer.errors import Fault, InvalidFile
from explorer.problem.catalog import find
from explorer.problem.declare import read_toml
from explorer.problem.operating import OperatingPoints
from explorer.problem.region import points_of
from explorer.problem.space import DeviceFile, Operating, SpaceFile

DEVICES = "search_spaces/devices"


def read_device(name_or_path: str, *, beside: Path | None = None) -> DeviceFile:
    """Read a device's table by name (`./search_spaces/devices/`, then those shipped) or by path.

    Raises:
        WrongUsage: there is no such device; the nearest name is told.
        InvalidFile: its file is not what it should be; all faults at once.
    """
    return read_toml(find(DEVICES, name_or_path, beside=beside), DeviceFile)[0]


def with_device(space: SpaceFile, *, path: Path) -> SpaceFile:
    """Return a space with the points of the device and bin that it names; any other space as it is.

    Raises:
        WrongUsage: there is no such device.
        InvalidFile: its file is not what it should be, or the space names a bin that it lacks, or none of several.
    """
    operating = space.operating_points
    if operating.device is not None:
        file = read_device(operating.device, beside=path.parent)
        operating = operating.model_copy(
            update={
                "points": file.points,
                "voltage_unit": file.voltage_unit,
                "frequency_unit": file.frequency_unit,
                "source": operating.source or file.source,
            }
        )
    if operating.points is None:
        return space
    return space.model_copy(update={"operating_points": _of_bin(operating, path)})


def device_points(name_or_path: str, *, bin_name: str = "") -> OperatingPoints:
    """Return a device's operating points in SI, in rising order of the clock.

    Raises:
        WrongUsage: there is no such device.
        InvalidFile: its file is not what it should be, or its bins leave a choice that was not made.
    """
    space = SpaceFile.model_validate({"axes": {}, "operating_points": {"device": name_or_path, "bin": bin_name}})
    return points_of(with_device(space, path=find(DEVICES, name_or_path)))


def _of_bin(operating: Operating, path: Path) -> Operating:
    bins = sorted({point.bin for point in operating.points or ()} - {""})
    shown = operating.device or path.name
    if operating.bin and operating.bin not in bins:
        what = f"there is no bin '{operating.bin}'" + (f" in {shown}" if bins else f": {shown} has no bins")
        raise InvalidFile(path, [Fault("[operating_points] bin", what, _say(bins))])
    if len(bins) > 1 and not operating.bin:
        what = f"{shown} has {len(bins)} speed bins: one chip has the points of one of them"
        raise InvalidFile(path, [Fault("[operating_points] bin", what, _say(bins))])
    kept = tuple(p for p in operating.points or () if not operating.bin or p.bin in {"", operating.bin})
    return operating.model_copy(update={"points": kept})


def _say(bins: list[str]) -> str:
    return f"name it, bin = '...' or --bin, one of: {', '.join(bins)}" if bins else "leave bin out"
