"""The next designs: equal to a slow twin that adds up whole hypervolumes, draw by draw, over every design there is."""

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
from explorer.pareto.acquisition.candidate_pool import CandidatePool, Key, placed, pooled, scanned
from explorer.pareto.acquisition.expected_improvement import (
    PosteriorObjectives,
    SearchHistory,
    expected_gain,
    posterior_objectives,
    select_by_ehvi,
)
from explorer.problem.columns import Columns, Float
from explorer.problem.constraints import parse_constraint
from explorer.problem.design_space import DesignSpace, Dimension, categorical

OPEN = (0.0, np.inf)
tenths = st.integers(0, 12).map(lambda i: i / 10)


def cells(n: int) -> dict[str, DesignSpace]:
    """A set of n designs."""
    return {"CNN": DesignSpace("CNN", (categorical("side", tuple(float(i) for i in range(n))),), None, OPEN, np.inf)}


PLANE = {"CNN": DesignSpace("CNN", (Dimension("x", 0.0, 1.0), Dimension("y", 0.0, 1.0)), None, OPEN, np.inf)}


@dataclass(frozen=True)
class Table:
    """Draws of n designs, as numbers: what is to be minimized, shape (S, n, m), and violations, shape (S, n)."""

    values: Float
    violation: Float

    def __call__(self, designs: Columns) -> PosteriorObjectives:
        index = designs["side"].astype(np.int64)
        return PosteriorObjectives(self.values[:, index], self.violation[:, index])

    @property
    def regions(self) -> dict[str, DesignSpace]:
        return cells(self.values.shape[1])

    def pool(self, which: Sequence[int]) -> CandidatePool:
        n = self.values.shape[1]
        return pooled(self.regions, [(np.array(which, dtype=np.float64).reshape(-1, 1) + 0.5) / n])

    def known(self, front: Float, *, pending: Sequence[int] = (), taken: Sequence[int] = ()) -> SearchHistory:
        waiting, done = self.pool(pending), self.pool(taken)
        return SearchHistory(front, done, waiting, {*done.keys, *waiting.keys})


def chosen(pool: CandidatePool) -> list[int]:
    return pool.designs["side"].astype(int).tolist()


def volume(points: Float) -> float:
    return float(moocore.hypervolume(points, ref=np.ones(points.shape[1]))) if len(points) else 0.0


def slow_gains(draws: Table, front: Float, measured: Sequence[int]) -> Float:
    """Return each design's gain beside a front and designs that count as measured, mean over draws, shape (n,)."""
    total = np.zeros(draws.values.shape[1])
    for values, violation in zip(draws.values, draws.violation, strict=True):
        there = np.vstack([front, *[values[[i]] for i in measured if violation[i] <= 0]])
        for i in range(len(total)):
            total[i] += volume(np.vstack([there, values[i]])) - volume(there) if violation[i] <= 0 else 0.0
    return total / len(draws.values)


@st.composite
def questions(draw: st.DrawFn) -> tuple[Table, Float]:
    """Draw a table of draws, and a measured front of which a point counts."""
    m, n, s = draw(st.integers(1, 3)), draw(st.integers(2, 9)), draw(st.integers(1, 4))
    values = draw(arrays(np.float64, (s, n, m), elements=tenths))
    violation = draw(arrays(np.float64, (s, n), elements=st.sampled_from([0.0, 0.0, 0.0, 0.5])))
    front = draw(arrays(np.float64, (draw(st.integers(1, 4)), m), elements=tenths))
    assume(np.any(np.all(front < 1, axis=1)))
    return Table(values, violation), front


@given(question=questions())
def test_the_next_design_gains_as_much_over_the_draws_as_any_other_would(question: tuple[Table, Float]) -> None:
    draws, front = question
    (best,) = chosen(
        select_by_ehvi(draws, draws.known(front), np.ones(front.shape[1]), n=1, rng=np.random.default_rng(0))
    )
    slow = slow_gains(draws, front, [])

    assert slow[best] == pytest.approx(slow.max(), abs=1e-12)


