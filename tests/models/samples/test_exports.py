"""The same rows give the same samples and the same model, whichever export they came from."""

from pathlib import Path

import numpy as np
import pytest

from explorer.io.csv_text import CsvTable
from explorer.io.tables.read import read_table
from explorer.models.loading import fit_samples, load_samples, model_to_json
from explorer.models.samples.samples import Samples, read_samples_csv
from tests.cases.tables.exports import PLAIN, write_exports

CASES = Path(__file__).parents[2] / "cases" / "tables"
WITH_HOLES = ["a_german.csv", "b_tabs.csv", "c_excel_bom_units.csv", "d_units.csv", "e_own_names_percent.csv",
              "l_two_holes.csv"]  # fmt: skip
WHOLE = ["f_pct_names.csv", "g_accuracy_pct_only.csv", "m_records.json"]
N_FITTED = 15  # rows, the two with holes among them
ROUNDED = ["h_usual_names.csv", "i_usual_knobs_own_targets.csv"]
OWN_FILES = {
    "mAP.csv": {"mAP", "perplexity", "latency_s", "energy_j"},
    "wandb.csv": {"accuracy", "latency_s", "energy_j"},
    "mlflow.csv": {"accuracy", "latency_s", "energy_j"},
    "nan.csv": {"accuracy", "latency_s", "energy_j"},
}


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with all exports."""
    folder = tmp_path_factory.mktemp("exports")
    write_exports(folder)
    return folder


def read(path: Path) -> Samples:
    return read_samples_csv(path, extra_knobs=None)


def plain_table(exports: Path, *, holes: bool) -> CsvTable:
    """Return the table with explorer's own names; with the two cells left empty that some exports lack."""
    table = read_table(exports / PLAIN)
    if holes:
        table.rows[7][5] = table.rows[12][6] = ""
    return table


def as_lists(samples: Samples, *, rows: int = 45) -> dict[str, list[object]]:
    return {
        name: [None if value != value else value for value in values.tolist()[:rows]]  # noqa: PLR0124 - NaN
        for name, values in samples.columns.items()
    }


@pytest.mark.parametrize("name", [*WITH_HOLES, *WHOLE])
def test_an_export_has_the_samples_of_the_plain_table(exports: Path, name: str) -> None:
    plain = read_samples_csv(plain_table(exports, holes=name in WITH_HOLES), extra_knobs=None)

    assert as_lists(read(exports / name)) == as_lists(plain)


@pytest.mark.parametrize("name", ROUNDED)
def test_an_export_of_rounded_powers_has_the_other_cells(exports: Path, name: str) -> None:
    samples, plain = as_lists(read(exports / name)), as_lists(read(exports / PLAIN))
    same = set(samples) - {"family", "power_w", "energy_j"}

    assert same == {"pruning_ratio", "weight_bits", "frequency_hz", "accuracy", "latency_s"}
    assert all(samples[one] == plain[one] for one in same)
    assert samples["power_w"] == pytest.approx(plain["power_w"], abs=5.1e-4)


def test_a_wandb_export_has_the_rows_of_its_clock(exports: Path) -> None:
    samples, plain = read(exports / "j_wandb.csv"), read(exports / PLAIN)
    rows = plain.rows(plain.columns["frequency_hz"] == 1.2e9)

    for name in ("pruning_ratio", "weight_bits", "accuracy", "latency_s"):
        assert samples.columns[name].tolist() == rows.columns[name].tolist()
    assert samples.columns["energy_j"] == pytest.approx(rows.columns["energy_j"], abs=2e-6)
    assert samples.labels[:2] == ("sweep-1", "sweep-4")


def test_an_mlflow_export_has_its_settings_as_knobs(exports: Path) -> None:
    samples = read(exports / "k_mlflow.csv")

    assert samples.knobs == ("family", "pruning_ratio", "batch_size")
    assert samples.columns["latency_s"].tolist() == [0.0041, 0.0031, 0.0141, 0.0091]
    assert samples.columns["energy_j"].tolist() == [0.0142, 0.0112, 0.0442, 0.0312]


@pytest.mark.parametrize("name", OWN_FILES)
def test_further_files_have_their_targets(name: str) -> None:
    samples = read(CASES / name)

    assert set(samples.targets) == OWN_FILES[name]
    assert samples.knobs == ("family", "pruning_ratio", "weight_bits", "frequency_hz")
    assert set(samples.columns["frequency_hz"]) == {6e8, 1.2e9, 1.8e9}


def test_unfinished_runs_are_left_out_with_a_note() -> None:
    samples = read(CASES / "wandb.csv")

    assert len(samples.labels) == 20
    assert "4 of 24 runs are not finished (State: crashed) and are left out" in samples.notes
    assert np.isfinite(samples.columns["accuracy"]).all()


def test_rows_with_holes_are_used_for_what_they_have() -> None:
    samples = read(CASES / "nan.csv")

    assert [int(np.isfinite(samples.columns[name]).sum()) for name in ("accuracy", "energy_j", "latency_s")] == [
        21, 21, 24,
    ]  # fmt: skip


def test_energy_is_derived_from_power_and_latency(exports: Path) -> None:
    samples = read(exports / "a_german.csv")
    lacks = {7, 12}

    energy = samples.columns["energy_j"]
    assert set(np.flatnonzero(np.isnan(energy)).tolist()) == lacks
    assert energy[0] == 0.0182478559  # 2.1613 W for 8.443 ms
    assert "energy_j is derived: power_w x latency_s of each row" in samples.notes
    left_out = read_samples_csv(exports / "a_german.csv", extra_knobs=None, ignore=["energy_j"])
    assert "energy_j" not in left_out.columns


@pytest.mark.slow
def test_models_of_all_exports_equal_that_of_the_plain_table(exports: Path) -> None:
    """To the last digit: leave out where a file lies, what it is called, and the remarks on how it was read."""

    def fitted(table: CsvTable) -> dict[str, object]:
        some = table.keep([i < N_FITTED for i in range(len(table.rows))])
        tables = load_samples([some], ignore=["latency_s", "energy_j", "accuracy"])
        model = dict(model_to_json(fit_samples(tables, name="model")))
        for one in model["tables"]:
            for name in ("source", "sha256", "notes", "labels", "numbers"):
                one.pop(name, None)
        return model

    plain = {holes: fitted(plain_table(exports, holes=holes)) for holes in (True, False)}
    assert {response["target"] for response in plain[True]["responses"]} == {"power_w"}
    different = [n for n in (*WITH_HOLES, *WHOLE) if fitted(read_table(exports / n)) != plain[n in WITH_HOLES]]

    assert different == []
