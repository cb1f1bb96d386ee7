"""Selection bias as typed: a live study holds samples back, both accuracies are reported, verify knows its data."""

import csv
import io
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from explorer.network.task.accuracy import wilson_interval
from explorer.network.task.labelled_data import load_data
from explorer.pareto.decision.selection_bias import optimism_bound

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
STUDY = """space = "measured"
model = {{ onnx = "digits-mlp", data = "digits"{more} }}
objectives = ["size_bytes", "accuracy"]
[search]
trials = {trials}
[reference_point]
size_bytes = 40000
accuracy = 0.3
"""
TRIALS = 10


def _typed(explorer_in: Cli, folder: Path, *words: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    done = explorer_in(folder, *words)
    assert done.returncode == code, (words, done.stdout, done.stderr)
    return done


def _study(explorer_in: Cli, folder: Path, name: str, more: str, *, trials: int = TRIALS) -> None:
    (folder / f"{name}.toml").write_text(STUDY.format(more=more, trials=trials), encoding="utf-8")
    _typed(explorer_in, folder, "run", f"./{name}.toml")
    _typed(explorer_in, folder, "choose", name, "--minimize", "size_bytes", "--where", "accuracy>=0.5")
    _typed(
        explorer_in, folder, "deploy", f"results/{name}/chosen.json", "--model", "digits-mlp", "-o", f"{name}-bundle"
    )


@pytest.fixture(scope="module")
def folder(explorer_in: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two studies that were run, chosen from and deployed: with held-back samples, and without."""
    path = tmp_path_factory.mktemp("holdout")
    _study(explorer_in, path, "held", ", holdout = 0.3")
    _study(explorer_in, path, "plain", "")
    return path


def _front(explorer_in: Cli, folder: Path, name: str) -> list[dict[str, str]]:
    text = _typed(explorer_in, folder, "front", name, "--format", "csv").stdout
    assert text == (folder / f"results/{name}/front.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text)))


def _json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


def test_every_front_design_has_both_accuracies_with_counts_and_intervals(explorer_in: Cli, folder: Path) -> None:
    rows = _front(explorer_in, folder, "held")

    assert len(rows) > 1
    for row in rows:
        for suffix, n in (("", 503), ("_holdout", 216)):
            n_right, value = float(row[f"n_right{suffix}"]), float(row[f"accuracy{suffix}"])
            ends = wilson_interval(n_right, n)
            assert float(row[f"n_samples{suffix}"]) == n
            assert value == pytest.approx(n_right / n)
            assert (float(row[f"accuracy{suffix}_lo"]), float(row[f"accuracy{suffix}_hi"])) == pytest.approx(ends)
    assert not [name for name in _front(explorer_in, folder, "plain")[0] if "holdout" in name]


def test_table_and_page_show_the_held_back_accuracy(explorer_in: Cli, folder: Path) -> None:
    shown = _typed(explorer_in, folder, "front", "held")
    page = (folder / "results/held/report.html").read_text(encoding="utf-8")

    assert "accuracy holdout" in " ".join(shown.stdout.split("\n")[:2]).lower()
    assert "216 further samples are held back from the search" in shown.stderr
    assert "Accuracy on held-back samples" in page


def test_the_choice_and_its_bundle_carry_both_accuracies(folder: Path) -> None:
    chosen, manifest = _json(folder / "results/held/chosen.json"), _json(folder / "held-bundle/manifest.json")
    readme = " ".join((folder / "held-bundle/README.txt").read_text(encoding="utf-8").split())
    design, held = chosen["design"], chosen["selection"]["holdout"]

    assert manifest["selection"] == chosen["selection"]
    assert chosen["selection"]["data_sha256"] == load_data("digits").sha256
    assert chosen["selection"]["n_designs"] == TRIALS
    assert (held["accuracy"], held["n_right"]) == (design["accuracy_holdout"], design["n_right_holdout"])
    assert f"Accuracy on 216 held-back samples, which did not choose the design: {held['accuracy']:.4g}" in readme
    assert chosen["provenance"]["measurement"]["data"]["holdout"]["n_samples"] == 216


def test_verify_measures_the_held_back_samples_alone(explorer_in: Cli, folder: Path) -> None:
    typed = ("verify", "held-bundle", "--data", "digits", "--no-energy")
    shown, verdict = (
        _typed(explorer_in, folder, *typed),
        json.loads(_typed(explorer_in, folder, *typed, "--json").stdout),
    )
    held = _json(folder / "held-bundle/manifest.json")["selection"]["holdout"]
    checks = {check["name"]: check for check in verdict["checks"]}

    assert "only the 216 held-back samples of digits.npz are measured: the other 503 chose the design" in shown.stderr
    assert verdict["data"]["relation"] == "holdout"
    assert verdict["warnings"] == []
    assert checks["accuracy"]["found"]["value"] == held["accuracy"], "the same network on the same samples"
    assert checks["accuracy_holdout"]["state"] == "kept"
    assert checks["accuracy_holdout"]["note"].startswith(f"{held['n_right']} of 216")


def test_verify_says_that_the_data_chose_the_design(explorer_in: Cli, folder: Path) -> None:
    typed = ("verify", "plain-bundle", "--data", "digits", "--no-energy")
    shown, verdict = (
        _typed(explorer_in, folder, *typed),
        json.loads(_typed(explorer_in, folder, *typed, "--json").stdout),
    )
    design = _json(folder / "results/plain/chosen.json")["design"]
    bound = optimism_bound(design["accuracy"], n_samples=719, n_designs=TRIALS)
    text = f"this data chose the design among {TRIALS}: its accuracy is optimistic, by up to {bound:.2g} on average"

    assert f"warning: {text}" in shown.stderr
    assert verdict["warnings"][0].startswith(text)
    assert (verdict["data"]["relation"], verdict["data"]["optimism"]) == ("selection", bound)
    assert f"optimistic, by up to {bound:.2g} on average" in " ".join(
        (folder / "plain-bundle/README.txt").read_text(encoding="utf-8").split()
    )


def test_other_data_gives_no_warning(explorer_in: Cli, folder: Path) -> None:
    data = load_data("digits")
    np.savez(folder / "half.npz", x=data.inputs["x"][::2], y=data.labels[::2])
    done = _typed(explorer_in, folder, "verify", "plain-bundle", "--data", "half.npz", "--no-energy", "--json")
    verdict = json.loads(done.stdout)

    assert (verdict["data"]["relation"], verdict["data"]["optimism"]) == ("other", None)
    assert verdict["warnings"] == []


def test_no_rule_or_limit_takes_the_held_back_accuracy(explorer_in: Cli, folder: Path) -> None:
    for words in (("--minimize", "accuracy_holdout"), ("--knee", "--where", "accuracy_holdout >= 0.5")):
        refused = _typed(explorer_in, folder, "choose", "held", *words, code=2)
        assert "accuracy_holdout is held back" in refused.stderr
    text = STUDY.format(more=", holdout = 0.3", trials=2).replace(
        "[search]", 'constraints = ["accuracy_holdout >= 0.5"]\n[search]'
    )
    (folder / "limit.toml").write_text(text, encoding="utf-8")

    refused = _typed(explorer_in, folder, "run", "./limit.toml", code=3)
    assert "'accuracy_holdout' is no column of the designs" in refused.stderr


@pytest.mark.parametrize("share", ["0", "1", "-0.1", "1.5"])
def test_a_share_outside_0_to_1_is_refused(explorer_in: Cli, tmp_path: Path, share: str) -> None:
    (tmp_path / "s.toml").write_text(STUDY.format(more=f", holdout = {share}", trials=2), encoding="utf-8")

    assert "holdout" in _typed(explorer_in, tmp_path, "run", "./s.toml", code=3).stderr


def test_a_study_with_a_holdout_resumes_and_one_without_declares_none(explorer_in: Cli, folder: Path) -> None:
    before = _front(explorer_in, folder, "held")
    again = _typed(explorer_in, folder, "run", "./held.toml")
    declared = [
        _json(folder / f"results/{name}/front.json")["provenance"]["question"]["live"] for name in ("held", "plain")
    ]

    assert "0 added" in again.stdout
    assert _front(explorer_in, folder, "held") == before
    assert declared[0]["holdout"] == 0.3
    assert "holdout" not in declared[1], "studies stored before continue"
    (folder / "held.toml").write_text(STUDY.format(more=", holdout = 0.2", trials=TRIALS), encoding="utf-8")
    refused = explorer_in(folder, "run", "./held.toml")
    assert refused.returncode != 0, "another split is another study"
    assert "live" in refused.stderr
