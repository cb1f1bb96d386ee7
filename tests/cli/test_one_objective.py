"""A study of one objective under limits: every command as typed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from explorer.api import choose, compare, load_results, load_study, plot, run
from explorer.report.live.data import live_data
from explorer.report.plots.front import objective_pairs

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
pytestmark = pytest.mark.slow

STUDY = """
space = "cnn"
model = "paper"
objectives = ["energy_j"]
constraints = ["accuracy >= 0.92", "power_w <= 20 W"]
[search]
trials = 80
"""
MEASURED = """
space = "./net.toml"
model = { measures = ["latency_s", "accuracy"] }
objectives = ["latency_s"]
constraints = ["accuracy >= 0.8"]
reference_point = { latency_s = 5.0 }
[search]
trials = 16
"""
NET = """
family = "net"
[operating_points]
law = "none"
[axes]
width = { range = [1, 10] }
depth = { range = [1, 8] }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root: Path = tmp_path_factory.mktemp("one")
    (root / "least.toml").write_text(STUDY, encoding="utf-8")
    (root / "strict.toml").write_text(STUDY.replace("0.92", "0.93"), encoding="utf-8")
    for name in ("least", "strict"):
        run(root / f"{name}.toml", out=root / "results" / name)
    return root


def test_the_front_is_the_optimum_of_the_model(folder: Path) -> None:
    results = load_results(folder / "results/least")
    scan = load_study(folder / "least.toml").sample(2**15)
    best = float(scan["energy_j"][scan["is_feasible"]].min())

    assert results.is_front.sum() == 1
    value = float(results.front_columns["energy_j"][0])
    assert value <= best
    assert results.hypervolume == pytest.approx(results.reference_point[0] - value)
    assert results.reached == pytest.approx(1.0, abs=1e-6)
    assert results.exact is not None
    assert 0 < results.exact.convergence < 1e-6


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "nsga3", "qmc", "random", "grid"])
def test_every_sampler_searches_one_objective(folder: Path, sampler: str, tmp_path: Path) -> None:
    results = run(folder / "least.toml", sampler=sampler, trials=60, out=tmp_path).results

    assert results.n_complete == 60
    assert 0.5 < results.reached <= 1 + 1e-9


def test_commands_answer(explorer_in: Cli, folder: Path) -> None:
    front = explorer_in(folder, "front", "least")
    number = choose(folder / "results/least", knee=True).design["design_id"]
    knee = explorer_in(folder, "choose", "least", "--knee")
    explained = explorer_in(folder, "explain", "least", "--design", str(number))
    compared = explorer_in(folder, "compare", "least", "strict", "-o", "page.html")
    report = explorer_in(folder, "report", "least")

    for done in (front, knee, explained, compared, report):
        assert done.returncode == 0, done.stderr
    assert "least energy_j, the only objective" in knee.stdout
    assert "on the front" in explained.stdout
    assert "Fronts by energy_j (min.)" in compared.stdout
    assert "1 of 80 designs" in front.stdout + front.stderr


def test_the_objective_is_plotted_over_the_limited_accuracy(folder: Path) -> None:
    results = load_results(folder / "results/least")
    ((x, y),) = objective_pairs(results)
    data = live_data(results, display_name="least")

    assert (x.name, y.name) == ("accuracy", "energy_j")
    assert data["axes"] == ["accuracy", "energy_j"]
    assert set(data["axes"]) <= set(data["choices"])
    for draw in (plot.front, plot.parallel, plot.convergence, plot.importance):
        assert draw(results).data is not None
    assert np.isfinite(np.concatenate([trace.x for trace in plot.front(results).data if len(trace.x)])).all()


def test_studies_of_the_same_single_objective_are_compared(folder: Path) -> None:
    compared = compare([folder / "results/least", folder / "results/strict"])

    assert [o.name for o in compared.objectives] == ["energy_j"]
    assert compared.sides[0].hypervolume > compared.sides[1].hypervolume
    assert compared.coverage.tolist() == [[1.0, 1.0], [0.0, 1.0]]


def test_a_measured_study_learns_to_its_optimum(tmp_path: Path) -> None:
    (tmp_path / "measured.toml").write_text(MEASURED, encoding="utf-8")
    (tmp_path / "net.toml").write_text(NET, encoding="utf-8")

    def measure(design: dict[str, float]) -> dict[str, float]:
        width, depth = design["width"], design["depth"]
        return {"latency_s": 0.1 + 0.05 * width * depth**0.5, "accuracy": 0.95 - 0.3 / (width * depth) ** 0.5}

    results = run(tmp_path / "measured.toml", measure=measure, out=tmp_path / "out").results

    # width * depth >= 4: the least latency is that of width 1 and depth 4.
    assert results.front_columns["latency_s"][0] <= 0.2 * 1.05
    assert choose(tmp_path / "out", best="latency").design["latency_s"] == results.front_columns["latency_s"][0]


def test_no_objective_and_a_near_name_are_refused_with_the_fix(explorer_in: Cli, folder: Path) -> None:
    (folder / "none.toml").write_text(STUDY.replace('["energy_j"]', "[]"), encoding="utf-8")
    (folder / "near.toml").write_text(
        STUDY.replace('["energy_j"]', '["energy"]').replace("power_w <= 20 W", "latency_ms <= 130"), encoding="utf-8"
    )

    none, near = explorer_in(folder, "run", "none.toml"), explorer_in(folder, "run", "near.toml")

    assert none.returncode == 3
    assert near.returncode == 3
    assert "write 'energy_j'" in near.stderr
    assert "write 'latency_s <= 130 ms'" in near.stderr


def test_the_record_of_a_choice_is_json(explorer_in: Cli, folder: Path) -> None:
    done = explorer_in(folder, "choose", "least", "--best", "energy", "--json")

    assert json.loads(done.stdout)["rule"]["name"] == "minimize"
