"""Studies of plain Optuna, of an old and of this version, become a front without an edit."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from tests.cli.conftest import Cli

Write = Callable[[Path], str]
CASES = Path(__file__).parents[1] / "cases/optuna"


def copy_of_version_3(folder: Path) -> str:
    shutil.copy(CASES / "optuna3.db", folder / "sweep.db")
    return "sqlite:///sweep.db"


def study_of_this_version(folder: Path) -> str:
    """Write a journal of two studies, with nameless objectives and a pruned trial."""
    backend = optuna.storages.journal.JournalFileBackend(str(folder / "sweep.log"))
    storage = optuna.storages.JournalStorage(backend)
    optuna.create_study(storage=storage, study_name="empty")
    study = optuna.create_study(storage=storage, study_name="mine", directions=["maximize", "minimize"])

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        x, bits = trial.suggest_float("sparsity", 0, 0.9, step=0.3), trial.suggest_categorical("bits", [4, 8, 16])
        if trial.number == 5:
            raise optuna.TrialPruned
        return 30 - 20 * x**2 - 40 / bits, (1 - 0.7 * x) * bits + 2

    study.sampler = optuna.samplers.GridSampler({"sparsity": [0.0, 0.3, 0.6, 0.9], "bits": [4, 8, 16]}, seed=0)
    study.optimize(objective, n_trials=12)
    return "journal://sweep.log#mine"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "options", "name", "knobs", "objectives"),
    [
        (
            copy_of_version_3,
            ["--table"],
            "sweep-trials",
            ["pruning_ratio", "batch_size", "precision"],
            {"energy_j", "accuracy"},
        ),
        (study_of_this_version, [], "sweep-mine-trials", ["pruning_ratio", "weight_bits"], {"values_0", "values_1"}),
    ],
    ids=["optuna3", "optuna5"],
)
def test_a_study_becomes_a_front(
    cli: Cli, tmp_path: Path, write: Write, options: list[str], name: str, knobs: list[str], objectives: set[str]
) -> None:
    url = write(tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    started = cli("init", url, "--yes", *options)
    ran = cli("run", name, "--trials", "30", "--json")
    chosen = cli("choose", name, "--knee")

    assert [done.returncode for done in (started, ran, chosen)] == [0, 0, 0], started.stderr + ran.stderr
    assert "trials are complete; left out: " in started.stderr
    assert {path: path.read_bytes() for path in before} == before
    front = json.loads((tmp_path / f"results/{name}/front.json").read_text())
    assert objectives <= {one["name"] for one in front["objectives"]}
    assert len(front["designs"]) > 2
    assert set(knobs) <= front["designs"][0].keys()
