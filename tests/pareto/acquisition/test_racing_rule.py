"""Rule of racing: limits, dominance and the reference point at the best possible accuracy of a design."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.pareto.acquisition.racing_rule import TOLERANCE, RacingRule
from explorer.pareto.geometry.dominance import hypervolume
from explorer.problem.columns import Columns
from explorer.problem.constraints import parse_constraint
from explorer.problem.objectives import Constants, objective_of

OBJECTIVES = (objective_of("size_bytes"), objective_of("accuracy"))
FRONT = [[1000.0, 0.6], [2000.0, 0.9], [4000.0, 0.95]]


def rule(*constraints: str) -> RacingRule:
    limits = tuple(parse_constraint(text) for text in constraints)
    return RacingRule(OBJECTIVES, limits, Constants(), reference=(10_000.0, 0.5))


def versions(size: float, low: float, high: float) -> Columns:
    """Return one design with its least and its greatest accuracy."""
    return {"size_bytes": np.full(2, size), "accuracy": np.array([low, high])}


@pytest.mark.parametrize(
    ("size", "high", "matters"),
    [
        (3000, 0.94, True),  # between two designs of the front
        (3000, 0.9, False),  # dominated at its best
        (900, 0.49, False),  # beyond the reference point
        (500, 0.58, True),
        (11_000, 1.0, False),
    ],
)
def test_a_design_matters_where_its_best_accuracy_extends_the_front(size: float, high: float, matters: bool) -> None:
    assert rule().can_matter(versions(size, 0.1, high), front=FRONT, stopped=[]) is matters


def test_a_limit_that_the_best_accuracy_breaks_stops_a_design() -> None:
    limited = rule("accuracy >= 0.93", "size_bytes <= 5 kB")

    assert not limited.can_matter(versions(3000, 0.1, 0.92), front=[], stopped=[])
    assert limited.can_matter(versions(3000, 0.1, 0.94), front=[], stopped=[])
    assert not limited.can_matter(versions(6000, 0.9, 0.99), front=[], stopped=[])
    assert np.isnan(limited.best(versions(6000, 0.9, 0.99))).all()


def test_without_a_design_within_the_reference_point_the_non_dominated_ones_matter() -> None:
    """A search of a network that nothing compresses well has a front all the same."""
    assert rule().can_matter(versions(3000, 0.1, 0.3), front=[], stopped=[])
    assert rule().can_matter(versions(2000, 0.1, 0.3), front=[[3000.0, 0.4]], stopped=[])
    assert not rule().can_matter(versions(3500, 0.1, 0.3), front=[[3000.0, 0.4]], stopped=[])


def test_limits_with_a_probability_and_unknown_columns_stop_nothing() -> None:
    limited = rule("accuracy >= 0.93 @ 90 %", "latency_s <= 1 ms")

    assert limited.can_matter(versions(3000, 0.1, 0.92), front=[], stopped=[])


def test_the_front_has_feasible_designs_alone() -> None:
    columns: Columns = {"size_bytes": np.array([1e3, 2e3, 3e3, 9e3]), "accuracy": np.array([0.6, 0.9, 0.8, 0.99])}

    assert rule().front(columns) == [[1e3, 0.6], [2e3, 0.9], [9e3, 0.99]]
    assert rule("accuracy >= 0.7", "size_bytes <= 8 kB").front(columns) == [[2e3, 0.9]]


@pytest.mark.slow
@given(seed=st.integers(0, 2**32 - 1))
def test_all_stopped_designs_together_add_at_most_the_tolerance(seed: int) -> None:
    """The upper bounds that stopped them, taken as their accuracy, extend the hypervolume by .2 % at most."""
    rng = np.random.default_rng(seed)
    front: list[list[float]] = []
    stopped: list[list[float]] = []
    tested = rule()
    for size, high in zip(rng.uniform(500, 9000, 60), rng.uniform(0.5, 1, 60), strict=True):
        design = versions(size, 0, high)
        if tested.can_matter(design, front=front, stopped=stopped):
            front.append([size, high])
        else:
            stopped.append(tested.best(design).tolist())
    volumes = [hypervolume(np.array(points), tested.reference, OBJECTIVES) for points in (front, front + stopped)]

    assert volumes[1] <= (1 + TOLERANCE) * volumes[0] * (1 + 1e-9)
