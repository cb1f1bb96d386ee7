"""Sampler registry: resolution of `auto`, refused names, and the sampler in provenance and page."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest

import explorer
from explorer.errors import MissingPart, UnknownName
from explorer.search.run import search
from explorer.search.samplers.nsga import GENERATION_KEYS
from explorer.search.samplers.registry import make_sampler, sampler_name
from tests.search.conftest import MakeSession
from tests.search.measured import plain_study


@pytest.mark.parametrize(
    ("study", "sampler", "expected"),
    [
        ("edp-accuracy", "auto", "model"),
        ("energy-latency-accuracy", "auto", "model"),
        ("edp-accuracy", "tpe", "tpe"),
        ("digits-cnn-live", "auto", "learning"),
        ("digits-cnn-live", "random", "random"),
    ],
)
def test_auto_sampler_depends_on_the_study(study: str, sampler: str, expected: str) -> None:
    problem = explorer.load_study(study)

    assert sampler_name(replace(problem, study=replace(problem.study, sampler=sampler))) == expected


@pytest.mark.slow
def test_auto_sampler_is_nsga3_for_four_objectives(tmp_path: Path) -> None:
    (tmp_path / "four.toml").write_text(
        'space = "cnn"\nmodel = "paper"\nobjectives = ["energy_j", "latency_s", "accuracy", "size_bytes"]\n'
        '[search]\nsampler = "auto"\ntrials = 120\n',
        encoding="utf-8",
    )
    outcome = explorer.run(str(tmp_path / "four.toml"), out=tmp_path / "out")
    (run,) = json.loads((tmp_path / "out/provenance.json").read_text(encoding="utf-8"))["runs"]
    trials = plain_study(tmp_path / "out/study.journal", "four").trials

    assert outcome.results.n_complete == 120
    assert (run["sampler"], run["proposed_by"]) == ("auto", "nsga3")
    assert "by auto (nsga3), seed 0" in (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert GENERATION_KEYS["nsga3"] in {key for trial in trials for key in trial.system_attrs}


@pytest.mark.skipif(find_spec("torch") is not None, reason="torch is installed: the gp sampler works")
def test_gp_without_torch_names_the_install_command(make_session: MakeSession) -> None:
    with pytest.raises(MissingPart, match=r"torch is not installed(.|\n)*pip install torch") as caught:
        search(make_session(sampler="gp"))

    assert caught.value.exit_code == 5


def test_unknown_sampler_error_suggests_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match=r"unknown name 'nsga4'\n  fix: did you mean 'nsga"):
        make_sampler("nsga4", seed=0, done=0, trials=1, distributions={})
