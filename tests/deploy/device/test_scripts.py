"""Clock scripts of a bundle, run by sh on a mock sysfs tree and a mock nvidia-smi."""

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.deploy.device.scripts import render_scripts
from explorer.deploy.device.target import TargetDevice

CLOCKS = (408e6, 600e6, 816e6, 1008e6, 1200e6, 1416e6, 1608e6, 1800e6)
BIG = TargetDevice("board", "A board's big cluster", "", "", "cpufreq", CLOCKS, 1200e6, "1.2 GHz", "", ("",) * 8)
POLICIES = Path("devices/system/cpu/cpufreq")
Sh = Callable[..., "subprocess.CompletedProcess[str]"]


def policy(root: Path, name: str, *, kilohertz: tuple[int, ...], lowest: int, highest: int) -> Path:
    folder = root / POLICIES / name
    folder.mkdir(parents=True)
    files = {
        "scaling_available_frequencies": " ".join(str(k) for k in kilohertz) + " \n",
        "scaling_min_freq": f"{lowest}\n", "scaling_max_freq": f"{highest}\n",
        "cpuinfo_min_freq": f"{min(kilohertz)}\n", "cpuinfo_max_freq": f"{max(kilohertz)}\n",
        "scaling_governor": "schedutil\n",
    }  # fmt: skip
    for file, text in files.items():
        (folder / file).write_text(text, encoding="ascii")
    return folder


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a board with a little cluster and a big cluster that also has the little cluster's clocks."""
    root = tmp_path / "a sys"
    kilohertz = tuple(round(hertz / 1e3) for hertz in CLOCKS)
    policy(root, "policy0", kilohertz=kilohertz[:6], lowest=408_000, highest=1_416_000)
    policy(root, "policy4", kilohertz=kilohertz, lowest=600_000, highest=1_800_000)
    return root


