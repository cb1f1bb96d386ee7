"""`explorer worker` and `explorer proxy` as they are typed, and as Kubernetes starts them."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from explorer.api.working import index_of
from explorer.errors import WrongUsage
from tests.search.measured import environment, make_measured

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def job() -> Any:
    (text,) = re.findall(r"^```yaml\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)
    return yaml.safe_load(text)


def test_the_job_of_the_readme_is_an_indexed_one_that_survives_killed_pods() -> None:
    said = job()
    pod = said["spec"]["template"]["spec"]

    assert (said["apiVersion"], said["kind"]) == ("batch/v1", "Job")
    assert said["spec"]["completionMode"] == "Indexed"
    assert said["spec"]["completions"] == said["spec"]["parallelism"]
    assert said["spec"]["backoffLimit"] >= said["spec"]["completions"]
    assert pod["restartPolicy"] == "Never"
    assert [variable["name"] for variable in pod["containers"][0]["env"]] == ["STORAGE"]


def test_the_command_of_the_job_works_and_knows_its_index(tmp_path: Path) -> None:
    """Kubernetes puts variables into a command, and an index into the environment."""
    make_measured(tmp_path, trials=3)
    (container,) = job()["spec"]["template"]["spec"]["containers"]
    program, *arguments = [word.replace("$(STORAGE)", "shared.journal") for word in container["command"]]
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**environment(), "JOB_COMPLETION_INDEX": "4"},
    )  # fmt: skip
    said = json.loads(done.stdout)

    assert done.returncode == 0, done.stderr
    assert (said["index"], said["n_added"], said["n_complete"], said["n_wanted"]) == (4, 3, 3, 3)


@pytest.mark.parametrize("told", ["-1", "x", "1.5", str(2**31)])
def test_an_index_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    monkeypatch.setenv("JOB_COMPLETION_INDEX", told)
    with pytest.raises(WrongUsage, match=r"JOB_COMPLETION_INDEX = .* is no worker's index\n  fix: give a whole number"):
        index_of(None)

    assert index_of(3) == 3


def test_workers_outside_kubernetes_draw_their_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JOB_COMPLETION_INDEX", raising=False)

    assert index_of(None) != index_of(None)


def test_a_storage_that_many_cannot_write_is_refused(tmp_path: Path) -> None:
    boards = make_measured(tmp_path)
    done = boards.run("worker", "--storage", "sqlite:///x.db")

    assert done.returncode == 2
    assert "SQLite cannot take several writers at once" in done.stderr


def test_another_question_under_the_same_name_is_refused_before_any_work(tmp_path: Path) -> None:
    boards = make_measured(tmp_path, trials=3)
    assert boards.run("worker", "--storage", "x.journal").returncode == 0
    space = tmp_path / "space.toml"
    space.write_text(space.read_text(encoding="utf-8").replace("1800", "1900"), encoding="utf-8")
    done = boards.run("worker", "--storage", "x.journal", "--trials", 9)

    assert done.returncode == 2, done.stderr
    assert "fix:" in done.stderr
    assert len(boards.calls) == 3
