"""`explorer front`, `report`, `fit`, `predict`, `list` and `schema`."""

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from explorer.models.samples.samples import paper_samples
from explorer.pareto.results.folder import write_folder
from explorer.pareto.results.results import Results
from explorer.problem.objectives import OBJECTIVES

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


def test_the_front_as_json_has_the_keys_of_the_contract(explorer_in: Cli, paper_run: Path) -> None:
    done = explorer_in(paper_run, "front", "paper", "--format", "json")

    front = json.loads(done.stdout)
    promised = {"schema", "study", "objectives", "reference_point", "hypervolume", "designs", "provenance"}
    assert promised <= front.keys()
    assert front["objectives"][0]["name"] == "edp_js"
    assert front["objectives"][0]["direction"] == "minimize"
    knobs = {"family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz"}
    assert all(knobs | {"accuracy", "energy_j", "edp_js", "weighted_cost"} <= d.keys() for d in front["designs"])


def test_the_front_as_csv_is_the_file_that_the_run_wrote(explorer_in: Cli, paper_run: Path) -> None:
    done = explorer_in(paper_run, "front", "paper", "--format", "csv")

    assert done.stdout == (paper_run / "results/paper/front.csv").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_front_as_a_table_shows_every_design(explorer_in: Cli, paper_run: Path) -> None:
    done = explorer_in(paper_run, "front", "paper", "--all")

    written = (paper_run / "results/paper/front.csv").read_text(encoding="utf-8")
    assert len(done.stdout.splitlines()) == len(written.splitlines())
    assert "are shown" not in done.stderr


