"""Declarations of user-defined axes, discrete values, missing knobs and devices, valid and invalid."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.devices.device import read_device, read_device_points
from explorer.devices.operating_points import OperatingPoints
from explorer.errors import InvalidFile, WrongUsage
from explorer.io.catalog import aliases, list_declarations
from explorer.io.files import shipped_folder
from explorer.problem.applicability import Range
from explorer.problem.columns import column_of
from explorer.problem.declarations.space import SpaceFile
from explorer.problem.design_space import DesignSpace, Dimension, categorical
from explorer.problem.space_builder import build_design_space
from explorer.problem.study import declaration_text, read_space, read_study

Write = Callable[[str], str]
NONE = '[operating_points]\nlaw = "none"\n'
DEVICES = sorted(path.stem for path in (shipped_folder("search_spaces") / "devices").glob("*.toml"))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        pytest.param("pruning_ratios = { range = [0, 1] }", "did you mean 'pruning_ratio'", id="nearly R"),
        pytest.param("voltage_v = { range = [0.5, 1] }", "did you mean 'voltage'", id="a column's name"),
        pytest.param("accuracy = { range = [0.5, 1] }", "this is not a knob", id="a target"),
        pytest.param("certainty = { range = [0.5, 1] }", "this is not a knob", id="a column of results"),
        pytest.param("accuracy_lo = { range = [0.5, 1] }", "this is not a knob", id="a bound"),
        pytest.param("clock_share = { range = [0.5, 1] }", "this is not a knob", id="the search's own name"),
        pytest.param('"Batch Size" = { range = [1, 2] }', "small letters", id="a name with a space"),
        pytest.param("batch = { }", "needs either a range or a value", id="nothing said"),
        pytest.param("batch = { values = [] }", "at least 1 item", id="no values"),
        pytest.param("batch = { values = [1, 1] }", "listed twice", id="a value twice"),
        pytest.param("batch = { values = [1], range = [1, 2] }", "needs either", id="values and range"),
        pytest.param('precision = { choices = ["a", "a"] }', "listed twice", id="a choice twice"),
        pytest.param(
            'precision = { choices = ["a"], value = 1 }', "both choices and numbers", id="choices and a value"
        ),
        pytest.param('batch = { range = [0, 8], scale = "log" }', "log scale cannot start at 0", id="log from 0"),
        pytest.param('power_limit_w = { range = [1, 2], unit = "V" }', "'V' is not a unit of W", id="another unit"),
        pytest.param("power_limit_w = { range = [-1, 2] }", r"outside \(0, inf\)", id="a negative power"),
        pytest.param("batch = { rnage = [1, 2] }", "did you mean 'range'", id="misspelt range"),
        pytest.param("pruning_ratio = { values = [0.5, 2] }", r"2 is outside \[0, 1\)", id="R of 2"),
    ],
)
def test_invalid_axis_raises(write_space: Write, axes: str, message: str) -> None:
    with pytest.raises(InvalidFile, match=rf"(?s)space\.toml: .*{message}") as caught:
        read_space(write_space(f"[axes]\n{axes}\n{NONE}"))

    assert "\n  fix: " in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(
            "[axes]\nvoltage = { value = 1 }\nfrequency = { value = 1 }\n" + NONE, "without a law", id="V and f"
        ),
        pytest.param(
            '[axes]\n[operating_points]\nlaw = "none"\ndevice = "imx8mm"', "either a law or points", id="both"
        ),
        pytest.param('[axes]\n[operating_points]\ndevice = "imx9"', "no device is called 'imx9'", id="no device"),
        pytest.param('[axes]\n[operating_points]\ndevice = "h6"', "3 speed bins", id="no bin"),
        pytest.param('[axes]\n[operating_points]\ndevice = "imx8mm"\nbin = "a"', "no bin 'a'", id="unknown bin"),
        pytest.param(
            "[axes]\n[operating_points]\npoints = [{ frequency = 1, voltage = 1 }, { frequency = 2 }]",
            "1 of 2 points have a voltage",
            id="half a column of voltages",
        ),
        pytest.param(
            "[axes]\nvoltage = { range = [0.5, 1] }\nfrequency = { values = [1, 2] }\n"
            '[operating_points]\nlaw = "alpha-power"',
            "frequency lists values together with a law",
            id="clocks with a law",
        ),
    ],
)
def test_invalid_operating_points_raise(write_space: Write, text: str, message: str) -> None:
    with pytest.raises(Exception, match=message):
        read_space(write_space(text))


def test_user_defined_axis_has_unit_of_its_name_and_declared_label(write_space: Write) -> None:
    text = (
        '[axes]\npower_limit_w = { values = [200, 300], label = "Cap" }\nmemory_clock_hz = { range = [1, 2] }\n'
        'resolution = { value = 224, unit = "px" }\n'
    )
    own = read_space(write_space(text + NONE)).file.axes.own

    assert own["power_limit_w"].column("power_limit_w").title == "Cap (W)"
    assert own["memory_clock_hz"].numbers("memory_clock_hz") == (1e9, 2e9)
    assert own["resolution"].column("resolution").text(224) == "224 px"
    assert column_of("batch_size").text(16384) == "16384"


SPAN = Range(0.0, 10.0, is_log=False)


@given(
    values=st.lists(st.floats(0, 10).map(lambda x: round(x, 3)), min_size=1, max_size=8, unique=True),
    words=st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=1, max_size=4, unique=True),
    unit=st.lists(st.lists(st.floats(0, 1), min_size=3, max_size=3), min_size=1, max_size=5),
)
def test_designs_with_user_defined_axes_round_trip(
    values: list[float], words: list[str], unit: list[list[float]]
) -> None:
    axes = {"level": {"values": values}, "word": {"choices": words}, "x": {"range": [1.0, 9.0]}}
    space = SpaceFile.model_validate({"axes": axes, "operating_points": {"law": "none"}})
    region = build_design_space(
        space, path="s", family="A", spans={"level": SPAN, "x": SPAN}, law=None, choices={"word": tuple(words)}
    )
    designs = region.from_unit(np.array(unit))
    again = region.designs(region.knobs(designs))

    assert region.contains(designs).all()
    assert again["word"].tolist() == designs["word"].tolist()
    assert again["level"].tolist() == designs["level"].tolist()
    assert set(designs["level"].tolist()) <= set(values)
    assert again["x"] == pytest.approx(designs["x"])


def test_design_with_an_undeclared_choice_is_not_contained() -> None:
    region = DesignSpace("A", (categorical("word", ("a", "b")), categorical("n", (1.0, 2.0))), None, (0, 1), 1.0)
    family = np.array(["A"], dtype=object)
    words = [np.array([w], dtype=object) for w in ("a", "c")]

    assert region.contains({"family": family, "word": words[0], "n": np.array([2.0])}).tolist() == [True]
    assert region.contains({"family": family, "word": words[1], "n": np.array([2.0])}).tolist() == [False]
    assert region.contains({"family": family, "word": words[0], "n": np.array([1.5])}).tolist() == [False]


def test_every_design_lists_a_finite_space_once() -> None:
    region = DesignSpace(
        "A",
        (categorical("w", ("a", "b", "c")), categorical("n", (1.0, 2.0)), Dimension("x", 3.0, 3.0)),
        None,
        (0, 1),
        1.0,
    )
    every = region.every_design()

    assert region.n_designs == 6
    assert len(set(zip(every["w"].tolist(), every["n"].tolist(), every["x"].tolist(), strict=True))) == 6
    assert DesignSpace("A", (Dimension("x", 0.0, 1.0),), None, (0, 1), 1.0).n_designs == float("inf")


@pytest.mark.parametrize("name", DEVICES)
def test_shipped_device_has_a_source_and_sorted_points(name: str) -> None:
    file = read_device(name)
    points = read_device_points(name, bin_name="speed0" if name == "h6" else "")

    assert file.title
    assert file.source
    assert list(points.frequency_hz) == sorted(set(points.frequency_hz))
    assert all(1e7 < f < 1e10 for f in points.frequency_hz)
    assert all(0.5 < v < 1.5 for v in points.voltage_v)


def test_cluster_has_its_cores_as_an_alias() -> None:
    assert read_device("rk3399-a72") == read_device("rk3399-big")
    with pytest.raises(WrongUsage, match="no device is called 'rk3399-a73'\n  fix: did you mean 'rk3399-a72'"):
        read_device("rk3399-a73")


def test_names_of_devices_are_unique() -> None:
    names = [name for path in list_declarations("search_spaces/devices") for name in (path.stem, *aliases(path))]

    assert len(set(names)) == len(names) > 13


def test_rk3399_big_cluster_has_the_points_of_its_device_tree() -> None:
    """dts/upstream/src/arm64/rockchip/rk3399.dtsi of U-Boot: node cluster1_opp."""
    points = read_device_points("rk3399-big")

    assert (points.frequency_hz[0], points.voltage_v[0]) == (408e6, 0.825)
    assert (points.frequency_hz[-1], points.voltage_v[-1]) == (1.8e9, 1.2)


@given(ghz=st.floats(0.05, 5.0))
def test_nearest_point_has_the_smallest_ratio(ghz: float) -> None:
    points = OperatingPoints((0.8, 0.9, 1.0), (5e8, 1e9, 2e9))
    nearest = int(points.nearest(np.array([ghz * 1e9]))[0])
    ratios = [max(ghz * 1e9 / f, f / (ghz * 1e9)) for f in points.frequency_hz]

    assert ratios[nearest] == pytest.approx(min(ratios))


def test_unused_keys_do_not_change_a_stored_declaration() -> None:
    """Trials stored by an earlier version can be continued: the declaration of a shipped study is unchanged."""
    declaration = read_study("paper").declaration()

    assert set(declaration) == {"spaces", "families", "objectives", "constraints", "alpha", "energy_max_j"}
    assert set(declaration["spaces"][0]) == {"family", "axes", "operating_points", "domain"}
    assert set(declaration["spaces"][0]["axes"]) == {"pruning_ratio", "quant_step", "voltage", "frequency"}
    assert set(declaration["spaces"][0]["axes"]["voltage"]) == {"range", "value", "scale", "unit"}
    assert set(declaration["spaces"][0]["operating_points"]) == {
        "law", "points", "voltage_unit", "frequency_unit", "source",
    }  # fmt: skip
    assert "values" not in declaration_text(declaration)


def test_schema_of_a_space_has_user_defined_axes() -> None:
    schema = SpaceFile.model_json_schema()["$defs"]

    assert schema["Axes"]["additionalProperties"] == {"$ref": "#/$defs/OwnAxis"}
    assert "choices" in schema["OwnAxis"]["properties"]


@pytest.mark.parametrize(
    ("study", "message"),
    [
        pytest.param(
            'model = { table = "x.csv" }\nspace = "cnn"\n', "space is declared together with a table", id="both"
        ),
        pytest.param("", "'space' is missing", id="neither"),
        pytest.param('model = { tabel = "x.csv" }\n', "table", id="misspelt"),
    ],
)
def test_study_needs_either_a_space_or_a_table(tmp_path: Path, study: str, message: str) -> None:
    path = tmp_path / "study.toml"
    path.write_text(study + 'objectives = ["energy_j", "accuracy"]\n')
    with pytest.raises(InvalidFile, match=message):
        read_study(str(path))
