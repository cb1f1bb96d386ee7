"""Samples: the paper's table as columns, and a user's CSV with every fault by row, column and value."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import MAX_LISTED_FAULTS, Fault, InvalidFile, WrongUsage, limit_faults
from explorer.models.samples.samples import Samples, paper_samples, read_designs, read_samples_csv

HEADER = "family,pruning_ratio,quant_step,voltage_v,frequency_hz,accuracy,latency_s"
ROW = "CNN,0.33,0.02,1.0,2.5e9,0.94,0.15"


def test_first_paper_sample_combines_both_tables() -> None:
    """Tables 1 and 2; `energy_j` is Total Energy, `power_w` is Table 2's Power (not P_avg)."""
    first = {name: values[0] for name, values in paper_samples().columns.items()}

    assert first == {
        "family": "CNN",
        "pruning_ratio": 0.33,
        "quant_step": 0.02,
        "voltage_v": 1.0,
        "frequency_hz": 2.5e9,
        "accuracy": 0.94,
        "latency_s": 0.15,
        "energy_j": 22.5,
        "power_w": 25.0,
        "size_bytes": 18e6,
        "throughput_ops": 8.5e11,
    }


def test_paper_families_keep_the_order_of_the_table() -> None:
    assert paper_samples().families == ("CNN", "DNN", "RNN", "Transformer")
    assert paper_samples().labels[:4] == ("CNN1", "CNN2", "CNN3", "DNN1")


def test_csv_values_families_targets_and_labels_are_read(tmp_path: Path) -> None:
    samples = read_samples_csv(_csv(tmp_path, HEADER, ROW, "DNN,0.4,0.05,0.8,1.8e9,0.9,0.1"))

    assert samples.columns["frequency_hz"].tolist() == [2.5e9, 1.8e9]
    assert samples.families == ("CNN", "DNN")
    assert samples.targets == ("accuracy", "latency_s")
    assert samples.labels == ("row 2", "row 3")


@given(
    numbers=st.lists(
        st.tuples(st.floats(0, 0.99), st.floats(1e-6, 1), st.floats(0.1, 5), st.floats(1, 1e12), st.floats(0.01, 0.99)),
        min_size=1,
        max_size=8,
    )
)
def test_csv_numbers_are_read_at_full_precision(
    tmp_path_factory: pytest.TempPathFactory, numbers: list[tuple[float, ...]]
) -> None:
    rows = [f"CNN,{','.join(repr(x) for x in row)}" for row in numbers]
    path = _csv(tmp_path_factory.getbasetemp(), HEADER.removesuffix(",latency_s"), *rows)
    columns = read_samples_csv(path).columns

    names = HEADER.split(",")[1:6]
    assert [tuple(columns[name][i] for name in names) for i in range(len(rows))] == numbers


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("\ufeff" + HEADER + "\n" + ROW + "\n", id="byte order mark"),
        pytest.param(HEADER + "\r\n" + ROW + "\r\n", id="CRLF"),
        pytest.param(HEADER + "\n" + ROW, id="no newline at the end"),
        pytest.param(HEADER + "\n" + ",".join(f'"{cell}"' for cell in ROW.split(",")) + "\n", id="quoted cells"),
        pytest.param(HEADER.replace(",", " , ") + "\n" + ROW.replace(",", " , ") + "\n", id="spaces around cells"),
        pytest.param(HEADER + "\n\n" + ROW + "\n\n", id="blank lines"),
        pytest.param(HEADER + ",note\n" + ROW + ',"a, b"\n', id="an extra column"),
    ],
)
def test_csv_variants_of_spreadsheets_are_read(tmp_path: Path, text: str) -> None:
    path = tmp_path / "samples.csv"
    path.write_bytes(text.encode())
    columns = read_samples_csv(path).columns

    assert (columns["family"].tolist(), columns["latency_s"].tolist()) == (["CNN"], [0.15])
    assert "note" not in columns


@pytest.mark.parametrize("column", ["name", "label"])
def test_name_column_labels_the_rows(tmp_path: Path, column: str) -> None:
    assert read_samples_csv(_csv(tmp_path, f"{column},{HEADER}", f"first,{ROW}")).labels == ("first",)


def test_empty_target_cell_is_nan(tmp_path: Path) -> None:
    samples = read_samples_csv(_csv(tmp_path, HEADER, ROW, ROW.replace("0.94", ""), ROW.replace("0.15", "")))

    assert np.isnan(samples.columns["accuracy"]).tolist() == [False, True, False]
    assert np.isnan(samples.columns["latency_s"]).tolist() == [False, False, True]


