"""Designs from a grid in one line of text, or from a CSV."""

from pathlib import Path

import numpy as np
import pytest

from explorer.errors import InvalidFile, WrongUsage
from explorer.network.measurement.design_grid import DEFAULT_GRID, grid_designs, read_grid


def test_grid_is_the_product_of_ratios_and_steps() -> None:
    designs = grid_designs(DEFAULT_GRID, family="CNN")

    assert designs["family"].tolist() == ["CNN"] * 49
    assert sorted(set(designs["pruning_ratio"].tolist())) == [0, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9]
    steps = np.unique(designs["quant_step"])
    assert (steps[0], steps[-1]) == (0.001, 0.5)
    assert np.allclose(np.diff(np.log(steps)), np.log(500) / 6)


def test_single_number_fixes_a_knob() -> None:
    designs = grid_designs("D=0.02, R = 0.1:0.3:3", family="CNN")

    assert designs["pruning_ratio"].tolist() == [0.1, 0.2, 0.3]
    assert set(designs["quant_step"].tolist()) == {0.02}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a range"),
        ("R=0:0.9:7", "must give both R and D"),
        ("R=0,R=1,D=0.1", "repeats one"),
        ("R=0:0.9,D=0.1", "is not a range"),
        ("R=0:1:3,D=0.1", r"'R=0:1:3': R must be within \[0, 1\)"),
        ("R=-0.1,D=0.1", "is not a range"),
        ("R=0,D=0", r"D must be within \(0, 1\]"),
        ("R=0:0.9:3(log),D=0.1", "R must be within"),
        ("R=0:0.5:0,D=0.1", "R must be within"),
        ("R=0,D=1e999", "D must be within"),
        ("V=1,R=0,D=0.1", "is not a range"),
        ("R=0:0.9:9999,D=0.1:0.2:9999", "has 99,980,001 designs"),
        ("R=0:0.9:9999999,D=0.1", "is not a range"),
    ],
)
def test_invalid_grid_is_reported_with_an_example(text: str, message: str) -> None:
    with pytest.raises(WrongUsage, match=message):
        grid_designs(text, family="CNN")


def test_designs_are_read_from_csv(tmp_path: Path) -> None:
    path = tmp_path / "d.csv"
    path.write_text("name,quant_step,pruning_ratio\na,0.1,0.5\nb,0.2,0\n")
    designs = read_grid(path, family="CNN")

    assert designs["pruning_ratio"].tolist() == [0.5, 0.0]
    assert designs["quant_step"].tolist() == [0.1, 0.2]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("pruning_ratio\n0.1\n", "column 'quant_step' is missing"),
        ("pruning_ratio,quant_step\n", "has no rows"),
        (
            "pruning_ratio,quant_step\n0.1,0.1\n1,x\n",
            r"(?s)2 faults.*row 3, pruning_ratio: '1'.*row 3, quant_step: 'x'",
        ),
        ("pruning_ratio,quant_step\n0.1\n", "row 2: has 1 cells, the header has 2"),
        ('pruning_ratio,quant_step\n"0.1,0.1\n', "is not CSV"),
    ],
)
def test_faults_of_a_designs_csv_are_reported(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "d.csv"
    path.write_text(text)

    with pytest.raises(InvalidFile, match=message):
        read_grid(path, family="CNN")
