"""Every command and option that writes: no input and no foreign file is replaced, and a full disk has a fix."""

import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from explorer.cli.app import app
from tests.cli.conftest import Cli

ROWS = "bits,accuracy,energy_j\n2,0.6,1.0\n4,0.8,1.5\n6,0.9,2.5\n8,0.95,4.0\n10,0.96,6.0\n"
POINTS = "frequency_mhz,voltage_mv\n600,800\n1200,950\n"
# Command without its output; the option and the output's name; its inputs; the file to look at if it is a folder.
WRITING = {
    "fit": (("fit", "rows.csv"), "-o", "out.json", ("rows.csv",)),
    "measure": (("measure", "digits-mlp", "--data", "digits", "--designs", "d.csv"), "-o", "out.csv", ("d.csv",)),
    "choose": (("choose", "rows", "--knee"), "-o", "out.json", ("results/rows/trials.csv", "studies/rows.toml")),
    "report": (("report", "rows"), "-o", "out.html", ("results/rows/front.json", "rows.csv")),
    "compare": (("compare", "results/rows", "results/again"), "-o", "out.html", ("results/again/front.csv",)),
    "import-opp": (("import-opp", "points.csv"), "-o", "out.toml", ("points.csv",)),
    "paper": (("paper",), "--out", "audit/paper.html", ()),
    "deploy": (("deploy", "results/rows/chosen.json"), "-o", "bundle/manifest.json", ()),
    "run": (("run", "rows"), "--out", "fresh/trials.csv", ()),
}
IN_FOLDER = {"paper", "deploy", "run"}
HAS_FORCE = set(WRITING) - {"run", "deploy"}  # `deploy --force` replaces bundles only


@pytest.fixture(scope="module")
def ran(explorer_in: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a table study that was run; tests take a copy."""
    folder = tmp_path_factory.mktemp("outputs")
    (folder / "rows.csv").write_text(ROWS)
    (folder / "points.csv").write_text(POINTS)
    (folder / "d.csv").write_text("pruning_ratio,quant_step\n0.5,0.02\n")
    for words in (
        ("init", "rows.csv", "--table", "--knob", "bits"),
        ("run", "rows"),
        ("run", "rows", "--out", "results/again"),
        ("choose", "rows", "--knee"),
    ):
        done = explorer_in(folder, *words)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def folder(ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    # Without kaleido `paper` draws no images, which would take half a minute.
    monkeypatch.setitem(sys.modules, "kaleido", None)
    shutil.copytree(ran, tmp_path / "w", dirs_exist_ok=True)
    return tmp_path / "w"


def _command(name: str, output: str | None = None) -> list[str]:
    words, option, path, _ = WRITING[name]
    target = output or (path.split("/", maxsplit=1)[0] if name in IN_FOLDER else path)
    return [*words, option, target]


def test_every_option_that_writes_is_tested() -> None:
    """`init` writes to fixed names, `verify --samples` appends a row, `run --storage` is Optuna's."""
    options = {
        name
        for name, command in get_command(app).commands.items()  # type: ignore[attr-defined]
        if {"-o", "--out"} & {text for parameter in command.params for text in parameter.opts}
    }

    assert options == set(WRITING)


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITING)
def test_a_foreign_file_is_replaced_with_force_only(explorer_in: Cli, folder: Path, name: str) -> None:
    path = folder / WRITING[name][2]
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine\n")
    refused = explorer_in(folder, *_command(name))

    assert refused.returncode == 2, refused.stderr
    assert path.read_text() == "mine\n"
    assert "\n  fix: " in refused.stderr
    if name in HAS_FORCE:
        forced = explorer_in(folder, *_command(name), "--force")
        again = explorer_in(folder, *_command(name))
        assert forced.returncode == 0, forced.stderr
        assert "mine" not in path.read_text()[:10]
        # A device file is there to be edited: it is never taken for one that nobody changed.
        assert again.returncode == (2 if name == "import-opp" else 0), again.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "file"), [(name, file) for name, (_, _, _, inputs) in WRITING.items() for file in inputs]
)
def test_an_input_is_not_replaced_even_with_force(explorer_in: Cli, folder: Path, name: str, file: str) -> None:
    os.link(folder / file, folder / "hard")
    (folder / "link").symlink_to(file)
    before = (folder / file).read_bytes()
    for target in (file, "hard", "link", f"results/../{file}"):
        done = explorer_in(folder, *_command(name, target), "--force")

        assert done.returncode == 2, (target, done.stderr)
        assert "is read by this command" in done.stderr
        assert (folder / file).read_bytes() == before


@pytest.mark.slow
def test_a_bundle_that_holds_an_input_is_not_replaced(explorer_in: Cli, folder: Path) -> None:
    assert explorer_in(folder, *_command("deploy")).returncode == 0
    shutil.copy(folder / "results/rows/chosen.json", folder / "bundle/chosen.json")
    done = explorer_in(folder, "deploy", "bundle/chosen.json", "-o", "bundle", "--force")

    assert done.returncode == 2
    assert "which this command reads" in done.stderr
    assert (folder / "bundle/chosen.json").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITING)
@pytest.mark.parametrize("target", ["/dev/full", "rows.csv/below"])
def test_a_disk_that_cannot_be_written_has_a_place_and_a_fix(
    explorer_in: Cli, folder: Path, name: str, target: str
) -> None:
    done = explorer_in(folder, *_command(name, target))

    assert done.returncode == 2, done.stderr
    assert target.split("/", maxsplit=1)[0] in done.stderr
    assert "\n  fix: " in done.stderr
    assert "Traceback" not in done.stderr
    assert Path("/dev/full").is_char_device()
    assert (folder / "rows.csv").read_text() == ROWS


def test_a_storage_that_is_no_journal_is_left_alone(explorer_in: Cli, folder: Path) -> None:
    """The last line of a text would be cut off as a record that a killed writer left."""
    (folder / "notes.txt").write_text("mine\nno newline at the end")
    for extra in ((), ("--recover",), ("--fresh",)):
        done = explorer_in(folder, "run", "rows", "--out", "new", "--storage", "notes.txt", *extra)

        assert done.returncode == 2, done.stderr
        assert "notes.txt: exists, and is no journal of trials" in done.stderr
    assert (folder / "notes.txt").read_text() == "mine\nno newline at the end"


def test_init_replaces_no_study(explorer_in: Cli, folder: Path) -> None:
    (folder / "studies/rows.toml").write_text("# mine\n")
    done = explorer_in(folder, "init", "rows.csv", "--table")

    assert done.returncode == 2
    assert "--force" in done.stderr
    assert (folder / "studies/rows.toml").read_text() == "# mine\n"


@pytest.mark.processes
@pytest.mark.parametrize("n_bytes", [0, 300, 20_000])
def test_a_run_that_cannot_write_ends_with_place_and_fix(tmp_path: Path, n_bytes: int) -> None:
    """No file grows beyond a limit, as on a full disk: the lock, the journal's first record, a later one."""
    command = [sys.executable, "-m", "explorer", "run", "edp-accuracy", "--trials", "50"]
    limit = (n_bytes, n_bytes)
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit),
    )  # fmt: skip

    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert "cannot write: File too large" in done.stderr
    assert "fix: free disk space" in done.stderr
