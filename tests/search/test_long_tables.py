"""Studies of long tables: what is stored grows with the rows, plain Optuna reads it, and named rows are understood."""

import csv
import random
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState, create_trial

import explorer
from explorer.api.studies import Outcome
from explorer.pareto.exact_front import exact_front
from explorer.search.encoding import MAX_NAMED_ROWS, Encoding

LENGTHS = (1_000, 3_000)


def write_study(folder: Path, n: int) -> Path:
    """Write a table of n rows and a study of all of them; return the study's path."""
    rng, folder = random.Random(0), folder / str(n)
    folder.mkdir()
    lines = ["name,family,resolution,accuracy,energy_j"]
    for i in range(n):
        side = rng.uniform(64, 512)
        lines.append(f"net {i},CNN,{side:.9g},{0.5 + 0.0008 * side * rng.uniform(0.9, 1.1):.9g},{1e-6 * side**2:.9g}")
    (folder / "rows.csv").write_text("\n".join(lines) + "\n")
    model = f'{{ table = "{folder}/rows.csv", knobs = ["resolution"] }}'
    (folder / "mine.toml").write_text(
        f'model = {model}\nobjectives = ["energy_j", "accuracy"]\n[search]\ntrials = {n}\n'
    )
    return folder / "mine.toml"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Outcome]:
    """Runs of tables of several lengths, by their number of rows."""
    folder = tmp_path_factory.mktemp("tables")
    return {n: explorer.run(write_study(folder, n), out=folder / f"results-{n}") for n in LENGTHS}


def plain(journal: Path) -> optuna.Study:
    """Load a study with Optuna alone."""
    return optuna.load_study(study_name="mine", storage=JournalStorage(JournalFileBackend(str(journal))))


@pytest.mark.slow
def test_storage_grows_in_proportion_to_the_rows(runs: dict[int, Outcome]) -> None:
    few, many = ((runs[n].out / "study.journal").stat().st_size for n in LENGTHS)

    assert few / LENGTHS[0] == pytest.approx(many / LENGTHS[1], rel=0.05)
    assert many / LENGTHS[1] < 1_000  # bytes a row
    assert runs[LENGTHS[1]].results.reached == pytest.approx(1)


@pytest.mark.slow
def test_plain_optuna_reads_every_row_of_a_long_table(runs: dict[int, Outcome]) -> None:
    n = LENGTHS[0]
    out = runs[n].out
    with (out.parent / str(n) / "rows.csv").open() as file:
        rows = list(csv.DictReader(file))
    study = plain(out / "study.journal")
    trials = study.get_trials(deepcopy=False)
    front = {trial.params["row_index"] for trial in study.best_trials}

    assert sorted(trial.params["row_index"] for trial in trials) == list(range(n))
    for trial in trials:
        row = rows[trial.params["row_index"]]
        assert trial.user_attrs["row"] == row["name"]
        assert trial.values == pytest.approx([float(row["energy_j"]), float(row["accuracy"])])
    assert {rows[i]["name"] for i in front} == set(runs[n].results.front_columns["row"])


def test_a_study_of_named_rows_resumes(tmp_path: Path) -> None:
    """Earlier versions stored a row by its name, among the names of all rows; a user enqueues one by its name."""
    study, n = write_study(tmp_path, 100), 100
    first = explorer.run(study, trials=1, out=tmp_path / "mine")
    names = tuple(f"net {i}" for i in range(n))
    stored = plain(first.out / "study.journal")
    (one,) = stored.trials
    named = {"row": CategoricalDistribution(names)}
    stored.add_trial(create_trial(params={"row": "net 7"}, distributions=named, values=one.values))
    stored.enqueue_trial({"row": "net 8"})
    stored.enqueue_trial({"row": "net 1000"})
    resumed = explorer.run(study, trials=n, out=first.out)
    failed = plain(first.out / "study.journal").get_trials(states=(TrialState.FAIL,))

    table = resumed.results.table
    assert sorted(table["row"].tolist()) == sorted(names)
    assert table["row"][table["design_id"] == 1].tolist() == ["net 7"]
    assert table["row"][table["design_id"] == 2].tolist() == ["net 8"]
    assert [trial.number for trial in failed] == [3]
    assert "row_index = 'net 1000'" in " ".join(resumed.results.notes)


@pytest.mark.parametrize("n", [MAX_NAMED_ROWS, MAX_NAMED_ROWS + 1])
def test_rows_of_a_short_table_are_stored_by_name(tmp_path: Path, n: int) -> None:
    problem = explorer.load_study(write_study(tmp_path, n))
    encoding, designs = Encoding(problem.regions), problem.every_design()
    (distribution,) = encoding.distributions().values()
    params = encoding.encode(designs)

    expected = CategoricalDistribution(tuple(designs["row"])) if n <= MAX_NAMED_ROWS else IntDistribution(0, n - 1)
    assert distribution == expected
    assert encoding.decode(params)["row"].tolist() == designs["row"].tolist()
    assert encoding.with_row_index({"row": "net 3"}).get("row_index") == (None if n <= MAX_NAMED_ROWS else 3)


def test_the_front_of_a_table_is_exact_at_any_length(tmp_path: Path) -> None:
    """Of a space with as many designs a scan is refined; rows are looked up, so all of them are compared."""
    n = 2**14 + 1
    problem = explorer.load_study(write_study(tmp_path, n))
    table = problem.evaluate(problem.every_design())
    order = np.argsort(table["energy_j"])
    best = np.maximum.accumulate(table["accuracy"][order])
    n_front = 1 + int(np.sum(np.diff(best) > 0))
    exact = exact_front(problem, (1.0, 0.0))

    assert exact is not None
    assert exact.n_evaluated == n
    assert exact.convergence == 0
    assert len(exact.values) == min(n_front, 300)
