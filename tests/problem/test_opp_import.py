"""Import of operating points from device trees and CSVs: both bindings, irrelevant statements, every fault."""

import subprocess
import tomllib
from pathlib import Path
from shutil import which

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.devices.device import DeviceFile
from explorer.devices.device_tree import MAX_DEPTH, parse_device_tree
from explorer.devices.opp_tables import TablePoint
from explorer.errors import ExplorerError, InvalidFile, WrongUsage
from explorer.problem.opp_import import device_toml, import_points

# Invented clusters in the notations of real trees: 64-bit literals and pairs of cells, single voltages and triplets,
# speed bins, points with opp-supported-hw, a disabled point, a table of the v1 binding.
TREE = """\
/dts-v1/;
#include <dt-bindings/clock/some.h>
/* a comment with { braces } */
/ {
    compatible = "maker,board", "maker,soc";
    cpus {
        #address-cells = <1>;
        cpu0: cpu@0 { operating-points-v2 = <&little>; clocks = <&cru ARMCLK>; }; // one
        cpu@100 { operating-points = <792000 1100000 396000 950000>; };
    };
    little: opp-table-0 {
        compatible = "operating-points-v2";
        opp-shared;
        opp-408000000 { opp-hz = /bits/ 64 <408000000>; opp-microvolt = <825000 825000 1250000>; };
        opp-600000000 { opp-hz = <0x00 0x23c34600>; opp-microvolt = <850000>; opp-microwatt = <240000>; };
        opp-700000000 { opp-hz = /bits/ 64 <700000000>; opp-microvolt = <900000>; status = "disabled"; };
    };
    binned: opp-table-1 {
        compatible = "maker,soc-operating-points";
        opp-480000000 {
            opp-hz = /bits/ 64 <480000000>;
            opp-microvolt-speed0 = <880000 880000 1200000>;
            opp-microvolt-speed1 = <820000 820000 1200000>;
        };
        opp-240000000 { opp-hz = /bits/ 64 <240000000>; opp-microvolt = <800000>; };
    };
    fused: opp-table-2 {
        compatible = "operating-points-v2";
        opp-a { opp-hz = /bits/ 64 <1200000000>; opp-microvolt = <850000>; opp-supported-hw = <0xe>, <0x7>; };
        opp-b { opp-hz = /bits/ 64 <1200000000>; opp-microvolt = <900000>; opp-supported-hw = <0x1>, <0x7>; };
    };
    levels: opp-table-3 { compatible = "operating-points-v2"; opp-1 { opp-level = <16>; }; };
};
&little { opp-816000000 { opp-hz = /bits/ 64 <816000000>; opp-microvolt = <950000>; }; };
"""


def written(folder: Path, text: str, name: str = "board.dts") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def test_v2_table_has_clock_voltage_and_power(tmp_path: Path) -> None:
    table = import_points(written(tmp_path, TREE), cluster="little")

    assert [(p.frequency_hz, p.voltage_v, p.power_w) for p in table.points] == [
        (408e6, pytest.approx(0.825), None),
        (600e6, pytest.approx(0.85), None),
        (816e6, pytest.approx(0.95), None),
    ]
    assert any("700 MHz is disabled" in note for note in table.notes)
    assert any("only 1 of 3 points state a power" in note for note in table.notes)


def test_power_of_every_point_is_imported(tmp_path: Path) -> None:
    point = "opp-{0} {{ opp-hz = /bits/ 64 <{0}>; opp-microvolt = <800000>; opp-microwatt = <{1}>; }};"
    path = written(tmp_path, f"/ {{ t {{ {point.format(1000000, 5000)} {point.format(2000000, 9000)} }}; }};")
    table = import_points(path)

    assert [p.power_w for p in table.points] == [pytest.approx(0.005), pytest.approx(0.009)]
    assert "power = 0.005" in device_toml(table, title="t", source="s")


def test_incomplete_voltages_are_a_fault(tmp_path: Path) -> None:
    tree = "/ { t { opp-1 { opp-hz = <1000>; }; opp-2 { opp-hz = <2000>; opp-microvolt = <9>; }; }; };"
    with pytest.raises(InvalidFile, match="1 of 2 points have no voltage"):
        import_points(written(tmp_path, tree))


def test_irrelevant_statements_of_real_trees_are_skipped(tmp_path: Path) -> None:
    tree = (
        '/dts-v1/;\n/plugin/;\n/include/ "soc.dtsi"\n#define PIN(a, b) \\\n  a { b; }\n/memreserve/ 0x0 0x1000;\n'
        "/ {\n\tinterrupts = <GIC_SPI 96 IRQ_TYPE_LEVEL_HIGH>, <(1 + (2 << 3))>;\n\tmac = [00 0a ff];\n"
        "\tPIN_SLP(gpa0-0, OUT0, DOWN);\n\t/omit-if-no-ref/ pin: pin-state { bias-disable; };\n"
        "\t/delete-property/ x;\n\t/delete-node/ y;\n\treg = <0x0 0xff &cpu0>;\n};\n&{/cpus} { a; };\n"
        "/ { t: opp-table { opp-1 { opp-hz = /bits/ 64 <1000000>; opp-microvolt = < 912500 912500 1500000>; }; }; };\n"
    )
    table = import_points(written(tmp_path, tree))

    assert table.points == (TablePoint(1e6, pytest.approx(0.9125)),)


