"""`explorer init` shows what it understood, takes corrections, and writes what `fit` and `run` read by."""

import json
import os
import pty
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import explorer
from explorer.errors import InvalidFile
from explorer.io.declarations import toml_string
from explorer.models.loading import load_samples
from explorer.models.samples.samples import Samples
from explorer.problem.study import read_study
from tests.cases.tables.exports import write_exports
from tests.cli.conftest import Cli

CASES = Path(__file__).parents[1] / "cases" / "tables"


def copy_case(name: str, folder: Path) -> None:
    (folder / name).write_bytes((CASES / name).read_bytes())


def study_of(folder: Path, name: str) -> dict[str, object]:
    return tomllib.loads((folder / f"studies/{name}.toml").read_text())


def space_of(folder: Path, name: str) -> dict[str, object]:
    return tomllib.loads((folder / f"search_spaces/{name}.toml").read_text())


def samples_of_study(path: Path) -> Samples:
    """Return the samples that `run` reads for a study."""
    study = read_study(str(path))
    own = [name for name in study.own_columns if name != "weight_bits"]
    ignore = [name for space in study.spaces for name in space.file.ignore]
    (table,) = load_samples([study.model], own=own, ignore=ignore, columns=study.columns, targets=study.targets)
    return table.samples


def test_each_column_is_shown_with_its_reading(cli: Cli, tmp_path: Path) -> None:
    copy_case("wandb.csv", tmp_path)
    done = cli("init", "wandb.csv", "--yes")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["search_spaces/wandb.toml", "studies/wandb.toml"]
    shown = [line.split() for line in done.stderr.splitlines()]
    assert ["val/acc", "accuracy", "a", "usual", "name", "of", "accuracy"] in shown
    assert next(line for line in shown if line[0] == "clock")[1:3] == ["frequency_hz", "MHz"]
    assert {line[0] for line in shown if line} >= {"Name", "State", "Notes", "Created", "Runtime", "Sweep", "pruning"}
    assert "note: 4 of 24 runs are not finished (State: crashed) and are left out" in done.stderr
    assert "explorer fit wandb.csv --space wandb -o wandb-model.json" in done.stderr


def test_json_has_the_readings_and_the_rows_left_out(cli: Cli, tmp_path: Path) -> None:
    copy_case("wandb.csv", tmp_path)
    found = json.loads(cli("init", "wandb.csv", "--json").stdout)

    assert found["schema"] == "explorer.init/1"
    assert [one["column"] for one in found["columns"]][:2] == ["Name", "State"]
    assert found["columns"][10] == {
        "column": "energy (mJ)", "read_as": "energy_j", "unit": "mJ", "why": "a usual name of energy_j",
    }  # fmt: skip
    assert found["dropped_rows"][0] == {"row": 2, "why": "State: crashed"}
    assert (found["space"], found["study"]) == ("search_spaces/wandb.toml", "studies/wandb.toml")
    assert len(found["dropped_rows"]) == 4


def test_a_quality_is_weighed_against_energy(cli: Cli, tmp_path: Path) -> None:
    copy_case("mAP.csv", tmp_path)
    assert cli("init", "mAP.csv", "--yes").returncode == 0

    assert study_of(tmp_path, "mAP")["objectives"] == ["mAP", "energy_j"]
    assert '# constraints = ["perplexity <= 9.1"]' in (tmp_path / "studies/mAP.toml").read_text()
    assert space_of(tmp_path, "mAP")["targets"] == {
        "mAP": {"direction": "max", "range": [0, 1]}, "perplexity": {"direction": "min", "range": [0, float("inf")]},
    }  # fmt: skip


