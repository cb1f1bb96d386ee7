"""Audit: every statement is listed, and every verdict follows from the table."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.paper.audit import quantities as q
from explorer.paper.audit.checks import VERDICTS, rounds_to
from explorer.paper.audit.statements import STATEMENTS, audit
from explorer.paper.tables import Table, paper_table, parse_table, shipped_text

NAMES = [str(name) for name in paper_table()["name"]]

DISAGREES = {
    "floor-all", "compression-pooled", "transformer-start", "square-law-one", "square-law-family", "power-cnn-law",
    "efficiency-highest", "throughput-peak", "throughput-dnn3", "edp-lowest", "cost-two-best", "total-is-eq1",
    "total-is-eq3", "total-is-power-time", "powers-equal", "counts-pruned", "compression-is-pruning", "total-is-eq7",
    "power-is-switching", "throughput-is-rate",
}  # fmt: skip
CONDITIONAL = {
    "memory-first", "energy-drivers", "power-range-cause", "cost-best-of-family", "cost-rnn2",
    "cost-transformers-highest", "cost-above-level", "cost-not-most-accurate", "cost-together",
}  # fmt: skip
UNCHECKABLE = {
    "pruning-cause", "policy", "breaking-point", "efficiency-accelerators", "edge-ready", "training-energy",
}  # fmt: skip
# Columns that a table would need to check these statements.
MISSING_COLUMNS = {
    "policy": ("emissions_kg", "cost"),
    "efficiency-accelerators": ("accelerator",),
    "edge-ready": ("deadline_s", "energy_budget_j"),
    "training-energy": ("batch_energy_j",),
}
# Relations that the paper's columns violate: statement, printed column, quantity computed from other columns.
RELATIONS = (
    ("total-is-eq1", "total_energy_j", q.MAC_MEM_ENERGY),
    ("total-is-eq3", "total_energy_j", q.POWER_TIME_ENERGY),
    ("total-is-power-time", "total_energy_j", q.TABLE_2_POWER_TIME_ENERGY),
    ("total-is-eq7", "total_energy_j", q.SWITCHING_ENERGY),
    ("powers-equal", "power_w", q.AVERAGE_POWER),
    ("power-is-switching", "power_w", q.SWITCHING_POWER),
    ("throughput-is-rate", "throughput_ops", q.MAC_RATE),
    ("compression-is-pruning", "compression_ratio", q.PRUNED_SIZE_RATIO),
)


def verdicts(table: Table) -> dict[str, str]:
    return {item.id: item.verdict for item in audit(table)}


def computed(statement_id: str, table: Table | None = None) -> str:
    return next(item.computed for item in audit(table) if item.id == statement_id)


def edited(cells: Mapping[tuple[str, str], str]) -> Table:
    """Return the paper's table with some cells replaced, by sample and column."""
    lines = [line.split(",") for line in shipped_text().splitlines()]
    for (sample, column), value in cells.items():
        lines[1 + NAMES.index(sample)][lines[0].index(column)] = value
    return parse_table("\n".join(",".join(line) for line in lines))


def with_columns(**columns: q.Float) -> Table:
    return {**paper_table(), **columns}


def test_every_statement_has_a_unique_id() -> None:
    items = audit()
    assert len(items) >= 25
    assert len({item.id for item in items}) == len({item.statement for item in items}) == len(items)


def test_every_section_of_the_results_is_audited() -> None:
    sections = {section for item in audit() for section in item.section.split(", ")}
    assert {"Abstract", "4.1", "4.2", "4.3", "4.4", "4.5", "4.6", "4.8", "V"} <= sections


def test_verdicts_for_the_papers_table() -> None:
    expected = {
        statement.id: "disagrees" if statement.id in DISAGREES
        else "conditional" if statement.id in CONDITIONAL
        else "uncheckable" if statement.id in UNCHECKABLE
        else "agrees"
        for statement in STATEMENTS
    }  # fmt: skip
    assert verdicts(paper_table()) == expected