@given(question=questions(), data=st.data())
def test_pending_designs_count_as_measured_in_each_draw_as_it_has_them(
    question: tuple[Table, Float], data: st.DataObject
) -> None:
    draws, front = question
    n = draws.values.shape[1]
    pending = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=n - 1, unique=True))
    known = draws.known(front, pending=pending)
    (best,) = chosen(select_by_ehvi(draws, known, np.ones(front.shape[1]), n=1, rng=np.random.default_rng(0)))
    slow = np.delete(slow_gains(draws, front, pending), pending)

    assert best not in pending
    assert slow_gains(draws, front, pending)[best] == pytest.approx(slow.max(), abs=1e-12)


@given(question=questions(), n=st.integers(2, 5))
def test_a_batch_is_greedy_each_design_is_the_best_beside_those_before_it(
    question: tuple[Table, Float], n: int
) -> None:
    draws, front = question
    batch = chosen(
        select_by_ehvi(draws, draws.known(front), np.ones(front.shape[1]), n=n, rng=np.random.default_rng(0))
    )

    assert len(batch) == len(set(batch)) == min(n, draws.values.shape[1])
    for i, one in enumerate(batch):
        slow = slow_gains(draws, front, batch[:i])
        left = [j for j in range(len(slow)) if j not in batch[:i]]
        assert slow[one] == pytest.approx(slow[left].max(), abs=1e-12)


@given(question=questions())
def test_a_finite_set_is_gone_through_without_repeats_and_then_nothing_is_left(question: tuple[Table, Float]) -> None:
    draws, front = question
    done: list[int] = []
    for _ in range(draws.values.shape[1]):
        known = draws.known(front, taken=done)
        done += chosen(select_by_ehvi(draws, known, np.ones(front.shape[1]), n=1, rng=np.random.default_rng(len(done))))
    known = draws.known(front, taken=done)

    assert sorted(done) == list(range(draws.values.shape[1]))
    assert select_by_ehvi(draws, known, np.ones(front.shape[1]), n=3, rng=np.random.default_rng(0)).n == 0


@given(violation=arrays(np.float64, (8, 6), elements=st.sampled_from([0.0, 0.1, 2.0])))
def test_before_anything_is_feasible_the_most_probable_to_be_comes_first(violation: Float) -> None:
    draws = Table(np.full((8, 6, 2), 0.5), violation)
    (best,) = chosen(
        select_by_ehvi(draws, draws.known(np.zeros((0, 2))), np.ones(2), n=1, rng=np.random.default_rng(0))
    )
    probability = np.mean(violation <= 0, axis=0)

    assert probability[best] == probability.max()


def test_where_nothing_can_be_feasible_what_misses_by_least_comes_first() -> None:
    draws = Table(np.full((4, 3, 2), 0.5), np.tile([2.0, 0.1, 0.7], (4, 1)))
    batch = chosen(select_by_ehvi(draws, draws.known(np.zeros((0, 2))), np.ones(2), n=3, rng=np.random.default_rng(0)))

    assert batch == [1, 2, 0]


def test_a_design_beyond_the_reference_counts_no_more_than_an_infeasible_one() -> None:
    """A front that does not count is none: hope decides, for the design that may come below the reference."""
    values = np.array([[[1.5, 0.2], [0.9, 0.9], [2.0, 2.0]]])
    draws = Table(values, np.zeros((1, 3)))
    known = draws.known(np.array([[1.4, 0.1]]))

    assert chosen(select_by_ehvi(draws, known, np.ones(2), n=3, rng=np.random.default_rng(0))) == [1, 0, 2]


