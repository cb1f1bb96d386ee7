"""Design spaces: every design is feasible, inside the domain, and maps back to values of the dimensions."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.devices.operating_points import AlphaPowerLaw, OperatingPoints
from explorer.errors import InvalidFile
from explorer.problem.applicability import Range, domain_distance
from explorer.problem.columns import NUMERIC_KNOBS, Columns
from explorer.problem.declarations.space import SpaceFile
from explorer.problem.design_space import CLOCK_SHARE, OPERATING_POINT, DesignSpace, Dimension
from explorer.problem.space_builder import build_design_space

# The CNN's samples (Tables 1 and 2) and the law through the fastest of them.
SPANS = {
    "pruning_ratio": Range(0.33, 0.54, is_log=False),
    "quant_step": Range(0.02, 0.05, is_log=True),
    "voltage_v": Range(0.85, 1.0, is_log=False),
    "frequency_hz": Range(2.1e9, 2.5e9, is_log=False),
}
LAW = AlphaPowerLaw(4.0213670948829682e9, 0.3, 1.3)
WIDE = {
    "pruning_ratio": {"range": [0.0, 0.95]},
    "quant_step": {"range": [0.001, 0.5]},
    "voltage": {"range": [0.5, 1.3]},
    "frequency": {"range": [0.5, 4.0]},
}
LAWS = settings(max_examples=50, deadline=None)


def _axis(low: float, high: float, scales: tuple[str, ...] = ("linear",)) -> st.SearchStrategy[dict[str, Any]]:
    ends = st.tuples(st.floats(low, high), st.floats(low, high)).map(sorted)
    as_range = st.builds(lambda pair, scale: {"range": pair, "scale": scale}, ends, st.sampled_from(scales))
    return st.one_of(as_range, st.floats(low, high).map(lambda x: {"value": x}))


@st.composite
def regions(draw: st.DrawFn) -> DesignSpace:
    """Draw a design space that a file can declare, with a law or with a table."""
    axes: dict[str, Any] = {
        "pruning_ratio": draw(_axis(0.0, 0.95)),
        "quant_step": draw(_axis(0.001, 0.5, ("linear", "log"))),
    }
    declared: dict[str, Any] = {
        "axes": axes,
        "domain": {"enforce": draw(st.booleans()), "widen": draw(st.floats(0, 3))},
    }
    if draw(st.booleans()):
        axes["voltage"] = draw(_axis(0.5, 1.3, ("linear", "log")))
        axes["frequency"] = draw(_axis(0.5, 4.0, ("linear", "log")))
    else:
        pairs = draw(st.lists(st.tuples(st.floats(0.5, 1.3), st.floats(0.5, 4.0)), min_size=1, max_size=6))
        declared["operating_points"] = {"points": [{"voltage": v, "frequency": f} for v, f in pairs]}
    try:
        return _region(declared)
    except InvalidFile:  # no value is inside the domain: tested below
        assume(False)
        raise


@st.composite
def regions_with_designs(draw: st.DrawFn) -> tuple[DesignSpace, Columns]:
    region = draw(regions())
    # Rounding errors matter most at the corners, so they are drawn often.
    shares = st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1))
    unit = draw(arrays(np.float64, (draw(st.integers(1, 6)), len(region.axes)), elements=shares))
    return region, region.from_unit(unit)


@LAWS
@given(space_and_designs=regions_with_designs())
@pytest.mark.slow
def test_unit_cube_maps_to_feasible_operating_points(space_and_designs: tuple[DesignSpace, Columns]) -> None:
    region, designs = space_and_designs

    assert (region.operating_excess(designs) <= 0).all()
    assert (designs["frequency_hz"] <= region.frequency_max(designs) * (1 + 1e-9)).all()


@LAWS
@given(space_and_designs=regions_with_designs())
def test_unit_cube_maps_into_the_widened_domain(space_and_designs: tuple[DesignSpace, Columns]) -> None:
    region, designs = space_and_designs

    assert (domain_distance(designs, {"CNN": SPANS}) <= region.widen + 1e-9).all()


@LAWS
@given(space_and_designs=regions_with_designs())
def test_unit_cube_maps_into_the_declared_ranges(space_and_designs: tuple[DesignSpace, Columns]) -> None:
    region, designs = space_and_designs

    for axis in region.axes:
        if axis.name in designs:
            assert ((axis.low <= designs[axis.name]) & (designs[axis.name] <= axis.high)).all()
    if not isinstance(region.operating, OperatingPoints):
        low, high = region.clock_hz
        assert (designs["frequency_hz"] >= low * (1 - 1e-9)).all()
        assert (designs["frequency_hz"] <= high).all()


@LAWS
@given(space_and_designs=regions_with_designs())
@pytest.mark.slow
def test_designs_round_trip_through_the_dimensions(space_and_designs: tuple[DesignSpace, Columns]) -> None:
    region, designs = space_and_designs
    again = region.designs(region.knobs(designs))

    assert again["family"].tolist() == designs["family"].tolist()
    for name in NUMERIC_KNOBS:
        assert again[name] == pytest.approx(designs[name], rel=1e-9)
    assert region.contains(designs).all()


@LAWS
@given(space_and_designs=regions_with_designs())
@pytest.mark.slow
def test_table_proposes_listed_points_only(space_and_designs: tuple[DesignSpace, Columns]) -> None:
    region, designs = space_and_designs
    assume(isinstance(region.operating, OperatingPoints))
    listed = set(zip(region.operating.voltage_v, region.operating.frequency_hz, strict=True))

    assert set(zip(designs["voltage_v"].tolist(), designs["frequency_hz"].tolist(), strict=True)) <= listed


@LAWS
@given(region=regions(), unit=arrays(np.float64, 5, elements=st.floats(0, 1)))
@pytest.mark.slow
def test_dimension_round_trips_through_the_unit_interval(region: DesignSpace, unit: "np.ndarray[Any, Any]") -> None:
    for axis in region.axes:
        values = axis.from_unit(unit)
        assert ((axis.low <= values) & (values <= axis.high)).all()
        assert axis.from_unit(axis.to_unit(values)) == pytest.approx(values, rel=1e-9, abs=1e-12)


@LAWS
@given(region=regions(), share=st.floats(0, 1), more=st.floats(0, 1))
def test_dimension_rises_with_its_unit_coordinate(region: DesignSpace, share: float, more: float) -> None:
    for axis in region.axes:
        low, high = axis.from_unit(np.array(sorted([share, more])))
        assert low <= high


def test_both_ends_of_a_dimension_are_reached() -> None:
    for axis in (Dimension("x", 0.1, 0.7), Dimension("x", 0.013, 0.09, is_log=True)):
        assert axis.from_unit(np.array([0.0, 1.0])) == pytest.approx([axis.low, axis.high], rel=1e-14)


def test_middle_of_a_log_dimension_is_the_geometric_mean() -> None:
    assert Dimension("x", 0.01, 0.09, is_log=True).from_unit(np.array([0.5]))[0] == pytest.approx(0.03)


def test_each_label_of_a_choice_has_an_equal_share() -> None:
    axis = Dimension(OPERATING_POINT, 0.0, 2.0, labels=("a", "b", "c"))

    assert axis.from_unit(np.array([0.0, 0.32, 0.34, 0.65, 0.67, 1.0])).tolist() == [0, 0, 1, 1, 2, 2]


def test_lowest_voltage_never_runs_at_the_highest_clock() -> None:
    region = _region({"axes": WIDE, "domain": {"enforce": False}})
    corner = region.from_unit(np.array([[0.5, 0.5, 0.0, 1.0]]))

    assert corner["frequency_hz"][0] == pytest.approx(LAW.frequency_max(corner["voltage_v"])[0])
    assert corner["frequency_hz"][0] < 0.3 * region.clock_hz[1]


def test_lowest_voltage_carries_the_lowest_clock() -> None:
    """At .5 V the law carries .99 GHz: a space that starts at 1.5 GHz starts at a higher voltage."""
    region = _region({"axes": {**WIDE, "frequency": {"range": [1.5, 4.0]}}, "domain": {"enforce": False}})
    voltage = next(axis for axis in region.axes if axis.name == "voltage_v")

    assert LAW.frequency_max(voltage.low) == pytest.approx(1.5e9, rel=1e-9)
    assert voltage.low > 0.5


def test_default_domain_adds_half_the_width_of_the_samples() -> None:
    """CNN: R .33 to .54, D .02 to .05, V .85 to 1.0."""
    axes = {axis.name: axis for axis in _region({"axes": WIDE}).axes}

    assert (axes["pruning_ratio"].low, axes["pruning_ratio"].high) == pytest.approx((0.225, 0.645))
    ratio = (0.05 / 0.02) ** 0.5
    assert (axes["quant_step"].low, axes["quant_step"].high) == pytest.approx((0.02 / ratio, 0.05 * ratio))
    assert axes["voltage_v"].high == pytest.approx(1.075)
    assert (axes[CLOCK_SHARE].low, axes[CLOCK_SHARE].high) == (0.0, 1.0)


def test_fixed_value_is_not_searched() -> None:
    region = _region({"axes": {**WIDE, "voltage": {"value": 0.9}, "quant_step": {"value": 0.03}}})

    assert [axis.name for axis in region.axes if axis.is_fixed] == ["quant_step", "voltage_v"]
    designs = region.from_unit(np.random.default_rng(0).random((20, 4)))
    assert set(designs["voltage_v"]) == {0.9}
    assert set(designs["quant_step"]) == {0.03}


def test_fixed_clock_applies_at_every_voltage() -> None:
    region = _region({"axes": {**WIDE, "frequency": {"value": 2.2}}})
    designs = region.from_unit(np.random.default_rng(0).random((50, 4)))

    assert designs["frequency_hz"] == pytest.approx(np.full(50, 2.2e9), rel=1e-9)


def test_table_in_other_units_is_converted_and_sorted() -> None:
    points = {
        "points": [{"voltage": 1000, "frequency": 2500}, {"voltage": 850, "frequency": 2100}],
        "voltage_unit": "mV",
        "frequency_unit": "MHz",
    }
    region = _region({"axes": _without_clock(), "operating_points": points})

    assert region.operating == OperatingPoints((0.85, 1.0), (2.1e9, 2.5e9))


def test_table_keeps_points_inside_the_domain_only() -> None:
    points = {"points": [{"voltage": 0.85, "frequency": 2.1}, {"voltage": 0.3, "frequency": 0.2}]}
    region = _region({"axes": _without_clock(), "operating_points": points})

    assert region.operating == OperatingPoints((0.85,), (2.1e9,))


@pytest.mark.parametrize("widen", [0.0, 0.5])
def test_samples_are_inside_the_design_space(widen: float) -> None:
    samples: Columns = {
        "family": np.full(3, "CNN", dtype=object),
        "pruning_ratio": np.array([0.33, 0.46, 0.54]),
        "quant_step": np.array([0.02, 0.03, 0.05]),
        "voltage_v": np.array([1.0, 0.9, 0.85]),
        "frequency_hz": np.array([2.5e9, 2.3e9, 2.1e9]),
    }

    assert _region({"axes": WIDE, "domain": {"widen": widen}}).contains(samples).all()


@pytest.mark.parametrize(
    ("change", "is_inside"),
    [
        ({}, True),
        ({"pruning_ratio": 0.9}, False),
        ({"voltage_v": 1.2}, False),
        ({"frequency_hz": 2.69e9}, False),
        ({"family": "DNN"}, False),
    ],
)
def test_design_space_contains_its_designs_only(change: Mapping[str, Any], is_inside: bool) -> None:
    knobs = {"family": "CNN", "pruning_ratio": 0.4, "quant_step": 0.03, "voltage_v": 0.9, "frequency_hz": 2e9}
    design = {k: np.array([v], dtype=object if k == "family" else None) for k, v in {**knobs, **change}.items()}

    assert _region({"axes": WIDE}).contains(design).tolist() == [is_inside]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"pruning_ratio": {"range": [0.8, 0.95]}},
            r"\[axes\] pruning_ratio: 0.8 to 0.95 lies outside the model's domain for CNN, 0.225 to 0.645",
            id="R",
        ),
        pytest.param({"quant_step": {"value": 0.5}}, r"\[axes\] quant_step: 0.5 to 0.5 lies outside", id="D"),
        pytest.param({"voltage": {"range": [0.3, 0.5]}}, r"\[axes\] voltage_v: 0.3 V to 0.5 V lies outside", id="V"),
        pytest.param(
            {"frequency": {"range": [3.0, 4.0]}},
            r"\[axes\] frequency_hz: 3 GHz to 4 GHz lies outside .*, 1.9 GHz to 2.7 GHz",
            id="f",
        ),
        pytest.param(
            {"voltage": {"range": [0.6, 0.8]}, "frequency": {"range": [2.6, 4.0]}},
            r"\[axes\]: no voltage up to 0.8 V carries 2.6 GHz",
            id="V too low for f",
        ),
    ],
)
def test_range_outside_the_domain_raises_with_the_domain(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidFile, match=rf"space\.toml: {message}[^\n]*\n  fix: "):
        _region({"axes": {**WIDE, **change}})


def test_table_outside_the_domain_raises() -> None:
    points = {"points": [{"voltage": 0.3, "frequency": 0.2}]}
    with pytest.raises(
        InvalidFile, match=r"points: none lies inside the model's domain for CNN\n  fix: .*enforce = false"
    ):
        _region({"axes": _without_clock(), "operating_points": points})


def test_space_with_a_law_needs_a_model_with_a_law() -> None:
    space = SpaceFile.model_validate({"axes": WIDE})
    with pytest.raises(InvalidFile, match=r"the model has no V-f law(.|\n)*list the device's operating points"):
        build_design_space(space, path="space.toml", family="CNN", spans=SPANS, law=None)


def _region(declared: dict[str, Any]) -> DesignSpace:
    space = SpaceFile.model_validate(declared)
    return build_design_space(space, path="space.toml", family="CNN", spans=SPANS, law=LAW)


def _without_clock() -> dict[str, Any]:
    return {name: axis for name, axis in WIDE.items() if name not in {"voltage", "frequency"}}