@pytest.mark.parametrize(
    ("statement_id", "numbers"),
    [
        ("edp-lowest", ("0.968", "0.94")),
        ("efficiency-highest", ("6e10", "6.273e10")),
        ("transformer-start", ("39.6 J", "0.0435 J")),
        ("compression-pooled", ("r = +0.23",)),
        ("floor-all", ("RNN1 0.89", "RNN2 0.87")),
        ("square-law-family", ("CNN no (exponent 1.35)", "DNN yes", "RNN yes", "Transformer no (exponent 0.72)")),
        ("power-range-cause", ("family, clock, capacitance", "12.15 W", "3.796 W", "14 W")),
        ("cost-two-best", ("no alpha", "RNN1", "10.8 J against 12.1 J")),
        ("cost-above-level", ("[0, 0.330)", "39.6 J", "56.8 J")),
        ("total-is-eq1", ("574.8-910.3",)),
        ("eq1-lowest", ("RNN1 0.0154 J = RNN2 0.0154 J",)),
        ("training-energy", ("3000-1e4",)),
    ],
)
def test_computed_text_has_the_numbers_of_the_verdict(statement_id: str, numbers: tuple[str, ...]) -> None:
    assert [number for number in numbers if number not in computed(statement_id)] == []


@pytest.mark.parametrize(
    ("cells", "changes"),
    [
        pytest.param({("CNN2", "epochs"): "60"}, {}, id="epochs-decide-nothing"),
        pytest.param({("DNN3", "edp_js"): "0.99"}, {"edp-is-product": "disagrees"}, id="printed-edp"),
        pytest.param(
            {("RNN2", "total_energy_j"): "9.8"},
            {"edp-lowest": "agrees", "edp-is-product": "disagrees"},
            id="rnn2-energy-lifts-its-edp-above-dnn3",
        ),
        pytest.param({("RNN2", "throughput_ops"): "6.0e11"}, {"efficiency-highest": "agrees"}, id="rnn2-throughput"),
        pytest.param(
            {("Transformer2", "throughput_ops"): "1.1e12"},
            {"throughput-peak": "agrees", "pruning-efficiency": "disagrees"},
            id="transformer2-throughput",
        ),
        pytest.param(
            {("CNN1", "mem_accesses"): "1.5e9"},
            {"memory-dominates": "disagrees", "memory-first": "disagrees", "memory-cnn1": "disagrees"},
            id="cnn1-memory-accesses",
        ),
        pytest.param(
            {("DNN3", "power_w"): "13"},
            {"power-range": "disagrees", "efficiency-highest": "agrees", "efficiency-dnn3": "disagrees"},
            id="dnn3-power",
        ),
        pytest.param(
            {("CNN3", "compression_ratio"): "4.5"},
            {"compression-cnn": "disagrees", "compression-is-sizes": "disagrees"},
            id="cnn3-compression-ratio",
        ),
        pytest.param({("CNN2", "quant_step"): "0.01"}, {"pruning-cause": "conditional"}, id="cnn2-step-breaks-ranks"),
        pytest.param(
            {("RNN1", "pruning_ratio"): "0.5", ("RNN2", "pruning_ratio"): "0.6"},
            {"floor-all": "agrees"},
            id="rnns-pruned-beyond-the-floor",
        ),
    ],
)
def test_changed_number_changes_the_dependent_verdicts_only(
    cells: dict[tuple[str, str], str], changes: dict[str, str]
) -> None:
    before, after = verdicts(paper_table()), verdicts(edited(cells))
    assert {name: verdict for name, verdict in after.items() if verdict != before[name]} == changes


@pytest.mark.parametrize(("statement_id", "column", "quantity"), RELATIONS)
def test_relation_agrees_for_a_column_from_its_equation(statement_id: str, column: str, quantity: q.Quantity) -> None:
    assert verdicts(with_columns(**{column: quantity.of(paper_table())}))[statement_id] == "agrees"


def test_relation_tolerates_rounding_of_its_column_only() -> None:
    exact = q.EDP.of(paper_table())
    assert verdicts(with_columns(edp_js=exact + 0.005))["edp-is-product"] == "agrees"
    assert verdicts(with_columns(edp_js=exact + 0.0051))["edp-is-product"] == "disagrees"


def square_law_table() -> Table:
    return with_columns(power_w=25 * q.VOLTAGE.of(paper_table()) ** 2)


def pruned_counts_table() -> Table:
    left = 1 - q.PRUNING.of(paper_table())
    return with_columns(
        mac_ops=left * q.MAC_OPS.of(paper_table()), mem_accesses=left * q.MEM_ACCESSES.of(paper_table())
    )


def voltage_only_table() -> Table:
    """Return a table in which the highest and the lowest voltage belong to one family at one clock."""
    same = {name: np.full(10, paper_table()[name][0]) for name in ("frequency_hz", "capacitance_f")}
    return {**edited({("CNN1", "voltage_v"): "1.2", ("CNN3", "voltage_v"): "0.6"}), **same}


