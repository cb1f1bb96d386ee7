"""Tables 1 and 2 as data: their contents, and the faults of changed copies."""

import re

import numpy as np
import pytest

from explorer.errors import InvalidFile
from explorer.paper.tables import paper_table, parse_table, shipped_text


def changed(row: int, column: str, value: str) -> str:
    """Return the shipped table's text with one cell of one sample replaced."""
    lines = [line.split(",") for line in shipped_text().splitlines()]
    lines[row][lines[0].index(column)] = value
    return "\n".join(",".join(line) for line in lines)


def test_table_has_ten_samples_in_four_families() -> None:
    assert " ".join(paper_table()["name"]) == "CNN1 CNN2 CNN3 DNN1 DNN2 DNN3 RNN1 RNN2 Transformer1 Transformer2"


@pytest.mark.parametrize(
    ("column", "first_and_last"),
    [
        ("mac_energy_j", (3.0e-12, 3.5e-12)),
        ("access_energy_j", (8.0e-12, 9.0e-12)),
        ("original_size_bytes", (48e6, 85e6)),
        ("compressed_size_bytes", (18e6, 22e6)),
        ("frequency_hz", (2.5e9, 2.8e9)),
        ("capacitance_f", (4.0e-9, 4.5e-9)),
        ("throughput_ops", (8.5e11, 1.3e12)),
        ("total_energy_j", (22.5, 34.1)),
    ],
)
def test_columns_are_in_si_units(column: str, first_and_last: tuple[float, float]) -> None:
    values = paper_table()[column]
    assert (float(values[0]), float(values[-1])) == pytest.approx(first_and_last)


def test_counts_are_integers() -> None:
    assert all(paper_table()[name].dtype == np.int64 for name in ("sample", "epochs", "batches"))


def test_table_is_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        paper_table()["power_w"][0] = 1.0


def test_column_order_blank_lines_and_spaces_do_not_matter() -> None:
    lines = [line.split(",") for line in shipped_text().splitlines()]
    text = "\n\n".join(", ".join(reversed(line)) for line in lines)
    table = parse_table(text)
    assert all(np.array_equal(table[name], column) for name, column in paper_table().items())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            changed(0, "voltage_v", "voltage"), "unknown column 'voltage'.*did you mean 'voltage_v'", id="typo"
        ),
        pytest.param(changed(0, "voltage_v", "voltage"), "column 'voltage_v' is missing.*restore it", id="missing"),
        pytest.param(changed(0, "power_w", "accuracy"), "column 'accuracy' appears 2 times.*keep one", id="twice"),
        pytest.param(
            changed(3, "power_w", "20 W"), "sample 3, power_w: '20 W' is not a number.*without its unit", id="unit"
        ),
        pytest.param(changed(3, "power_w", ""), "sample 3, power_w: '' is not a number", id="empty-cell"),
        pytest.param(changed(3, "power_w", "inf"), "sample 3, power_w: inf is out of range", id="infinite"),
        pytest.param(changed(3, "power_w", "nan"), "sample 3, power_w: nan is out of range", id="nan"),
        pytest.param(changed(3, "power_w", "-20"), "sample 3, power_w: -20 is out of range", id="negative"),
        pytest.param(
            changed(2, "accuracy", "93"), "sample 2, accuracy: 93 is out of range.*share from 0 to 1", id="percent"
        ),
        pytest.param(
            changed(2, "pruning_ratio", "1"), "pruning_ratio: 1 is out of range.*less than 1", id="all-pruned"
        ),
        pytest.param(
            changed(2, "epochs", "50.5"), "sample 2, epochs: 50.5 is out of range.*whole number", id="half-epoch"
        ),
        pytest.param(changed(6, "family", "DMN"), "sample 6, family: is 'DMN'.*write 'DNN'", id="family"),
        pytest.param(changed(6, "sample", "7"), "sample 6, sample: is 7.*write 6", id="number"),
        pytest.param(shipped_text() + "1,CNN\n", "sample 11: has 2 cells, the header has 23", id="short-row"),
        pytest.param(shipped_text().rsplit("\n", 2)[0], "there are 9 samples.*keep samples 1-10", id="row-left-out"),
        pytest.param("\n\n", "has no header.*start from a copy", id="nothing"),
        pytest.param('sample,"family\n1', "is not CSV.*start from a copy", id="open-quote"),
    ],
)
def test_fault_has_its_location_and_a_fix(text: str, message: str) -> None:
    with pytest.raises(InvalidFile, match=re.compile(f"mine.csv: .*{message}", re.DOTALL)):
        parse_table(text, path="mine.csv")


def test_all_faults_of_a_file_are_reported() -> None:
    lines = [line.split(",") for line in shipped_text().splitlines()]
    lines[0][15], lines[1][8], lines[10][20], lines[4][1] = "volts", "many", "2", "ANN"
    with pytest.raises(InvalidFile, match=r"mine\.csv: 5 faults") as caught:
        parse_table("\n".join(",".join(line) for line in lines), path="mine.csv")
    assert [fault.where for fault in caught.value.faults] == [
        "header", "header", "sample 1, average_power_w", "sample 4, family", "sample 10, accuracy",
    ]  # fmt: skip
