"""Any column of a user's table is understood, or refused by its name; the decision is explained."""

import csv
import io
import random
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import InvalidFile, WrongUsage
from explorer.io.csv_text import CsvTable
from explorer.models.samples.reading.reading import Reading
from explorer.models.samples.reading.understand import understand
from explorer.models.samples.samples import Samples, read_samples_csv
from explorer.problem.constraints import parse_constraint
from explorer.problem.declarations.samples import ColumnSource
from explorer.problem.naming.spellings import dictionary, match_header, meant_unit, symbol_of
from explorer.problem.targets import Target
from explorer.units import factor


def table(header: Sequence[str], *rows: Sequence[object]) -> CsvTable:
    cells = [[str(cell) for cell in row] for row in rows]
    return CsvTable([*header], cells, [*range(2, len(rows) + 2)], "", source="samples.csv")


def columns_of(name: str, values: Sequence[object], **options: object) -> Reading:
    """Return the reading of one column beside a latency."""
    rows = [[value, 0.1 + i] for i, value in enumerate(values)]
    return understand(table([name, "latency_s"], *rows), **options)  # type: ignore[arg-type]


def read_as(name: str, *values: object) -> tuple[str, str]:
    one = columns_of(name, values or (0.1, 0.2, 0.3)).columns[0]
    return one.read_as, one.unit


@pytest.mark.parametrize("column", dictionary()["columns"])
def test_every_spelling_means_its_column(column: str) -> None:
    for spelling in dictionary()["columns"][column]:
        match = match_header(spelling)

        assert match is not None, spelling
        assert match.column == column, spelling


@pytest.mark.parametrize(
    ("header", "column", "unit"),
    [
        ("Latency [ms]", "latency_s", "ms"),
        ("power (mW)", "power_w", "mW"),
        ("freq_mhz", "frequency_hz", "MHz"),
        ("FREQ MHZ", "frequency_hz", "MHz"),
        ("top1_pct", "accuracy", "%"),
        ("Sparsity %", "pruning_ratio", "%"),
        ("mW", "power_w", "mW"),
        ("power_MW", "power_w", "mW"),
        ("E [mJ]", "energy_j", "mJ"),
        ("Zeit / ms", "latency_s", "ms"),
        ("latencyMs", "latency_s", "ms"),
        ("Größe [KiB]", "size_bytes", "KiB"),
        ("core_mhz", "frequency_hz", "MHz"),
        ("GPU (W)", "power_w", "W"),
        ("metrics.val/acc", "accuracy", ""),
        ("metrics/mAP@0.5", "mAP", ""),
        ("VRAM [GB]", "memory_bytes", "GB"),
        ("inference time (µs)", "latency_s", "us"),
        ("energy_wh", "energy_j", "Wh"),
    ],
)
def test_a_header_states_column_and_unit(header: str, column: str, unit: str) -> None:
    match = match_header(header)

    assert match is not None
    assert (match.column, match.unit) == (column, unit)


@pytest.mark.parametrize("header", ["width", "ts", "cores", "min", "latency (p99)", "accuracy_lo", "latency_source_s",
                                    "lat", "E", "energy_window_s", "note", "size_file_bytes"])  # fmt: skip
def test_another_header_means_no_column(header: str) -> None:
    assert match_header(header) is None


@given(
    column=st.sampled_from(["latency_s", "power_w", "energy_j", "frequency_hz", "size_bytes", "voltage_v"]),
    prefix=st.sampled_from(["", "m", "k", "u", "M", "G"]),
)
def test_units_are_parsed_in_any_case(column: str, prefix: str) -> None:
    """Of m and M, which differ by case alone, the one is meant that a board can have."""
    unit = f"{prefix}{symbol_of(column)}"
    same = {meant_unit(text, symbol_of(column)) for text in (unit, unit.lower(), unit.upper())}
    big = column in {"frequency_hz", "size_bytes"}

    assert len(same - {""}) <= 1
    if not (big and prefix in {"m", "u"}):
        assert same == {unit.replace("M", "M" if big else "m")}


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("accuracy", (93.2, 88, 71.5), ("accuracy", "%")),
        ("accuracy", (0.93, 0.88, 1), ("accuracy", "")),
        ("sparsity", (0, 30, 90), ("pruning_ratio", "%")),
        ("sparsity", (0, 0.3, 0.9), ("pruning_ratio", "")),
        ("top1", ("93.2%", "88%", "71 %"), ("accuracy", "%")),
        ("mAP", (46.4, 47.5, 45.1), ("mAP", "%")),
        ("clock", (600, 1200, 1800), ("frequency_hz", "MHz")),
        ("clock", (0.6, 1.2, 1.8), ("frequency_hz", "GHz")),
        ("clock", (600000, 1200000, 1800000), ("frequency_hz", "kHz")),
        ("clock", (6e8, 1.2e9, 1.8e9), ("frequency_hz", "Hz")),
        ("vdd", (850, 900, 1000), ("voltage_v", "mV")),
        ("model", ("a", "a", "b", "b"), ("family", "")),
        ("model", ("a", "b", "c"), ("ignored", "")),
        ("Name", ("a", "b", "c"), ("label", "")),
        ("Created", ("2026", "2027", "2028"), ("bookkeeping", "")),
        ("seed", (1, 2, 3), ("bookkeeping", "")),
        ("train/acc", (0.9, 0.8, 0.7), ("bookkeeping", "")),
        ("State", ("finished", "finished", "finished"), ("state", "")),
        ("config.lr", (0.1, 0.01, 0.1), ("lr", "")),
        ("params.batch-size", (1, 8, 1), ("batch_size", "")),
        ("metrics.foo", (1, 8, 1), ("ignored", "")),
        ("edp_js", (1, 2, 3), ("ignored", "")),
        ("host", ("a", "a", "a"), ("machine", "")),
    ],
)
def test_a_column_is_read_by_name_and_values(name: str, values: tuple[object, ...], expected: tuple[str, str]) -> None:
    assert read_as(name, *values) == expected


