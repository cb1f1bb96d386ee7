"""`explorer deploy` as typed: from a choice to a bundle that can be checked."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def place(explorer_in: Cli, paper_run: Path, tmp_path: Path) -> Path:
    """A folder that holds chosen.json."""
    done = explorer_in(paper_run, "choose", "paper", "--knee", "-o", tmp_path / "chosen.json")
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_a_choice_becomes_a_bundle_that_sha256sum_accepts(explorer_in: Cli, place: Path) -> None:
    done = explorer_in(place, "deploy", "chosen.json", "-o", "bundle/")

    assert done.returncode == 0, done.stderr
    names = ["manifest.json", "configmap.yaml", "README.txt", "SHA256SUMS"]
    assert done.stdout.split() == [f"bundle/{name}" for name in names]
    assert "NOT been checked" in done.stderr
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=place / "bundle", capture_output=True, check=False)
    assert checked.returncode == 0
    (place / "bundle/manifest.json").write_bytes((place / "bundle/manifest.json").read_bytes() + b" ")
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=place / "bundle", capture_output=True, check=False)
    assert checked.returncode == 1


def test_the_manifest_has_its_origin_and_sets_no_voltage(explorer_in: Cli, place: Path) -> None:
    explorer_in(place, "deploy", "chosen.json", "-o", "bundle")

    chosen = json.loads((place / "chosen.json").read_text(encoding="utf-8"))
    manifest = json.loads((place / "bundle/manifest.json").read_text(encoding="utf-8"))
    said = subprocess.run(["sha256sum", place / "chosen.json"], capture_output=True, text=True, check=True).stdout
    assert manifest["chosen_sha256"] == said.split()[0]
    assert manifest["operating_point"]["asked"] == {"frequency_hz": chosen["design"]["frequency_hz"]}
    assert "for information only" in manifest["operating_point"]["information"]["note"]
    assert manifest["provenance"] == chosen["provenance"]
    assert "never an instruction to set a voltage" in (place / "bundle/README.txt").read_text(encoding="utf-8")


def test_a_bundle_is_replaced_only_by_force(explorer_in: Cli, place: Path) -> None:
    explorer_in(place, "deploy", "chosen.json", "-o", "bundle")

    again = explorer_in(place, "deploy", "chosen.json", "-o", "bundle")
    forced = explorer_in(place, "deploy", "chosen.json", "-o", "bundle", "--force")

    assert (again.returncode, forced.returncode) == (2, 0)
    assert "bundle: exists already\n  fix: choose another name with -o, or replace it with --force" in again.stderr


def test_an_extrapolation_is_deployed_only_with_its_flag(explorer_in: Cli, place: Path) -> None:
    chosen = json.loads((place / "chosen.json").read_text(encoding="utf-8"))
    chosen["design"]["domain_distance"] = 0.8
    (place / "far.json").write_text(json.dumps(chosen), encoding="utf-8")

    refused = explorer_in(place, "deploy", "far.json", "-o", "far")
    taken = explorer_in(place, "deploy", "far.json", "-o", "far", "--allow-extrapolation")

    assert (refused.returncode, taken.returncode) == (4, 0)
    assert "fix: measure samples nearby, or take the risk with --allow-extrapolation" in refused.stderr
    assert "EXTRAPOLATED" in taken.stderr
    assert "EXTRAPOLATED" in (place / "far/README.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        pytest.param(None, 2, "no such file", id="missing"),
        pytest.param("", 3, "the file is empty", id="empty"),
        pytest.param('{"schema":', 3, "is not JSON", id="cut"),
        pytest.param(
            '{"schema": "explorer.front/1"}', 3, "must be 'explorer.chosen/2' or 'explorer.chosen/1'", id="schema"
        ),
        pytest.param("[1]", 3, "must be a dictionary", id="list"),
    ],
)
def test_an_unusable_choice_is_refused_and_writes_nothing(
    cli: Cli, tmp_path: Path, text: str | None, code: int, said: str
) -> None:
    if text is not None:
        (tmp_path / "chosen.json").write_text(text, encoding="utf-8")
    before = sorted(tmp_path.iterdir())

    done = cli("deploy", "chosen.json", "-o", "bundle")

    assert done.returncode == code
    assert said in done.stderr
    assert "fix:" in done.stderr
    assert "Traceback" not in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_the_schema_of_the_manifest_is_printed(cli: Cli) -> None:
    schema = json.loads(cli("schema", "deploy").stdout)

    assert schema["properties"]["schema"]["const"] == "explorer.deploy/1"
    assert {"design", "predicted", "objectives", "not_checked", "provenance"} <= set(schema["required"])
    assert {"network", "operating_point", "applied", "files"} <= set(schema["properties"])


def test_a_network_and_a_device_make_a_whole_bundle(explorer_in: Cli, place: Path) -> None:
    done = explorer_in(place, "deploy", "chosen.json", "--model", "digits-mlp", "--device", "rk3588-big",
                       "--allow-extrapolation", "--allow-other-machine", "-o", "whole/")  # fmt: skip

    assert done.returncode == 0, done.stderr
    names = {line.removeprefix("whole/") for line in done.stdout.split()}
    assert {"network.onnx", "apply.sh", "undo.sh", "configmap.yaml"} <= names
    manifest = json.loads((place / "whole/manifest.json").read_text(encoding="utf-8"))
    assert manifest["operating_point"]["applied"]["title"].startswith("Rockchip RK3588")
    assert manifest["network"]["energy_mac_mem"]["basis"] == "modelled"
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=place / "whole", capture_output=True, check=False)
    assert checked.returncode == 0
    helped = subprocess.run(["sh", "whole/apply.sh", "--help"], cwd=place, capture_output=True, text=True, check=False)
    assert "usage: sh apply.sh [--apply]" in helped.stdout


def test_deploy_compresses_with_the_options_of_measure(explorer_in: Cli, place: Path) -> None:
    done = explorer_in(place, "deploy", "chosen.json", "--model", "digits-mlp", "--per-tensor", "--clip", "int8",
                       "--full-int8", "digits", "--codec", "dense", "-o", "told")  # fmt: skip

    assert done.returncode == 0, done.stderr
    said = json.loads((place / "told/manifest.json").read_text(encoding="utf-8"))["network"]
    assert (said["per_tensor"], said["clip"]) == (True, "int8")
    assert (said["activations"], said["size_codec"]) == ("int8", "dense")


def test_a_device_without_the_clock_refuses_on_the_device(explorer_in: Cli, place: Path) -> None:
    explorer_in(place, "deploy", "chosen.json", "--device", "rk3588-big", "--allow-extrapolation",
                "--allow-other-machine", "-o", "there")  # fmt: skip
    policy = place / "sys/devices/system/cpu/cpufreq/policy0"
    policy.mkdir(parents=True)
    for name, text in (("scaling_available_frequencies", "600000 800000\n"), ("scaling_min_freq", "600000\n"),
                       ("scaling_max_freq", "800000\n")):  # fmt: skip
        (policy / name).write_text(text, encoding="ascii")

    done = subprocess.run(
        ["sh", "there/apply.sh", "--apply", "--sysfs", "sys"], cwd=place, capture_output=True, text=True, check=False
    )

    assert done.returncode == 3
    assert "policy0: 600000 800000" in done.stderr
    assert (policy / "scaling_max_freq").read_text(encoding="ascii") == "800000\n"