@dataclass(frozen=True)
class Bowls:
    """Draws on the unit square: two bowls, whose lowest points are not known; nothing is feasible right of a line."""

    n: int = 8
    seed: int = 0
    line: float = np.inf
    asked: list[int] = field(default_factory=list)

    def __call__(self, designs: Columns) -> PosteriorObjectives:
        centers = np.array([[0.2, 0.5], [0.8, 0.5]]) + 0.05 * np.random.default_rng(self.seed).random((self.n, 2, 2))
        points = np.stack([designs["x"], designs["y"]], axis=-1)
        self.asked.append(len(points))
        away = np.sum((points[None, :, None, :] - centers[:, None, :, :]) ** 2, axis=-1)
        return PosteriorObjectives(away, np.tile(designs["x"] - self.line, (self.n, 1)))


def on_plane(points: Float) -> CandidatePool:
    return pooled(PLANE, [points])


def known_on_plane(points: Float, *, front: Float, taken: set[Key] | None = None) -> SearchHistory:
    done = on_plane(points)
    return SearchHistory(front, done, on_plane(np.zeros((0, 2))), taken or set(done.keys))


MIDDLE = known_on_plane(np.array([[0.5, 0.9]]), front=np.array([[0.25, 0.25]]))


@pytest.mark.parametrize("seed", range(5))
def test_candidates_are_moved_until_hardly_any_point_of_the_plane_gains_more(seed: int) -> None:
    """All of a fine grid, 40,000 points, against the one that was chosen out of a few hundred."""
    draws, reference = Bowls(seed=seed), np.array([0.5, 0.5])
    grid = np.stack(np.meshgrid(*[np.linspace(0, 1, 200)] * 2), axis=-1).reshape(-1, 2)
    found = select_by_ehvi(draws, MIDDLE, reference, n=1, rng=np.random.default_rng(seed), seed=seed)
    n_asked = sum(draws.asked)

    def gain(points: Float) -> Float:
        """Closed form for one measured point that beats nobody: the corner it cuts off."""
        v = draws({"x": points[:, 0], "y": points[:, 1]}).values
        whole = np.prod(np.maximum(0.5 - v, 0.0), axis=-1)
        return np.asarray(np.mean(whole - np.prod(np.maximum(0.5 - np.maximum(v, 0.25), 0.0), axis=-1), axis=0))

    assert gain(found.unit)[0] >= 0.995 * gain(grid).max()
    assert n_asked < 2500


def test_what_is_infeasible_in_every_draw_is_never_next() -> None:
    batch = select_by_ehvi(Bowls(line=0.4), MIDDLE, np.array([0.5, 0.5]), n=6, rng=np.random.default_rng(0))

    assert batch.n == 6
    assert (batch.designs["x"] <= 0.4).all()


def test_a_taken_design_is_not_proposed_again_and_its_neighbour_may_be() -> None:
    reference, taken, proposed = np.array([0.5, 0.5]), set(MIDDLE.taken), []
    for _ in range(8):
        known = known_on_plane(np.array([[0.5, 0.9]]), front=MIDDLE.front, taken=taken)
        one = select_by_ehvi(Bowls(), known, reference, n=1, rng=np.random.default_rng(0))
        proposed += one.keys
        taken |= set(one.keys)

    assert len(set(proposed)) == 8


def test_the_same_seed_gives_the_same_designs_and_another_one_others() -> None:
    one, again, other = (
        select_by_ehvi(Bowls(), MIDDLE, np.array([0.5, 0.5]), n=3, rng=np.random.default_rng(seed), seed=seed).unit
        for seed in (1, 1, 2)
    )

    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)


def test_of_a_set_too_large_to_list_designs_are_proposed_that_no_scan_holds() -> None:
    """90,000 cells of two choices each: they are looked for around the best, as anywhere else."""
    sides = tuple(np.linspace(0, 1, 300).tolist())
    regions = {"CNN": DesignSpace("CNN", (categorical("x", sides), categorical("y", sides)), None, OPEN, np.inf)}
    best = placed(regions, {"family": np.array(["CNN"], dtype=object), "x": np.array([0.5]), "y": np.array([0.5])})
    scan = set(scanned(regions, 512, seed=0).keys)
    known = SearchHistory(np.array([[0.25, 0.25]]), best, best.rows(np.zeros(0, dtype=np.int64)), scan | set(best.keys))
    found = select_by_ehvi(Bowls(), known, np.array([0.5, 0.5]), n=4, rng=np.random.default_rng(0))

    assert found.n == len(set(found.keys) - scan - set(best.keys)) == 4