def test_every_column_has_a_reason() -> None:
    reading = understand(
        table(["acc", "top1", "x", "y", "", "State"], *[[0.9, 0.8, i, "t", "", "ok"] for i in range(4)])
    )

    assert [one.read_as for one in reading.columns] == ["accuracy", "ignored", "ignored", "ignored", "ignored", "state"]
    assert all(one.why for one in reading.columns)
    assert reading.columns[1].why == "accuracy is read from 'acc'"


def test_columns_that_measure_writes_are_known() -> None:
    header = ["family", "pruning_ratio", "quant_step", "accuracy", "n_right", "n_samples", "latency_s",
              "latency_source_s", "machine", "r_effective", "container", "n_macs"]  # fmt: skip
    row = ["cnn", 0.5, 0.1, 0.9, 90, 100, 0.1, 0.2, "a board", 0.5, "int8", 337536]
    kinds = [one.kind for one in understand(table(header, row, row)).columns]

    assert kinds == ["knob"] * 3 + ["target", "count", "count", "target", "reference", "machine"] + ["bookkeeping"] * 3


def test_what_the_user_states_counts_first() -> None:
    header = ["top1", "mine", "q", "lat", "foo"]
    rows = [[0.9 + i / 100, 50 + i, 5 + i, 3 + i, i] for i in range(4)]
    mapping = {"accuracy": ColumnSource("mine", "%"), "latency_s": ColumnSource("lat", "ms")}
    reading = understand(
        table(header, *rows), mapping=mapping, targets=[Target("q", "min")], knobs=["foo"], ignore=["top1"]
    )
    samples = read_samples_csv(
        table(header, *rows), columns=mapping, targets=[Target("q", "min")], extra_knobs=["foo"], ignore=["top1"]
    )

    assert [one.read_as for one in reading.columns] == ["ignored", "accuracy", "q", "latency_s", "foo"]
    assert samples.columns["accuracy"].tolist() == [0.5, 0.51, 0.52, 0.53]
    assert samples.columns["latency_s"].tolist() == [0.003, 0.004, 0.005, 0.006]
    assert samples.columns["q"].tolist() == [5, 6, 7, 8]


def test_a_stated_column_that_is_missing_is_a_fault() -> None:
    with pytest.raises(InvalidFile, match=r"there is no column 'top-2', read as accuracy\n.*did you mean 'top1'"):
        read_samples_csv(table(["top1", "ms"], [0.9, 3]), columns={"accuracy": ColumnSource("top-2")})


def test_percent_among_shares_is_one_fault() -> None:
    rows = [[93.2 if i % 2 else 0.93, 0.1] for i in range(40)]
    with pytest.raises(InvalidFile) as caught:
        read_samples_csv(table(["top1", "latency_s"], *rows))

    (fault,) = caught.value.faults
    assert fault.where == "20 cells of top1"
    assert fault.what.startswith("look like percent, 20 like shares ('93.2' in row 3, ")
    assert "under the header 'top1 [%]'" in fault.fix


def test_a_fault_has_the_header_and_the_cell_of_the_file() -> None:
    rows = [["93.2", 3], ["abc", 3], ["930", 3], ["92", 3]]
    with pytest.raises(InvalidFile) as caught:
        read_samples_csv(table(["Top-1 [%]", "ms"], *rows))

    text = str(caught.value)
    assert "row 3, Top-1 [%]: 'abc', read as accuracy, in %: 'abc' is not a number" in text
    assert "row 4, Top-1 [%]: '930', read as accuracy, in %: '9.3" in text


