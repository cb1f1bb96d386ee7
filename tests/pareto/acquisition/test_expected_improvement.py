"""Expected hypervolume improvement against a brute-force reference: full hypervolumes, draw by draw, of all designs."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import moocore
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.api import load_study as load
from explorer.models.evaluation import Problem
from explorer.pareto.acquisition.candidate_pool import CandidatePool, Key, pool_of_designs, pool_of_points, pool_of_scan
from explorer.pareto.acquisition.expected_improvement import (
    PosteriorObjectives,
    SearchHistory,
    posterior_objectives,
    select_by_ehvi,
    trimmed_mean_improvement,
)
from explorer.problem.columns import Columns, Float
from explorer.problem.constraints import parse_constraint
from explorer.problem.design_space import DesignSpace, Dimension, categorical

OPEN = (0.0, np.inf)
tenths = st.integers(0, 12).map(lambda i: i / 10)


def cells(n: int) -> dict[str, DesignSpace]:
    """Return a finite space of n designs."""
    return {"CNN": DesignSpace("CNN", (categorical("side", tuple(float(i) for i in range(n))),), None, OPEN, np.inf)}


PLANE = {"CNN": DesignSpace("CNN", (Dimension("x", 0.0, 1.0), Dimension("y", 0.0, 1.0)), None, OPEN, np.inf)}


@dataclass(frozen=True)
class Table:
    """Posterior draws of n designs: objectives to be minimized, shape (S, n, m), and violations, shape (S, n)."""

    values: Float
    violation: Float

    def __call__(self, designs: Columns) -> PosteriorObjectives:
        index = designs["side"].astype(np.int64)
        return PosteriorObjectives(self.values[:, index], self.violation[:, index])

    @property
    def regions(self) -> dict[str, DesignSpace]:
        return cells(self.values.shape[1])

    def pool(self, index: Sequence[int]) -> CandidatePool:
        n = self.values.shape[1]
        return pool_of_points(self.regions, [(np.array(index, dtype=np.float64).reshape(-1, 1) + 0.5) / n])

    def history(self, front: Float, *, pending: Sequence[int] = (), measured: Sequence[int] = ()) -> SearchHistory:
        waiting, done = self.pool(pending), self.pool(measured)
        return SearchHistory(front, done, waiting, {*done.keys, *waiting.keys})


def indices(pool: CandidatePool) -> list[int]:
    return pool.designs["side"].astype(int).tolist()


def volume(points: Float) -> float:
    return float(moocore.hypervolume(points, ref=np.ones(points.shape[1]))) if len(points) else 0.0


def brute_force_ehvi(draws: Table, front: Float, measured: Sequence[int]) -> Float:
    """Return each design's mean hypervolume improvement over a front and designs measured in every draw, shape (n,)."""
    total = np.zeros(draws.values.shape[1])
    for values, violation in zip(draws.values, draws.violation, strict=True):
        points = np.vstack([front, *[values[[i]] for i in measured if violation[i] <= 0]])
        for i in range(len(total)):
            total[i] += volume(np.vstack([points, values[i]])) - volume(points) if violation[i] <= 0 else 0.0
    return total / len(draws.values)


@st.composite
def problems(draw: st.DrawFn) -> tuple[Table, Float]:
    """Draw posterior draws, and a measured front with a point better than the reference."""
    m, n, s = draw(st.integers(1, 3)), draw(st.integers(2, 9)), draw(st.integers(1, 4))
    values = draw(arrays(np.float64, (s, n, m), elements=tenths))
    violation = draw(arrays(np.float64, (s, n), elements=st.sampled_from([0.0, 0.0, 0.0, 0.5])))
    front = draw(arrays(np.float64, (draw(st.integers(1, 4)), m), elements=tenths))
    assume(np.any(np.all(front < 1, axis=1)))
    return Table(values, violation), front


@given(problem=problems())
def test_first_design_maximizes_expected_hypervolume_improvement(problem: tuple[Table, Float]) -> None:
    draws, front = problem
    (best,) = indices(
        select_by_ehvi(draws, draws.history(front), np.ones(front.shape[1]), n=1, rng=np.random.default_rng(0))
    )
    expected = brute_force_ehvi(draws, front, [])

    assert expected[best] == pytest.approx(expected.max(), abs=1e-12)


