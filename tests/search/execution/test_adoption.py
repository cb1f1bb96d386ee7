"""`run --from`: what was measured stays, wherever it lies in a study whose question has changed."""

import json
import math
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import explorer
from explorer.errors import StudyChanged, WrongUsage
from explorer.search.execution.adoption import adopt_measurements
from explorer.search.session import open_session
from tests.search.measured import ENVIRONMENT, SPACE, Measured, make_measured

Explorer = Callable[..., "subprocess.CompletedProcess[str]"]


def change(path: Path, *pairs: tuple[str, str]) -> None:
    """Replace texts in a file."""
    text = path.read_text(encoding="utf-8")
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")


@pytest.fixture
def boards(tmp_path: Path) -> Measured:
    """Return a study of eight trials that was run."""
    made = make_measured(tmp_path, trials=8)
    assert made.run().returncode == 0
    return made


def origins(boards: Measured, folder: str = "results/boards") -> list[str]:
    table = explorer.load_results(boards.folder / folder).table
    return [str(one) for one in table["origin"]]


@pytest.mark.slow
def test_a_changed_question_names_both_ways_on_and_takes_over_what_was_measured(boards: Measured) -> None:
    change(boards.folder / "boards.toml", ("[reference_point]", 'constraints = ["accuracy >= 0.7"]\n[reference_point]'))
    refused = boards.run()
    taken = boards.run("--from", "results/boards", "--trials", "10", "--json")
    same = boards.run("--from", "results/boards", "--trials", "10", "--json")
    again = boards.run("--from", "results/boards-1", "--trials", "10")

    assert refused.returncode == 2
    assert "take over its 8 measurements with --from results/boards, or begin anew with --fresh" in refused.stderr
    assert "the earlier results are kept in results/boards-1/" in taken.stderr
    assert "8 of 8 measurements of results/boards-1 are taken over" in taken.stderr
    reports = [json.loads(one.stdout) for one in (taken, same)]
    assert [(one["n_complete"], one["n_added"], one["n_taken_over"]) for one in reports] == [(10, 2, 8), (10, 0, 0)]
    assert "the question of results/boards is the same" in same.stderr
    assert (
        "0 of 8 measurements of results/boards-1 are taken over; not taken over: 8 of designs that are trials alre"
        in (again.stderr)
    )
    assert len(boards.calls) == 10
    assert not boards.repeated
    assert origins(boards) == ["adopted"] * 8 + ["search"] * 2
    assert {trial.user_attrs.get("explorer:adopted_from") for trial in boards.trials} == {"results/boards-1", None}


def test_other_objectives_are_computed_from_the_measured_targets(boards: Measured) -> None:
    """An objective fewer and another order: the values of trials are those of the present question."""
    change(boards.folder / "boards.toml", ('["energy_j", "accuracy"]\n[', '["accuracy", "energy_j"]\n['))
    done = boards.run("--from", "results/boards")

    assert done.returncode == 0, done.stderr
    assert len(boards.calls) == 8
    for trial in boards.trials:
        assert trial.values[0] == math.exp(-3 * trial.params["quant_step"])


def test_a_new_knob_needs_its_value_before_anything_changes(boards: Measured) -> None:
    change(boards.folder / "space.toml", ("mode =", "batch = { values = [1, 8] }\nmode ="))
    refused = boards.run("--from", "results/boards")
    unknown = boards.run("--from", "results/boards", "--assume", "batches=1")
    outside = boards.run("--from", "results/boards", "--assume", "batch=3", "--out", "other", "--trials", "1")
    taken = boards.run("--from", "results/boards", "--assume", "batch=8")

    assert (refused.returncode, unknown.returncode) == (2, 2)
    assert "its measurements lack batch" in refused.stderr
    assert "--assume batch=VALUE" in refused.stderr
    assert "did you mean 'batch'?" in unknown.stderr
    assert "not taken over: 8 outside the range of batch" in outside.stderr
    assert taken.returncode == 0, taken.stderr
    assert len(boards.calls) == 9
    assert set(explorer.load_results(boards.folder / "results/boards").table["batch"]) == {8.0}


