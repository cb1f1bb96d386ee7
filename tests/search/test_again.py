"""Finding the study of old results again: by its SHA-256, loudly where something changed, clearly where it is gone."""

import json
from pathlib import Path

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


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which the study `mine` was run for 20 trials, called by a relative path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(SPACE, encoding="utf-8")
    (tmp_path / "mine.toml").write_text(STUDY, encoding="utf-8")
    run("./mine.toml", trials=20)
    return tmp_path


def test_an_unchanged_study_is_found_again_without_a_word(place: Path) -> None:
    assert explain("results/mine", design=1).warnings == ()
    assert explain("mine.toml", design=1).warnings == ()


def test_results_are_explained_from_anywhere(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place.parent)

    assert explain(place / "results/mine", design=1).warnings == ()


def test_a_file_that_asks_the_same_in_other_words_is_told(place: Path) -> None:
    (place / "mine.toml").write_text(f"# looked at again\n{STUDY}", encoding="utf-8")

    (said,) = explain("results/mine", design=1).warnings

    assert "mine.toml is not the file of the run, though it still asks the same question (SHA-256" in said


def test_another_question_is_told_with_what_changed(place: Path) -> None:
    (place / "mine.toml").write_text(f'{STUDY}constraints = ["accuracy >= 0.9"]\n', encoding="utf-8")

    first, second = explain("results/mine", design=1).warnings

    assert "asks another question than these results answer: constraints changed since the run" in first
    assert "is not the file of the run (SHA-256" in second


def test_a_space_that_changed_is_another_question_too(place: Path) -> None:
    (place / "space.toml").write_text(SPACE.replace("0.6]", "0.5]"), encoding="utf-8")

    (said,) = explain("results/mine", design=1).warnings

    assert "spaces changed since the run" in said


def test_another_model_is_told(place: Path) -> None:
    path = place / "results/mine/front.json"
    front = json.loads(path.read_text(encoding="utf-8"))
    front["provenance"]["model"]["coefficients"]["accuracy"]["b_R"] = 0.5
    path.write_text(json.dumps(front), encoding="utf-8")

    (said,) = explain("results/mine", design=1).warnings

    assert "model 'paper' is not that of the run: its coefficients changed" in said


def test_a_study_that_is_gone_can_be_given(place: Path) -> None:
    moved = place / "elsewhere"
    moved.mkdir()
    (place / "mine.toml").rename(moved / "theirs.toml")
    (place / "space.toml").rename(moved / "space.toml")

    with pytest.raises(WrongUsage, match=r"made from is gone\n  fix: give it with --study FILE \(SHA-256 [0-9a-f]{12}"):
        explain("results/mine", design=1)
    assert explain("results/mine", design=1, study="elsewhere/theirs.toml").warnings == ()


def test_results_without_provenance_say_that_nothing_can_be_checked(place: Path) -> None:
    path = place / "results/mine/front.json"
    front = {**json.loads(path.read_text(encoding="utf-8")), "provenance": {}}
    path.write_text(json.dumps(front), encoding="utf-8")

    with pytest.raises(WrongUsage, match=r"the study of these results: .* is gone\n  fix: give it with --study FILE"):
        explain("results/mine", design=1)
    said = explain("results/mine", design=1, study="./mine.toml").warnings
    assert "do not tell which question they answer" in said[0]
