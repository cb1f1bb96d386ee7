"""Properties of magnitude pruning and uniform quantization."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.errors import OutOfRange
from explorer.network.compression.quantization import (
    Weights,
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


def n_zero_codes(weights: list[Weights], *, step: float) -> int:
    return sum(int(np.count_nonzero(integer_codes(tensor, step=step) == 0)) for tensor in weights)


@given(weights=networks, ratio=ratios)
def test_pruning_zeroes_the_share_r_and_keeps_shapes_and_types(weights: list[Weights], ratio: float) -> None:
    pruned = prune(weights, ratio=ratio)
    n = flat(weights).size
    n_zeros = int(np.count_nonzero(flat(weights) == 0))

    assert int(np.count_nonzero(flat(pruned) == 0)) == max(round(ratio * n), n_zeros)
    assert [(t.shape, t.dtype) for t in pruned] == [(t.shape, t.dtype) for t in weights]


@given(weights=networks, ratio=ratios)
def test_pruning_removes_the_smallest_magnitudes_only(weights: list[Weights], ratio: float) -> None:
    before, after = flat(weights), flat(prune(weights, ratio=ratio))
    is_pruned = (after == 0) & (before != 0)

    assert np.array_equal(before[~is_pruned], after[~is_pruned])
    if is_pruned.any() and (after != 0).any():
        assert np.abs(before[is_pruned]).max() <= np.abs(before[after != 0]).min()


@given(weights=networks, low=ratios, high=ratios)
def test_pruned_weights_stay_pruned_at_larger_r(weights: list[Weights], low: float, high: float) -> None:
    low, high = sorted((low, high))
    less, more = flat(prune(weights, ratio=low)), flat(prune(weights, ratio=high))

    assert np.all((less != 0) | (more == 0))


@given(weights=networks, ratio=ratios)
def test_pruning_is_idempotent(weights: list[Weights], ratio: float) -> None:
    once = prune(weights, ratio=ratio)

    assert np.array_equal(flat(once), flat(prune(once, ratio=ratio)))


@given(weights=networks, ratio=ratios)
def test_per_tensor_pruning_removes_r_of_each_tensor(weights: list[Weights], ratio: float) -> None:
    for before, after in zip(weights, prune(weights, ratio=ratio, per_tensor=True), strict=True):
        assert np.array_equal(after, prune([before], ratio=ratio)[0])


def test_global_pruning_removes_the_tensor_of_small_weights() -> None:
    small, large = np.full(4, 0.1, dtype=np.float32), np.full(4, 1.0, dtype=np.float32)

    assert [np.count_nonzero(t) for t in prune([small, large], ratio=0.5)] == [0, 4]
    assert [np.count_nonzero(t) for t in prune([small, large], ratio=0.5, per_tensor=True)] == [2, 2]


@pytest.mark.parametrize("ratio", [-0.1, 1.0, float("nan"), float("inf")])
def test_pruning_ratio_out_of_range_is_rejected(ratio: float) -> None:
    with pytest.raises(OutOfRange, match=r"pruning_ratio = .* is outside \[0, 1\)"):
        prune([np.ones(3, dtype=np.float32)], ratio=ratio)


@given(weights=tensors, step=steps)
def test_codes_times_the_step_equal_eq_5(weights: Weights, step: float) -> None:
    assert np.allclose(integer_codes(weights, step=step) * step, quantize(weights, step=step), rtol=1e-15, atol=0)


@given(weights=tensors, step=steps)
def test_codes_are_the_nearest_integers_in_exact_arithmetic(weights: Weights, step: float) -> None:
    for weight, code in zip(weights.ravel().tolist(), integer_codes(weights, step=step).ravel().tolist(), strict=True):
        error = abs(Fraction(weight) / Fraction(step) - code)
        assert error <= Fraction(1, 2) + Fraction(1, 10**9)


def test_halves_round_to_even_codes() -> None:
    assert integer_codes(np.array([0.5, 1.5, 2.5, -0.5, -1.5]), step=1.0).tolist() == [0, 2, 2, 0, -2]


@given(weights=tensors, step=steps)
def test_quantization_is_idempotent(weights: Weights, step: float) -> None:
    codes = integer_codes(weights, step=step)

    assert np.array_equal(integer_codes(codes * step, step=step), codes)


@given(weights=tensors, step=steps)
def test_quantization_keeps_zeros_and_is_odd(weights: Weights, step: float) -> None:
    assert np.all(integer_codes(weights, step=step)[weights == 0] == 0)
    assert np.array_equal(integer_codes(-weights, step=step), -integer_codes(weights, step=step))


@given(weights=networks, low=ratios, high=ratios, step=steps)
def test_effective_ratio_is_monotone_in_r(weights: list[Weights], low: float, high: float, step: float) -> None:
    low, high = sorted((low, high))
    less, more = (n_zero_codes(prune(weights, ratio=ratio), step=step) for ratio in (low, high))

    assert less <= more


@given(weights=networks, ratio=ratios, low=steps, high=steps)
def test_effective_ratio_is_monotone_in_d(weights: list[Weights], ratio: float, low: float, high: float) -> None:
    low, high = sorted((low, high))
    pruned = prune(weights, ratio=ratio)

    assert n_zero_codes(pruned, step=low) <= n_zero_codes(pruned, step=high)


@given(weights=networks, ratio=ratios, step=steps)
@pytest.mark.slow
def test_effective_ratio_is_the_maximum_of_r_and_rounded_zeros(
    weights: list[Weights], ratio: float, step: float
) -> None:
    """Both zero the smallest weights, so that the larger share includes the other."""
    n = flat(weights).size
    rounded = np.count_nonzero(integer_codes(flat(weights), step=step) == 0) / n

    assert n_zero_codes(prune(weights, ratio=ratio), step=step) / n == pytest.approx(max(round(ratio * n) / n, rounded))


@pytest.mark.parametrize(
    ("largest", "container"),
    [(0, "int4"), (7, "int4"), (8, "int8"), (127, "int8"), (128, "int16"), (32767, "int16")],
)
def test_container_is_the_narrowest_for_the_largest_code(largest: int, container: str) -> None:
    for sign in (1, -1):
        assert narrowest_container(np.array([0, sign * largest]), step=0.1) == container


def test_codes_beyond_int16_are_rejected_with_a_sufficient_step() -> None:
    with pytest.raises(OutOfRange, match=r"(?s)the largest weight is 32,768 steps.*a step of at least 1e-05"):
        quantize_to_codes(np.array([0.32768]), step=1e-5)


def test_clipping_is_opt_in_and_counted() -> None:
    weights = np.array([0.1, 0.79, -0.85, 3.0])

    assert quantize_to_codes(weights, step=0.1).codes.tolist() == [1, 8, -8, 30]
    clipped = quantize_to_codes(weights, step=0.1, clip_to="int4")
    assert (clipped.codes.tolist(), clipped.n_clipped, clipped.container) == ([1, 7, -7, 7], 3, "int4")


@given(weights=tensors, step=steps)
def test_clipping_keeps_codes_within_the_container(weights: Weights, step: float) -> None:
    free, clipped = integer_codes(weights, step=step), quantize_to_codes(weights, step=step, clip_to="int4")
    fits = np.abs(free) <= largest_code("int4")

    assert np.array_equal(clipped.codes[fits], free[fits])
    assert clipped.n_clipped == np.count_nonzero(~fits)


def test_codes_beyond_int64_do_not_wrap_around() -> None:
    huge = np.array([3e38, -3e38, 1.0], dtype=np.float32)

    with pytest.raises(OutOfRange, match="outside the range of int16 codes"):
        quantize_to_codes(huge, step=1e-9)
    assert quantize_to_codes(huge, step=1e-9, clip_to="int8").codes.tolist() == [127, -127, 127]
