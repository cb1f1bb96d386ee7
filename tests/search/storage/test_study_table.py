"""Studies of plain Optuna as tables: every version, every storage, and nothing of the user's file is changed."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from explorer.errors import ExplorerError, InvalidFile, UnknownName, WrongUsage
from explorer.io.csv_text import CsvTable
from explorer.search.storage.study_table import (
    is_storage,
    load_table,
    read_storage,
    save_table,
    storage_file_name,
)

CASES = Path(__file__).parents[2] / "cases/optuna"
BITS = {"int8": 8, "fp16": 16, "fp32": 32}


def make_study(storage: BaseStorage, name: str = "mine") -> optuna.Study:
    study = optuna.create_study(storage=storage, study_name=name, directions=["maximize", "minimize"])
    study.set_metric_names(["accuracy", "energy_j"])

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        x = trial.suggest_float("sparsity", 0, 0.9)
        bits = trial.suggest_categorical("bits", [4, 8, None])
        trial.set_user_attr("notes", {"seed": trial.number, "tags": ["a"]})
        if trial.number == 2:
            raise optuna.TrialPruned
        return 0.95 - x**3, (1 - x) * (bits or 32)

    study.optimize(objective, n_trials=6)
    study.ask()
    return study


def column(table: CsvTable, name: str) -> Any:
    return np.array([float(cell) for cell in table.cells(name)])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("version", "values"),
    [(3, ["values_accuracy", "values_energy_j"]), (2, ["values_0", "values_1"])],  # of 2, a copy's schema is upgraded
)
def test_a_storage_of_an_older_optuna_is_read_and_stays_as_it_is(
    tmp_path: Path, version: int, values: list[str]
) -> None:
    path = tmp_path / "old.db"
    shutil.copy(CASES / f"optuna{version}.db", path)
    path.chmod(0o444)
    before = path.read_bytes()
    table = read_storage(f"sqlite:///{path}")

    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["old.db"]
    assert table.header[:6] == ["name", "params_sparsity", "params_batch_size", "params_precision", *values]
    assert sorted(table.header[6:]) == ["user_attrs_board", "user_attrs_latency_s"]
    assert table.directions == dict(zip(values, ["max", "min"], strict=True))
    assert table.notes == (
        "study 'compression': 36 of 41 trials are complete; left out: 2 failed, 2 pruned, 1 running",
    )
    assert [n for n in range(40) if n not in table.numbers] == [3, 7, 11, 19]
    sparsity, batch = column(table, "params_sparsity"), column(table, "params_batch_size")
    precision = table.cells("params_precision")
    latency = (0.002 + 0.01 * batch * (1 - 0.6 * sparsity)) * [BITS[one] for one in precision] / 32
    error = 0.05 + 0.12 * sparsity**3 + 0.02 * (np.array(precision) == "int8")
    assert column(table, "user_attrs_latency_s") == pytest.approx(latency, rel=1e-14)
    assert column(table, values[0]) == pytest.approx(1 - error, rel=1e-14)
    assert column(table, values[1]) == pytest.approx(latency * (2 + 0.1 * batch) / batch, rel=1e-14)


@pytest.mark.parametrize("kind", ["sqlite", "journal", "file"])
def test_a_study_of_this_optuna_has_the_columns_of_its_dataframe(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "study.db"
    storage = RDBStorage(f"sqlite:///{path}") if kind == "sqlite" else JournalStorage(JournalFileBackend(str(path)))
    study = make_study(storage)
    before = path.read_bytes()
    table = load_table({"sqlite": f"sqlite:///{path}", "journal": f"journal://{path}", "file": path}[kind])
    frame = study.trials_dataframe(attrs=("params", "value", "user_attrs", "state"))
    frame = frame[frame.state == "COMPLETE"]

    assert set(table.header) == {"name", *frame.columns} - {"state"}
    for name in ("params_sparsity", "values_accuracy", "values_energy_j"):
        assert column(table, name).tolist() == frame[name].tolist()
    assert table.cells("params_bits") == ["" if np.isnan(n) else f"{n:.0f}" for n in frame.params_bits.astype(float)]
    assert table.cells("name") == [f"trial {n}" for n in table.numbers] == [f"trial {n}" for n in frame.index]
    assert table.cells("user_attrs_notes")[0] == '{"seed": 0, "tags": ["a"]}'
    assert path.read_bytes() == before


def test_one_objective_without_a_name_is_value(tmp_path: Path) -> None:
    study = optuna.create_study(storage=f"sqlite:///{tmp_path}/x.db")
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=2)
    table = load_table(f"sqlite:///{tmp_path}/x.db")

    assert table.header == ["name", "params_x", "value"]
    assert table.directions == {"value": "min"}


@pytest.mark.slow
def test_one_of_several_studies_is_named(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    storage = RDBStorage(url)
    make_study(storage, "first")
    make_study(storage, "second run")

    with pytest.raises(WrongUsage, match=r"has 2 studies: first, second run\n.*x\.db#first'"):
        load_table(url)
    with pytest.raises(UnknownName, match="did you mean 'first'"):
        load_table(f"{url}#fisrt")
    assert load_table(f"{url}#second run").notes[0].startswith("study 'second run': 5 of 7 trials are complete")
    assert read_storage(url, "first").notes[0].startswith("study 'first'")


def test_trials_are_saved_once_and_replace_nothing(tmp_path: Path) -> None:
    table = read_storage(str(CASES / "optuna3.db"))
    path = save_table(table, tmp_path / storage_file_name("sqlite:///optuna3.db"))

    assert path.name == "optuna3-trials.csv"
    assert load_table(path).rows == table.rows
    assert save_table(table, path) == path
    path.write_text("my,own\n1,2\n")
    with pytest.raises(WrongUsage, match="there already, with other rows"):
        save_table(table, path)


def test_sources_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "log.json"
    make_study(JournalStorage(JournalFileBackend(str(path))))
    csv = tmp_path / "a#b.csv"
    csv.write_text("a,b\n1,2\n")

    assert is_storage(str(path))
    assert is_storage(f"{path}#mine")
    assert not is_storage(str(csv))
    assert load_table(csv).header == ["a", "b"]


def _without_tables(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE samples (x)")
    connection.close()


def _newer(path: Path) -> None:
    shutil.copy(CASES / "optuna3.db", path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v99.0.0.a'")
    connection.close()


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (_without_tables, "has no study"),
        (_newer, "was written by a newer version of Optuna"),
        (lambda path: path.write_bytes((CASES / "optuna3.db").read_bytes()[:20_000]), "is no Optuna storage|malformed"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"x" * 100), "is no Optuna storage that can be read"),
        (lambda path: path.write_text('{"op_code": 0, "worker_id"\n'), "ends with a record that is not JSON"),
    ],
)
def test_a_broken_storage_is_refused_with_a_fix(tmp_path: Path, write: Any, message: str) -> None:
    path = tmp_path / "x.db"
    write(path)

    with pytest.raises(InvalidFile, match=message) as caught:
        load_table(path)

    assert str(path) in str(caught.value)


def test_a_missing_storage_is_not_created(tmp_path: Path) -> None:
    for url in (f"sqlite:///{tmp_path}/no.db", f"journal://{tmp_path}/no.log"):
        with pytest.raises(ExplorerError, match="no such file"):
            load_table(url)
    assert not [*tmp_path.iterdir()]


def test_a_study_of_a_database_server_is_read(database: str) -> None:
    make_study(RDBStorage(database))

    assert load_table(database).notes[0].startswith("study 'mine': 5 of 7 trials are complete")