def compression_rules_table() -> Table:
    return with_columns(total_energy_j=100 - 10 * q.COMPRESSION.of(paper_table()))


def test_square_law_agrees_for_a_table_built_by_it() -> None:
    obedient = verdicts(square_law_table())
    assert {obedient[name] for name in ("square-law-one", "square-law-family", "power-cnn-law")} == {"agrees"}


def test_pruned_counts_agree_for_counts_that_fall_with_pruning() -> None:
    assert verdicts(pruned_counts_table())["counts-pruned"] == "agrees"


def test_voltage_is_the_cause_if_nothing_else_differs() -> None:
    assert verdicts(voltage_only_table())["power-range-cause"] == "agrees"


def test_compression_correlates_for_energy_built_from_it() -> None:
    assert verdicts(compression_rules_table())["compression-pooled"] == "agrees"


def test_printed_0_435_joule_agrees_with_a_table_of_it() -> None:
    assert verdicts(edited({("Transformer1", "total_energy_j"): "0.435"}))["transformer-start"] == "agrees"


def test_energy_follows_its_counts_if_built_from_them() -> None:
    counted = q.MAC_MEM_ENERGY.of(paper_table())
    assert verdicts(with_columns(total_energy_j=1.5 * counted))["energy-drivers"] == "agrees"
    assert verdicts(with_columns(total_energy_j=1 / counted))["energy-drivers"] == "disagrees"


def test_steeper_fall_beyond_rounding_is_a_breaking_point() -> None:
    assert verdicts(edited({("CNN3", "accuracy"): "0.80"}))["breaking-point"] == "agrees"


@pytest.mark.parametrize(("statement_id", "columns"), MISSING_COLUMNS.items())
def test_statement_is_uncheckable_only_without_its_columns(statement_id: str, columns: tuple[str, ...]) -> None:
    assert verdicts(with_columns(**{name: np.ones(10) for name in columns}))[statement_id] == "conditional"


@pytest.mark.slow
def test_every_verdict_depends_on_the_table() -> None:
    """Shuffled tables, and the constructed ones above, change every verdict."""
    rng = np.random.default_rng(3)
    tables = [
        {
            name: rng.permutation(values) if values.dtype == np.float64 else values
            for name, values in paper_table().items()
        }
        for _ in range(40)
    ]
    tables += [with_columns(**{column: quantity.of(paper_table())}) for _, column, quantity in RELATIONS]
    tables += [square_law_table(), pruned_counts_table(), voltage_only_table(), compression_rules_table()]
    tables += [with_columns(**{name: np.ones(10) for names in MISSING_COLUMNS.values() for name in names})]
    tables += [edited({("Transformer1", "total_energy_j"): "0.435"})]
    first = verdicts(paper_table())
    moved = {name for table in tables for name, verdict in verdicts(table).items() if verdict != first[name]}
    assert set(first) - moved == set()


positive = st.floats(min_value=1e-6, max_value=1e6)
columns_of_ten = st.lists(positive, min_size=10, max_size=10)
shares_of_ten = st.lists(st.floats(min_value=0, max_value=0.999), min_size=10, max_size=10)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
@pytest.mark.slow
def test_audit_runs_on_any_table(data: st.DataObject) -> None:
    text = shipped_text().splitlines()
    header = text[0].split(",")
    columns = {
        name: data.draw(shares_of_ten if name in {"accuracy", "pruning_ratio"} else columns_of_ten, label=name)
        for name in header
        if name not in {"sample", "family", "epochs", "batches"}
    }
    lines = [line.split(",") for line in text]
    for name, values in columns.items():
        for row, value in enumerate(values, start=1):
            lines[row][header.index(name)] = repr(value)
    items = audit(parse_table("\n".join(",".join(line) for line in lines)))
    assert {item.verdict for item in items} <= set(VERDICTS)


@given(value=st.floats(min_value=0.01, max_value=100))
def test_number_agrees_with_its_own_rounding(value: float) -> None:
    assert rounds_to(value, f"{value:.2f}")


@pytest.mark.parametrize(
    ("value", "printed", "agrees"),
    [
        (0.968, "0.97", True), (0.964, "0.97", False), (3.375, "3.38", True), (3.375, "3.37", True),
        (6.04e10, "6.0e10", True), (6.06e10, "6.0e10", False), (39.6, "0.435", False), (2.07, "2", True),
    ],
)  # fmt: skip
def test_printed_digits_set_the_tolerance(value: float, printed: str, agrees: bool) -> None:
    assert rounds_to(value, printed) is agrees
