"""Pools: designs and points of unit cubes are each other's inverse, and a key tells designs apart, not points."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.pareto.acquisition.candidate_pool import CandidatePool, placed, scanned
from explorer.problem.design_space import CLOCK_SHARE, DesignSpace, Dimension, categorical

R, D = Dimension("pruning_ratio", 0.0, 0.95), Dimension("quant_step", 0.001, 0.5, is_log=True)
LAW = AlphaPowerLaw(4.0e9, 0.3, 1.3)
OPEN = (0.0, np.inf)
# The lowest wanted clock is more than the lower voltages carry: there, each of them has that one clock.
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
GROUNDS = [
    pytest.param(CLOCKED, id="clocks"),
    pytest.param(FAMILIES, id="families"),
    pytest.param(CHOICES, id="choices"),
]
seeds = st.integers(0, 2**32 - 1)


def anywhere(regions: dict[str, DesignSpace], seed: int, n: int = 20) -> CandidatePool:
    rng, d = np.random.default_rng(seed), max(len(region.axes) for region in regions.values())
    return CandidatePool(regions, rng.integers(len(regions), size=n), np.round(rng.random((n, d)), 1))


def rows(pool: CandidatePool) -> list[tuple[object, ...]]:
    designs = pool.designs
    shown = [values.tolist() if values.dtype == object else np.round(values, 9) for values in designs.values()]
    return list(zip(*shown, strict=True))


@pytest.mark.parametrize("regions", GROUNDS)
@given(seed=seeds)
def test_designs_are_placed_where_they_came_from(regions: dict[str, DesignSpace], seed: int) -> None:
    pool = anywhere(regions, seed)

    assert placed(regions, pool.designs).keys == pool.keys
    assert rows(placed(regions, pool.designs)) == rows(pool)


@pytest.mark.parametrize("regions", GROUNDS)
@given(seed=seeds)
def test_two_points_have_one_key_where_they_are_one_design_and_only_there(
    regions: dict[str, DesignSpace], seed: int
) -> None:
    """Also where they differ along an axis that their family lacks, or by a share of clocks of which there is one."""
    pool = anywhere(regions, seed, 60)
    designs, keys = rows(pool), pool.keys

    assert len(set(keys)) == len(set(designs)) == len(set(zip(keys, designs, strict=True)))


@pytest.mark.parametrize("regions", GROUNDS)
@given(seed=seeds, scale=st.sampled_from([0.007, 0.05, 1.0]))
def test_designs_around_others_stay_in_their_regions(regions: dict[str, DesignSpace], seed: int, scale: float) -> None:
    moved = anywhere(regions, seed, 5).moved(40, scale, np.random.default_rng(seed))

    assert moved.n == 40
    assert ((moved.unit >= 0) & (moved.unit <= 1)).all()
    for i, region in enumerate(regions.values()):
        own = {name: values[moved.region == i] for name, values in moved.designs.items()}
        assert region.contains(own).all()


def test_a_scan_of_few_designs_has_each_of_them_once() -> None:
    pool = scanned(CHOICES, 64, seed=0)

    assert pool.is_whole
    assert set(rows(pool)) == {("CNN", s, k) for s in (96.0, 128.0, 224.0) for k in "ab"}
    assert pool.n == 6


@given(seed=st.integers(0, 50))
def test_the_first_of_a_scan_are_spread_over_families_and_choices(seed: int) -> None:
    families = scanned(FAMILIES, 64, seed=seed).rows(np.arange(6)).designs["family"].tolist()
    many = {
        "CNN": DesignSpace(
            "CNN", (categorical("side", tuple(range(30))), categorical("kind", ("a", "b"))), None, OPEN, 1.0
        )
    }
    first = scanned(many, 64, seed=seed).rows(np.arange(4)).designs

    assert {name: families.count(name) for name in FAMILIES} == dict.fromkeys(FAMILIES, 2)
    assert set(first["kind"].tolist()) == {"a", "b"}
    assert np.ptp(first["side"].astype(float)) >= 10


def test_what_is_known_is_left_out_and_the_rest_kept_once_in_order() -> None:
    pool = anywhere(CHOICES, 3, 30)
    left = pool.without(pool.keys[:4])
    twin = [key for key in dict.fromkeys(pool.keys) if key not in pool.keys[:4]]

    assert left.keys == twin


def test_what_has_no_end_is_never_whole() -> None:
    assert not scanned(CLOCKED, 64, seed=0).is_whole