def test_empty_target_column_is_no_target(tmp_path: Path) -> None:
    assert read_samples_csv(_csv(tmp_path, HEADER, ROW.replace("0.94", ""))).targets == ("latency_s",)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        pytest.param([HEADER, ROW.replace("0.33", "abc")], r"row 2, pruning_ratio: 'abc' is not a number", id="text"),
        pytest.param([HEADER, ROW.replace("0.33", "1.0")], r"row 2, pruning_ratio: '1.0' is not allowed", id="R of 1"),
        pytest.param([HEADER, ROW.replace("0.33", "-0.1")], r"pruning_ratio: '-0.1' .*\n.*\[0, 1\)", id="negative R"),
        pytest.param([HEADER, ROW.replace("0.02", "2")], r"quant_step: '2' is not allowed.*\n.*\[0, 1\]", id="D of 2"),
        pytest.param([HEADER, ROW.replace("0.94", "940")], r"accuracy: '940' is not allowed.*\n.*\[0, 1\]", id="share"),
        pytest.param([HEADER, ROW.replace("0.15", "0")], r"latency_s: '0' is not allowed", id="no time at all"),
        pytest.param([HEADER, ROW.replace("0.33", "nan")], r"row 2, pruning_ratio: is empty", id="nan"),
        pytest.param([HEADER, ROW.replace("0.15", "inf")], r"latency_s: 'inf' is not allowed", id="inf"),
        pytest.param([HEADER, ROW.replace("1.0", "")], r"row 2, voltage_v: is empty", id="an empty knob"),
        pytest.param([HEADER, ROW.replace("CNN", " ")], r"row 2, family: is empty", id="no family"),
        pytest.param([HEADER], r"row 2: there are no rows", id="a header alone"),
        pytest.param([HEADER, ROW + ",7"], r"row 2: has 8 cells, the header has 7", id="a cell too many"),
        pytest.param([HEADER, ROW, "CNN,0.33"], r"row 3: has 2 cells, the header has 7", id="a short row"),
        pytest.param(
            [HEADER.replace("voltage_v", "voltag_v"), ROW],
            r"column 'voltage_v' is missing\n.*'voltag_v' may be it",
            id="a misspelt column",
        ),
        pytest.param([HEADER + ",accuracy", ROW + ",0.9"], r"column 'accuracy' appears twice", id="twice"),
        pytest.param(
            [HEADER.removesuffix(",accuracy,latency_s"), ROW.removesuffix(",0.94,0.15")],
            "there is no measured column",
            id="nothing measured",
        ),
        pytest.param([HEADER, 'CNN,"0.33'], "is not CSV", id="an open quote"),
    ],
)
def test_fault_has_its_location_and_fix(tmp_path: Path, rows: list[str], message: str) -> None:
    with pytest.raises(InvalidFile, match=rf"(?s)samples\.csv.*{message}") as caught:
        read_samples_csv(_csv(tmp_path, *rows))

    assert caught.value.exit_code == 3
    assert "\n  fix: " in str(caught.value)


def test_all_faults_of_a_file_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="6 faults") as caught:
        read_samples_csv(
            _csv(
                tmp_path,
                HEADER.replace("latency_s", "accuracy"),
                ROW.replace("0.33", "x"),
                ROW.replace("2.5e9", "-1"),
                ROW.replace("CNN", ""),
                ROW.replace("0.94,0.15", "0.94,2"),
                ROW.replace("1.0", ""),
            )
        )

    assert {fault.where for fault in caught.value.faults} == {
        "row 1",
        "row 2, pruning_ratio",
        "row 3, frequency_hz",
        "row 4, family",
        "row 5, accuracy",
        "row 6, voltage_v",
    }


def test_blank_line_does_not_shift_row_numbers(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="row 4, accuracy: '94' is not allowed"):
        read_samples_csv(_csv(tmp_path, HEADER, ROW, "", ROW.replace("0.94", "94")))


def test_cells_that_are_wrong_alike_are_one_fault(tmp_path: Path) -> None:
    rows = [ROW.replace("0.33", "-7"), ROW.replace("0.94", "bad")] * 60
    with pytest.raises(InvalidFile) as caught:
        read_samples_csv(_csv(tmp_path, HEADER, *rows))

    assert [fault.where for fault in caught.value.faults] == ["60 cells of pruning_ratio", "60 cells of accuracy"]
    assert "are not allowed ('-7' in row 2, '-7' in row 4, '-7' in row 6, ...)" in str(caught.value)


