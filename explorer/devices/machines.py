"""Machine of samples compared with a device: latency, energy and power of one are not those of another."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from explorer.devices.device import DeviceFile

Relation = Literal["same", "other", "not stated"]


@dataclass(frozen=True, slots=True)
class MachineCheck:
    """Comparison of the machine of the samples with a device.

    Args:
        machine: what the samples were measured on; several are joined by "; ", empty if not stated.
        device: name or file of the device.
        relation: whether the two are the same.
    """

    machine: str
    device: str
    relation: Relation

    @property
    def text(self) -> str:
        """A warning for the user; empty if the two are the same."""
        if self.relation == "other":
            return (
                f"numbers of another machine: the samples were measured on {self.machine}, not on {self.device}. "
                f"Latency, energy and power of {self.device} are unknown"
            )
        if self.relation == "not stated":
            return (
                f"the samples do not state their machine: whether their latency, energy and power are those of "
                f"{self.device} is unknown. Add a column 'machine' to the samples"
            )
        return ""


def check_machine(machine: str, device: str, file: DeviceFile) -> MachineCheck:
    """Compare the machine of samples with a device by name.

    The same are the device's name, its other names (`also`), its title and its `machine`, without regard to case. A
    condition after " at ", such as a clock, is not compared.

    Args:
        machine: what the samples were measured on; several are joined by "; ", empty if not stated.
        device: name or file of the device, for messages.
        file: the device's file.
    """
    name = Path(device).stem
    own = {_key(text) for text in (name, file.title, file.machine, *file.also) if text}
    stated = [part for part in machine.split("; ") if part not in {"", "not stated"}]
    if any(_key(part) not in own for part in stated):
        return MachineCheck(machine, name, "other")
    return MachineCheck(machine, name, "same" if stated and "not stated" not in machine.split("; ") else "not stated")


def _key(text: str) -> str:
    return " ".join(text.casefold().partition(" at ")[0].split())
