"""What `auto` stands for is told, and is what searched."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import explorer
from explorer.search.samplers import proposed_by


@pytest.mark.parametrize(
    ("study", "sampler", "expected"),
    [
        ("edp-accuracy", None, "model"),
        ("energy-latency-accuracy", None, "model"),
        ("edp-accuracy", "tpe", "tpe"),
        ("digits-cnn-live", None, "learning"),
        ("digits-cnn-live", "random", "random"),
    ],
)
def test_what_auto_stands_for(study: str, sampler: str | None, expected: str) -> None:
    asked = explorer.load(study)
    if sampler:
        asked = replace(asked, study=replace(asked.study, sampler=sampler))

    assert proposed_by(asked) == expected


def test_four_objectives_are_searched_by_nsga3_and_provenance_and_page_say_so(tmp_path: Path) -> None:
    asked = tmp_path / "four.toml"
    asked.write_text(
        'space = "cnn"\nmodel = "paper"\nobjectives = ["energy_j", "latency_s", "accuracy", "size_bytes"]\n'
        '[search]\nsampler = "auto"\ntrials = 20\n',
        encoding="utf-8",
    )
    explorer.run(str(asked), out=tmp_path / "out")
    (run,) = json.loads((tmp_path / "out/provenance.json").read_text(encoding="utf-8"))["runs"]

    assert (run["sampler"], run["proposed_by"]) == ("auto", "nsga3")
    assert "by auto (nsga3), seed 0" in (tmp_path / "out/report.html").read_text(encoding="utf-8")
