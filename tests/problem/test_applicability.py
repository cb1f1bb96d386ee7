"""Applicability domain: zero distance inside, growing outside, logarithmic for the quantization step."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.problem.applicability import Range, domain_distance, domain_of, knob_distances
from explorer.problem.columns import NUMERIC_KNOBS, Columns

SPANS = st.tuples(st.floats(0.01, 10), st.floats(1.01, 10), st.booleans()).map(
    lambda p: Range(p[0], p[0] * p[1], is_log=p[2])
)


@given(span=SPANS, share=st.floats(0, 1))
def test_distance_is_zero_inside_the_range(span: Range, share: float) -> None:
    inside = min(max(span.low + share * (span.high - span.low), span.low), span.high)

    assert span.distance(np.array([inside]))[0] == 0


@given(span=SPANS, near=st.floats(1.001, 5), further=st.floats(1.001, 5))
def test_distance_grows_outside_on_both_sides(span: Range, near: float, further: float) -> None:
    above = span.distance(np.array([span.high * near, span.high * near * further]))
    below = span.distance(np.array([span.low / near, span.low / near / further]))

    assert 0 < above[0] < above[1]
    assert 0 < below[0] < below[1]


@given(span=SPANS, share=st.floats(0.0, 3.0))
def test_distance_at_the_widened_ends_is_the_widening(span: Range, share: float) -> None:
    low, high = span.widened(share)

    assert span.distance(np.array([max(low, 1e-12) if span.is_log else low, high])) == pytest.approx(
        [share, share], abs=1e-9
    )


@given(low=st.floats(1e-4, 0.1), ratio=st.floats(1.1, 10), factor=st.floats(1.01, 10))
def test_logarithmic_range_measures_ratios(low: float, ratio: float, factor: float) -> None:
    """The distances below and above are equal for equal ratios."""
    span = Range(low, low * ratio, is_log=True)
    below, above = span.distance(np.array([low / factor, low * ratio * factor]))

    assert below == pytest.approx(above, rel=1e-9)
    assert above == pytest.approx(math.log(factor) / math.log(ratio), rel=1e-9)


def test_constant_knob_has_a_positive_width() -> None:
    for span in (Range(0.9, 0.9, is_log=False), Range(0.02, 0.02, is_log=True)):
        assert span.width > 0
        assert span.distance(np.array([span.low * 1.05]))[0] == pytest.approx(1.0, rel=1e-6)


def test_knob_that_is_always_zero_has_a_positive_width() -> None:
    assert 0 < Range(0.0, 0.0, is_log=False).width < 1e-6


def test_domain_is_the_range_of_each_family() -> None:
    domain = domain_of(_table("AAB", [0.1, 0.5, 0.9]))

    assert (domain["A"]["pruning_ratio"].low, domain["A"]["pruning_ratio"].high) == (0.1, 0.5)
    assert (domain["B"]["pruning_ratio"].low, domain["B"]["pruning_ratio"].high) == (0.9, 0.9)
    assert [knob for knob in NUMERIC_KNOBS if domain["A"][knob].is_log] == ["quant_step"]


def test_distance_of_a_design_is_the_largest_of_its_knobs() -> None:
    domain = domain_of(_table("AA", [0.1, 0.5]))
    designs = _table("A", [0.9]) | {"voltage_v": np.array([1.6])}
    by_knob = knob_distances(designs, domain)

    assert by_knob["pruning_ratio"][0] == pytest.approx(1.0)
    assert by_knob["quant_step"][0] == 0
    assert domain_distance(designs, domain)[0] == max(values[0] for values in by_knob.values())


def test_distance_refers_to_samples_of_the_same_family() -> None:
    domain = domain_of(_table("AABB", [0.1, 0.2, 0.7, 0.8]))

    assert domain_distance(_table("AB", [0.75, 0.75]), domain)[1] == 0
    assert domain_distance(_table("AB", [0.75, 0.75]), domain)[0] > 5


def _table(families: str, ratios: list[float]) -> Columns:
    n = len(families)
    return {
        "family": np.array(list(families), dtype=object),
        "pruning_ratio": np.array(ratios),
        "quant_step": np.full(n, 0.02),
        "voltage_v": np.full(n, 0.9),
        "frequency_hz": np.full(n, 2e9),
    }
