"""Study file of stored results: located by SHA-256, with a warning after changes and a fix if it is missing."""

import json
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import pytest

from explorer.api import explain, run
from explorer.errors import WrongUsage

SPACE = """
family = "CNN"
[axes]
pruning_ratio = { range = [0.3, 0.6] }
quant_step = { range = [0.02, 0.05] }
voltage = { range = [0.8, 1.0] }
frequency = { range = [1.9, 2.6] }
"""
STUDY = """
space = "./space.toml"
objectives = ["edp_js", "accuracy"]
"""
MISSING = r"(.|\n)* no longer exists\n  fix: give it with --study FILE"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in which the study `mine` was run for 20 trials, by a relative path."""
    folder = tmp_path_factory.mktemp("original") / "place"
    folder.mkdir()
    (folder / "space.toml").write_text(SPACE, encoding="utf-8")
    (folder / "mine.toml").write_text(STUDY, encoding="utf-8")
    with chdir(folder):
        run("./mine.toml", trials=20)
    shutil.copytree(folder, folder.with_name("backup"))
    return folder


@pytest.fixture
def folder(original: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same folder in its state after the run."""
    shutil.rmtree(original)
    shutil.copytree(original.with_name("backup"), original)
    monkeypatch.chdir(original)
    return original


def warnings_of(results: str | Path = "results/mine", study: str | None = None) -> tuple[str, ...]:
    return explain(results, design=1, study=study).warnings


def change(path: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    edit(content)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.mark.slow
def test_unchanged_study_is_located_from_any_directory(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert warnings_of() == warnings_of("mine.toml") == ()
    monkeypatch.chdir(folder.parent)
    assert warnings_of(folder / "results/mine") == ()


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "mine.toml", f"# edited comment\n{STUDY}",
            ["mine.toml is not the file of the run, although it declares the same problem (SHA-256"],
        ),
        (
            "mine.toml", f'{STUDY}constraints = ["accuracy >= 0.9"]\n',
            ["declares another problem than that of the run: constraints changed. The output below",
             "is not the file of the run (SHA-256"],
        ),
        ("space.toml", SPACE.replace("0.6]", "0.5]"), ["spaces changed. The output below"]),
    ],
    ids=["same declaration", "other constraints", "other space"],
)  # fmt: skip
@pytest.mark.slow
def test_changed_study_file_gives_a_warning(folder: Path, name: str, text: str, expected: list[str]) -> None:
    (folder / name).write_text(text, encoding="utf-8")

    for warning, part in zip(warnings_of(), expected, strict=True):
        assert part in warning


def test_changed_model_gives_a_warning(folder: Path) -> None:
    change(
        folder / "results/mine/front.json",
        lambda front: front["provenance"]["model"]["forms"]["accuracy"].update(losses=0.99),
    )

    (warning,) = warnings_of()
    assert "model 'paper' is not that of the run: its forms changed" in warning


def test_missing_study_file_can_be_passed_as_argument(folder: Path) -> None:
    (folder / "elsewhere").mkdir()
    (folder / "mine.toml").rename(folder / "elsewhere/theirs.toml")
    (folder / "space.toml").rename(folder / "elsewhere/space.toml")

    with pytest.raises(WrongUsage, match=rf"study file of these results{MISSING} \(SHA-256 [0-9a-f]{{12}}"):
        warnings_of()
    assert warnings_of(study="elsewhere/theirs.toml") == ()


def test_results_without_provenance_are_not_checked(folder: Path) -> None:
    change(folder / "results/mine/front.json", lambda front: front.update(provenance={}))

    with pytest.raises(WrongUsage, match=f"the study of these results: {MISSING}"):
        warnings_of()
    assert "do not record the declaration of their study" in warnings_of(study="./mine.toml")[0]