def test_number_of_reported_faults_is_limited() -> None:
    faults = [Fault(f"row {i}", "is wrong", "mend it") for i in range(120)]

    assert len(limit_faults(faults)) == MAX_LISTED_FAULTS + 1
    assert limit_faults(faults)[-1].where == f"and {120 - MAX_LISTED_FAULTS} more"


def test_designs_need_only_the_knobs(tmp_path: Path) -> None:
    designs = read_designs(_csv(tmp_path, "note," + HEADER.partition(",accuracy")[0], "x," + ROW.partition(",0.94")[0]))

    assert list(designs) == ["note", "family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz"]
    assert designs["note"].tolist() == ["x"]


def test_target_cells_of_designs_are_not_validated(tmp_path: Path) -> None:
    """A front.csv can be predicted again: its other columns are ignored."""
    designs = read_designs(_csv(tmp_path, HEADER, ROW.replace("0.94", "not measured")))

    assert "accuracy" not in designs


def test_implied_columns_may_be_missing_from_designs(tmp_path: Path) -> None:
    path = _csv(tmp_path, "pruning_ratio,voltage_v,frequency_hz", "0.5,1.0,2e9", "0.6,1.1,2e9")
    designs = read_designs(path, implied={"family": "CNN", "quant_step": "0.02", "voltage_v": "9"})

    assert designs["family"].tolist() == ["CNN", "CNN"]
    assert designs["quant_step"].tolist() == [0.02, 0.02]
    assert designs["voltage_v"].tolist() == [1.0, 1.1]


def test_duplicate_knob_column_of_designs_is_rejected(tmp_path: Path) -> None:
    """Which of the two voltages is meant is ambiguous: never a silent choice."""
    with pytest.raises(InvalidFile, match="column 'voltage_v' appears twice"):
        read_designs(_csv(tmp_path, HEADER.replace("accuracy", "voltage_v"), ROW))


def test_all_faults_of_designs_are_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match=r"(?s)'voltage_v' is missing.*row 2, quant_step") as caught:
        read_designs(_csv(tmp_path, HEADER.replace("voltage_v", "v"), ROW.replace("0.02", "2")))

    assert len(caught.value.faults) == 2


@pytest.mark.parametrize("read", [read_samples_csv, read_designs])
def test_missing_file_is_reported(tmp_path: Path, read: object) -> None:
    with pytest.raises(WrongUsage, match="no such file"):
        read(tmp_path / "none.csv")  # type: ignore[operator]


def test_step_0_means_not_quantized_and_is_noted(tmp_path: Path) -> None:
    samples = read_samples_csv(_csv(tmp_path, HEADER, ROW.replace("0.02", "0"), ROW))

    assert samples.columns["quant_step"].tolist() == [0.0, 0.02]
    assert "quant_step is 0 in 1 of 2 rows: read as not quantized" in samples.notes


def test_accuracy_may_be_0_or_1(tmp_path: Path) -> None:
    samples = read_samples_csv(_csv(tmp_path, HEADER, ROW.replace("0.94", "1"), ROW.replace("0.94", "0")))

    assert samples.columns["accuracy"].tolist() == [1.0, 0.0]


def test_step_0_of_a_design_is_rejected_unless_measured(tmp_path: Path) -> None:
    path = _csv(tmp_path, HEADER.partition(",accuracy")[0], ROW.partition(",0.94")[0].replace("0.02", "0"))
    with pytest.raises(InvalidFile, match=r"quant_step: '0' is not allowed"):
        read_designs(path)

    assert read_designs(path, is_measured=True)["quant_step"].tolist() == [0.0]


def test_sample_counts_are_read_if_they_match_the_accuracy(tmp_path: Path) -> None:
    header = HEADER.replace("latency_s", "n_right,n_samples")
    start = ROW.removesuffix("0.94,0.15")
    samples = read_samples_csv(_csv(tmp_path, header, f"{start}0.94,94,100", f"{start}0.9,,", f"{start}0.9,94,100"))

    assert samples.n_counted.tolist() == [100, 0, 0], "the last row's counts are of another accuracy"
    assert samples.rows(np.array([True, False, True])).n_counted.tolist() == [100, 0]
    assert "n_samples" not in samples.columns


def test_rows_selects_labels_and_columns() -> None:
    last = paper_samples().rows(np.arange(10) >= 8)

    assert last.labels == ("Transformer1", "Transformer2")
    assert last.columns["energy_j"].tolist() == [39.6, 34.1]
    assert isinstance(last, Samples)


def _csv(folder: Path, *lines: str) -> Path:
    path = folder / "samples.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