@given(problem=problems(), data=st.data())
@pytest.mark.slow
def test_pending_designs_count_as_measured_in_every_draw(problem: tuple[Table, Float], data: st.DataObject) -> None:
    draws, front = problem
    n = draws.values.shape[1]
    pending = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n - 1, unique=True))
    history = draws.history(front, pending=pending)
    (best,) = indices(select_by_ehvi(draws, history, np.ones(front.shape[1]), n=1, rng=np.random.default_rng(0)))
    expected = np.delete(brute_force_ehvi(draws, front, pending), pending)

    assert best not in pending
    assert brute_force_ehvi(draws, front, pending)[best] == pytest.approx(expected.max(), abs=1e-12)


@given(problem=problems(), n=st.integers(2, 5))
@pytest.mark.slow
def test_batch_equals_sequential_greedy_selection(problem: tuple[Table, Float], n: int) -> None:
    draws, front = problem
    batch = indices(
        select_by_ehvi(draws, draws.history(front), np.ones(front.shape[1]), n=n, rng=np.random.default_rng(0))
    )

    assert len(batch) == len(set(batch)) == min(n, draws.values.shape[1])
    for i, one in enumerate(batch):
        expected = brute_force_ehvi(draws, front, batch[:i])
        remaining = [j for j in range(len(expected)) if j not in batch[:i]]
        assert expected[one] == pytest.approx(expected[remaining].max(), abs=1e-12)


@given(problem=problems())
@pytest.mark.slow
def test_finite_space_is_exhausted_without_repetition(problem: tuple[Table, Float]) -> None:
    draws, front = problem
    done: list[int] = []
    for _ in range(draws.values.shape[1]):
        history = draws.history(front, measured=done)
        done += indices(
            select_by_ehvi(draws, history, np.ones(front.shape[1]), n=1, rng=np.random.default_rng(len(done)))
        )
    history = draws.history(front, measured=done)

    assert sorted(done) == list(range(draws.values.shape[1]))
    assert select_by_ehvi(draws, history, np.ones(front.shape[1]), n=3, rng=np.random.default_rng(0)).n == 0


@given(violation=arrays(np.float64, (8, 6), elements=st.sampled_from([0.0, 0.1, 2.0])))
def test_probability_of_feasibility_decides_without_a_feasible_design(violation: Float) -> None:
    draws = Table(np.full((8, 6, 2), 0.5), violation)
    (best,) = indices(
        select_by_ehvi(draws, draws.history(np.zeros((0, 2))), np.ones(2), n=1, rng=np.random.default_rng(0))
    )
    probability = np.mean(violation <= 0, axis=0)

    assert probability[best] == probability.max()


def test_least_violation_comes_first_where_all_are_infeasible() -> None:
    draws = Table(np.full((4, 3, 2), 0.5), np.tile([2.0, 0.1, 0.7], (4, 1)))
    batch = indices(
        select_by_ehvi(draws, draws.history(np.zeros((0, 2))), np.ones(2), n=3, rng=np.random.default_rng(0))
    )

    assert batch == [1, 2, 0]


def test_design_beyond_the_reference_point_counts_as_infeasible() -> None:
    """Without a point better than the reference the front is empty, and the probability of feasibility decides."""
    values = np.array([[[1.5, 0.2], [0.9, 0.9], [2.0, 2.0]]])
    draws = Table(values, np.zeros((1, 3)))
    history = draws.history(np.array([[1.4, 0.1]]))

    assert indices(select_by_ehvi(draws, history, np.ones(2), n=3, rng=np.random.default_rng(0))) == [1, 0, 2]


@dataclass(frozen=True)
class Bowls:
    """Posterior draws of two paraboloids on the unit square with uncertain minima; infeasible for x above a limit."""

    n: int = 8
    seed: int = 0
    limit: float = np.inf
    n_evaluated: list[int] = field(default_factory=list)

    def __call__(self, designs: Columns) -> PosteriorObjectives:
        centers = np.array([[0.2, 0.5], [0.8, 0.5]]) + 0.05 * np.random.default_rng(self.seed).random((self.n, 2, 2))
        points = np.stack([designs["x"], designs["y"]], axis=-1)
        self.n_evaluated.append(len(points))
        distance = np.sum((points[None, :, None, :] - centers[:, None, :, :]) ** 2, axis=-1)
        return PosteriorObjectives(distance, np.tile(designs["x"] - self.limit, (self.n, 1)))