def test_several_tables_are_listed_with_name_and_size(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"4 tables: 'cpu@100' \(2 points\), 'little' \(3 points\)(.|\n)*--cluster"):
        import_points(written(tmp_path, TREE))
    with pytest.raises(WrongUsage, match=r"no table 'litle'\n  fix: did you mean 'little'"):
        import_points(written(tmp_path, TREE), cluster="litle")


def test_v1_table_is_pairs_of_kilohertz_and_microvolt(tmp_path: Path) -> None:
    table = import_points(written(tmp_path, TREE), cluster="cpu@100")

    assert table.points == (TablePoint(792e6, pytest.approx(1.1)), TablePoint(396e6, pytest.approx(0.95)))


def test_bin_has_its_own_and_the_shared_points(tmp_path: Path) -> None:
    path = written(tmp_path, TREE)

    assert {p.bin for p in import_points(path, cluster="binned").points} == {"speed0", "speed1", ""}
    one = import_points(path, cluster="binned", bin_name="speed1")
    assert sorted((p.frequency_hz, round(p.voltage_v or 0, 6), p.bin) for p in one.points) == [
        (240e6, 0.8, ""),
        (480e6, 0.82, ""),
    ]
    with pytest.raises(WrongUsage, match=r"no bin 'speed7'\n  fix: choose one of: speed0, speed1"):
        import_points(path, cluster="binned", bin_name="speed7")


def test_supported_hw_distinguishes_points_as_bins(tmp_path: Path) -> None:
    table = import_points(written(tmp_path, TREE), cluster="fused")

    assert [p.bin for p in table.points] == ["hw-0xe-0x7", "hw-0x1-0x7"]
    assert any("fuses" in note for note in table.notes)


def test_table_round_trips_through_the_device_file(tmp_path: Path) -> None:
    for cluster in ("little", "binned", "fused", "cpu@100"):
        table = import_points(written(tmp_path, TREE), cluster=cluster)
        text = device_toml(table, title='the "best" board', source="a\\b\nc")
        read = DeviceFile.model_validate(tomllib.loads(text))
        assert sorted((p.frequency * 1e6, p.bin) for p in read.points or ()) == sorted(
            (p.frequency_hz, p.bin) for p in table.points
        )
        assert [round((p.voltage or 0) * 1e-3, 9) for p in read.points or ()] == [
            round(p.voltage_v or 0, 9)
            for p in sorted(table.points, key=lambda p: (p.bin, p.frequency_hz, p.voltage_v or 0.0))
        ]


def test_all_faults_of_a_tree_are_reported_with_their_lines(tmp_path: Path) -> None:
    tree = (
        '/ {\nt: opp-table { compatible = "operating-points-v2";\n'
        "opp-1 { opp-hz = /bits/ 64 <100000000>; opp-microvolt = <VDD_MIN>; };\n"
        "opp-2 { opp-microvolt = <900000>; };\n"
        "opp-3 { opp-hz = <1 2 3>; };\n"
        "opp-4 { opp-hz = /bits/ 64 <0>; };\n};\n};\n"
    )
    with pytest.raises(InvalidFile, match="4 faults") as caught:
        import_points(written(tmp_path, tree))

    assert [fault.where.split(",")[0] for fault in caught.value.faults] == ["line 4", "line 5", "line 6", "line 3"]
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("\x7fELF\x02\x01", "is not device tree source", id="a binary"),
        pytest.param("/ { a {", "ends within a node", id="cut off"),
        pytest.param("/ { a }; };", "appears where", id="no brace"),
        pytest.param("/ { x = <1>; };", "no table of operating points", id="no table"),
        pytest.param("/ { x = < 99999999999999999999999999 >; };", "at most 64 bits", id="a huge number"),
        pytest.param("/ " + "{ a " * (MAX_DEPTH + 2), "nested too deeply", id="too deep"),
        pytest.param('/ { a = "no end; };', "is not device tree source", id="an open string"),
        pytest.param("/ { p { operating-points = <1000 2 3>; }; };", "not pairs", id="an odd cell"),
        pytest.param("/ { p { operating-points = <0 900000>; }; };", "0 kHz is not a clock", id="no clock"),
        pytest.param("/ { p { operating-points = <1000 0>; }; };", "0 is not a voltage", id="no voltage"),
    ],
)
def test_invalid_device_tree_raises(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InvalidFile, match=message) as caught:
        import_points(written(tmp_path, text))

    assert "fix:" in str(caught.value)


