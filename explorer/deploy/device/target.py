"""The device that a bundle is for: its own clocks, the one that is applied, and by which means it takes one."""

from dataclasses import dataclass
from typing import Literal

Control = Literal["cpufreq", "devfreq", "nvidia-smi"]


@dataclass(frozen=True, slots=True)
class TargetDevice:
    """A device at one of its own operating points.

    Args:
        device: the name or file that the user gave.
        title: the device for people.
        source: where its table comes from.
        bin_name: the speed bin, '' where the table has none.
        control: what sets its clock.
        clocks_hz: all clocks of its table, rising.
        clock_hz: the applied one, of these.
        point: the operating point's name.
        opp_table: the label of its operating points in the device tree, '' where not known.
        nodes: the names of their nodes there, one for each clock; '' where not known.
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
