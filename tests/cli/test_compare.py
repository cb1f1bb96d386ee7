"""`explorer compare` as typed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def runs(explorer_in: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three runs: `paper` twice by other seeds, and a study with a cap; not to be changed."""
    folder = tmp_path_factory.mktemp("runs")
    for args in (["paper"], ["paper", "--seed", 1, "--out", "results/again"], ["power-cap"]):
        done = explorer_in(folder, "run", *args, "--trials", 60)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.slow
def test_two_searches_of_one_study_are_compared(explorer_in: Cli, runs: Path) -> None:
    done = explorer_in(runs, "compare", "paper", "results/again")

    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # the same question: nothing to warn of
    for said in ("A  paper", "B  results/again", "reference point 5, 0.17: the studies' own", "seed: 0 -> 1"):
        assert said in done.stdout
    assert "trials: " not in done.stdout  # 60 in both


def test_json_has_the_numbers_of_the_text(explorer_in: Cli, runs: Path) -> None:
    told = json.loads(explorer_in(runs, "compare", "paper", "results/again", "--json").stdout)

    assert told["schema"] == "explorer.compare/1"
    assert [study["label"] for study in told["studies"]] == ["paper", "results/again"]
    assert told["reference_point"] == [5.0, 0.17]
    for study, folder in zip(told["studies"], ("paper", "again"), strict=True):
        front = json.loads((runs / "results" / folder / "front.json").read_text(encoding="utf-8"))
        assert study["hypervolume"] == front["hypervolume"]
        assert study["front_size"] == front["front_size"]
        assert study["exact_share"] == front["hypervolume_share"]
        assert study["hypervolume"] <= told["union"]["hypervolume"]
    assert [told["coverage"][i][i] for i in (0, 1)] == [1.0, 1.0]
    assert [change["what"] for change in told["changes"]] == ["seed"]


def test_different_declarations_are_compared_with_notes(explorer_in: Cli, runs: Path) -> None:
    done = explorer_in(runs, "compare", "paper", "power-cap")

    assert done.returncode == 0, done.stderr
    assert "note: CONSTRAINTS DIFFER: paper: none; power-cap: power_w <= 22 W" in done.stderr
    assert "note: OBJECTIVES DIFFER" in done.stderr
    assert "constraints: - -> power_w <= 22 W" in done.stdout


def test_three_studies_are_compared_in_a_table_and_on_a_page(explorer_in: Cli, runs: Path, tmp_path: Path) -> None:
    page = tmp_path / "compare.html"
    done = explorer_in(runs, "compare", "paper", "power-cap", "results/again", "--objectives", "edp_js,accuracy",
                       "-o", page)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(page)
    assert "power_w &lt;= 22 W" in page.read_text(encoding="utf-8")


def test_without_a_file_nothing_is_written(explorer_in: Cli, runs: Path) -> None:
    before = sorted(runs.rglob("*"))
    explorer_in(runs, "compare", "paper", "power-cap")

    assert sorted(runs.rglob("*")) == before


@pytest.mark.parametrize(
    ("args", "said"),
    [
        pytest.param(["paper"], "1 study given", id="one"),
        pytest.param(["paper", "paper"], "'paper' is given twice", id="twice"),
        pytest.param(["paper", "nix"], "no study is called 'nix'", id="unknown"),
        pytest.param(["paper", "edp-accuracy"], "explorer run edp-accuracy", id="not-run"),
        pytest.param(["paper", "power-cap", "--objectives", "edp_js"], "fewer than two objectives", id="objective"),
        pytest.param(["paper", "power-cap", "--objectives", "edpp,accuracy"], "did you mean 'edp_js'?", id="misspelt"),
    ],
)
def test_incomparable_results_are_refused_with_a_fix(explorer_in: Cli, runs: Path, args: list[str], said: str) -> None:
    done = explorer_in(runs, "compare", *args)

    assert done.returncode == 2
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_costs_of_other_weights_cannot_be_compared(explorer_in: Cli, cli: Cli, tmp_path: Path) -> None:
    question = 'space = "cnn"\nobjectives = ["edp_js", "weighted_cost"]\n[cost]\nalpha = {}\n'
    for name, alpha in (("one", 0.9), ("two", 0.8)):
        (tmp_path / f"{name}.toml").write_text(question.format(alpha), encoding="utf-8")
        assert cli("run", f"./{name}.toml", "--trials", 20).returncode == 0
    refused = cli("compare", "one", "two")

    assert refused.returncode == 2
    assert "weighted_cost means different things (one: alpha 0.9" in refused.stderr
    assert "--objectives" in refused.stderr
    done = cli("compare", "one", "two", "--objectives", "edp_js,accuracy")
    assert done.returncode == 0, done.stderr
    assert "note: ALPHA OR E_MAX DIFFER" in done.stderr
    assert "alpha: 0.9 -> 0.8" in done.stdout
