"""`explorer choose` as typed."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.slow
def test_a_choice_is_printed_and_written(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> None:
    done = explorer_in(paper_run, "choose", "paper", "--knee", "-o", tmp_path / "chosen.json")

    chosen = json.loads((tmp_path / "chosen.json").read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stderr
    assert chosen["schema"] == "explorer.chosen/2"
    assert {"design", "rule", "study", "provenance"} <= chosen.keys()
    assert f"design {chosen['design']['design_id']}:" in done.stdout
    for said in ("runner-up", "one more point of accuracy", "Supply voltage"):
        assert said in done.stdout


@pytest.mark.slow
def test_json_has_the_numbers_of_the_text(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> None:
    done = explorer_in(paper_run, "choose", "paper", "--alpha", "0.9", "--json", "-o", tmp_path / "chosen.json")

    assert json.loads(done.stdout) == json.loads((tmp_path / "chosen.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("args", "code", "said"),
    [
        pytest.param([], 2, "no rule given", id="no-rule"),
        pytest.param(["--knee", "--alpha", "0.9"], 2, "--knee and --alpha given", id="two-rules"),
        pytest.param(["--alpha", "1.5"], 2, "alpha = 1.5 is outside [0, 1]", id="alpha"),
        pytest.param(["--alpha", "0.5", "--energy-max", "3 kg"], 2, "'kg' is not a unit of J", id="unit"),
        pytest.param(["--minimize", "beauty"], 2, "there is no numeric column 'beauty'", id="column"),
        pytest.param(["--knee", "--front"], 2, "--front stands without --minimize or --best", id="front"),
        pytest.param(["--knee", "--where", "accuracy=>0.9"], 2, "is not a floor or cap", id="condition"),
        pytest.param(["--knee", "--where", "accuracy>=0.99"], 4, "nearest is", id="nothing-meets"),
    ],
)
def test_an_impossible_choice_is_refused_with_a_fix(
    explorer_in: Cli, paper_run: Path, args: list[str], code: int, said: str
) -> None:
    done = explorer_in(paper_run, "choose", "paper", *args)

    assert done.returncode == code
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (paper_run / "results/paper/chosen.json").exists()


@pytest.mark.slow
def test_a_name_nearly_right_and_a_solved_design_are_said(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> None:
    command = ("choose", "paper", "--best", "latency", "--where", "latency_ms<=500", "-o", tmp_path / "chosen.json")
    done = explorer_in(paper_run, *command)

    assert done.returncode == 0, done.stderr
    assert "least latency_s" in done.stdout
    assert "note: 'latency_ms<=500' is read as latency_s <= 500 ms" in done.stdout
    assert "solved again for this question; not a trial of the search" in done.stdout


@pytest.mark.slow
def test_a_choice_tells_the_probability_of_each_limit_and_warns_below_one_half(
    explorer_in: Cli, paper_run: Path, tmp_path: Path
) -> None:
    limits = ("--where", "accuracy >= 0.92", "--where", "power_w <= 22 W")
    command = ("choose", "paper", "--minimize", "edp_js", *limits, "-o", tmp_path / "chosen.json")

    unsure = explorer_in(paper_run, *command)
    first = json.loads((tmp_path / "chosen.json").read_text(encoding="utf-8"))
    sure = explorer_in(paper_run, *command, "--confidence", "90 %")
    second = json.loads((tmp_path / "chosen.json").read_text(encoding="utf-8"))

    assert unsure.stdout.startswith("WARNING: the limits hold together with probability"), unsure.stderr
    assert first["warnings"][0] in unsure.stdout.replace("\n", " ")
    assert first["joint_probability"] < 0.5
    assert [one["constraint"] for one in first["limits"]] == ["accuracy >= 0.92", "power_w <= 22 W"]
    assert "WARNING" not in sure.stdout
    assert second["joint_probability"] >= 0.9 - 1e-9
    assert second["design"]["edp_js"] > first["design"]["edp_js"]


@pytest.mark.parametrize("probability", ["0", "100 %", "1.5", "often"])
def test_a_confidence_that_no_model_has_is_refused(explorer_in: Cli, paper_run: Path, probability: str) -> None:
    done = explorer_in(paper_run, "choose", "paper", "--knee", "--confidence", probability)

    assert done.returncode == 2
    assert "fix: write" in done.stderr


@pytest.mark.slow
def test_a_study_whose_limits_nothing_meets_names_the_nearest_values(explorer_in: Cli, tmp_path: Path) -> None:
    (tmp_path / "never.toml").write_text(
        'space = "cnn"\nobjectives = ["edp_js", "accuracy"]\n'
        'constraints = ["accuracy >= 0.97 @ 90 %", "power_w <= 12 W @ 90 %"]\n'
        "[reference_point]\nedp_js = 5.0\naccuracy = 0.86\n", encoding="utf-8",
    )  # fmt: skip

    done = explorer_in(tmp_path, "run", "never.toml", "--trials", "10", "--sampler", "random")

    assert done.returncode == 4
    assert "accuracy >= 0.97 @ 90 %: nearest percentile 10 is 0.9" in done.stderr
    assert "power_w <= 12 W @ 90 %: nearest percentile 90 is " in done.stderr


@pytest.mark.slow
def test_ends_of_intervals_are_objectives_and_limits(explorer_in: Cli, tmp_path: Path) -> None:
    (tmp_path / "low.toml").write_text(
        'space = "cnn"\nobjectives = ["edp_js", "accuracy_lo"]\nconstraints = ["power_w_hi <= 24 W"]\n'
        "[reference_point]\nedp_js = 5.0\naccuracy_lo = 0.8\n", encoding="utf-8",
    )  # fmt: skip

    for command in (
        ("run", "low.toml", "--trials", "20"),
        ("choose", "low", "--knee"),
        ("explain", "low", "--design", "3"),
    ):
        done = explorer_in(tmp_path, *command)

        assert done.returncode == 0, done.stderr
    chosen = json.loads((tmp_path / "results/low/chosen.json").read_text(encoding="utf-8"))["design"]
    assert chosen["power_w"] <= chosen["power_w_hi"] <= 24
    assert chosen["accuracy_lo"] <= chosen["accuracy"]