def test_what_the_user_states_is_written(cli: Cli, tmp_path: Path) -> None:
    lines = ["run,my best,other,lat,q,foo"]
    lines += [f"r{i},{80 + i / 4},{i},{9 - 2 * (i % 3) + i / 99},{i % 7},{i % 3}" for i in range(18)]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    done = cli("init", "mine.csv", "--map", "accuracy=my best", "--map", "latency_ms=lat", "--target", "q:max:points",
               "--knob", "foo", "--ignore", "other")  # fmt: skip
    space = space_of(tmp_path, "mine")

    assert done.returncode == 0, done.stderr
    assert space["columns"] == {
        "accuracy": {"column": "my best", "unit": "%"}, "latency_s": {"column": "lat", "unit": "ms"},
    }  # fmt: skip
    assert space["ignore"] == ["other"]
    assert space["targets"] == {"q": {"direction": "max", "unit": "points", "range": [0, float("inf")]}}
    assert list(space["axes"]) == ["foo"]  # type: ignore[call-overload]
    assert study_of(tmp_path, "mine")["objectives"] == ["q", "latency_s"]
    run = samples_of_study(tmp_path / "studies/mine.toml")
    fit = explorer.read_samples(tmp_path / "mine.csv", space=str(tmp_path / "search_spaces/mine.toml"))
    assert {name: values.tolist() for name, values in run.columns.items()} == {
        name: values.tolist() for name, values in fit.columns.items()
    }
    assert run.columns["accuracy"][:2].tolist() == [0.8, 0.8025]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (["--map", "accuracy"], "--map accuracy: this is not TARGET=COLUMN"),
        (["--map", "Foo=acc"], "'Foo' is no name of a knob or target"),
        (["--map", "accuracy=nothing"], "there is no column 'nothing', read as accuracy"),
        (["--target", "quality"], "--target quality: the direction is missing"),
        (["--target", "energy_j:max"], "explorer defines energy_j"),
        (["--knob", "nothing"], "column 'nothing' is missing, which is declared as a knob"),
    ],
)
def test_a_statement_that_is_wrong_is_refused(cli: Cli, tmp_path: Path, options: list[str], problem: str) -> None:
    (tmp_path / "mine.csv").write_text("acc,ms,sparsity\n0.9,3,0\n0.8,2,0.5\n")
    done = cli("init", "mine.csv", *options)

    assert done.returncode in {2, 3}
    assert problem in done.stderr
    assert not (tmp_path / "studies").exists()


def test_a_target_without_a_signal_is_no_objective(cli: Cli, tmp_path: Path) -> None:
    """Accuracy counted on 100 samples: 90 to 92 right is chance; time varies by a half."""
    lines = ["sparsity,acc,n_right,n_samples,latency_ms,size_kb"]
    lines += [f"{i / 20},0.9{i % 3},{90 + i % 3},100,{9 - i / 4},{90 - i}" for i in range(18)]
    (tmp_path / "mine.csv").write_text("\n".join(lines) + "\n")
    done = cli("init", "mine.csv")

    assert done.returncode == 0, done.stderr
    assert study_of(tmp_path, "mine")["objectives"] == ["latency_s", "size_bytes"]
    assert (
        "note: accuracy varies within its counting error: 0.9 to 0.92 of 100 samples: it is no objective" in done.stderr
    )


def test_a_copy_of_a_knob_is_named(cli: Cli, tmp_path: Path) -> None:
    rows = [
        f"{(0, 0.5, 0.75)[i % 3]},{(8, 4)[i // 3 % 2]},{0.9 - i / 99},{9 - i / 3},{(1, 2, 4)[i % 3]}" for i in range(18)
    ]
    (tmp_path / "mine.csv").write_text("\n".join(["sparsity,bits,acc,ms,width_divisor", *rows]) + "\n")
    found = json.loads(cli("init", "mine.csv", "--json", "--knob", "width_divisor").stdout)
    (copy,) = [one for one in found["columns"] if one["column"] == "width_divisor"]

    assert (copy["read_as"], copy["why"]) == ("echo", "pruning_ratio decides it in every row")


