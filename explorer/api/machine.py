"""The installation and this machine: names that can be given, schemas, imported devices, and the checks of `doctor`."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from explorer.deploy.bundle.schema import GovernorFile, ManifestFile
from explorer.devices.device import DeviceFile
from explorer.devices.meters import nvml_meter, rapl_meter
from explorer.devices.opp_tables import OppTable
from explorer.errors import install_command
from explorer.io.catalog import aliases, list_declarations, title_of
from explorer.io.files import shipped_folder, write_text
from explorer.io.outputs import check_output
from explorer.network.graph.model import shipped_networks
from explorer.problem.declarations.space import SpaceFile
from explorer.problem.declarations.study import SHIPPED_MODELS, StudyFile
from explorer.problem.objectives import OBJECTIVES
from explorer.problem.opp_import import device_toml, import_points
from explorer.problem.study import SAMPLERS

__all__ = ["DoctorCheck", "catalog", "doctor", "import_opp", "schema"]


def catalog() -> dict[str, Any]:
    """Return studies, search spaces, devices, models, networks, objectives and samplers by name, as JSON values."""
    return {
        "schema": "explorer.list/1",
        "studies": [_entry(path) for path in list_declarations("studies")],
        "search_spaces": [_entry(path) for path in list_declarations("search_spaces")],
        "devices": [
            {"name": p.stem, "also": list(aliases(p)), "title": title_of(p), "file": str(p)}
            for p in list_declarations("search_spaces/devices")
        ],
        "models": [*SHIPPED_MODELS],
        "networks": list(shipped_networks()),
        "objectives": [{"name": o.name, "direction": o.direction, "label": o.title} for o in OBJECTIVES.values()],
        "samplers": list(SAMPLERS),
    }


def _entry(path: Path) -> dict[str, str]:
    return {"name": path.stem, "title": title_of(path), "file": str(path)}


def schema() -> dict[str, dict[str, Any]]:
    """Return the JSON schemas of a study, a space, a device, a bundle's manifest and its governor table, by kind."""
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    schemas = {
        "study": StudyFile.model_json_schema(),
        "space": SpaceFile.model_json_schema(),
        "deploy": ManifestFile.model_json_schema(),
        "governor": GovernorFile.model_json_schema(),
        "device": DeviceFile.model_json_schema(),
    }
    return {kind: {**draft, **one} for kind, one in schemas.items()}


def import_opp(
    file: str | Path,
    *,
    cluster: str | None = None,
    bin_name: str | None = None,
    output: str | Path | None = None,
    force: bool = False,
) -> tuple[OppTable, str]:
    """Read a device's operating points from a device tree's source or a CSV.

    Args:
        file: .dts or .dtsi, or a CSV.
        cluster: the table's label or node name, where the file has several.
        bin_name: only the points of this speed bin.
        output: the file of the device's TOML.
        force: replace it.

    Returns:
        The table, and its TOML text.

    Raises:
        WrongUsage: there is no such file, table or bin, several tables and none was named, or the output exists.
        InvalidFile: the file is invalid; all faults at once.
    """
    path = Path(file)
    if output is not None:
        check_output(Path(output), kind="device file", inputs=[path], force=force)
    table = import_points(path, cluster=cluster, bin_name=bin_name)
    text = device_toml(table, title=f"{table.name} of {path.name}", source=f"{path.name}, table {table.name}")
    if output is not None:
        write_text(Path(output), text)
    return table, text


_CORE = ("optuna", "numpy", "scipy", "pandas", "moocore", "plotly")
# What each extra brings, and what it is for.
_EXTRAS = (
    ("onnx", ("onnx", "onnxruntime"), "measure, deploy and verify networks"),
    ("images", ("kaleido",), "still pictures of plots"),
    ("dashboard", ("optuna-dashboard",), "optuna-dashboard on a study"),
    ("postgresql", ("psycopg",), "workers on several hosts"),
    ("cluster", ("distributed",), "measurements on the workers of a Dask scheduler"),
    ("nvml", ("nvidia-ml-py",), "energy of a GPU"),
    ("gp", ("torch",), "the sampler gp"),
)
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