@pytest.fixture(scope="module")
def long_front(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the results of a study whose front has 1,234 designs, and of one with 100."""
    place = tmp_path_factory.mktemp("long")
    for name, n in (("long", 1234), ("short", 100)):
        table = {
            "family": np.full(n, "A", dtype=object),
            "pruning_ratio": np.linspace(0, 0.9, n),
            "energy_j": np.linspace(1, 2, n),
            "accuracy": np.linspace(0.5, 0.9, n),
            "domain_distance": np.zeros(n),
            "design_id": np.arange(n),
            "origin": np.full(n, "search", dtype=object),
            "is_feasible": np.ones(n, dtype=np.bool_),
        }
        objectives = (OBJECTIVES["energy_j"], OBJECTIVES["accuracy"])
        write_folder(Results(name, name, table, objectives, (), (3.0, 0.1), {}, (), ()), place / "results" / name)
    return place


def test_a_long_front_is_printed_in_part_with_a_note(explorer_in: Cli, long_front: Path) -> None:
    done = explorer_in(long_front, "front", "long")
    shown = [int(line.split()[0]) for line in done.stdout.splitlines()[1:]]

    assert len(shown) == 40
    assert (shown[0], shown[-1]) == (0, 1233)
    assert set(np.diff(shown)) <= {31, 32}
    assert "40 of the front's 1,234 designs are shown, evenly along energy_j; --all shows every one" in done.stderr
    assert "1,234 of 1,234 designs" in done.stderr


def test_a_front_of_a_hundred_designs_is_printed_completely(explorer_in: Cli, long_front: Path) -> None:
    done = explorer_in(long_front, "front", "short")

    assert len(done.stdout.splitlines()) == 101
    assert "are shown" not in done.stderr


@pytest.mark.parametrize("style", ["csv", "json"])
def test_a_long_front_as_csv_and_json_is_complete(explorer_in: Cli, long_front: Path, style: str) -> None:
    done = explorer_in(long_front, "front", "long", "--format", style)

    assert done.stdout == (long_front / f"results/long/front.{style}").read_text(encoding="utf-8")


def test_a_study_without_results_names_the_run_command(cli: Cli) -> None:
    done = cli("front", "power-cap")

    assert done.returncode == 2
    assert "explorer run power-cap" in done.stderr


def test_the_report_is_one_file_without_a_network_address_to_load(
    explorer_in: Cli, paper_run: Path, tmp_path: Path
) -> None:
    done = explorer_in(paper_run, "report", "paper", "-o", tmp_path / "page.html")

    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert done.stdout.strip() == str(tmp_path / "page.html")
    assert 'src="http' not in page
    assert '<link rel="stylesheet"' not in page


@pytest.mark.slow
def test_fit_prints_errors_baselines_and_coefficient_sources(cli: Cli) -> None:
    done = cli("fit", "paper", "--json")

    fit = json.loads(done.stdout)
    assert fit["schema"] == "explorer.fit/1"
    for target, judged in fit["targets"].items():
        assert {"n", "loo_mae", "loo_mape", "baseline_loo_mae"} <= judged.keys(), target
        if target != "edp_js":  # a product of two targets has no mean of its own to beat
            assert judged["loo_mae"] < judged["baseline_loo_mae"], target
    for coefficient in fit["coefficients"]:
        assert {"name", "value", "lo", "hi", "prior", "data_share"} <= coefficient.keys()
        assert coefficient["lo"] < coefficient["value"] < coefficient["hi"]
        assert coefficient["prior"]["source"]


@pytest.mark.slow
def test_fit_prints_the_numbers_of_its_json(cli: Cli) -> None:
    done = cli("fit", "paper")

    for said in ("leave-one-out error", "mean of the category", "b_R", "assumed", "f <= "):
        assert said in done.stdout


@pytest.mark.slow
def test_a_model_file_predicts_as_its_samples_do(cli: Cli, tmp_path: Path) -> None:
    samples = paper_samples().columns
    names = list(samples)
    rows = [",".join(str(samples[name][i]) for name in names) for i in range(10)]
    (tmp_path / "mine.csv").write_text("\n".join([",".join(names), *rows]) + "\n")

    assert cli("fit", "mine.csv", "-o", "mine.json").returncode == 0
    by_model = cli("predict", "mine.json", "--designs", "mine.csv", "--format", "csv").stdout
    by_name = cli("predict", "paper", "--designs", "mine.csv", "--format", "csv").stdout

    assert by_model == by_name


@pytest.mark.slow
def test_predictions_of_samples_agree_within_the_stated_errors(cli: Cli, tmp_path: Path) -> None:
    samples = paper_samples().columns
    knobs = ("family", "pruning_ratio", "quant_step", "voltage_v", "frequency_hz")
    rows = [",".join(str(samples[name][i]) for name in knobs) for i in range(10)]
    (tmp_path / "designs.csv").write_text("\n".join([",".join(knobs), *rows]) + "\n")
    stated = json.loads(cli("fit", "paper", "--json").stdout)["targets"]

    table = list(
        csv.DictReader(io.StringIO(cli("predict", "paper", "--designs", "designs.csv", "--format", "csv").stdout))
    )

    assert list(table[0])[:5] == list(knobs)
    for target in ("accuracy", "latency_s", "energy_j", "power_w", "size_bytes"):
        predicted = np.array([float(row[target]) for row in table])
        error = np.abs(predicted - samples[target])
        assert error.mean() <= stated[target]["loo_mae"], target


def test_one_design_may_be_given_with_units(cli: Cli) -> None:
    knobs = ["--family", "CNN", "--pruning-ratio", "0.46", "--quant-step", "0.03"]
    si = cli("predict", "paper", *knobs, "--voltage", "0.9", "--frequency", "2.3e9", "--format", "json")
    people = cli("predict", "paper", *knobs, "--voltage", "900mV", "--frequency", "2.3GHz", "--format", "json")

    assert json.loads(si.stdout)["designs"] == json.loads(people.stdout)["designs"]


def test_a_design_that_cannot_exist_is_marked(cli: Cli) -> None:
    done = cli("predict", "paper", "--family", "CNN", "--pruning-ratio", 0.4, "--quant-step", 0.03,
               "--voltage", "0.7V", "--frequency", "2.7GHz")  # fmt: skip

    assert done.returncode == 0
    assert "cannot exist" in done.stderr
    assert "extrapolates" in done.stderr


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        pytest.param(["predict", "paper", "--family", "CNN"], 2, "frequency_hz missing", id="knobs-missing"),
        pytest.param(["predict", "nothing.json", "--designs", "x.csv"], 2, "no such file", id="no-model"),
        pytest.param(["predict", "paper", "--designs", "none.csv"], 2, "no such file", id="no-designs"),
        pytest.param(["fit", "none.csv"], 2, "no such file", id="no-samples"),
        pytest.param(["report", "paper", "--png", "--svg"], 2, "exclude each other", id="png-and-svg"),
        pytest.param(["schema", "nothing"], 2, "study", id="no-schema"),
        pytest.param(["front"], 2, "Missing argument", id="no-argument"),
    ],
)
def test_wrong_usage_prints_no_traceback(cli: Cli, args: list[str], code: int, said: str) -> None:
    done = cli(*args)

    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_every_fault_of_samples_has_its_row_and_column(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(
        "family,pruning_ratio,quant_step,voltage_v,frequency\nCNN,x,.03,,2e9\n,.4,3,1,1\n"
    )

    done = cli("fit", "bad.csv")

    assert done.returncode == 3
    for said in ("row 2, pruning_ratio: 'x'", "row 2, voltage_v: is empty", "row 3, family",
                 "row 3, quant_step: '3' is not allowed", "there is no measured column"):  # fmt: skip
        assert said in done.stderr


def test_list_names_everything_that_ships(cli: Cli) -> None:
    listed = json.loads(cli("list", "--json").stdout)

    assert {"paper", "edp-accuracy", "energy-latency-accuracy", "power-cap", "all-families"} <= {
        s["name"] for s in listed["studies"]
    }
    assert {"cnn", "dnn", "rnn", "transformer"} <= {s["name"] for s in listed["search_spaces"]}


@pytest.mark.parametrize("kind", ["study", "space"])
def test_schemas_are_json_schemas(cli: Cli, kind: str) -> None:
    schema = json.loads(cli("schema", kind).stdout)

    assert schema["$schema"].startswith("https://json-schema.org/")
    assert schema["additionalProperties"] is False


def test_output_into_a_closed_pipe_is_no_error(paper_run: Path) -> None:
    import sys

    command = f"{sys.executable} -m explorer front paper --format json | head -1"
    done = subprocess.run(command, shell=True, cwd=paper_run, capture_output=True, text=True, check=False)  # noqa: S602

    assert done.stdout == "{\n"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
