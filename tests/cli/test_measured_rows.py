"""Measured rows and warnings of the model as a user meets them, from a plain table of a clock sweep."""

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from explorer import api
from explorer.pareto.results.folder import write_folder
from explorer.report.pages.write import write_page

pytestmark = pytest.mark.slow
Cli = Callable[..., "subprocess.CompletedProcess[str]"]
CASES = Path(__file__).parents[1] / "cases/models"
WARNING = {"kind": "constant", "text": "no better than the mean of the samples: do not trust it"}


@pytest.fixture(scope="module")
def sweep(explorer_in: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder where `interior.csv` was taken in and searched: least energy, .4698 J, measured at .9 GHz."""
    folder = tmp_path_factory.mktemp("sweep")
    shutil.copy(CASES / "interior.csv", folder)
    for words in (("init", "interior.csv"), ("run", "interior", "--json")):
        done = explorer_in(folder, *words)
        assert done.returncode == 0, done.stderr
    (folder / "run.json").write_text(done.stdout, encoding="utf-8")
    return folder


def _rows(folder: Path, name: str) -> list[dict[str, str]]:
    with (folder / "results/interior" / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_least_energy_is_never_worse_than_a_measured_row(explorer_in: Cli, sweep: Path) -> None:
    """Before, a model that can only fall with the clock answered .4502 J at 1.3 GHz, where .5383 J was measured."""
    done = explorer_in(sweep, "choose", "interior", "--minimize", "energy_j")

    chosen = json.loads((sweep / "results/interior/chosen.json").read_text(encoding="utf-8"))
    assert chosen["design"]["energy_j"] <= 0.4698201
    assert chosen["design"]["frequency_hz"] == pytest.approx(0.9e9)
    assert chosen["is_measured"] is True
    assert "(measured)" in done.stdout
    assert "MEASURED: the values are readings of sample row 10" in done.stdout


def test_every_reading_is_a_row_of_the_trials(sweep: Path) -> None:
    rows = [row for row in _rows(sweep, "trials.csv") if row["origin"] == "sample"]
    with (CASES / "interior.csv").open(encoding="utf-8") as file:
        readings = [float(row["energy_j"]) for row in csv.DictReader(file)]

    assert [float(row["energy_j"]) for row in rows] == readings
    assert [int(row["design_id"]) for row in rows] == [*range(-1, -14, -1)]
    assert all(float(row["energy_j_lo"]) < float(row["energy_j"]) < float(row["energy_j_hi"]) for row in rows)


def test_no_label_contradicts_a_reading(sweep: Path) -> None:
    """From .9 to 1.3 GHz no row of the file is beaten by another one: none of them is dominated."""
    rows = _rows(sweep, "trials.csv")
    best = [row for row in rows if row["origin"] == "sample" and float(row["frequency_hz"]) > 0.85e9]

    assert {row["certainty"] for row in best} <= {"sure", "possible"}
    assert [row["design_id"] for row in _rows(sweep, "front.csv")] == [row["design_id"] for row in best]


@pytest.mark.parametrize("rule", [("--design", -9), ("--knee",)])
def test_a_measured_row_is_chosen_and_deployed(explorer_in: Cli, sweep: Path, tmp_path: Path, rule: tuple[str]) -> None:
    done = explorer_in(sweep, "choose", "interior", *rule, "-o", tmp_path / "chosen.json")
    assert done.returncode == 0, done.stderr
    done = explorer_in(tmp_path, "deploy", "chosen.json", "-o", "bundle")
    assert done.returncode == 0, done.stderr

    chosen = json.loads((tmp_path / "chosen.json").read_text(encoding="utf-8"))
    manifest = json.loads((tmp_path / "bundle/manifest.json").read_text(encoding="utf-8"))
    assert chosen["design"]["origin"] == "sample"
    assert manifest["design"]["design_id"] == chosen["design"]["design_id"] < 0
    assert manifest["objectives"]["energy_j"]["value"] == chosen["design"]["energy_j"]
    assert any("readings of a measured sample" in text for text in manifest["not_checked"])


def test_prediction_at_a_measured_design_names_its_measurement(explorer_in: Cli, sweep: Path, tmp_path: Path) -> None:
    done = explorer_in(sweep, "choose", "interior", "--design", 8, "-o", tmp_path / "chosen.json")

    assert "design 8, NOT on the front: it is a prediction, and design -9 is its measurement" in done.stdout


def test_measured_row_is_explained(explorer_in: Cli, sweep: Path) -> None:
    done = explorer_in(sweep, "explain", "interior", "--design", -9)

    assert done.returncode == 0, done.stderr
    assert "MEASURED: its values are readings" in done.stdout
    assert "469.8 mJ" in done.stdout
    assert "over forms and draws" in done.stdout


def test_run_counts_measured_rows_apart_from_trials(explorer_in: Cli, sweep: Path) -> None:
    line = json.loads((sweep / "run.json").read_text(encoding="utf-8").splitlines()[-1])
    head = json.loads((sweep / "results/interior/front.json").read_text(encoding="utf-8"))
    done = explorer_in(sweep, "run", "interior")

    assert (line["n_complete"], line["n_measured"], line["front_size"]) == (13, 13, 5)
    assert line["warnings"] == head["model_warnings"]
    assert (head["n_complete"], head["n_measured"]) == (13, 13)
    assert "5 designs on the front (5 of them measured)" in done.stdout
    assert (
        "of 13 designs (13 of them measured) are on the front with a probability of at least 95 % over forms and"
        in (" ".join(done.stdout.split()))
    )


def test_warnings_of_the_model_come_first(explorer_in: Cli, sweep: Path, tmp_path: Path) -> None:
    """In the page above the plot, in `front` before every note."""
    results = replace(api.load_results(sweep / "results/interior"), model_warnings=(WARNING,))
    write_folder(results, tmp_path / "results/warned")
    write_page(results, tmp_path / "results/warned/report.html", display_name="warned")
    page = (tmp_path / "results/warned/report.html").read_text(encoding="utf-8")
    done = explorer_in(tmp_path, "front", "results/warned")
    head = json.loads(explorer_in(tmp_path, "front", "results/warned", "--format", "json").stdout)

    assert head["model_warnings"] == [WARNING]
    assert api.load_results(tmp_path / "results/warned").model_warnings == (WARNING,)
    assert done.stderr.index(f"warning: {WARNING['text']}") < done.stderr.index("note:")
    assert page.count("o better than the mean of the samples") == 1
    assert page.index("o better than the mean of the samples") < page.index('<section id="live"')
