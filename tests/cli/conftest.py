"""Whole commands as a user types them, in a folder of their own."""

import contextlib
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from explorer.cli.app import main

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
PLAIN = {"NO_COLOR": "1", "COLUMNS": "200"}


@pytest.fixture(scope="session")
def explorer_in() -> Cli:
    """Return a function that runs `explorer ARGS` in a folder and returns what it printed.

    In this process, which saves the imports of each command; with an environment of its own in a real one.
    """

    def run(folder: Path, *args: object, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
        words = [str(arg) for arg in args]
        return run_process(folder, words, env) if env else run_here(folder, words)

    return run


def run_process(
    folder: Path, words: list[str], env: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run `explorer` in a process of its own."""
    plain = {**os.environ, **PLAIN, **(env or {})}
    command = [sys.executable, "-m", "explorer", *words]
    return subprocess.run(command, cwd=folder, env=plain, capture_output=True, text=True, timeout=300, check=False)


def run_here(folder: Path, words: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run the program's own entry in this process, with its streams, folder, arguments and exit code."""
    code, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err), contextlib.chdir(folder):
        patch.setattr(sys, "argv", ["explorer", *words])
        for name, value in PLAIN.items():
            patch.setenv(name, value)
        try:
            main()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture
def cli(explorer_in: Cli, tmp_path: Path) -> Cli:
    """Return a function that runs `explorer ARGS` in the test's own folder."""
    return lambda *args, env=None: explorer_in(tmp_path, *args, env=env)


@pytest.fixture(scope="session")
def paper_run(shared_run: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which the study `paper` was run for 300 trials; tests must not change it."""
    folder = tmp_path_factory.mktemp("paper_run")
    shutil.copytree(shared_run("paper"), folder / "results" / "paper")
    return folder