def asked(*constraints: str) -> Problem:
    whole = load("edp-accuracy")
    limits = tuple(parse_constraint(text) for text in constraints)
    return replace(whole, study=replace(whole.study, constraints=limits))


def designs(**knobs: list[float]) -> Columns:
    n = len(next(iter(knobs.values())))
    usual = {"pruning_ratio": 0.45, "quant_step": 0.03, "voltage_v": 0.9, "frequency_hz": 2e9}
    columns: Columns = {name: np.array(knobs.get(name, [value] * n)) for name, value in usual.items()}
    return {"family": np.array(["CNN"] * n, dtype=object), **columns}


def test_objectives_and_limits_follow_from_targets_draw_by_draw() -> None:
    drawn = {
        "energy_j": np.array([[1.0, 2.0], [3.0, 4.0]]), "latency_s": np.array([[0.1, 0.2], [0.3, 0.4]]),
        "accuracy": np.array([[0.9, 0.8], [0.7, 0.6]]), "power_w": np.array([[20.0, 33.0], [44.0, 5.0]]),
    }  # fmt: skip
    judged = posterior_objectives(asked("power_w <= 22 W"), lambda _: drawn)(designs(voltage_v=[0.9, 0.95]))

    np.testing.assert_allclose(judged.values[..., 0], [[0.1, 0.4], [0.9, 1.6]])
    np.testing.assert_allclose(judged.values[..., 1], [[-0.9, -0.8], [-0.7, -0.6]])
    np.testing.assert_allclose(judged.violation, [[0.0, 0.5], [1.0, 0.0]])


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
def test_limits_that_are_known_without_a_measurement_hold_in_every_draw(
    constraints: tuple[str, ...], knobs: dict[str, list[float]]
) -> None:
    """The first of two designs misses the limit, the second meets it."""
    drawn = {name: np.ones((3, 2)) for name in ("energy_j", "latency_s", "accuracy")}
    violation = posterior_objectives(asked(*constraints), lambda _: drawn)(designs(**knobs)).violation

    assert (violation[:, 0] > 0).all()
    assert (violation[:, 1] == 0).all()


@given(gains=arrays(np.float64, st.tuples(st.integers(1, 90), st.integers(1, 5)), elements=st.floats(0, 1)))
def test_what_few_draws_promise_is_not_expected(gains: Float) -> None:
    """The mean where draws agree; less where few promise much; nothing where only one in twenty promises anything."""
    found = expected_gain(gains)
    lottery = np.zeros((64, 1))
    lottery[:3] = 1.0

    assert np.all(found <= np.mean(gains, axis=0) + 1e-12)
    assert np.all(found >= np.min(gains, axis=0) * 0.95 - 1e-12)
    np.testing.assert_allclose(expected_gain(gains + 1) - found, expected_gain(np.ones_like(gains)))
    assert expected_gain(lottery)[0] == 0.0 < expected_gain(np.vstack([lottery, [[1.0]]]))[0]


def test_a_design_that_one_draw_in_sixty_praises_waits() -> None:
    """A sure small gain comes before a great one that hardly any draw has."""
    values = np.full((64, 2, 2), 0.99)
    values[:, 0] = 0.405  # always a little better than the front
    values[0, 1] = 0.0  # once much better: on average by more
    draws = Table(values, np.zeros((64, 2)))
    front = np.array([[0.41, 0.41]])
    asked = select_by_ehvi(draws, draws.known(front), np.ones(2), n=1, rng=np.random.default_rng(0))

    assert chosen(asked) == [0]
