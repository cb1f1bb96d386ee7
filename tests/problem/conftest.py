"""Folder with a search space, and functions that write a study or a space into it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.problem.applicability import Range

SPACE = """\
family = "CNN"
[axes]
pruning_ratio = { range = [0.0, 0.95] }
quant_step = { range = [0.001, 0.5] }
voltage = { range = [0.5, 1.3] }
frequency = { range = [0.5, 4.0] }
"""


@pytest.fixture
def spans() -> dict[str, Range]:
    """Return the ranges of the three CNN samples in Tables 1 and 2 of the paper."""
    return {
        "pruning_ratio": Range(0.33, 0.54, is_log=False),
        "quant_step": Range(0.02, 0.05, is_log=True),
        "voltage_v": Range(0.85, 1.0, is_log=False),
        "frequency_hz": Range(2.1e9, 2.5e9, is_log=False),
    }


@pytest.fixture
def law() -> AlphaPowerLaw:
    """Return the law through the fastest CNN sample, 2.1 GHz at 0.85 V."""
    return AlphaPowerLaw(4.0213670948829682e9, 0.3, 1.3)


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that writes a study and a space `mine` into one folder and returns the study's path."""

    def write(text: str) -> str:
        (tmp_path / "mine.toml").write_text(SPACE, encoding="utf-8")
        (tmp_path / "study.toml").write_text(text, encoding="utf-8")
        return str(tmp_path / "study.toml")

    return write


@pytest.fixture
def write_space(tmp_path: Path) -> Callable[[str], str]:
    """Return a function that writes a space and returns its path."""

    def write(text: str) -> str:
        (tmp_path / "space.toml").write_text(text, encoding="utf-8")
        return str(tmp_path / "space.toml")

    return write