def on_plane(points: Float) -> CandidatePool:
    return pool_of_points(PLANE, [points])


def history_on_plane(points: Float, *, front: Float, excluded: set[Key] | None = None) -> SearchHistory:
    done = on_plane(points)
    return SearchHistory(front, done, on_plane(np.zeros((0, 2))), excluded or set(done.keys))


MIDDLE = history_on_plane(np.array([[0.5, 0.9]]), front=np.array([[0.25, 0.25]]))


@pytest.mark.parametrize("seed", range(5))
def test_local_refinement_reaches_the_maximum_of_a_fine_grid(seed: int) -> None:
    """At least 99.5 % of the best improvement on a grid of 40,000 points, with fewer than 2,500 evaluations."""
    draws, reference = Bowls(seed=seed), np.array([0.5, 0.5])
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 200)] * 2), axis=-1).reshape(-1, 2)
    best = select_by_ehvi(draws, MIDDLE, reference, n=1, rng=np.random.default_rng(seed), seed=seed)
    n_evaluated = sum(draws.n_evaluated)

    def gain(points: Float) -> Float:
        """Return the closed form of the improvement over a front of one point."""
        v = draws({"x": points[:, 0], "y": points[:, 1]}).values
        whole = np.prod(np.maximum(0.5 - v, 0.0), axis=-1)
        return np.asarray(np.mean(whole - np.prod(np.maximum(0.5 - np.maximum(v, 0.25), 0.0), axis=-1), axis=0))

    assert gain(best.unit)[0] >= 0.995 * gain(grid).max()
    assert n_evaluated < 2500


def test_designs_infeasible_in_every_draw_are_never_selected() -> None:
    batch = select_by_ehvi(Bowls(limit=0.4), MIDDLE, np.array([0.5, 0.5]), n=6, rng=np.random.default_rng(0))

    assert batch.n == 6
    assert (batch.designs["x"] <= 0.4).all()


def test_excluded_designs_are_not_proposed_again() -> None:
    reference, excluded, proposed = np.array([0.5, 0.5]), set(MIDDLE.excluded), []
    for _ in range(8):
        history = history_on_plane(np.array([[0.5, 0.9]]), front=MIDDLE.front, excluded=excluded)
        one = select_by_ehvi(Bowls(), history, reference, n=1, rng=np.random.default_rng(0))
        proposed += one.keys
        excluded |= set(one.keys)

    assert len(set(proposed)) == 8


