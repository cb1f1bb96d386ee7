"""Shell scripts that set, restore and pick a device's clock (never a voltage), and its overlay."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from explorer.deploy.device.target import Control, TargetDevice

_PARTS = Path(__file__).parent.parent / "sh"
_USAGE = "usage: sh {name} [--apply] [--policy NAME] [--sysfs ROOT] [--state FILE]"
_USAGE_NVIDIA = "usage: sh {name} [--apply] [--gpu N]"
# Files in sysfs that set a clock, and their unit (Linux: admin-guide/pm/cpufreq, ABI/testing/sysfs-class-devfreq).
SYSFS: Mapping[Control, Mapping[str, str]] = {
    "cpufreq": {
        "PARENT": "devices/system/cpu/cpufreq", "LISTED": "scaling_available_frequencies",
        "LOWEST": "scaling_min_freq", "HIGHEST": "scaling_max_freq",
        "RANGE_LOW": "cpuinfo_min_freq", "RANGE_HIGH": "cpuinfo_max_freq", "UNIT": "kHz",
    },
    "devfreq": {
        "PARENT": "class/devfreq", "LISTED": "available_frequencies", "LOWEST": "min_freq", "HIGHEST": "max_freq",
        "RANGE_LOW": "", "RANGE_HIGH": "", "UNIT": "Hz",
    },
}  # fmt: skip
_HERTZ: Mapping[Control, int] = {"cpufreq": 1_000, "devfreq": 1, "nvidia-smi": 1_000_000}
_UNITS: Mapping[Control, str] = {"cpufreq": "kHz", "devfreq": "Hz", "nvidia-smi": "MHz"}


def to_driver_units(hertz: float, control: Control) -> int:
    """Return a clock in the unit of its interface: kHz for cpufreq, Hz for devfreq, MHz for nvidia-smi.

    Linux divides by 1000 and truncates, and so does this function.
    """
    return round(hertz) // _HERTZ[control]


def render_scripts(target: TargetDevice) -> dict[str, str]:
    """Return the scripts of a device by file name: one sets its clock, one restores the previous clock."""
    if target.control == "nvidia-smi":
        clock = {"CLOCK": str(to_driver_units(target.clock_hz, target.control))}
        return {name: _script(name, ("common", "nvidia"), {"USAGE": _USAGE_NVIDIA.format(name=name), **clock}, target)
                for name in ("apply-nvidia.sh", "undo-nvidia.sh")}  # fmt: skip
    table = " ".join(str(to_driver_units(hertz, target.control)) for hertz in target.clocks_hz)
    clock = {"CLOCK": str(to_driver_units(target.clock_hz, target.control)), "TABLE": table}
    return {
        name: _script(
            name,
            ("common", "sysfs"),
            {"USAGE": _USAGE.format(name=name), "DEVICE": target.title, **clock, **SYSFS[target.control]},
            target,
        )
        for name in ("apply.sh", "undo.sh")
    }


def _script(name: str, parts: tuple[str, ...], settings: Mapping[str, str], target: TargetDevice) -> str:
    """Return one script: its settings, then the shell parts that read them."""
    bodies = [(_PARTS / f"{part}.sh").read_text(encoding="utf-8") for part in (*parts, Path(name).stem)]
    used = {key: value for key, value in settings.items() if any(f"${key}" in body for body in bodies)}
    lines = [
        "#!/bin/sh",
        f"# {'Sets' if name.startswith('apply') else 'Restores'} a clock through {target.control}.",
        "# A dry run unless --apply is given. No voltage is set: the device uses the one of its own table.",
        "set -eu",
        "",
        *[f"{key}={shlex.quote(value)}" for key, value in used.items()],
    ]
    return "\n".join(lines) + "\n" + "".join(bodies)


def render_governor(points: Sequence[tuple[int, float]], *, control: Control | None, confidence: float) -> str:
    """Return the script that prints the clock for a slack, in the unit of the device's interface.

    Args:
        points: least slack in ns and clock in hertz of each operating point, from fast to slow.
        control: the interface; None prints hertz.
        confidence: probability that one inference ends within the slack.
    """
    unit = "Hz" if control is None else _UNITS[control]
    clocks = [(slack, round(hertz) if control is None else to_driver_units(hertz, control)) for slack, hertz in points]
    settings = {
        "USAGE": "usage: sh governor.sh SLACK_NS | --list",
        "UNIT": unit,
        "POINTS": "\n".join(f"{slack} {clock}" for slack, clock in clocks),
    }
    bodies = [(_PARTS / f"{part}.sh").read_text(encoding="utf-8") for part in ("common", "governor")]
    lines = [
        "#!/bin/sh",
        f"# Prints the clock ({unit}) of least energy at which an inference ends within a slack.",
        f"# The probability that it does is {100 * confidence:.12g} %.",
        "# It sets nothing: no clock, and no voltage.",
        "set -eu",
        "",
        *[f"{key}={shlex.quote(value)}" for key, value in settings.items()],
    ]
    return "\n".join(lines) + "\n" + "".join(bodies)


def nodes_above_cap(target: TargetDevice) -> list[str] | None:
    """Return the nodes of the operating points above the applied one; None if their names are unknown."""
    nodes = [node for hertz, node in zip(target.clocks_hz, target.nodes, strict=True) if hertz > target.clock_hz]
    return nodes if target.opp_table and all(nodes) else None


def render_overlay(target: TargetDevice) -> str:
    """Return the source of the device-tree overlay, for `dtc -@`; '' if no point is above or names are unknown.

    Linux ignores operating points whose node has status = "disabled".
    """
    names = nodes_above_cap(target)
    if not names:
        return ""
    nodes = "\n".join(f'\t{node} {{\n\t\tstatus = "disabled";\n\t}};\n' for node in names)
    return (
        "/dts-v1/;\n/plugin/;\n\n"
        f"/* Caps the clock at {target.clock_hz / 1e6:.10g} MHz. Build: dtc -@ -I dts -O dtb -o cap.dtbo cap.dts */\n"
        f"&{target.opp_table} {{\n{nodes}}};\n"
    )
