"""Functions of the user that misbehave: whatever they do costs a design, or ends the run with its reason."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from explorer.search.begin import FAILED_ATTR
from tests.search.measured import ENVIRONMENT, is_alive, make_measured, until


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["inline", "workers"])
def test_output_input_directory_and_exit_of_a_function_do_no_harm(tmp_path: Path, workers: tuple[str, ...]) -> None:
    """A real process: only there are standard output and input real."""
    extra = (
        'print("on standard output", flush=True); os.chdir("/"); CALLS.append(1); '
        'CALLS == [1, 1] and __import__("sys").exit(3)'
    )
    boards = make_measured(tmp_path, trials=6, extra=extra)
    (tmp_path / "task.py").write_text("CALLS = []\n" + (tmp_path / "task.py").read_text(encoding="utf-8"))
    done = subprocess.run(
        boards.command(*workers, "--json"), cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    failed = [t for t in boards.trials if FAILED_ATTR in t.user_attrs]

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["n_complete"] == 6
    assert "on standard output" in done.stderr
    assert failed
    assert {t.user_attrs[FAILED_ATTR] for t in failed} == {"task.py:measure: SystemExit: 3"}


def test_forked_children_neither_hide_the_death_of_a_worker_nor_outlive_the_run(tmp_path: Path) -> None:
    extra = (
        "pid = os.fork(); pid or (time.sleep(120), os._exit(0)); "
        '(HERE / "children").open("a").write(f"{{pid}}\\n"); '
        'len((HERE / "children").open().readlines()) == 2 and os._exit(9)'
    )
    boards = make_measured(tmp_path, trials=5, extra=extra.replace("{{", "{").replace("}}", "}"))
    done = boards.run("--workers", "1", "--json")
    children = [int(line) for line in (tmp_path / "children").read_text(encoding="ascii").split()]

    assert done.returncode == 0, done.stderr
    assert "exit code 9); it is tried again (1 of 3)" in done.stderr
    until(lambda: not any(map(is_alive, children)))


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["inline", "workers"])
def test_a_file_that_cannot_be_loaded_ends_the_run_with_its_reason(tmp_path: Path, workers: tuple[str, ...]) -> None:
    boards = make_measured(tmp_path, trials=5)
    (tmp_path / "task.py").write_text("import no_such_board\ndef measure(design): return {}\n", encoding="utf-8")
    done = boards.run(*workers)

    assert done.returncode == 2
    assert "ModuleNotFoundError: No module named 'no_such_board'" in done.stderr
    assert "in a row" not in done.stderr


def test_a_study_whose_function_was_not_named_is_refused_before_anything_is_proposed(tmp_path: Path) -> None:
    make_measured(tmp_path, trials=5)
    command = [sys.executable, "-m", "explorer", "run", "./boards.toml"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)

    assert done.returncode == 2
    assert "fix: name it: --measure FILE.py:NAME" in done.stderr
    assert not (tmp_path / "results/boards/front.json").exists()