def test_same_seed_gives_the_same_batch() -> None:
    first, repeated, different = (
        select_by_ehvi(Bowls(), MIDDLE, np.array([0.5, 0.5]), n=3, rng=np.random.default_rng(seed), seed=seed).unit
        for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(first, repeated)
    assert not np.array_equal(first, different)


def test_large_finite_space_is_searched_beyond_the_scan() -> None:
    """A space of 90,000 designs on two axes of choices: proposals around the best design are not in the scan."""
    sides = tuple(np.linspace(0, 1, 300).tolist())
    regions = {"CNN": DesignSpace("CNN", (categorical("x", sides), categorical("y", sides)), None, OPEN, np.inf)}
    best = pool_of_designs(
        regions, {"family": np.array(["CNN"], dtype=object), "x": np.array([0.5]), "y": np.array([0.5])}
    )
    scan = set(pool_of_scan(regions, 512, seed=0).keys)
    history = SearchHistory(
        np.array([[0.25, 0.25]]), best, best.rows(np.zeros(0, dtype=np.int64)), scan | set(best.keys)
    )
    batch = select_by_ehvi(Bowls(), history, np.array([0.5, 0.5]), n=4, rng=np.random.default_rng(0))

    assert batch.n == len(set(batch.keys) - scan - set(best.keys)) == 4


def constrained(*constraints: str) -> Problem:
    whole = load("edp-accuracy")
    limits = tuple(parse_constraint(text) for text in constraints)
    return replace(whole, study=replace(whole.study, constraints=limits))


def designs(**knobs: list[float]) -> Columns:
    n = len(next(iter(knobs.values())))
    usual = {"pruning_ratio": 0.45, "quant_step": 0.03, "voltage_v": 0.9, "frequency_hz": 2e9}
    columns: Columns = {name: np.array(knobs.get(name, [value] * n)) for name, value in usual.items()}
    return {"family": np.array(["CNN"] * n, dtype=object), **columns}


def test_objectives_and_constraints_are_computed_in_every_draw() -> None:
    targets = {
        "energy_j": np.array([[1.0, 2.0], [3.0, 4.0]]), "latency_s": np.array([[0.1, 0.2], [0.3, 0.4]]),
        "accuracy": np.array([[0.9, 0.8], [0.7, 0.6]]), "power_w": np.array([[20.0, 33.0], [44.0, 5.0]]),
    }  # fmt: skip
    posterior = posterior_objectives(constrained("power_w <= 22 W"), lambda _: targets)(designs(voltage_v=[0.9, 0.95]))

    np.testing.assert_allclose(posterior.values[..., 0], [[0.1, 0.4], [0.9, 1.6]])
    np.testing.assert_allclose(posterior.values[..., 1], [[-0.9, -0.8], [-0.7, -0.6]])
    np.testing.assert_allclose(posterior.violation, [[0.0, 0.5], [1.0, 0.0]])


@pytest.mark.parametrize(
    ("constraints", "knobs"),
    [
        pytest.param(
            ("frequency_max_hz >= 2.4 GHz",), {"voltage_v": [0.8, 1.0]}, id="the clock that a voltage carries"
        ),
        pytest.param(("pruning_ratio <= 0.5",), {"pruning_ratio": [0.6, 0.4]}, id="a knob"),
        pytest.param((), {"quant_step": [0.5, 0.03]}, id="the domain of the samples"),
        pytest.param((), {"voltage_v": [0.85, 1.0], "frequency_hz": [3e9, 2e9]}, id="no such operating point"),
    ],
)
def test_constraints_on_knobs_hold_in_every_draw(constraints: tuple[str, ...], knobs: dict[str, list[float]]) -> None:
    """The first of two designs violates the constraint, the second meets it."""
    targets = {name: np.ones((3, 2)) for name in ("energy_j", "latency_s", "accuracy")}
    violation = posterior_objectives(constrained(*constraints), lambda _: targets)(designs(**knobs)).violation

    assert (violation[:, 0] > 0).all()
    assert (violation[:, 1] == 0).all()


@given(gains=arrays(np.float64, st.tuples(st.integers(1, 90), st.integers(1, 5)), elements=st.floats(0, 1)))
def test_trimmed_mean_omits_the_largest_improvements(gains: Float) -> None:
    """The mean where draws agree, less where few draws are large, and zero where only one in twenty is positive."""
    trimmed = trimmed_mean_improvement(gains)
    rare = np.zeros((64, 1))
    rare[:3] = 1.0

    assert np.all(trimmed <= np.mean(gains, axis=0) + 1e-12)
    assert np.all(trimmed >= np.min(gains, axis=0) * 0.95 - 1e-12)
    np.testing.assert_allclose(
        trimmed_mean_improvement(gains + 1) - trimmed, trimmed_mean_improvement(np.ones_like(gains))
    )
    assert trimmed_mean_improvement(rare)[0] == 0.0 < trimmed_mean_improvement(np.vstack([rare, [[1.0]]]))[0]


def test_improvement_in_one_draw_of_sixty_does_not_decide() -> None:
    """A small improvement in all draws is preferred to a large one in a single draw."""
    values = np.full((64, 2, 2), 0.99)
    values[:, 0] = 0.405  # always a little better than the front
    values[0, 1] = 0.0  # once much better: on average by more
    draws = Table(values, np.zeros((64, 2)))
    front = np.array([[0.41, 0.41]])
    batch = select_by_ehvi(draws, draws.history(front), np.ones(2), n=1, rng=np.random.default_rng(0))

    assert indices(batch) == [0]