@dataclass(frozen=True, slots=True)
class DoctorCheck:
    """Result of one check of this machine; the field names are those of `doctor --json`.

    Args:
        part: the part that was checked.
        is_there: whether it can be used.
        told: its version or path, or the missing package.
        fix: the command that installs it; empty where it is present or cannot be installed.
    """

    part: str
    is_there: bool
    told: str
    fix: str = ""


def doctor(*, sysfs: Path = Path("/sys"), folder: Path = Path()) -> tuple[DoctorCheck, ...]:
    """Check optional parts, tools, energy meters and clocks of this machine; nothing is changed.

    Args:
        sysfs: root of the files with meters and clocks.
        folder: the folder that results would be written in.
    """
    return (*_program(folder), *_extras(), *_tools(), *_meters(sysfs), *_clocks(sysfs))


def _program(folder: Path) -> Iterator[DoctorCheck]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield DoctorCheck(
        "explorer", True, f"{_version('explorer')}, Python {platform.python_version()}, {cores} processors"
    )
    yield DoctorCheck("packages", True, ", ".join(f"{name} {_version(name)}" for name in _CORE))
    kinds = {"studies": "studies", "search spaces": "search_spaces", "devices": "search_spaces/devices"}
    counts = [f"{len(list(shipped_folder(folder).glob('*.toml')))} {kind}" for kind, folder in kinds.items()]
    yield DoctorCheck("shipped", True, ", ".join(counts))
    if os.access(folder, os.W_OK):
        free = shutil.disk_usage(folder).free
        yield DoctorCheck("this folder", True, f"can be written, {free / 1e9:.0f} GB free")
    else:
        yield DoctorCheck("this folder", False, "cannot be written", "go to one of your own, or give --out DIR")


def _extras() -> Iterator[DoctorCheck]:
    for extra, packages, purpose in _EXTRAS:
        found = {name: _version(name) for name in packages}
        if all(found.values()):
            yield DoctorCheck(f"extra {extra}", True, ", ".join(f"{name} {number}" for name, number in found.items()))
        else:
            lacking = ", ".join(name for name, number in found.items() if not number)
            yield DoctorCheck(f"extra {extra}", False, f"no {lacking}: {purpose}", install_command(extra))


def _tools() -> Iterator[DoctorCheck]:
    browser = next((path for name in _BROWSERS if (path := shutil.which(name))), None)
    yield DoctorCheck(
        "browser", bool(browser), browser or "none: still pictures", "" if browser else "install Chromium"
    )
    dtc = shutil.which("dtc")
    what = dtc or "none: it compiles a bundle's cap.dts"
    yield DoctorCheck("dtc", bool(dtc), what, "" if dtc else "install device-tree-compiler")


def _meters(sysfs: Path) -> Iterator[DoctorCheck]:
    powercap = sysfs / "class" / "powercap"
    rapl = rapl_meter(powercap)
    if rapl:
        yield DoctorCheck("energy of the processor", True, rapl.name)
    elif any(powercap.glob("*rapl:*")):
        yield DoctorCheck("energy of the processor", False, "RAPL is there, but its counters cannot be read",
                      "run as root, or let your user read energy_uj")  # fmt: skip
    else:
        yield DoctorCheck("energy of the processor", False, "no RAPL: most virtual machines and ARM boards have none")
    nvml = nvml_meter()
    yield DoctorCheck("energy of a GPU", bool(nvml), nvml.name if nvml else "no GPU whose energy counter can be read")


def _clocks(sysfs: Path) -> Iterator[DoctorCheck]:
    policies = sorted((sysfs / "devices/system/cpu/cpufreq").glob("policy*"))
    n = f"{len(policies)} cpufreq polic{'y' if len(policies) == 1 else 'ies'}"
    told = n if policies else "no cpufreq: the clock cannot be set on this machine"
    yield DoctorCheck("clock of the processor", bool(policies), told)
    smi = shutil.which("nvidia-smi")
    yield DoctorCheck("clock of a GPU", bool(smi), smi or "no nvidia-smi")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