def test_a_table_study_has_its_columns(cli: Cli, tmp_path: Path) -> None:
    write_exports(tmp_path)
    done = cli("init", "a_german.csv", "--table")
    ran = cli("run", "a_german")

    assert (done.returncode, ran.returncode) == (0, 0), done.stderr + ran.stderr
    model = study_of(tmp_path, "a_german")["model"]
    assert model["columns"]["accuracy"] == {"column": "Top-1 [%]", "unit": "%"}  # type: ignore[index]
    assert "ignored" not in ran.stderr


def test_a_limit_in_percent_is_refused_with_the_share(cli: Cli, tmp_path: Path) -> None:
    copy_case("nan.csv", tmp_path)
    cli("init", "nan.csv")
    study = tmp_path / "studies/nan.toml"
    study.write_text(study.read_text().replace("objectives =", 'constraints = ["accuracy >= 94"]\nobjectives ='))
    done = cli("run", "nan", "--trials", "5")

    assert done.returncode == 3
    assert "fix: write 'accuracy >= 0.94' (or 94 %)" in done.stderr


@settings(max_examples=40)
@given(header=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r\n"), min_size=1, max_size=40))
def test_any_header_is_a_toml_string(header: str) -> None:
    assert tomllib.loads(f"key = {toml_string(header)}") == {"key": header}


@settings(max_examples=15)
@given(
    header=st.text("ab\".\\[]=,%#é\t {}'", min_size=1, max_size=12).filter(lambda text: len(text.strip()) == len(text))
)
def test_a_header_of_any_characters_is_read_back_from_the_space(header: str) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        quoted = '"' + header.replace('"', '""') + '"'
        Path("mine.csv").write_text(
            f"{quoted},sparsity,ms\n" + "".join(f"{0.9 - i / 50},{i / 9},{9 - i}\n" for i in range(8))
        )
        try:
            explorer.init("mine.csv", columns={"accuracy": header})
        except InvalidFile as error:
            # The header means something else as well, or states a unit that its values contradict.
            assert "row 1" in str(error) or "says percent" in str(error)  # noqa: PT017
            return
        samples = samples_of_study(Path("studies/mine.toml"))

    assert samples.columns["accuracy"][0] == 0.9


@pytest.mark.slow
def test_a_terminal_asks_and_takes_corrections(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(
        "q,acc,sparsity,ms\n" + "".join(f"{i},{0.9 - i / 50},{i / 9},{9 - i}\n" for i in range(8))
    )
    screen, line = pty.openpty()
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm", "COLUMNS": "80"}
    asked = subprocess.Popen(
        [sys.executable, "-m", "explorer", "init", "mine.csv"], cwd=tmp_path, stdin=line, stdout=line, stderr=line,
        env=environment,
    )  # fmt: skip
    os.close(line)
    os.write(screen, b"nonsense\nq=points:max\nacc=ignore\nY\n")
    shown = b""
    while True:
        try:
            part = os.read(screen, 65_536)
        except OSError:
            break
        shown += part
    os.close(screen)
    text = shown.decode()

    assert asked.wait(60) == 0, text
    assert "Write it? [Y/n]" in text
    assert "'nonsense' corrects no column" in text
    assert study_of(tmp_path, "mine")["objectives"] == ["points", "latency_s"]
    assert space_of(tmp_path, "mine")["ignore"] == ["acc"]


@pytest.mark.parametrize("name", ["k_mlflow.csv", "mAP.csv"])
@pytest.mark.slow
def test_a_table_becomes_a_choice_without_an_edit(cli: Cli, tmp_path: Path, name: str) -> None:
    """All exports do (measured once); here the smallest one and one of a declared target."""
    write_exports(tmp_path)
    copy_case("mAP.csv", tmp_path)
    stem = name.removesuffix(".csv")
    began = cli("init", name, "--yes")
    advised = next(line.split("#")[0].split()[1:] for line in began.stderr.splitlines() if "explorer fit" in line)
    for words in (advised, ["run", stem, "--trials", "60"], ["choose", stem, "--knee"]):
        done = cli(*words)
        assert done.returncode == 0, done.stderr
