"""The READMEs are true: every command block runs, every command has help, and every stated number is found again."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.readme import READMES, ROOT, blocks, execute

README = (ROOT / "README.md").read_text(encoding="utf-8")
MODELS = ROOT / "explorer/models/README.md"
NETWORKS = ROOT / "explorer/network/README.md"
# Blocks that another test runs: set-up by CI, and the script for Slurm with a queue that starts its jobs at once.
ELSEWHERE = ("python3 -m venv", "SLURMCluster")


def test_the_top_readme_is_short() -> None:
    assert len(README.encode()) <= 12_000


def test_the_two_setup_commands_stand_first_each_on_one_line() -> None:
    quick_start = README.split("## Quick start")[1].split("\n## ")[0]
    setup = re.findall(r"^```sh\n(.*?)^```", quick_start, flags=re.MULTILINE | re.DOTALL)

    assert README.index("## Quick start") == README.index("\n## ") + 1
    assert [block.count("\n") for block in setup] == [1, 1]
    assert "explorer run paper" in setup[0]
    assert "pytest" in setup[1]


def test_every_command_has_help_and_a_row_in_the_readme() -> None:
    from typer.testing import CliRunner

    from explorer.cli.app import app

    names = [command.name or "" for command in app.registered_commands]

    assert len(names) >= 18
    for name in names:
        assert "Usage:" in CliRunner().invoke(app, [name, "--help"]).stdout
        assert f"`explorer {name}" in README, name


def test_every_link_of_a_readme_leads_to_a_file() -> None:
    missing = [
        f"{path}: {target}"
        for path in READMES
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", (ROOT / path).read_text(encoding="utf-8"))
        if not (ROOT / path).parent.joinpath(target).exists() and "results/" not in target
    ]

    assert not missing


def test_no_two_files_of_the_documentation_share_a_name() -> None:
    files = [
        block.file for path in READMES for block in blocks((ROOT / path).read_text(encoding="utf-8")) if block.file
    ]
    own = [name for name in files if name.startswith("studies/")]

    assert sorted(set(own)) == sorted(own)


@pytest.mark.slow
@pytest.mark.parametrize("path", READMES, ids=str)
def test_every_command_block_of_a_readme_runs(path: Path, tmp_path: Path) -> None:
    if path == Path("explorer/models/README.md"):
        for name in ("h100_accuracy.csv", "h100_energy.csv"):
            shutil.copy(ROOT / "explorer/models" / name, tmp_path / name)
    for block in blocks((ROOT / path).read_text(encoding="utf-8")):
        if not any(text in block.text for text in ELSEWHERE):
            execute(block, tmp_path)


@pytest.mark.slow
def test_stated_leave_one_out_errors_are_those_of_the_fit() -> None:
    from explorer.models.loading import load_model
    from explorer.models.quality.summary import model_summary
    from explorer.models.samples.samples import paper_samples

    errors = model_summary(load_model("paper"), is_full=False)["targets"]
    columns = paper_samples().columns
    for label, target in (("latency", "latency_s"), ("energy", "energy_j"), ("power", "power_w"),
                          ("size", "size_bytes"), ("EDP", "edp_js")):  # fmt: skip
        row = re.search(rf"\| {label} \| ([\d.]+) % \| ([\d.]+) % \|", MODELS.read_text(encoding="utf-8"))
        assert row, label
        assert float(row[1]) == pytest.approx(errors[target]["loo_mape"] * 100, abs=0.1)
        values = columns["energy_j"] * columns["latency_s"] if target == "edp_js" else columns[target]
        assert float(row[2]) == round(_family_mean_error(columns["family"], values) * 100, 1)


def _family_mean_error(family: np.ndarray, values: np.ndarray) -> float:
    """Return the mean relative error of the mean of the other rows of the same family."""
    rows = np.arange(len(values))
    others = [values[(family == family[i]) & (rows != i)].mean() for i in rows]
    return float(np.mean(np.abs(np.array(others) / values - 1)))


def test_the_table_of_shipped_networks_is_the_committed_surface() -> None:
    from explorer.network.graph.model import ZOO, load_network
    from explorer.network.task.accuracy import wilson_interval

    with (ZOO / "digits-surface.csv").open(encoding="utf-8") as file:
        surface = list(csv.DictReader(file))
    origins = json.loads((ZOO / "digits-surface.provenance.json").read_text(encoding="utf-8"))
    text = NETWORKS.read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(digits-\w+)` \| (.*) \|$", text, flags=re.MULTILINE)

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


@pytest.mark.slow
def test_the_example_on_the_h100_gives_the_stated_answer(tmp_path: Path) -> None:
    text = MODELS.read_text(encoding="utf-8")
    listed = blocks(text)
    fit = next(block for block in listed if block.text.startswith("explorer fit h100_accuracy"))
    study = next(block for block in listed if block.file and "h100" in block.text and "[cost]" in block.text)
    name = Path(study.file).stem
    choose = re.search(rf"explorer choose {name} [^`\n]*", text)
    stated = re.search(r"(\w+), batch (\d+), R = ([\d.]+), D = ([\d.]+), with ([\d.]+) .*\s.*at ([\d.]+) mJ", text)
    assert choose
    assert stated
    for table in ("h100_accuracy.csv", "h100_energy.csv"):
        shutil.copy(ROOT / "explorer/models" / table, tmp_path / table)
    execute(study, tmp_path)
    printed = ""
    for line in (fit.text, f"explorer run {name}", choose[0]):
        typed = line.replace("explorer", f"{sys.executable} -m explorer", 1)
        done = subprocess.run(typed, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False)  # noqa: S602
        assert done.returncode == 0, f"{line}: {done.stderr}"
        printed += done.stdout
    design = json.loads((tmp_path / f"results/{name}/chosen.json").read_text(encoding="utf-8"))["design"]
    rows = [
        row
        for row in printed.splitlines()
        if " of " in row and row.startswith(("accuracy ", "latency_s ", "energy_j "))
    ]

    assert (design["precision"], f"{design['batch_size']:g}") == (stated[1], stated[2])
    numbers = [design[key] for key in ("pruning_ratio", "quant_step", "accuracy", "energy_j")]
    assert numbers == pytest.approx(
        [float(stated[3]), float(stated[4]), float(stated[5]), float(stated[6]) / 1e3], rel=0.06
    )
    table = next(block.text for block in listed[listed.index(fit) :] if block.language == "text")
    lines = re.findall(r"^((?:accuracy|latency_s|energy_j) .*)$", table, flags=re.MULTILINE)
    assert len(lines) == len(rows[:3]) == 3
    for line, row in zip(lines, rows, strict=False):
        assert _numbers(row) == pytest.approx(_numbers(line), rel=0.03), line


def _numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.?\d*", line.partition(" ")[2])]
