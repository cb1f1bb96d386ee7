"""The device of a bundle: its clocks, the applied clock, and the interface that sets it."""

from dataclasses import dataclass
from typing import Literal

Control = Literal["cpufreq", "devfreq", "nvidia-smi"]


@dataclass(frozen=True, slots=True)
class TargetDevice:
    """A device at one of its operating points.

    Args:
        device: the name or file that the user gave.
        title: full name of the device.
        source: source of its table.
        bin_name: speed bin, '' if the table has none.
        control: interface that sets its clock.
        clocks_hz: all clocks of its table in hertz, ascending.
        clock_hz: the applied clock, one of these.
        point: name of the operating point.
        opp_table: label of the operating-point table in the device tree, '' if unknown.
        nodes: names of its nodes in the device tree, one per clock; '' if unknown.
    """

    device: str
    title: str
    source: str
    bin_name: str
    control: Control
    clocks_hz: tuple[float, ...]
    clock_hz: float
    point: str
    opp_table: str
    nodes: tuple[str, ...]
