"""The README is true: it names every command, its Python runs, and its declarations load."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.api import load_problem as load
from explorer.problem.study import read_space

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    said = subprocess.run(
        [sys.executable, "-m", "explorer", "--help"], capture_output=True, text=True, check=True
    ).stdout
    listing = said.split("Commands")[1]
    return re.findall(r"^│ (\w+) ", listing, flags=re.MULTILINE)


def test_the_two_setup_commands_stand_first_each_on_one_line() -> None:
    quick_start = README.split("## Quick start")[1].split("\n## ")[0]
    found = re.findall(r"^```sh\n(.*?)^```", quick_start, flags=re.MULTILINE | re.DOTALL)

    assert README.index("## Quick start") == README.index("\n## ") + 1
    assert [block.count("\n") for block in found] == [1, 1]
    assert "explorer run paper" in found[0]
    assert "pytest" in found[1]


def test_every_command_has_help_and_stands_in_the_readme() -> None:
    names = commands()

    assert len(names) >= 8
    for name in names:
        said = subprocess.run(
            [sys.executable, "-m", "explorer", name, "--help"], capture_output=True, text=True, check=True
        )
        assert "Usage:" in said.stdout
        assert f"`explorer {name}" in README, name


# The script for Slurm runs in tests/search/test_cluster_run.py, with a queue that starts its jobs at once.
@pytest.mark.parametrize("code", [code for code in blocks("python") if "SLURMCluster" not in code])
def test_the_python_of_the_readme_runs(code: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr


def test_the_study_of_the_readme_loads_and_can_be_assessed(tmp_path: Path) -> None:
    text = next(block for block in blocks("toml") if "objectives" in block)
    (tmp_path / "mine.toml").write_text(text, encoding="utf-8")

    problem = load(str(tmp_path / "mine.toml"))

    assert problem.sample(64)["is_feasible"].any()


def test_the_search_space_of_the_readme_loads(tmp_path: Path) -> None:
    text = next(block for block in blocks("toml") if "[axes]" in block)
    (tmp_path / "space.toml").write_text(text, encoding="utf-8")
    (tmp_path / "study.toml").write_text('space = "./space.toml"\nobjectives = ["edp_js", "accuracy"]\n')

    assert load(str(tmp_path / "study.toml")).regions.keys() == {"CNN"}


def test_every_search_space_of_the_readme_is_one(tmp_path: Path) -> None:
    texts = [block for block in blocks("toml") if "[axes]" in block]

    assert len(texts) >= 2
    for text in texts:
        (tmp_path / "space.toml").write_text(text, encoding="utf-8")
        assert read_space(str(tmp_path / "space.toml")).file.axes


def test_the_table_study_of_the_readme_runs_on_such_a_table(tmp_path: Path) -> None:
    text = next(block for block in blocks("toml") if "table =" in block)
    (tmp_path / "study.toml").write_text(text, encoding="utf-8")
    (tmp_path / "my.csv").write_text(
        "resolution,precision,energy_j,accuracy\n96,a,1,0.5\n128,b,2,0.6\n", encoding="utf-8"
    )

    assert load(str(tmp_path / "study.toml")).n_designs == 2


def test_the_commands_of_the_five_minutes_run(tmp_path: Path) -> None:
    tour = README.split("## Five minutes")[1].split("\n## ")[0]
    lines = [line for block in re.findall(r"^```sh\n(.*?)^```", tour, flags=re.MULTILINE | re.DOTALL)
             for line in block.splitlines()]  # fmt: skip

    assert len(lines) >= 6
    for line in lines:
        typed = re.sub(r"^explorer", f"{sys.executable} -m explorer", line).replace("--trials 500", "--trials 80")
        done = subprocess.run(typed, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S602
        assert done.returncode == 0, f"{line}: {done.stderr}"


def test_the_errors_that_the_readme_states_are_those_that_fit_finds() -> None:
    from explorer.models.quality.leave_one_out import leave_one_out
    from explorer.models.samples.samples import paper_samples

    judged = leave_one_out(paper_samples())
    for label, target in (("latency", "latency_s"), ("energy", "energy_j"), ("power", "power_w"),
                          ("size", "size_bytes"), ("EDP", "edp_js")):  # fmt: skip
        row = re.search(rf"\| {label} \| ([\d.]+) % \| ([\d.]+) % \|", README)
        assert row, label
        assert float(row[1]) == round(judged[target].model.mape * 100, 1)
        assert float(row[2]) == round(judged[target].family_mean.mape * 100, 1)


def test_the_table_of_shipped_networks_is_the_committed_surface() -> None:
    from explorer.network.graph.model import ZOO, load_network
    from explorer.network.measurement.accuracy import wilson_interval

    with (ZOO / "digits-surface.csv").open(encoding="utf-8") as file:
        surface = list(csv.DictReader(file))
    origins = json.loads((ZOO / "digits-surface.provenance.json").read_text(encoding="utf-8"))
    rows = re.findall(r"^\| `(digits-\w+)` \| (.*) \|$", README, flags=re.MULTILINE)

    assert {name for name, _ in rows} == set(origins)
    for name, said in rows:
        network, right = load_network(name), origins[name]["network"]["n_right"]
        low, high = wilson_interval(right, 719)
        cell = next(row for row in surface if row["family"] == name and row["pruning_ratio"] == "0.6"
                    and row["quant_step"].startswith("0.0629"))  # fmt: skip
        ratio = int(cell["n_accesses"]) / int(cell["n_macs"])
        assert said == (
            f"{network.n_weights:,} | {right} ({low:.3f}-{high:.3f}) | {network.n_bytes / 1e3:.0f} kB | "
            f"{cell['n_right']}, {int(cell['size_deflate_bytes']) / 1e3:.0f} kB | {int(cell['n_macs']):,} | {ratio:.2f}"
        ).replace("0.", ".", 2)


def test_the_measurement_of_the_readme_runs(tmp_path: Path) -> None:
    section = README.split("## Your own network")[1].split("\n## ")[0]
    (line,) = re.findall(r"^```sh\nexplorer (.*)\n```", section, flags=re.MULTILINE)
    typed = f"{sys.executable} -m explorer {line}"
    done = subprocess.run(typed, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S602

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cnn.csv").read_text(encoding="utf-8").count("\n") == 17


def test_the_example_on_the_h100_leads_to_the_answer_that_it_states(tmp_path: Path) -> None:
    section = README.split("## Bring your own measurements")[1].split("\n## ")[0]
    fit = re.findall(r"^```sh\n(explorer fit h100_accuracy.*?)^```", section, flags=re.MULTILINE | re.DOTALL)[0]
    study = re.findall(r"^```toml\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)[0]
    choose = re.search(r"`(explorer choose mine [^`]*)`", section)
    stated = re.search(r"(\w+), batch (\d+), R = ([\d.]+), D = ([\d.]+), with ([\d.]+) .* at ([\d.]+) mJ", section)
    assert choose
    assert stated
    for name in ("h100_accuracy.csv", "h100_energy.csv"):
        shutil.copy(ROOT / "explorer/models" / name, tmp_path / name)
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies/mine.toml").write_text(study, encoding="utf-8")
    told = ""
    for line in (fit, "explorer run mine", choose[1]):
        typed = line.replace("explorer", f"{sys.executable} -m explorer", 1)
        done = subprocess.run(typed, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S602
        assert done.returncode == 0, f"{line}: {done.stderr}"
        told += done.stdout
    design = json.loads((tmp_path / "results/mine/chosen.json").read_text(encoding="utf-8"))["design"]
    rows = [
        row for row in told.splitlines() if " of " in row and row.startswith(("accuracy ", "latency_s ", "energy_j "))
    ]

    assert (design["precision"], f"{design['batch_size']:g}") == (stated[1], stated[2])
    numbers = [design[name] for name in ("pruning_ratio", "quant_step", "accuracy", "energy_j")]
    assert numbers == pytest.approx(
        [float(stated[3]), float(stated[4]), float(stated[5]), float(stated[6]) / 1e3], rel=0.06
    )
    said = re.findall(r"^((?:accuracy|latency_s|energy_j) .*)$", section, flags=re.MULTILINE)
    assert len(said) == len(rows[:3]) == 3
    for line, row in zip(said, rows, strict=False):
        assert _numbers(row) == pytest.approx(_numbers(line), rel=0.03), line


def _numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.?\d*", line.partition(" ")[2])]
