"""Device-tree overlay that caps a clock, compiled by dtc and merged by fdtoverlay."""

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from explorer.deploy.device.scripts import render_overlay
from explorer.deploy.device.target import TargetDevice
from explorer.devices.device import read_device
from explorer.io.files import shipped_folder
from explorer.problem.opp_import import device_toml, import_points

needs_dtc = pytest.mark.skipif(
    shutil.which("dtc") is None and not os.environ.get("CI"), reason="needs dtc (Debian: device-tree-compiler)"
)
BOARD = TargetDevice(
    "board", "A board", "", "", "cpufreq", (408e6, 816e6, 1.2e9), 816e6, "", "cluster1_opp", ("opp00", "opp01", "opp02")
)
TREE = """/dts-v1/;
/ {
    cluster1_opp: opp-table-1 {
        compatible = "operating-points-v2";
        opp00 { opp-hz = /bits/ 64 <408000000>; opp-microvolt = <825000>; };
        opp01 { opp-hz = /bits/ 64 <816000000>; opp-microvolt = <825000>; };
        opp02 { opp-hz = /bits/ 64 <1200000000>; opp-microvolt = <950000>; };
    };
};
"""


@needs_dtc
def test_merged_tree_disables_only_points_above_the_cap(tmp_path: Path) -> None:
    (tmp_path / "base.dts").write_text(TREE, encoding="ascii")
    (tmp_path / "cap.dts").write_text(render_overlay(BOARD), encoding="ascii")
    dtc = ["dtc", "-q", "-@", "-I", "dts", "-O", "dtb"]
    subprocess.run([*dtc, "-o", "base.dtb", "base.dts"], cwd=tmp_path, check=True)
    subprocess.run([*dtc, "-o", "cap.dtbo", "cap.dts"], cwd=tmp_path, check=True)
    subprocess.run(["fdtoverlay", "-i", "base.dtb", "-o", "merged.dtb", "cap.dtbo"], cwd=tmp_path, check=True)
    merged = subprocess.run(
        ["dtc", "-q", "-I", "dtb", "-O", "dts", "merged.dtb"], cwd=tmp_path, capture_output=True, text=True, check=True
    ).stdout

    nodes = {name: merged.split(f"{name} {{")[1].split("};")[0] for name in ("opp00", "opp01", "opp02")}
    assert ['status = "disabled"' in nodes[name] for name in nodes] == [False, False, True]
    assert all("opp-hz" in text and "opp-microvolt" in text for text in nodes.values())


@needs_dtc
@pytest.mark.parametrize(
    "path", sorted(shipped_folder("search_spaces/devices").glob("*.toml")), ids=lambda path: path.stem
)
def test_overlay_of_every_shipped_device_compiles(tmp_path: Path, path: Path) -> None:
    device = read_device(str(path))
    points = sorted({(point.frequency, point.node) for point in device.points or ()})
    clocks, nodes = tuple(f for f, _ in points), tuple(node for _, node in points)
    target = replace(BOARD, clocks_hz=clocks, clock_hz=clocks[0], opp_table=device.opp_table, nodes=nodes)

    text = render_overlay(target)

    assert bool(text) == bool(device.opp_table)
    assert all(nodes) == bool(device.opp_table), "a label requires node names, and node names a label"
    if text:
        assert text.count('status = "disabled"') == len(clocks) - 1
        subprocess.run(["dtc", "-@", "-I", "dts", "-O", "dtb", "-o", "/dev/null"], input=text.encode(), check=True)


@pytest.mark.parametrize(
    "target",
    [
        pytest.param(replace(BOARD, clock_hz=1.2e9), id="highest"),
        pytest.param(replace(BOARD, opp_table=""), id="no-label"),
        pytest.param(replace(BOARD, nodes=("opp00", "opp01", "")), id="no-node"),
    ],
)
def test_overlay_is_empty_without_points_to_cap(target: TargetDevice) -> None:
    assert render_overlay(target) == ""


def test_overlay_sets_no_voltage() -> None:
    assert "volt" not in render_overlay(BOARD)


def test_imported_device_tree_has_the_node_names_of_its_overlay(tmp_path: Path) -> None:
    (tmp_path / "board.dts").write_text(TREE, encoding="ascii")
    (tmp_path / "board.toml").write_text(device_toml(import_points(tmp_path / "board.dts"), title="t", source="s"))

    device = read_device(str(tmp_path / "board.toml"))

    assert device.opp_table == BOARD.opp_table
    assert tuple(point.node for point in device.points or ()) == BOARD.nodes
