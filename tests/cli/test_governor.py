"""`explorer deploy --governor` as typed, on the operating points of a device that the study's space names."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
# E falls and T rises as the clock falls, but for the lowest clocks, where leakage over a longer time costs more.
HEADER = "family,pruning_ratio,voltage_v,frequency_hz,latency_s,energy_j,accuracy,machine"
SAMPLES = "\n".join([HEADER, *(
    f"net,{r},{v},{f * 1e9},{(1 - r / 2) / 100 / f},{(v * v / 50 + 0.002 / f) * (1 - r / 2)},{0.95 - r * r / 10},board"
    for r in (0.0, 0.3, 0.6)
    for v, f in ((0.7, 0.2), (0.7, 0.6), (0.8, 1.0), (0.9, 1.4), (1.0, 1.8))
)])  # fmt: skip
DEVICE = """title = "A board"
machine = "board"
points = [
  { voltage = 0.7, frequency = 0.2 }, { voltage = 0.7, frequency = 0.4 }, { voltage = 0.7, frequency = 0.6 },
  { voltage = 0.8, frequency = 1.0 }, { voltage = 0.9, frequency = 1.4 }, { voltage = 1.0, frequency = 1.8 },
]
"""
SPACE = """family = "net"
[axes]
pruning_ratio = { range = [0, 0.6] }
[operating_points]
device = "./board.toml"
"""
STUDY = """space = "./space.toml"
model = "./samples.csv"
objectives = ["energy_j", "accuracy"]
[search]
trials = 60
"""


@pytest.fixture(scope="module")
def folder(explorer_in: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which a study on a device's operating points was run and chosen from."""
    path = tmp_path_factory.mktemp("governor")
    for name, text in (("samples.csv", SAMPLES), ("board.toml", DEVICE), ("space.toml", SPACE), ("s.toml", STUDY)):
        (path / name).write_text(text, encoding="utf-8")
    for words in (("run", "./s.toml"), ("choose", "s", "--minimize", "energy_j", "--where", "accuracy >= 0.92")):
        done = explorer_in(path, *words)
        assert done.returncode == 0, done.stderr
    return path


def test_the_points_of_the_space_become_a_table_that_verify_protects(explorer_in: Cli, folder: Path) -> None:
    done = explorer_in(folder, "deploy", "results/s/chosen.json", "-o", "bundle", "--governor", "--confidence", "0.9")
    assert done.returncode == 0, done.stderr
    table = json.loads((folder / "bundle/governor.json").read_text(encoding="utf-8"))
    clocks = [point["frequency_hz"] for point in table["points"]]

    assert (table["schema"], table["confidence"], table["device"]) == ("explorer.governor/1", 0.9, "board")
    assert clocks == sorted(clocks, reverse=True)
    assert clocks[0] == 1.8e9
    assert 0.2e9 not in clocks, "slower than 0.6 GHz at the same voltage, and leaks for longer"
    assert "0.2 GHz @ 0.7 V" in [point["operating_point"] for point in table["left_out"]]

    picked = subprocess.run(
        ["sh", "bundle/governor.sh", "1000000000"], cwd=folder, capture_output=True, text=True, check=True
    )
    assert int(picked.stdout) == round(clocks[-1] / 1e3)

    kept = explorer_in(folder, "verify", "bundle")
    assert kept.returncode == 0, kept.stdout + kept.stderr
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=folder / "bundle", capture_output=True, check=False)
    assert checked.returncode == 0
    path = folder / "bundle/governor.json"
    path.write_text(path.read_text(encoding="utf-8").replace("1800000000", "1900000000"), encoding="utf-8")
    broken = explorer_in(folder, "verify", "bundle")
    assert broken.returncode == 4
    assert "governor.json was changed" in broken.stdout


def test_a_limit_with_a_probability_leaves_points_out(explorer_in: Cli, folder: Path) -> None:
    """A cap at the fastest point's prediction holds there in about half of the draws, not in 90 %."""
    explorer_in(folder, "deploy", "results/s/chosen.json", "-o", "free", "--governor")
    free = json.loads((folder / "free/governor.json").read_text(encoding="utf-8"))["points"]
    chosen = json.loads((folder / "results/s/chosen.json").read_text(encoding="utf-8"))
    chosen["rule"]["where"].append(f"energy_j <= {free[0]['energy_j']!r} J @ 90 %")
    (folder / "capped.json").write_text(json.dumps(chosen), encoding="utf-8")

    done = explorer_in(folder, "deploy", "capped.json", "-o", "capped", "--governor")
    assert done.returncode == 0, done.stderr
    capped = json.loads((folder / "capped/governor.json").read_text(encoding="utf-8"))
    reasons = {point["operating_point"]: point["reason"] for point in capped["left_out"]}
    assert reasons[free[0]["operating_point"]].endswith("@ 90 %")
    assert capped["points"] == free[1:]


def test_the_file_has_the_printed_schema(explorer_in: Cli, folder: Path) -> None:
    explorer_in(folder, "deploy", "results/s/chosen.json", "-o", "again", "--governor")
    schema = json.loads(explorer_in(folder, "schema", "governor").stdout)
    table = json.loads((folder / "again/governor.json").read_text(encoding="utf-8"))

    assert schema["properties"]["schema"]["const"] == "explorer.governor/1"
    assert set(table) <= set(schema["properties"])
    assert set(schema["required"]) <= set(table)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(("--confidence", "0.9"), 2, "--confidence stands without --governor", id="alone"),
        pytest.param(("--governor", "--confidence", "1"), 2, "--confidence 1 is outside [0.01, 0.995]", id="certain"),
    ],
)
def test_an_unusable_confidence_is_refused(
    explorer_in: Cli, folder: Path, words: tuple[str, ...], code: int, said: str
) -> None:
    done = explorer_in(folder, "deploy", "results/s/chosen.json", "-o", "no", *words)

    assert done.returncode == code
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert not (folder / "no").exists()


def test_a_measured_network_has_no_table(explorer_in: Cli, tmp_path: Path) -> None:
    for words in (("run", "digits-cnn-live", "--trials", 3), ("choose", "digits-cnn-live", "--knee")):
        assert explorer_in(tmp_path, *words).returncode == 0
    done = explorer_in(tmp_path, "deploy", "results/digits-cnn-live/chosen.json", "-o", "no", "--governor")

    assert done.returncode == 2
    assert "has no clock: a governor has nothing to set" in done.stderr
