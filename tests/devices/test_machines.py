"""Machine of samples compared with a device by its names."""

from pathlib import Path

import pytest

from explorer.devices.device import read_device
from explorer.devices.machines import check_machine


@pytest.mark.parametrize(
    ("machine", "device", "relation"),
    [
        ("NVIDIA H100 80GB HBM3 at 1.98 GHz", "h100", "same"),
        ("Rockchip RK3588, big cluster (2 Cortex-A76)", "rk3588-big", "same"),
        ("rk3588-little", "rk3588-big", "other"),
        ("rk3588-big; rk3588-little", "rk3588-big", "other"),
        ("rk3588-big; not stated", "rk3588-big", "not stated"),
        ("", "rk3588-big", "not stated"),
    ],
)
def test_device_is_compared_by_its_names(machine: str, device: str, relation: str) -> None:
    assert check_machine(machine, device, read_device(device)).relation == relation


def test_device_file_names_the_machine_of_the_samples(tmp_path: Path) -> None:
    path = tmp_path / "board.toml"
    path.write_text('machine = "Radxa ROCK 5B"\npoints = [{ frequency = 1.8 }]\n', encoding="utf-8")

    assert check_machine("Radxa  rock 5b", str(path), read_device(str(path))).relation == "same"
    assert str(tmp_path) not in check_machine("server", str(path), read_device(str(path))).text
