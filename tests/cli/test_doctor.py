"""`explorer doctor`: what is there is told with its version, what is not with the line that brings it."""

import json
from importlib.metadata import version
from pathlib import Path

from explorer.api.machine import doctor
from explorer.errors import install_command
from tests.cli.conftest import Cli


def test_present_parts_have_versions_missing_ones_install_lines(cli: Cli) -> None:
    done = cli("doctor", "--json")
    findings = {f["part"]: f for f in json.loads(done.stdout)["findings"]}

    assert done.returncode == 0
    assert f"optuna {version('optuna')}" in findings["packages"]["told"]
    assert findings["extra onnx"]["is_there"]
    for name, finding in findings.items():
        if name.startswith("extra ") and not finding["is_there"]:
            assert finding["fix"] == install_command(name.removeprefix("extra "))


def test_doctor_prints_a_table(cli: Cli) -> None:
    done = cli("doctor")

    assert done.returncode == 0
    assert "energy of the processor" in done.stdout


def test_meters_and_clocks_are_those_of_the_system(tmp_path: Path) -> None:
    package = tmp_path / "class/powercap/intel-rapl:0"
    package.mkdir(parents=True)
    for name, text in (("name", "package-0"), ("max_energy_range_uj", "262143328850"), ("energy_uj", "17")):
        (package / name).write_text(text, encoding="ascii")
    (tmp_path / "devices/system/cpu/cpufreq/policy0").mkdir(parents=True)
    found = {f.part: f for f in doctor(sysfs=tmp_path, folder=tmp_path)}

    assert found["energy of the processor"].told == "RAPL package-0"
    assert found["clock of the processor"].told == "1 cpufreq policy"

    (package / "energy_uj").write_text("locked", encoding="ascii")
    (unreadable,) = [f for f in doctor(sysfs=tmp_path) if f.part == "energy of the processor"]
    assert not unreadable.is_there
    assert "cannot be read" in unreadable.told