def test_a_missing_target_is_counted(boards: Measured) -> None:
    change(boards.folder / "boards.toml", ('measures = ["accuracy", ', 'measures = ["accuracy", "latency_s", '))
    change(boards.folder / "task.py", ('"energy_j":', '"latency_s": 0.5, "energy_j":'))
    done = boards.run("--from", "results/boards", "--trials", "2")

    assert "0 of 8 measurements of results/boards-1 are taken over; not taken over: 8 without target latency_s" in (
        done.stderr
    )
    assert len(boards.calls) == 10


def test_fresh_keeps_the_old_folder(boards: Measured) -> None:
    (boards.folder / "results/boards/notes.txt").write_text("mine")
    done = [boards.run("--fresh", "--trials", "3") for _ in range(2)]

    assert [one.returncode for one in done] == [0, 0]
    assert (boards.folder / "results/boards-1/notes.txt").read_text() == "mine"
    assert [len(origins(boards, f"results/{name}")) for name in ("boards-1", "boards-2", "boards")] == [8, 3, 3]
    inside = boards.run("--fresh", "--out", ".")
    assert inside.returncode == 2
    assert "cannot be renamed" in inside.stderr or "is no result folder" in inside.stderr


def test_the_rows_of_a_table_become_trials(boards: Measured) -> None:
    """One row is outside the space, and one is a repeat."""
    rows = "family,quant_step,frequency_hz,mode,accuracy,energy_j\n"
    rows += 2 * "Board,0.1,6e8,eco,0.7,0.6\n" + "Board,0.5,6e8,eco,0.2,0.6\nBoard,0.2,9e8,turbo,0.5,1.8\n"
    (boards.folder / "rows.csv").write_text(rows)
    from_csv = boards.run("--from", "rows.csv", "--out", "one", "--trials", "2")

    assert from_csv.returncode == 0, from_csv.stderr
    assert "2 of 4 measurements of rows.csv are taken over" in from_csv.stderr
    assert "1 of designs that are trials already" in from_csv.stderr
    assert "1 outside the range of quant_step" in from_csv.stderr
    assert origins(boards, "one") == ["adopted"] * 2
    assert len(boards.calls) == 8


def test_the_results_of_a_table_study_become_trials(boards: Measured) -> None:
    rows = "family,quant_step,frequency_hz,mode,accuracy,energy_j\n"
    rows += "Board,0.1,6e8,eco,0.7,0.6\nBoard,0.2,9e8,turbo,0.5,1.8\n"
    (boards.folder / "rows.csv").write_text(rows)
    model = '{ table = "rows.csv", knobs = ["mode"] }'
    (boards.folder / "table.toml").write_text(f'model = {model}\nobjectives = ["accuracy", "energy_j"]\n')
    problem = explorer.load_study(boards.folder / "table.toml")
    explorer.run(problem, out=boards.folder / "table")
    done = boards.run("--from", "table", "--out", "one", "--trials", "2")

    assert "2 of 2 measurements of table are taken over" in done.stderr
    assert origins(boards, "one") == ["adopted"] * 2