@pytest.fixture
def sh(tmp_path: Path, tree: Path) -> Sh:
    """Return a function that runs a script of the bundle on the mock tree."""

    def run(name: str, *args: str, target: TargetDevice = BIG, root: Path = tree) -> "subprocess.CompletedProcess[str]":
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        for file, text in render_scripts(target).items():
            (folder / file).write_text(text, encoding="utf-8")
        options = ("--sysfs", str(root), "--state", str(tmp_path / "state"))
        return subprocess.run(["sh", folder / name, *options, *args], capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("control", ["cpufreq", "devfreq", "nvidia-smi"])
def test_every_script_parses_and_sets_no_voltage(tmp_path: Path, control: str) -> None:
    texts = render_scripts(replace(BIG, control=control))  # type: ignore[arg-type]

    assert len(texts) == 2
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
        subprocess.run(["sh", "-n", tmp_path / name], check=True)
        commands = [line for line in text.splitlines() if not line.startswith("#")]
        assert not any("volt" in line.lower() for line in commands)


def test_dry_run_prints_changes_and_makes_none(sh: Sh, tree: Path, tmp_path: Path) -> None:
    before = contents(tree)

    result = sh("apply.sh")

    assert result.returncode == 0, result.stderr
    assert contents(tree) == before
    assert not (tmp_path / "state").exists()
    assert "scaling_max_freq to 1200000 kHz (now 600000 and 1800000)" in result.stdout
    assert "nothing was changed" in result.stdout


def test_apply_pins_only_the_cluster_with_the_device_clocks(sh: Sh, tree: Path) -> None:
    before = contents(tree)

    result = sh("apply.sh", "--apply")

    assert result.returncode == 0, result.stderr
    after = contents(tree)
    changed = {name: text for name, text in after.items() if text != before[name]}
    path = POLICIES / "policy4"
    assert changed == {f"{path}/scaling_min_freq": b"1200000\n", f"{path}/scaling_max_freq": b"1200000\n"}


@pytest.mark.parametrize("clock", CLOCKS)
def test_undo_restores_every_byte_for_any_clock(sh: Sh, tree: Path, tmp_path: Path, clock: float) -> None:
    before = contents(tree)

    applied = sh("apply.sh", "--apply", target=replace(BIG, clock_hz=clock))
    dry = sh("undo.sh", target=replace(BIG, clock_hz=clock))
    between = contents(tree)
    undone = sh("undo.sh", "--apply", target=replace(BIG, clock_hz=clock))

    assert (applied.returncode, dry.returncode, undone.returncode) == (0, 0, 0), applied.stderr + undone.stderr
    assert between != before
    assert contents(tree) == before
    assert not (tmp_path / "state").exists()


def test_second_apply_is_rejected_before_undo(sh: Sh, tree: Path) -> None:
    sh("apply.sh", "--apply")
    between = contents(tree)

    again = sh("apply.sh", "--apply")

    assert again.returncode == 4
    assert "fix: restore the previous one first: sh undo.sh --apply" in again.stderr
    assert contents(tree) == between


@pytest.mark.parametrize(
    ("args", "target", "code", "message"),
    [
        pytest.param((), replace(BIG, clocks_hz=(1e9, 2e9), clock_hz=2e9), 3, "policy4: 408000 600000", id="other"),
        pytest.param(("--policy", "policy0"), replace(BIG, clock_hz=1800e6), 3, "does not offer 1800000", id="lacks"),
        pytest.param(("--policy", "policy9"), BIG, 3, "nothing here has exactly the clocks", id="no-such-part"),
        pytest.param(("--now",), BIG, 2, "unknown option '--now'", id="option"),
        pytest.param(("--policy",), BIG, 2, "--policy needs a value", id="value"),
    ],
)
def test_unsupported_clock_or_option_changes_nothing(
    sh: Sh, tree: Path, args: tuple[str, ...], target: TargetDevice, code: int, message: str
) -> None:
    before = contents(tree)

    result = sh("apply.sh", "--apply", *args, target=target)

    assert result.returncode == code
    assert message in result.stderr
    assert "fix:" in result.stderr
    assert contents(tree) == before


def test_clock_above_the_rated_maximum_is_rejected(sh: Sh, tree: Path) -> None:
    (tree / POLICIES / "policy4/cpuinfo_max_freq").write_text("1000000\n", encoding="ascii")

    assert sh("apply.sh", "--apply").returncode == 3


def test_named_policy_without_a_clock_list_uses_its_range(sh: Sh, tree: Path) -> None:
    (tree / POLICIES / "policy4/scaling_available_frequencies").unlink()

    assert sh("apply.sh").returncode == 3
    assert sh("apply.sh", "--policy", "policy4").returncode == 0
    assert sh("apply.sh", "--policy", "policy4", target=replace(BIG, clock_hz=2e9)).returncode == 3


def test_failed_write_to_sysfs_restores_the_other_files(sh: Sh, tree: Path) -> None:
    before = contents(tree)
    stuck = tree / POLICIES / "policy4/scaling_max_freq"
    stuck.unlink()
    stuck.symlink_to("/dev/null")

    result = sh("apply.sh", "--apply", "--policy", "policy4", target=replace(BIG, clock_hz=600e6))

    assert result.returncode != 0
    assert {n: t for n, t in contents(tree).items() if "max_freq" not in n} == {
        n: t for n, t in before.items() if "max_freq" not in n
    }


@pytest.mark.parametrize("state", ["../policy0 1 2\n", "policy4 a 2\n", "policy4 1\n", "policy9 1 2\n"])
def test_undo_rejects_a_damaged_state_file(sh: Sh, tree: Path, tmp_path: Path, state: str) -> None:
    before = contents(tree)
    (tmp_path / "state").write_text(state, encoding="ascii")

    assert sh("undo.sh", "--apply").returncode == 4
    assert contents(tree) == before


def test_undo_without_previous_values_is_reported(sh: Sh) -> None:
    result = sh("undo.sh", "--apply")

    assert result.returncode == 4
    assert "has no previous values" in result.stderr


def test_devfreq_gpu_clock_is_set_in_hertz(sh: Sh, tmp_path: Path) -> None:
    root = tmp_path / "jetson"
    folder = root / "class/devfreq/57000000.gpu"
    folder.mkdir(parents=True)
    for name, text in (("available_frequencies", "76800000 153600000\n"), ("min_freq", "76800000\n"),
                       ("max_freq", "153600000\n")):  # fmt: skip
        (folder / name).write_text(text, encoding="ascii")
    before = contents(root)
    gpu = replace(BIG, control="devfreq", clocks_hz=(76.8e6, 153.6e6), clock_hz=76.8e6)

    assert sh("apply.sh", "--apply", target=gpu, root=root).returncode == 0
    assert (folder / "max_freq").read_bytes() == b"76800000\n"
    assert sh("undo.sh", "--apply", target=gpu, root=root).returncode == 0
    assert contents(root) == before


SMI = """#!/bin/sh
printf '%s\\n' "$*" >>"$LOG"
case $* in *supported-clocks*) printf '1980\\n1965\\n345\\n' ;; esac
"""


def nvidia(
    folder: Path, name: str, *args: str, clock: float = 1965e6, env: Mapping[str, str] | None = None
) -> tuple[int, str]:
    target = replace(BIG, control="nvidia-smi", clocks_hz=(345e6, 1965e6, 1980e6), clock_hz=clock)
    tools = folder / "bin"
    tools.mkdir(exist_ok=True)
    (tools / "nvidia-smi").write_text(SMI, encoding="ascii")
    (tools / "nvidia-smi").chmod(0o755)
    (folder / name).write_text(render_scripts(target)[name], encoding="utf-8")
    log = folder / "log"
    log.unlink(missing_ok=True)
    used = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "LOG": str(log), **(env or {})}
    result = subprocess.run(["/bin/sh", folder / name, *args], env=used, capture_output=True, text=True, check=False)
    return result.returncode, log.read_text(encoding="ascii") if log.exists() else ""


def test_nvidia_gpu_is_locked_only_with_apply_to_a_supported_clock(tmp_path: Path) -> None:
    query = "--query-supported-clocks=graphics --format=csv,noheader,nounits"
    assert nvidia(tmp_path, "apply-nvidia.sh") == (0, f"-i 0 {query}\n")
    assert nvidia(tmp_path, "apply-nvidia.sh", "--apply", "--gpu", "1") == (0, f"-i 1 {query}\n-i 1 -lgc 1965,1965\n")
    assert nvidia(tmp_path, "apply-nvidia.sh", "--apply", clock=1966e6)[0] == 3
    assert nvidia(tmp_path, "apply-nvidia.sh", "--apply", "--gpu", "x") == (2, "")
    assert nvidia(tmp_path, "undo-nvidia.sh") == (0, "")
    assert nvidia(tmp_path, "undo-nvidia.sh", "--apply") == (0, "-i 0 -rgc\n")


def test_missing_nvidia_smi_is_reported(tmp_path: Path) -> None:
    assert nvidia(tmp_path, "apply-nvidia.sh", "--apply", env={"PATH": "/nowhere"}) == (3, "")
