"""Devices: declared tables of operating points, looked up by name, by speed bin, in SI."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from explorer.devices.operating_points import OperatingPoints
from explorer.errors import ExplorerError, Fault, InvalidFile
from explorer.io.catalog import find_declaration
from explorer.io.declarations import Declaration, read_toml, validation_error
from explorer.units import factor, to_si

DEVICES = "search_spaces/devices"
MAX_POINTS = 10_000


class PointDeclaration(Declaration):
    """One listed operating point."""

    voltage: Annotated[float, Field(gt=0)] | None = Field(
        None, description="supply voltage in the table's voltage_unit; leave out where the device exposes none"
    )
    frequency: float = Field(gt=0, description="clock in the table's frequency_unit")
    power: Annotated[float, Field(gt=0)] | None = Field(None, description="power at this point in W, if stated")
    bin: Annotated[str, Field(max_length=60)] = Field("", description="the speed bin of the chips that have this point")
    node: Annotated[str, Field(max_length=60, pattern=r"^([A-Za-z0-9][A-Za-z0-9,._+@-]*)?$")] = Field(
        "", description="its node's name in the device tree, for an overlay that caps the clock"
    )


Points = Annotated[tuple[PointDeclaration, ...], Field(min_length=1, max_length=MAX_POINTS)]


class OperatingTable(Declaration):
    """A table of operating points with its units and its source."""

    points: Points | None = Field(None, description="a list of { voltage = ..., frequency = ... }")
    voltage_unit: str = Field("V", description="unit of the listed voltages")
    frequency_unit: str = Field("GHz", description="unit of the listed clocks")
    source: str = Field("", max_length=1000, description="where the listed points come from")

    def check_points(self) -> None:
        """Raise unless the units are valid and all points or none have a voltage, and a power.

        Raises:
            PydanticCustomError: for a validator to raise.
        """
        for unit, symbol in ((self.voltage_unit, "V"), (self.frequency_unit, "Hz")):
            try:
                factor(unit, symbol)
            except ExplorerError as error:
                raise validation_error(error.problem, fix=error.fix) from None
        for name in ("voltage", "power"):
            n_points = sum(getattr(point, name) is not None for point in self.points or ())
            if n_points not in {0, len(self.points or ())}:
                raise validation_error(
                    f"{n_points} of {len(self.points or ())} points have a {name}",
                    fix=f"give every point a {name}, or none",
                )


class DeviceFile(OperatingTable):
    """A device's table of operating points as its TOML file declares it."""

    title: str = Field("", max_length=200, description="one line of text")
    also: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=60)], ...], Field(max_length=20)] = Field(
        (), description="alternative names, such as the cores of a cluster: rk3399-a72"
    )
    machine: str = Field(
        "",
        max_length=200,
        description="name of the machine in the samples' column machine, if it is not this file's name",
    )
    control: Literal["cpufreq", "devfreq", "nvidia-smi"] = Field(
        "cpufreq", description="what sets the clock: cpufreq for processors, devfreq for other parts, or nvidia-smi"
    )
    opp_table: Annotated[str, Field(max_length=60, pattern=r"^([A-Za-z_][A-Za-z0-9_]*)?$")] = Field(
        "", description="the label of its table of operating points in the device tree"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.points is None:
            raise validation_error("has no points", fix="write points = [{ frequency = 1.8, voltage = 1.2 }, ...]")
        self.check_points()
        return self


def read_device(name_or_path: str, *, base: Path | None = None) -> DeviceFile:
    """Read a device's table by name (`./search_spaces/devices/`, then those shipped) or by path.

    Raises:
        WrongUsage: no such device; the fix suggests the nearest name.
        InvalidFile: the file is invalid; all faults at once.
    """
    return read_toml(find_declaration(DEVICES, name_or_path, base=base), DeviceFile)[0]


def points_of(table: OperatingTable) -> OperatingPoints:
    """Return the listed operating points of a table in SI, ordered by frequency, without duplicates."""
    v_unit, f_unit = factor(table.voltage_unit, "V"), factor(table.frequency_unit, "Hz")
    points = sorted(
        {(to_si(p.frequency, f_unit), to_si(p.voltage or 0.0, v_unit), p.power or 0.0) for p in table.points or ()}
    )
    columns = [tuple(column) for column in zip(*points, strict=True)]
    clocks, volts, watts = (column if any(column) else () for column in columns)
    return OperatingPoints(voltage_v=volts, frequency_hz=clocks, power_w=watts)


def read_device_points(name_or_path: str, *, bin_name: str = "") -> OperatingPoints:
    """Return a device's operating points in SI, ordered by frequency.

    Raises:
        WrongUsage: no such device.
        InvalidFile: the file is invalid, lacks the bin, or has several bins and none was named.
    """
    file = read_device(name_or_path)
    points = select_bin(file.points or (), bin_name, label=name_or_path, path=find_declaration(DEVICES, name_or_path))
    return points_of(file.model_copy(update={"points": points}))


def select_bin(
    points: Sequence[PointDeclaration], bin_name: str, *, label: str, path: Path
) -> tuple[PointDeclaration, ...]:
    """Return the points of one speed bin, with those shared by all bins.

    Args:
        points: a table's points.
        bin_name: the bin; empty where the table has no bins, or one.
        label: name of the table in messages.
        path: the file that names the bin, for messages.

    Raises:
        InvalidFile: the table lacks the bin, or has several bins and none was named.
    """
    bins = sorted({point.bin for point in points} - {""})
    fix = f"name it, bin = '...' or --bin, one of: {', '.join(bins)}" if bins else "leave bin out"
    if bin_name and bin_name not in bins:
        what = f"there is no bin '{bin_name}'" + (f" in {label}" if bins else f": {label} has no bins")
        raise InvalidFile(path, [Fault("[operating_points] bin", what, fix)])
    if len(bins) > 1 and not bin_name:
        what = f"{label} has {len(bins)} speed bins: one chip has the points of one of them"
        raise InvalidFile(path, [Fault("[operating_points] bin", what, fix)])
    return tuple(point for point in points if not bin_name or point.bin in {"", bin_name})
