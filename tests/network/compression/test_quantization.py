"""Pruning and quantizing as arithmetic: the laws of R, D and the integer codes."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.errors import OutOfRange
from explorer.network.compression.quantization import (
    Weights,
    effective_ratio,
    integer_codes,
    largest_code,
    narrowest_container,
    prune,
    quantize_to_codes,
)
from explorer.paper.equations import quantize

numbers = st.floats(-4, 4, width=32)
tensors = arrays(np.float32, st.tuples(st.integers(1, 6), st.integers(1, 9)), elements=numbers)
networks = st.lists(tensors, min_size=1, max_size=4)
ratios = st.floats(0, 0.99)
steps = st.floats(1e-3, 1.0)


def flat(weights: list[Weights]) -> Weights:
    return np.concatenate([tensor.ravel() for tensor in weights])


@given(weights=networks, ratio=ratios)
def test_pruning_leaves_the_share_that_was_asked_and_shapes_and_types_alone(
    weights: list[Weights], ratio: float
) -> None:
    left = prune(weights, ratio=ratio)
    n = flat(weights).size
    had = int(np.count_nonzero(flat(weights) == 0))

    assert int(np.count_nonzero(flat(left) == 0)) == max(round(ratio * n), had)
    assert [(t.shape, t.dtype) for t in left] == [(t.shape, t.dtype) for t in weights]


@given(weights=networks, ratio=ratios)
def test_what_is_left_is_unchanged_and_at_least_as_large_as_what_went(weights: list[Weights], ratio: float) -> None:
    before, after = flat(weights), flat(prune(weights, ratio=ratio))
    is_gone = (after == 0) & (before != 0)

    assert np.array_equal(before[~is_gone], after[~is_gone])
    if is_gone.any() and (after != 0).any():
        assert np.abs(before[is_gone]).max() <= np.abs(before[after != 0]).min()


@given(weights=networks, low=ratios, high=ratios)
def test_more_pruning_only_removes_more(weights: list[Weights], low: float, high: float) -> None:
    low, high = sorted((low, high))
    less, more = flat(prune(weights, ratio=low)), flat(prune(weights, ratio=high))

    assert np.all((less != 0) | (more == 0))


@given(weights=networks, ratio=ratios)
def test_pruning_twice_is_pruning_once(weights: list[Weights], ratio: float) -> None:
    once = prune(weights, ratio=ratio)

    assert np.array_equal(flat(once), flat(prune(once, ratio=ratio)))


@given(weights=networks, ratio=ratios)
def test_per_tensor_takes_the_share_from_each(weights: list[Weights], ratio: float) -> None:
    for before, after in zip(weights, prune(weights, ratio=ratio, per_tensor=True), strict=True):
        assert np.array_equal(after, prune([before], ratio=ratio)[0])


def test_global_pruning_takes_the_small_tensor_and_leaves_the_large_one() -> None:
    small, large = np.full(4, 0.1, dtype=np.float32), np.full(4, 1.0, dtype=np.float32)

    assert [np.count_nonzero(t) for t in prune([small, large], ratio=0.5)] == [0, 4]
    assert [np.count_nonzero(t) for t in prune([small, large], ratio=0.5, per_tensor=True)] == [2, 2]


@pytest.mark.parametrize("ratio", [-0.1, 1.0, float("nan"), float("inf")])
def test_a_ratio_that_cannot_be_is_refused(ratio: float) -> None:
    with pytest.raises(OutOfRange, match=r"pruning_ratio = .* is outside \[0, 1\)"):
        prune([np.ones(3, dtype=np.float32)], ratio=ratio)


@given(weights=tensors, step=steps)
def test_codes_times_the_step_are_eq_5(weights: Weights, step: float) -> None:
    assert np.allclose(integer_codes(weights, step=step) * step, quantize(weights, step=step), rtol=1e-15, atol=0)


@given(weights=tensors, step=steps)
def test_codes_are_the_nearest_whole_number_of_steps_in_exact_arithmetic(weights: Weights, step: float) -> None:
    for weight, code in zip(weights.ravel().tolist(), integer_codes(weights, step=step).ravel().tolist(), strict=True):
        error = abs(Fraction(weight) / Fraction(step) - code)
        assert error <= Fraction(1, 2) + Fraction(1, 10**9)


def test_halves_go_to_the_even_code() -> None:
    assert integer_codes(np.array([0.5, 1.5, 2.5, -0.5, -1.5]), step=1.0).tolist() == [0, 2, 2, 0, -2]


@given(weights=tensors, step=steps)
def test_quantizing_twice_is_quantizing_once(weights: Weights, step: float) -> None:
    codes = integer_codes(weights, step=step)

    assert np.array_equal(integer_codes(codes * step, step=step), codes)


@given(weights=tensors, step=steps)
def test_zero_stays_zero_and_signs_mirror(weights: Weights, step: float) -> None:
    assert np.all(integer_codes(weights, step=step)[weights == 0] == 0)
    assert np.array_equal(integer_codes(-weights, step=step), -integer_codes(weights, step=step))


@given(weights=networks, low=ratios, high=ratios, step=steps)
def test_the_effective_ratio_never_falls_as_r_grows(
    weights: list[Weights], low: float, high: float, step: float
) -> None:
    low, high = sorted((low, high))
    less, more = (effective_ratio([integer_codes(t, step=step) for t in prune(weights, ratio=r)]) for r in (low, high))

    assert less <= more


@given(weights=networks, ratio=ratios, low=steps, high=steps)
def test_the_effective_ratio_never_falls_as_d_grows(
    weights: list[Weights], ratio: float, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    left = prune(weights, ratio=ratio)

    assert effective_ratio([integer_codes(t, step=low) for t in left]) <= effective_ratio(
        [integer_codes(t, step=high) for t in left]
    )


@given(weights=networks, ratio=ratios, step=steps)
def test_the_effective_ratio_is_the_larger_of_r_and_what_rounds_away(
    weights: list[Weights], ratio: float, step: float
) -> None:
    """Both take the smallest weights, so the larger of the two shares holds the other."""
    n = flat(weights).size
    rounded = np.count_nonzero(integer_codes(flat(weights), step=step) == 0) / n

    assert effective_ratio([integer_codes(t, step=step) for t in prune(weights, ratio=ratio)]) == pytest.approx(
        max(round(ratio * n) / n, rounded)
    )


@pytest.mark.parametrize(
    ("largest", "container"),
    [(0, "int4"), (7, "int4"), (8, "int8"), (127, "int8"), (128, "int16"), (32767, "int16")],
)
def test_the_container_is_the_narrowest_that_holds_the_largest_code(largest: int, container: str) -> None:
    for sign in (1, -1):
        assert narrowest_container(np.array([0, sign * largest]), step=0.1) == container


def test_codes_beyond_int16_are_refused_with_the_step_that_would_do() -> None:
    with pytest.raises(OutOfRange, match=r"(?s)the largest weight is 32,768 steps.*a step of at least 1e-05"):
        quantize_to_codes(np.array([0.32768]), step=1e-5)


def test_clipping_is_done_only_when_asked_and_is_counted() -> None:
    weights = np.array([0.1, 0.79, -0.85, 3.0])

    assert quantize_to_codes(weights, step=0.1).codes.tolist() == [1, 8, -8, 30]
    clipped = quantize_to_codes(weights, step=0.1, clip_to="int4")
    assert (clipped.codes.tolist(), clipped.n_clipped, clipped.container) == ([1, 7, -7, 7], 3, "int4")


@given(weights=tensors, step=steps)
def test_clipping_keeps_every_code_that_fits(weights: Weights, step: float) -> None:
    free, clipped = integer_codes(weights, step=step), quantize_to_codes(weights, step=step, clip_to="int4")
    fits = np.abs(free) <= largest_code("int4")

    assert np.array_equal(clipped.codes[fits], free[fits])
    assert clipped.n_clipped == np.count_nonzero(~fits)
