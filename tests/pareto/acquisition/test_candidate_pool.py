"""Candidate pools: designs and unit-cube points are inverses, and keys identify designs, not points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.pareto.acquisition.candidate_pool import CandidatePool, pool_of_designs, pool_of_scan
from explorer.problem.design_space import CLOCK_SHARE, DesignSpace, Dimension, categorical

R, D = Dimension("pruning_ratio", 0.0, 0.95), Dimension("quant_step", 0.001, 0.5, is_log=True)
LAW = AlphaPowerLaw(4.0e9, 0.3, 1.3)
OPEN = (0.0, np.inf)
# The lowest clock exceeds what low voltages support: each of these has exactly one clock.
CLOCKED = {
    "CNN": DesignSpace(
        "CNN", (R, D, Dimension("voltage_v", 0.5, 1.3), Dimension(CLOCK_SHARE, 0.0, 1.0)), LAW, (2e9, 4e9), 1.0
    )
}
POINTS = Dimension("operating_point", 0.0, 1.0, labels=("slow", "fast"), columns={"voltage_v": (0.6, 0.9)})
PAIRS = Dimension("pair", 0.0, 1.0, labels=("a", "b"), columns={"quant_step": (0.01, 0.02), "voltage_v": (1.0, 1.1)})
# Three families, one of them with fewer axes.
FAMILIES = {
    "CNN": DesignSpace("CNN", (R, D, Dimension("voltage_v", 0.5, 1.3)), None, OPEN, 1.0),
    "RNN": DesignSpace("RNN", (D, Dimension("pruning_ratio", 0.5, 0.5), POINTS), None, OPEN, 1.0),
    "DNN": DesignSpace("DNN", (R, PAIRS), None, OPEN, 1.0),
}
CHOICES = {
    "CNN": DesignSpace(
        "CNN", (categorical("side", (96.0, 128.0, 224.0)), categorical("kind", ("a", "b"))), None, OPEN, 1.0
    )
}
SPACES = [
    pytest.param(CLOCKED, id="clocks"),
    pytest.param(FAMILIES, id="families"),
    pytest.param(CHOICES, id="choices"),
]
seeds = st.integers(0, 2**32 - 1)


def random_pool(regions: dict[str, DesignSpace], seed: int, n: int = 20) -> CandidatePool:
    rng, d = np.random.default_rng(seed), max(len(region.axes) for region in regions.values())
    return CandidatePool(regions, rng.integers(len(regions), size=n), np.round(rng.random((n, d)), 1))


def rows(pool: CandidatePool) -> list[tuple[object, ...]]:
    designs = pool.designs
    columns = [values.tolist() if values.dtype == object else np.round(values, 9) for values in designs.values()]
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("regions", SPACES)
@given(seed=seeds)
def test_pool_of_designs_inverts_designs(regions: dict[str, DesignSpace], seed: int) -> None:
    pool = random_pool(regions, seed)

    assert pool_of_designs(regions, pool.designs).keys == pool.keys
    assert rows(pool_of_designs(regions, pool.designs)) == rows(pool)


@pytest.mark.parametrize("regions", SPACES)
@given(seed=seeds)
def test_keys_are_equal_only_for_equal_designs(regions: dict[str, DesignSpace], seed: int) -> None:
    """Also for points that differ along an axis the family lacks, or in the share of a clock range of one clock."""
    pool = random_pool(regions, seed, 60)
    designs, keys = rows(pool), pool.keys

    assert len(set(keys)) == len(set(designs)) == len(set(zip(keys, designs, strict=True)))


@pytest.mark.parametrize("regions", SPACES)
@given(seed=seeds, scale=st.sampled_from([0.007, 0.05, 1.0]))
def test_mutated_designs_stay_in_their_regions(regions: dict[str, DesignSpace], seed: int, scale: float) -> None:
    mutated = random_pool(regions, seed, 5).mutated(40, scale, np.random.default_rng(seed))

    assert mutated.n == 40
    assert ((mutated.unit >= 0) & (mutated.unit <= 1)).all()
    for i, region in enumerate(regions.values()):
        columns = {name: values[mutated.region == i] for name, values in mutated.designs.items()}
        assert region.contains(columns).all()


def test_scan_of_a_small_space_is_complete() -> None:
    pool = pool_of_scan(CHOICES, 64, seed=0)

    assert pool.is_whole
    assert set(rows(pool)) == {("CNN", s, k) for s in (96.0, 128.0, 224.0) for k in "ab"}
    assert pool.n == 6


@given(seed=st.integers(0, 50))
def test_scan_prefix_is_spread_over_families_and_choices(seed: int) -> None:
    families = pool_of_scan(FAMILIES, 64, seed=seed).rows(np.arange(6)).designs["family"].tolist()
    many = {
        "CNN": DesignSpace(
            "CNN", (categorical("side", tuple(range(30))), categorical("kind", ("a", "b"))), None, OPEN, 1.0
        )
    }
    first = pool_of_scan(many, 64, seed=seed).rows(np.arange(4)).designs

    assert {name: families.count(name) for name in FAMILIES} == dict.fromkeys(FAMILIES, 2)
    assert set(first["kind"].tolist()) == {"a", "b"}
    assert np.ptp(first["side"].astype(float)) >= 10


def test_excluding_removes_keys_and_duplicates_in_order() -> None:
    pool = random_pool(CHOICES, 3, 30)
    remaining = pool.excluding(pool.keys[:4])
    expected = [key for key in dict.fromkeys(pool.keys) if key not in pool.keys[:4]]

    assert remaining.keys == expected


def test_continuous_space_is_never_whole() -> None:
    assert not pool_of_scan(CLOCKED, 64, seed=0).is_whole