def test_python_takes_over_and_raises_what_changed(boards: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    change(boards.folder / "space.toml", ("[600, 1800]", "[600, 1801]"))
    monkeypatch.chdir(boards.folder)
    with pytest.raises(StudyChanged) as changed:
        explorer.run("./boards.toml", measure="task.py:measure")
    outcome = explorer.run("./boards.toml", measure="task.py:measure", take_from=changed.value.folder)

    assert (changed.value.n_measured, outcome.n_taken_over, outcome.n_added) == (8, 8, 0)
    with pytest.raises(WrongUsage, match="assumed knobs"):
        explorer.run("./boards.toml", measure="task.py:measure", assume={"batch": 1})


@settings(max_examples=15)
@given(ends=st.tuples(st.floats(0.01, 0.3), st.floats(0.01, 0.3)).filter(lambda ends: abs(ends[0] - ends[1]) > 0.01))
def test_exactly_the_measurements_inside_a_new_range_are_taken_over(
    measured_once: Measured, tmp_path_factory: pytest.TempPathFactory, ends: tuple[float, float]
) -> None:
    low, high = sorted(ends)
    folder = tmp_path_factory.mktemp("law")
    text = SPACE.replace("range = [0.01, 0.3]", f"range = [{low!r}, {high!r}]")
    (folder / "space.toml").write_text(text)
    (folder / "boards.toml").write_text((measured_once.folder / "boards.toml").read_text())
    problem = explorer.load_study(folder / "boards.toml", measure=lambda _: {})
    session = open_session(problem, out=folder / "out")
    adoption = adopt_measurements(session, measured_once.folder / "results/boards", assume={})
    inside = [t for t in measured_once.trials if low <= t.params["quant_step"] <= high]

    assert {one.row["energy_j"] for one in adoption.measurements} == {trial.values[0] for trial in inside}
    assert adoption.reasons.total() == len(measured_once.trials) - len(inside)


@pytest.fixture(scope="module")
def measured_once(tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Return a study that was run; tests must not change it."""
    made = make_measured(tmp_path_factory.mktemp("once"), trials=12)
    assert made.run().returncode == 0
    return made


LIVE = """\
space = "./space.toml"
model = {{ onnx = "digits-mlp", data = "digits", codec = "{codec}" }}
objectives = ["accuracy", "size_bytes"]
[reference_point]
accuracy = 0.0
size_bytes = 100000.0
[search]
trials = 4
"""
LIVE_SPACE = """\
[axes]
pruning_ratio = { range = [0, 0.9] }
quant_step = { range = [0.005, 0.1], scale = "log" }
[operating_points]
law = "none"
"""


@pytest.mark.slow
def test_a_live_study_takes_over_samples_of_its_network_only(explorer_here: Explorer, tmp_path: Path) -> None:
    """Their size is that under the study's codec; those of another network or other data are not taken."""
    (tmp_path / "space.toml").write_text(LIVE_SPACE)
    (tmp_path / "live.toml").write_text(LIVE.format(codec="dense"))
    for network in ("digits-mlp", "digits-gru"):
        grid = ("--grid", "R=0:0.9:2,D=0.01:0.2:2")
        explorer_here("measure", network, "--data", "digits", *grid, "-o", f"{network}.csv")
    other = explorer_here("run", "./live.toml", "--from", "digits-gru.csv", "--trials", "1", "--out", "other")
    done = explorer_here("run", "./live.toml", "--from", "digits-mlp.csv")
    table = explorer.load_results(tmp_path / "results/live").table
    rows = [line.split(",") for line in (tmp_path / "digits-mlp.csv").read_text().splitlines()]
    dense = {float(row[rows[0].index("size_dense_bytes")]) for row in rows[1:]}

    assert "0 of 4 measurements of digits-gru.csv are taken over; not taken over: 4 of another network" in other.stderr
    assert (
        "2 of 4 measurements of digits-mlp.csv are taken over; not taken over: 2 outside the range of quant_step"
        in (done.stderr)
    )
    assert set(table["size_bytes"][table["origin"] == "adopted"]) <= dense


@pytest.fixture
def explorer_here(tmp_path: Path) -> Explorer:
    """Return a function that runs `explorer ARGS` in the test's folder, in this process."""
    from tests.cli.conftest import run_here

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        done = run_here(tmp_path, list(words))
        assert done.returncode == 0, done.stderr
        return done

    return run


def test_where_nothing_is_measured_nothing_is_taken_over(explorer_here: Explorer, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("bits,accuracy,energy_j\n2,0.6,1.0\n4,0.8,1.5\n8,0.95,4.0\n")
    model = '{ table = "rows.csv", knobs = ["bits"] }'
    (tmp_path / "rows.toml").write_text(f'model = {model}\nobjectives = ["accuracy", "energy_j"]\n')
    done = explorer_here("run", "./rows.toml", "--from", "anywhere")

    assert "note: nothing is measured in this study, so nothing needs to be taken over" in done.stderr


@pytest.mark.slow
def test_a_terminal_asks_what_becomes_of_the_measurements(boards: Measured) -> None:
    change(boards.folder / "space.toml", ("[600, 1800]", "[600, 1900]"))
    leader, follower = pty.openpty()
    with subprocess.Popen(
        boards.command(), cwd=boards.folder, env={**ENVIRONMENT, "TERM": "dumb"}, stdin=follower, stdout=follower,
        stderr=follower,
    ) as process:  # fmt: skip
        os.close(follower)
        os.write(leader, b"\n")
        said = b""
        try:
            while part := os.read(leader, 4096):
                said += part
        except OSError:  # the terminal's end
            pass
    os.close(leader)

    assert process.returncode == 0, said.decode()
    assert b"Take over 8 measurements from results/boards? [Y/n]" in said
    assert len(boards.calls) == 8
    assert (boards.folder / "results/boards-1").is_dir()
