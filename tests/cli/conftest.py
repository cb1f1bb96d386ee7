"""Whole commands as a user types them, in a folder of their own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def explorer_in() -> Cli:
    """Return a function that runs `explorer ARGS` in a folder and returns what it printed."""

    def run(folder: Path, *args: object, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "explorer", *[str(arg) for arg in args]]
        plain = {**os.environ, "NO_COLOR": "1", "COLUMNS": "200", **(env or {})}
        return subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True, timeout=300, check=False)

    return run


@pytest.fixture
def cli(explorer_in: Cli, tmp_path: Path) -> Cli:
    """Return a function that runs `explorer ARGS` in the test's own folder."""
    return lambda *args, env=None: explorer_in(tmp_path, *args, env=env)


@pytest.fixture(scope="session")
def paper_run(explorer_in: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the study `paper` was run for 300 trials; tests must not change it."""
    folder = tmp_path_factory.mktemp("paper_run")
    done = explorer_in(folder, "run", "paper", "--trials", 300, "--seed", 0)
    assert done.returncode == 0, done.stderr
    return folder