@pytest.mark.parametrize("missing", ["", "n/a", "NA", "NaN", "-", "--", "none", "null", "#N/A", "N/A"])
def test_missing_values_are_not_measured(missing: str) -> None:
    samples = read_samples_csv(table(["acc", "latency_ms"], [0.9, 3], [missing, 4], [0.8, missing]))

    assert np.isnan(samples.columns["accuracy"]).tolist() == [False, True, False]
    assert np.isnan(samples.columns["latency_s"]).tolist() == [False, False, True]


def test_infinity_is_a_fault() -> None:
    with pytest.raises(InvalidFile, match=r"row 3, latency_ms: .*inf"):
        read_samples_csv(table(["acc", "latency_ms"], [0.9, 3], [0.8, "inf"]))


def test_a_category_may_be_called_none() -> None:
    rows = [[0.9 - i / 100, 3 + i, ("none", "fp16")[i % 2]] for i in range(6)]
    samples = read_samples_csv(table(["acc", "ms", "scheme"], *rows), extra_knobs=None)

    assert samples.columns["scheme"].tolist() == ["none", "fp16"] * 3


def test_a_table_of_crashed_runs_alone_is_refused() -> None:
    with pytest.raises(InvalidFile, match="State: no run is finished"):
        read_samples_csv(table(["acc", "ms", "State"], [0.9, 3, "crashed"], [0.8, 2, "failed"]))


