"""`explorer dashboard` as typed."""

import json
import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def needs_dashboard() -> None:
    """Skip where optuna-dashboard is missing, but fail where CI should have it."""
    if find_spec("optuna_dashboard") is None:
        if os.environ.get("CI"):
            pytest.fail("optuna-dashboard is not installed; continuous integration must have it (extra `dev`)")
        pytest.skip("optuna-dashboard is not installed (extra `dashboard`)")


@pytest.mark.usefixtures("needs_dashboard")
@pytest.mark.slow
def test_the_dashboard_serves_its_address_until_ctrl_c(paper_run: Path) -> None:
    command = [sys.executable, "-m", "explorer", "dashboard", "paper", "--port", "0", "--no-browser"]
    with subprocess.Popen(
        command, cwd=paper_run, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        # pytest may itself run with Ctrl-C switched off, and a child inherits that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as server:  # fmt: skip
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with urllib.request.urlopen(url, timeout=30) as page:  # noqa: S310 - to this machine
            assert page.status == 200
        origin = url.partition("/dashboard/")[0]
        with urllib.request.urlopen(f"{origin}/api/studies", timeout=30) as answer:  # noqa: S310
            told = json.load(answer)["study_summaries"]
        server.send_signal(signal.SIGINT)
        _, err = server.communicate(timeout=30)

    assert url.startswith("http://127.0.0.1:")
    assert [study["study_name"] for study in told] == ["paper"]
    assert server.returncode == 0
    assert err == "Ctrl-C ends it\n"


@pytest.mark.slow
def test_without_optuna_dashboard_the_install_line_is_printed(explorer_in: Cli, paper_run: Path) -> None:
    code = (
        "import importlib.util as u, sys; real = u.find_spec; "
        "u.find_spec = lambda name, *a: None if name == 'optuna_dashboard' else real(name, *a); "
        "from explorer.cli.app import main; sys.argv = ['explorer', 'dashboard', 'paper']; main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=paper_run, capture_output=True, text=True, check=False)

    assert done.returncode == 5
    assert "optuna-dashboard is not installed" in done.stderr
    assert "fix: pip install optuna-dashboard" in done.stderr


@pytest.mark.usefixtures("needs_dashboard")
@pytest.mark.parametrize(
    ("args", "said"),
    [
        pytest.param(["power-cap"], "explorer run power-cap", id="not-run"),
        pytest.param(["nix"], "no study is called 'nix'", id="unknown"),
        pytest.param(["paper", "--storage", "sqlite:///none.db"], "none.db: contains no trials", id="storage"),
        pytest.param(["paper", "--port", "70000"], "--port", id="port"),
        pytest.param(["paper", "--host", "nowhere.invalid"], "cannot listen on nowhere.invalid", id="host"),
    ],
)
@pytest.mark.slow
def test_an_unusable_dashboard_request_is_refused_with_a_fix(
    explorer_in: Cli, paper_run: Path, args: list[str], said: str
) -> None:
    done = explorer_in(paper_run, "dashboard", *args, "--no-browser")

    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_trials_in_another_storage_need_its_url(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> None:
    shutil.copytree(paper_run / "results/paper", tmp_path / "copy")
    (tmp_path / "copy/study.journal").unlink()
    done = explorer_in(tmp_path, "dashboard", "copy", "--no-browser")

    assert done.returncode == 2
    assert "its trials are in another storage" in done.stderr
    assert "--storage results/paper/study.journal" in done.stderr
