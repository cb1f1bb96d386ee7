"""Racing: exact bounds of the right samples among all, blocks of samples, and designs that are stopped."""

import math
from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.network.measurement.racing import (
    ERROR,
    RaceResult,
    greatest_count,
    pack_bits,
    race,
    split_by_misses,
    unpack_bits,
    visiting_order,
)

N = 300


def run_race(
    is_right: np.ndarray, can_matter: Callable[[int, int], bool], *, seed: int = 0, misses: np.ndarray | None = None
) -> RaceResult:
    n = len(is_right)
    order = np.random.default_rng(seed).permutation(n)
    none = np.zeros(n, dtype=np.int64)
    return race(lambda rows: is_right[rows], can_matter, order=order, misses=none if misses is None else misses)


@pytest.mark.parametrize(("k", "m", "n"), [(0, 3, 7), (2, 3, 7), (1, 4, 8), (4, 4, 8)])
def test_bound_equals_the_enumeration_of_all_draws(k: int, m: int, n: int) -> None:
    def at_most_k(n_right: int) -> float:
        draws = [sum(i < n_right for i in rows) for rows in combinations(range(n), m)]
        return float(np.mean([drawn <= k for drawn in draws]))

    possible = [count for count in range(k, n - m + k + 1) if at_most_k(count) > 0.05]

    assert greatest_count(k, m, n, 0.05) == max(possible)


@given(n=st.integers(1, 2000), data=st.data())
def test_bound_is_at_least_what_was_seen_and_exact_at_the_end(n: int, data: st.DataObject) -> None:
    m = data.draw(st.integers(0, n))
    k = data.draw(st.integers(0, m))
    bound = greatest_count(k, m, n, 0.01)

    assert k <= bound <= n - m + k
    assert greatest_count(k, n, n, 0.01) == k if m == n else True
    assert greatest_count(k, m, n, 0.1) <= bound


@given(share=st.floats(0, 1), m=st.integers(1, 400), error=st.sampled_from([0.05, 0.01]))
def test_bound_fails_at_most_as_often_as_stated(share: float, m: int, error: float) -> None:
    """The number of right samples drawn without replacement is hypergeometric."""
    n = 400
    n_right = round(share * n)
    drawn = np.random.default_rng(0).hypergeometric(n_right, n - n_right, m, size=2000)
    values, counts = np.unique(drawn, return_counts=True)
    fails = [count for k, count in zip(values.tolist(), counts.tolist(), strict=True)
             if greatest_count(k, m, n, error) < n_right]  # fmt: skip

    assert sum(fails) / 2000 < error + 4 * math.sqrt(error / 2000)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.55])
def test_a_stopped_design_exceeds_its_bound_at_most_as_often_as_stated(share: float) -> None:
    """Of designs that are as good as it takes, hardly any is stopped, over all looks together."""
    rng = np.random.default_rng(1)
    needed = round(share * N)
    n_stopped = 0
    for seed in range(400):
        is_right = np.zeros(N, dtype=np.bool_)
        is_right[rng.permutation(N)[:needed]] = True
        n_stopped += run_race(is_right, lambda _, high: high >= needed, seed=seed).is_stopped

    assert n_stopped / 400 <= ERROR + 3 * math.sqrt(ERROR / 400)


@given(share=st.floats(0, 1), seed=st.integers(0, 50), with_misses=st.booleans())
def test_a_design_that_always_matters_is_run_on_every_sample_once(share: float, seed: int, with_misses: bool) -> None:
    rng = np.random.default_rng(seed)
    is_right, seen = rng.random(N) < share, []
    misses = rng.poisson(0.2, size=N) if with_misses else np.zeros(N, dtype=np.int64)
    order = rng.permutation(N)

    def evaluate(rows: np.ndarray) -> np.ndarray:
        seen.append(rows)
        return is_right[rows]

    result = race(evaluate, lambda low, high: low <= is_right.sum() <= high + N, order=order, misses=misses)

    assert sorted(np.concatenate(seen).tolist()) == list(range(N))
    assert not result.is_stopped
    assert result.is_right.tolist() == is_right.tolist()
    assert result.low == result.high == result.estimate == is_right.sum()


def test_a_design_at_chance_is_stopped_early_and_its_estimate_lies_within_its_bounds() -> None:
    is_right = np.random.default_rng(0).random(N) < 0.1
    result = run_race(is_right, lambda _, high: high >= 0.9 * N)

    assert result.is_stopped
    assert result.is_seen.sum() == 20
    assert result.low <= is_right.sum() <= result.high
    assert result.columns()["n_samples"] == 20
    assert result.columns()["accuracy_lo"] <= result.columns()["accuracy"] <= result.columns()["accuracy_hi"] < 0.9


def test_samples_that_earlier_designs_missed_come_first_and_shorten_the_race() -> None:
    """A design that is wrong where others were needs few samples to be known."""
    is_hard = np.arange(N) < 30
    is_right = ~is_hard
    misses = np.where(is_hard, 3, 0)
    needed = N - 20
    with_misses = run_race(is_right, lambda _, high: high >= needed, misses=misses)
    without = run_race(is_right, lambda _, high: high >= needed)

    assert with_misses.is_stopped
    assert with_misses.is_seen.sum() < without.is_seen.sum() / 2
    hard, easy = split_by_misses(np.random.default_rng(0).permutation(N), misses)
    assert set(hard.tolist()) == set(range(30))
    assert sorted([*hard.tolist(), *easy.tolist()]) == list(range(N))


@given(n=st.integers(1, 500), seed=st.integers(0, 9))
def test_packed_samples_are_read_again_and_damaged_ones_refused(n: int, seed: int) -> None:
    is_right = np.random.default_rng(seed).random(n) < 0.8
    text = pack_bits(is_right)
    again = unpack_bits(text, n)

    assert again is not None
    assert again.tolist() == is_right.tolist()
    assert unpack_bits(text, n + 8) is None
    assert all(unpack_bits(damaged, n) is None for damaged in (None, 3, "", "!", text[:-6]))


def test_the_order_of_samples_depends_on_the_data_alone() -> None:
    first, other = visiting_order("ab" * 32, 50), visiting_order("cd" * 32, 50)

    assert first.tolist() == visiting_order("ab" * 32, 50).tolist()
    assert sorted(first.tolist()) == list(range(50))
    assert first.tolist() != other.tolist()