def test_a_given_interval_has_the_unit_of_its_target() -> None:
    rows = [[40 + i, 39 + i, 41 + i, 5 - i] for i in range(4)]
    target = Target("mAP", "max", "", (0.0, 1.0), "given")
    samples = read_samples_csv(table(["mAP", "mAP_lo", "mAP_hi", "ms"], *rows), targets=[target])
    Target("mAP", "max", "", (0.0, 1.0))

    assert samples.columns["mAP"].tolist() == [0.4, 0.41, 0.42, 0.43]
    assert samples.deviations["mAP"] == pytest.approx(0.01 / 1.6448536269514722)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("accuracy >= 92", "write 'accuracy >= 0.92' (or 92 %)"),
        ("acc >= 92.5 @ 90 %", "write 'accuracy >= 0.925 @ 90 %' (or 92.5 %)"),
        ("pruning_ratio <= 30", "write 'pruning_ratio <= 0.3' (or 30 %)"),
    ],
)
def test_a_share_limited_in_percent_is_refused_with_the_share(text: str, fix: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        parse_constraint(text)

    assert caught.value.fix == fix


def test_a_percent_sign_in_a_limit_is_understood() -> None:
    assert parse_constraint("accuracy >= 92 %").limit == 0.92


TRUTH = {
    "pruning_ratio": ["0", "0.3", "0.5", "0.7", "0.9", "0.25"],
    "weight_bits": ["32", "8", "4", "8", "4", "16"],
    "frequency_hz": ["600e6", "1.2e9", "1.8e9", "6e8", "12e8", "1800000000"],
    "accuracy": ["0.9333", "0.9312", "0.931", "0.8871", "0.4251", "0.93"],
    "latency_s": ["0.008443", "0.004167", "0.002757", "0.0031", "0.0012", "0.00503"],
    "energy_j": ["0.0182", "0.0142536", "0.0129", "0.0071", "0.0033", "0.0099"],
    "size_bytes": ["14000000", "3500000", "1750000", "2450000", "350000", "5250000"],
}
UNITS_OF = {
    "pruning_ratio": ["", "%"], "weight_bits": [""], "frequency_hz": ["Hz", "kHz", "MHz", "GHz"],
    "accuracy": ["", "%"], "latency_s": ["s", "ms", "us"], "energy_j": ["J", "mJ", "uJ"],
    "size_bytes": ["B", "kB", "MB"],
}  # fmt: skip
NOISE = {
    "Created": ["2026-10-01"] * 6, "Notes": ["-"] * 6, "User": ["me"] * 6, "git commit": [f"a{i}" for i in range(6)],
    "train/loss": [f"0.{i}" for i in range(6)], "_step": ["9"] * 6, "comment": ["ok, fine"] * 6,
    "temperature_max": [f"{40 + i}.5" for i in range(6)], "": [""] * 6,
}  # fmt: skip


@st.composite
def spelt_tables(draw: st.DrawFn) -> CsvTable:
    """Draw a table of the truth: other names, units, separators, cases and order, among columns of no meaning."""
    columns = []
    for name, values in TRUTH.items():
        words = draw(st.sampled_from([name, *dictionary()["columns"][name]]))
        unit = draw(st.sampled_from(UNITS_OF[name]))
        separator = draw(st.sampled_from(["_", " ", "-", "."]))
        stem = (words.removesuffix("_s").removesuffix("_hz").removesuffix("_j").removesuffix("_bytes")).replace(
            "_", separator
        )
        style = draw(st.sampled_from(["{} [{}]", "{} ({})", "{}" + separator + "{}"])) if unit else "{}"
        header = style.format(stem, draw(st.sampled_from([unit, unit.lower()])))
        header = draw(st.sampled_from([header, header.capitalize() if unit in {"", "%"} else header]))
        prefix = draw(st.sampled_from(["", "config." if name in {"pruning_ratio", "weight_bits"} else "metrics."]))
        scale = Decimal(repr(factor(unit, symbol_of(name)))) if unit else Decimal(1)
        cells = [f"{(Decimal(value) / scale).normalize():f}" for value in values]
        columns.append((prefix + header, cells))
    noise = draw(st.lists(st.sampled_from([*NOISE.items()]), unique_by=lambda one: one[0], max_size=5))
    columns = draw(st.permutations([*columns, *noise]))
    header = [name for name, _ in columns]
    return table(header, *zip(*[cells for _, cells in columns], strict=True))


@given(
    spelt=spelt_tables(), delimiter=st.sampled_from([",", ";", "\t"]), is_comma=st.booleans(),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
)  # fmt: skip
def test_any_spelling_of_a_table_gives_its_samples(
    tmp_path_factory: pytest.TempPathFactory, spelt: CsvTable, delimiter: str, is_comma: bool, encoding: str
) -> None:
    text, path = io.StringIO(), tmp_path_factory.getbasetemp() / "spelt.csv"
    rows = [[cell.replace(".", ",") if is_comma and delimiter != "," else cell for cell in row] for row in spelt.rows]
    csv.writer(text, delimiter=delimiter).writerows([spelt.header, *rows])
    path.write_text(text.getvalue(), encoding=encoding)
    samples = read_samples_csv(path, extra_knobs=None)

    assert set(samples.columns) == {"family", *TRUTH}
    for name, values in TRUTH.items():
        assert samples.columns[name].tolist() == [float(value) for value in values], (spelt.header, name)


@given(seed=st.integers(0, 2**32), characters=st.text(min_size=1, max_size=30))
def test_any_header_is_understood_or_refused_by_name(seed: int, characters: str) -> None:
    rng = random.Random(seed)
    header = [characters.strip(), "acc", "latency_ms"]
    rows = [[rng.choice(["1", "x", "", "0.5", "93"]), 0.9 - i / 100, 3 + i] for i in range(5)]
    try:
        samples = read_samples_csv(table(header, *rows), extra_knobs=None)
    except InvalidFile as error:
        assert characters.strip()[:10] in str(error)  # noqa: PT017 - most are read
    else:
        assert isinstance(samples, Samples)
        assert samples.columns["latency_s"].tolist() == [0.003, 0.004, 0.005, 0.006, 0.007]


def test_a_unit_in_every_cell_is_the_unit_of_the_column() -> None:
    rows = [(0.1 * i, f"{12.5 + i} ms", f"{0.9 - 0.01 * i}") for i in range(5)]
    samples = read_samples_csv(table(["sparsity", "Latency", "acc"], *rows), extra_knobs=None)

    assert samples.columns["latency_s"].tolist() == [0.0125, 0.0135, 0.0145, 0.0155, 0.0165]


def test_text_under_the_name_of_a_target_says_what_to_write() -> None:
    latency = understand(table(["Latency", "acc"], ["12 ms", 0.9], ["3 s", 0.8])).columns[0]

    assert latency.why == "text such as '12 ms': write numbers, with their unit in the header"


@pytest.mark.parametrize("header", ["top1_pct", "accuracy [%]", "Top-1 (percent)"])
def test_shares_under_a_header_that_says_percent_are_refused(header: str) -> None:
    """0.93 under `accuracy [%]` is hardly 0.93 %: who means it says so."""
    (fault,) = columns_of(header, [0.93, 0.91, 0.0]).faults
    stated = columns_of(header, [0.93, 0.91, 0.0], mapping={"accuracy": ColumnSource(header, "%")})

    assert "look like shares, and the header says percent" in str(fault)
    assert stated.faults == ()


def test_percent_beside_shares_is_one_fault() -> None:
    rows = [(0.1, 93.2, 5), (0.5, 0.91, 4), (0.7, 88.1, 3)]
    with pytest.raises(InvalidFile) as error:
        read_samples_csv(table(["sparsity", "accuracy", "latency_ms"], *rows), extra_knobs=None)

    assert len(error.value.faults) == 1
