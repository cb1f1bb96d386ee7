"""Machine and clock of a model: devices it was not measured on, and targets that do not depend on the clock."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.errors import InvalidFile
from explorer.models.evaluation import Problem, make_problem
from explorer.models.loading import load_evaluator
from explorer.models.machine import machine_checks, machine_notes, machine_of
from explorer.problem.study import make_study, read_study

POINTS = {"points": [{"frequency": 1.2, "voltage": 0.7}, {"frequency": 2.4, "voltage": 1.0}]}
RATIOS = np.linspace(0.1, 0.8, 8)


def problem(
    path: Path, *, operating: dict[str, Any], objectives: tuple[str, ...] = ("latency_s", "accuracy"), **space: Any
) -> Problem:
    declared = {"family": "network", "axes": {"pruning_ratio": {"range": [0.1, 0.8]}}, "operating_points": operating}
    study = make_study(
        {"space": "board", "model": str(path), "objectives": list(objectives)}, name="q",
        spaces={"board": {**declared, **space}},
    )  # fmt: skip
    return make_problem(study, load_evaluator(study))


def write(path: Path, *, machine: str = "", clocks: tuple[float, ...] = ()) -> Path:
    """Write rows of a server whose latency falls with R, at each of some clocks in hertz."""
    lines = [
        "pruning_ratio,accuracy,size_bytes,latency_s"
        + (",frequency_hz" if clocks else "")
        + (",machine" if machine else "")
    ]
    for clock in clocks or (1e9,):
        for r in RATIOS:
            row = [
                f"{r:.3f}",
                f"{0.95 - 0.1 * r:.4f}",
                f"{1e6 * (1 - r):.0f}",
                f"{0.05 * (1 - 0.5 * r) * 1e9 / clock:.6f}",
            ]
            lines.append(",".join([*row, *([str(clock)] if clocks else []), *([machine] if machine else [])]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def server(tmp_path: Path) -> Path:
    return write(tmp_path / "server.csv", machine="AMD EPYC 7B13")


@pytest.mark.parametrize("operating", [POINTS, {"device": "rk3588-big"}])
def test_latency_without_a_clock_is_not_searched_over_clocks(server: Path, operating: dict[str, Any]) -> None:
    with pytest.raises(
        InvalidFile, match=r"latency_s cannot be predicted at these clocks: .* no clock.*\n.*law = 'none'"
    ):
        problem(server, operating=operating)


@pytest.mark.slow
def test_study_of_accuracy_and_size_leaves_latency_out_at_these_clocks(server: Path) -> None:
    free = problem(server, operating=POINTS, objectives=("size_bytes", "accuracy"))

    columns = free.sample(8)
    assert np.isnan(columns["latency_s"]).all()
    assert np.isfinite(columns["accuracy"]).all()
    notes = machine_notes(free.study, free.evaluator, free.unsupported)
    (note,) = notes
    assert note == (
        "latency_s cannot be predicted at these clocks: its samples have no clock, and the space sets 1.2 GHz to "
        "2.4 GHz"
    )


@pytest.mark.slow
def test_accuracy_and_size_hold_on_every_machine(server: Path) -> None:
    free = problem(server, operating={"device": "rk3588-big"}, objectives=("size_bytes", "accuracy"))

    assert {check.relation for check in machine_checks(free.study, free.evaluator, free.unsupported)} == {"same"}


@pytest.mark.slow
def test_latency_without_a_clock_is_searched_without_clocks(server: Path) -> None:
    assert np.isfinite(problem(server, operating={"law": "none"}).sample(8)["latency_s"]).all()


@pytest.mark.slow
def test_one_measured_clock_is_not_searched_at_others(tmp_path: Path) -> None:
    path, free = write(tmp_path / "one.csv", clocks=(2.4e9,)), {"domain": {"enforce": False}}

    with pytest.raises(InvalidFile, match=r"all its samples are at 2.4 GHz, and the space sets 1.2 GHz to 2.4 GHz"):
        problem(path, operating=POINTS, **free)
    at_its_clock = problem(path, operating={"points": [{"frequency": 2.4}]}, **free)
    assert np.isfinite(at_its_clock.sample(8)["latency_s"]).all()


@pytest.mark.slow
def test_several_measured_clocks_are_searched(tmp_path: Path) -> None:
    """The voltage follows from the clock on a device: samples of clocks alone suffice."""
    swept = problem(write(tmp_path / "sweep.csv", clocks=(1.2e9, 1.8e9, 2.4e9)), operating=POINTS)

    assert swept.unsupported == ()
    columns = swept.sample(64)
    slow = columns["frequency_hz"] < 2e9
    assert columns["latency_s"][slow].min() > columns["latency_s"][~slow].max()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["paper", "edp-accuracy", "h100", "h100-latency", "all-families", "power-cap"])
def test_shipped_studies_hold_on_their_own_machine(name: str) -> None:
    study = read_study(name)
    shipped = make_problem(study, load_evaluator(study))

    assert shipped.unsupported == ()
    assert machine_checks(study, shipped.evaluator) == ()
    assert machine_of(shipped.evaluator)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("machine", "relation"),
    [("rk3588-big", "same"), ("RK3588-A76", "same"), ("AMD EPYC 7B13", "other"), ("", "not stated")],
)
def test_space_of_a_device_compares_it_with_the_samples(tmp_path: Path, machine: str, relation: str) -> None:
    path = write(tmp_path / "sweep.csv", machine=machine, clocks=(1.2e9, 1.8e9, 2.4e9))
    searched = problem(path, operating={"device": "rk3588-big"})

    (check,) = machine_checks(searched.study, searched.evaluator)
    assert check.relation == relation
    assert bool(check.text) == (relation != "same")
