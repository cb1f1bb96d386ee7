"""What this machine can do: which optional parts are there, what can be measured, what can be set."""

import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from explorer.devices.meters import nvml_meter, rapl_meter
from explorer.io.files import shipped_folder

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
    """One thing that was looked for.

    Args:
        part: what.
        is_there: whether it can be used.
        told: what was found, or what is lacking.
        fix: how to get it; empty where it is there or cannot be had.
    """

    part: str
    is_there: bool
    told: str
    fix: str = ""


def doctor(*, sysfs: Path = Path("/sys"), here: Path = Path()) -> tuple[DoctorCheck, ...]:
    """Look what this machine can do; nothing is changed, and nothing but the energy counters is asked.

    Args:
        sysfs: where the system shows its meters and clocks.
        here: the folder that results would be written in.
    """
    return (*_program(here), *_extras(), *_tools(), *_meters(sysfs), *_clocks(sysfs))


def _program(here: Path) -> Iterator[DoctorCheck]:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield DoctorCheck(
        "explorer", True, f"{_version('explorer')}, Python {platform.python_version()}, {cores} processors"
    )
    yield DoctorCheck("packages", True, ", ".join(f"{name} {_version(name)}" for name in _CORE))
    kinds = {"studies": "studies", "search spaces": "search_spaces", "devices": "search_spaces/devices"}
    counts = [f"{len(list(shipped_folder(folder).glob('*.toml')))} {kind}" for kind, folder in kinds.items()]
    yield DoctorCheck("shipped", True, ", ".join(counts))
    if os.access(here, os.W_OK):
        free = shutil.disk_usage(here).free
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
            yield DoctorCheck(f"extra {extra}", False, f"no {lacking}: {purpose}", f"pip install 'explorer[{extra}]'")


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
    told = n if policies else "no cpufreq: the clock cannot be set from here"
    yield DoctorCheck("clock of the processor", bool(policies), told)
    smi = shutil.which("nvidia-smi")
    yield DoctorCheck("clock of a GPU", bool(smi), smi or "no nvidia-smi")


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
