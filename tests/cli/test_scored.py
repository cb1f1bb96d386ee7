"""A network whose quality is the user's own score: measured, searched, chosen, as typed."""

import csv
import json
from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Cli, run_process
from tests.network.exports import export, write_case

TASK = """
import numpy as np


def data():
    arrays = np.load("plain.npz")
    labels = arrays["y"].copy()
    labels[:20] += 1  # wrong for every version
    return arrays["x"], labels % 10


def score(run, inputs, y):
    scores = run(inputs)["logits"]
    return {"hits": float((scores.argmax(axis=1) == y).mean()), "margin": scores.max(axis=1)}
"""
SPACE = """
[axes]
pruning_ratio = { range = [0, 0.9] }
quant_step = { range = [0.01, 0.5], scale = "log" }
[operating_points]
law = "none"
"""
STUDY = """
space = "own"
model = { onnx = "../plain.onnx", holdout = 0.3 }
objectives = ["hits", "size_bytes"]
reference_point = { hits = 0, size_bytes = 3000 }
[targets.hits]
direction = "max"
range = [0, 1]
interval = "bootstrap"
[targets.margin]
direction = "max"
range = [-inf, inf]
interval = "bootstrap"
"""
TARGETS = ("--target", "hits:max", "--target", "margin:max")
MEASURE = ("measure", "plain.onnx", "--data", "python:./task.py", "--energy", "none")


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a network, a task module, a space and a live study."""
    write_case("plain", tmp_path)
    (tmp_path / "task.py").write_text(TASK)
    for kind, name, text in (("search_spaces", "own", SPACE), ("studies", "scored", STUDY)):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / f"{name}.toml").write_text(text)
    return tmp_path


@pytest.mark.slow
def test_measured_scores_are_targets_of_init_run_and_choose(cli: Cli, folder: Path) -> None:
    measured = cli(*MEASURE, *TARGETS, "--grid", "R=0:0.9:4,D=0.01:0.5:4(log)", "-o", "s.csv")
    again = cli(*MEASURE, *TARGETS, "--grid", "R=0,D=0.01", "-o", "s.csv")
    begun = cli("init", "s.csv", "--yes")
    ran = cli("run", "s", "--trials", 16)
    chosen = cli("choose", "s", "--best", "hits")

    for done in (measured, again, begun, ran, chosen):
        assert done.returncode == 0, done.stderr
    assert "hits 0.9 on 200 samples" in measured.stdout
    assert "note: fed and read by score of python:./task.py" in measured.stderr
    assert "note: s.csv: has 16 measured designs, which are kept" in again.stderr
    rows = rows_of(folder / "s.csv")
    assert {row["recipe"] for row in rows} == {"paper"}
    assert all(float(row["hits_lo"]) <= float(row["hits"]) <= float(row["hits_hi"]) for row in rows)
    assert all(row["accuracy"] == "" for row in rows)
    assert 'interval = "given"' in (folder / "search_spaces/s.toml").read_text()
    assert json.loads((folder / "results/s/chosen.json").read_text())["design"]["hits"] > 0.8


def test_what_score_returns_must_be_declared(cli: Cli, folder: Path) -> None:
    done = cli(*MEASURE, "--target", "mAP:max", "--grid", "R=0,D=0.01")

    assert done.returncode == 4
    assert "returned hits, margin, but not mAP" in done.stderr
    assert "--target hits:max" in done.stderr


def test_json_holds_no_prints_and_an_error_names_the_line(cli: Cli, folder: Path) -> None:
    (folder / "task.py").write_text(f"print('loaded'){TASK.replace('scores =', 'print(1); scores =')}")
    done = cli(*MEASURE, *TARGETS, "--grid", "R=0,D=0.01", "--json")
    (folder / "task.py").write_text(TASK.replace("scores.max(axis=1)", "scores.max(axis=9)"))
    failed = cli(*MEASURE, *TARGETS, "--grid", "R=0,D=0.01")

    assert len(json.loads(done.stdout)["designs"]) == 1
    assert "loaded" in done.stderr
    assert "score of python:./task.py: AxisError" in failed.stderr
    assert "(line 14)" in failed.stderr


@pytest.mark.slow
def test_rows_of_a_changed_import_or_unit_are_not_mixed(cli: Cli, folder: Path) -> None:
    (folder / "helper.py").write_text("FACTOR = 1\n")
    text = TASK.replace("import numpy as np", "import numpy as np\nfrom helper import FACTOR")
    (folder / "task.py").write_text(text.replace("scores.max(axis=1)", "FACTOR * scores.max(axis=1)"))
    words = ("--grid", "R=0,D=0.01", "-o", "s.csv")
    first = run_process(folder, [*MEASURE, *TARGETS, *words])
    (folder / "helper.py").write_text("FACTOR = 100\n")
    changed = run_process(folder, [*MEASURE, *TARGETS, *words])
    other_unit = run_process(folder, [*MEASURE, *TARGETS[:3], "margin:max:ms", *words])
    (folder / "helper.py").write_text("FACTOR = 1\n")
    other_direction = run_process(folder, [*MEASURE, *TARGETS[:3], "margin:min", *words])

    assert first.returncode == 0, first.stderr
    assert changed.returncode == other_unit.returncode == 2
    assert "the task module (" in changed.stderr
    assert "margin of the uncompressed network (" in changed.stderr
    assert "the direction of margin (max there, min now)" in other_direction.stderr
    assert "the task module" not in other_direction.stderr
    assert "the unit of margin (none there, ms now)" in other_unit.stderr


def test_a_named_output_is_read_and_printed(cli: Cli, tmp_path: Path) -> None:
    write_case("embeddings_first", tmp_path)
    words = ("measure", "embeddings_first.onnx", "--data", "embeddings_first.npz", "--grid", "R=0,D=0.01")
    best, named = cli(*words), cli(*words, "--output", "emb", "-o", "emb.csv")
    other = cli(*words, "-o", "emb.csv")

    assert "note: read: output 'logits' (n, 10)" in best.stderr
    assert "note: read: output 'emb' (n, 40)" in named.stderr
    assert "warning: 3 of 200 right is no better than always class" in named.stderr
    assert other.returncode == 2
    assert "the scored output (emb there, logits now)" in other.stderr


@pytest.mark.slow
def test_a_network_that_is_quantized_already_is_one_row(cli: Cli, tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType, quantize_dynamic

    write_case("plain", tmp_path)
    onnx.save(export("plain"), tmp_path / "float.onnx")
    quantize_dynamic(tmp_path / "float.onnx", tmp_path / "int8.onnx", weight_type=QuantType.QInt8)
    done = cli("measure", "int8.onnx", "--data", "plain.npz", "--energy", "none", "-o", "s.csv")
    again = cli("measure", "int8.onnx", "--data", "plain.npz", "--energy", "none", "-o", "s.csv")

    assert done.returncode == again.returncode == 0, done.stderr
    (row,) = rows_of(tmp_path / "s.csv")
    assert (row["recipe"], row["pruning_ratio"], row["quant_step"]) == ("source", "", "")
    assert float(row["accuracy"]) > 0.9
    assert int(row["size_file_bytes"]) == (tmp_path / "int8.onnx").stat().st_size
    assert "has 1 measured designs, which are kept" in again.stderr
    study = 'space = "measured"\nmodel = { onnx = "int8.onnx", data = "plain.npz" }\nobjectives = ["size_bytes"]\n'
    study += "reference_point = { size_bytes = 3000 }\n"
    (tmp_path / "live.toml").write_text(study)
    live = cli("run", "live.toml")
    assert live.returncode == 2
    assert "no weights to compress: its weights are integers already" in live.stderr


@pytest.mark.slow
def test_a_live_study_searches_the_users_score(cli: Cli, folder: Path) -> None:
    """Workers get the module; results are read without data; another score is another question."""
    lacking = cli("run", "scored", "--trials", 6)
    ran = cli("run", "scored", "--trials", 6, "--data", "python:./task.py")
    more = run_process(
        folder, ["run", "scored", "--trials", "9", "--workers", "2", "--data", "python:./task.py"]
    )  # fmt: skip
    read = [cli(*words) for words in (("front", "scored"), ("report", "scored"), ("choose", "scored", "--knee"))]
    held = cli("choose", "scored", "--best", "hits_holdout")
    (folder / "task.py").write_text(TASK.replace("float(", "0.5 * float("))
    changed = cli("run", "scored", "--trials", 9, "--data", "python:./task.py")

    assert "names no data to measure the network on" in lacking.stderr
    assert "--data python:./task.py" in lacking.stderr
    for done in (ran, more, *read):
        assert done.returncode == 0, done.stderr
    rows = rows_of(folder / "results/scored/trials.csv")
    assert len(rows) == 9
    assert all(0 <= float(row["hits_lo"]) <= float(row["hits"]) <= float(row["hits_hi"]) <= 1 for row in rows)
    assert "hits_holdout is held back" in held.stderr
    assert "declaration has changed" in changed.stderr