def test_blob_raises_with_the_decompile_command(tmp_path: Path) -> None:
    (tmp_path / "board.dtb").write_bytes(b"\xd0\x0d\xfe\xed\x00\x00\x02\x00")
    with pytest.raises(InvalidFile, match=r"is a device tree blob\n  fix: decompile it: dtc -I dtb -O dts board.dtb"):
        import_points(tmp_path / "board.dtb")


@pytest.mark.skipif(which("dtc") is None, reason="needs dtc, the device tree compiler")
def test_decompiled_tree_gives_the_same_points(tmp_path: Path) -> None:
    tree = TREE.replace("#include <dt-bindings/clock/some.h>\n", "").replace("clocks = <&cru ARMCLK>; ", "")
    path = written(tmp_path, tree)
    blob = subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", path], capture_output=True, check=True).stdout
    again = subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts"], input=blob, capture_output=True, check=True).stdout
    (tmp_path / "again.dts").write_bytes(again)
    for label, node in (("little", "opp-table-0"), ("binned", "opp-table-1"), ("fused", "opp-table-2")):
        before, after = import_points(path, cluster=label), import_points(tmp_path / "again.dts", cluster=node)
        assert sorted(map(str, before.points)) == sorted(map(str, after.points))


PIECES = st.sampled_from(
    ["/ {", "{", "}", "};", ";", "=", "<", ">", "1", "0x10", "/bits/ 64", "opp-hz", "opp-microvolt", "a:", "&a", "&a {",
     '"x"', "opp-1 {", "operating-points", "/delete-node/", "(1 + 2)", "// c\n", "/* c */", "\n", ",", "[0a]",
     'compatible = "operating-points-v2";']
)  # fmt: skip


@settings(max_examples=300)
@given(pieces=st.lists(PIECES, max_size=40))
def test_any_text_parses_or_raises_with_a_fix(pieces: list[str]) -> None:
    try:
        parse_device_tree(" ".join(pieces), path="x.dts")
    except ExplorerError as error:
        assert "fix:" in str(error)  # noqa: PT017 - most texts raise, some are trees


@given(
    points=st.lists(
        st.tuples(st.integers(1, 4_000_000), st.integers(1, 2_000_000)),
        min_size=1,
        max_size=8,
        unique_by=lambda p: p[0],
    ),
    is_split=st.booleans(),
)
def test_points_of_a_tree_are_read_exactly(points: list[tuple[int, int]], is_split: bool) -> None:
    """Clocks in kHz up to 4 GHz, as one 64-bit number or as the two cells that dtc writes."""
    import tempfile

    def clock(khz: int) -> str:
        hertz = khz * 1000
        return f"<{hertz >> 32:#x} {hertz & 0xFFFFFFFF:#x}>" if is_split else f"/bits/ 64 <{hertz}>"

    nodes = "".join(f"opp-{k} {{ opp-hz = {clock(k)}; opp-microvolt = <{v}>; }};\n" for k, v in points)
    with tempfile.TemporaryDirectory() as folder:
        path = written(Path(folder), f"/ {{ t: opp-table {{\n{nodes}}};\n}};\n")
        table = import_points(path)
    assert [(p.frequency_hz, round((p.voltage_v or 0) * 1e6)) for p in table.points] == [
        (k * 1e3, v) for k, v in points
    ]


CSV = """\
soc,table,speed_bin,frequency_mhz,voltage_mv
A,big,,1000,800
A,big,,2000,1000
B,big,s0,500,700
B,big,s1,500,650
"""


def test_csv_has_one_table_for_each_device_and_cluster(tmp_path: Path) -> None:
    path = written(tmp_path, CSV, "opp.csv")

    table = import_points(path, cluster="B", bin_name="s1")
    assert table.points == (TablePoint(500e6, pytest.approx(0.65)),)
    assert import_points(path, cluster="A").points == (
        TablePoint(1e9, pytest.approx(0.8)),
        TablePoint(2e9, pytest.approx(1.0)),
    )
    with pytest.raises(WrongUsage, match=r"has 2 tables: 'A' \(2 points\), 'B' \(2 points\)"):
        import_points(path)


def test_clock_with_two_voltages_raises(tmp_path: Path) -> None:
    path = written(tmp_path, CSV.replace("s1", "s0"), "opp.csv")
    with pytest.raises(InvalidFile, match="500 MHz appears twice with different voltages"):
        import_points(path, cluster="B")


def test_all_faults_of_a_csv_are_reported(tmp_path: Path) -> None:
    path = written(tmp_path, "frequency_hz,voltage_v\n-1,0.8\n1e9,abc\n1e9,\n", "opp.csv")
    with pytest.raises(InvalidFile, match="3 faults"):
        import_points(path)


def test_csv_without_clocks_raises(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="column 'frequency_hz' is missing"):
        import_points(written(tmp_path, "voltage_v\n1\n", "opp.csv"))


def test_table_without_voltages_has_clocks_only(tmp_path: Path) -> None:
    table = import_points(written(tmp_path, "frequency_mhz\n100\n200\n", "opp.csv"))

    assert "voltage" not in device_toml(table, title="t", source="s")
    assert [p.voltage_v for p in table.points] == [None, None]
