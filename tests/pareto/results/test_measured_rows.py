"""The front of predictions and measured rows, and what of it belongs to the search."""

from pathlib import Path

import numpy as np
import pytest

from explorer.errors import InvalidFile
from explorer.pareto.geometry.dominance import feasible_front, is_dominated_by
from explorer.pareto.results.folder import read_folder, write_folder
from explorer.pareto.results.measured_rows import front_with_measured_rows, is_superseded
from explorer.pareto.results.results import Results, hypervolume_history
from explorer.problem.columns import Columns, take
from explorer.problem.objectives import OBJECTIVES

ENERGY_AND_TIME = (OBJECTIVES["energy_j"], OBJECTIVES["latency_s"])


def _table(rows: list[tuple[int, float, float, float]]) -> Columns:
    """Return designs from (number, clock, energy, latency); negative numbers are measured rows."""
    numbers, clock, energy, latency = (np.array(values) for values in zip(*rows, strict=True))
    return {
        "design_id": numbers.astype(np.int64),
        "origin": np.where(numbers < 0, "sample", "search").astype(object),
        "family": np.full(len(rows), "network", dtype=object),
        "frequency_hz": clock.astype(np.float64),
        "energy_j": energy.astype(np.float64),
        "latency_s": latency.astype(np.float64),
        "domain_distance": np.zeros(len(rows)),
        "is_feasible": np.ones(len(rows), dtype=np.bool_),
    }


def _results(table: Columns) -> Results:
    return Results("test", "test", table, ENERGY_AND_TIME, (), (10.0, 10.0), {}, (), ())


ROWS = [(0, 1.0, 2.0, 4.0), (1, 2.0, 3.0, 3.0), (2, 3.0, 4.0, 2.0)]


def test_front_without_measured_rows_is_the_front_of_the_trials() -> None:
    results = _results(_table([*ROWS, (3, 4.0, 5.0, 5.0)]))

    assert results.is_front.tolist() == [True, True, True, False]
    assert results.n_measured == 0


def test_measurement_replaces_the_prediction_of_its_design() -> None:
    """The prediction promises 3 J, the reading at the same clock is 3.5 J: the reading counts."""
    results = _results(_table([*ROWS, (-1, 2.0, 3.5, 3.0)]))

    assert is_superseded(results.table).tolist() == [False, True, False, False]
    assert results.is_front.tolist() == [True, False, True, True]


def test_supported_predictions_displace_a_measured_row() -> None:
    results = _results(_table([*ROWS, (-1, 2.1, 3.1, 3.1)]))

    assert results.is_front.tolist() == [True, True, True, False]


def test_extrapolations_do_not_displace_a_measured_row() -> None:
    """They promise more, and `explorer choose` refuses them: without the measured row it had no answer."""
    table = _table([*ROWS, (-1, 2.1, 3.1, 3.1)])
    table["domain_distance"][1] = 1.0

    assert _results(table).is_front.tolist() == [True, True, True, True]


def test_measured_rows_displace_predictions_and_each_other() -> None:
    results = _results(_table([*ROWS, (-1, 2.1, 2.9, 2.9), (-2, 2.2, 3.2, 3.2)]))

    assert results.is_front.tolist() == [True, False, True, True, False]


def test_infeasible_measurement_takes_its_design_off_the_front() -> None:
    table = _table([*ROWS, (-1, 2.0, 3.0, 3.0)])
    table["is_feasible"][3] = False

    assert _results(table).is_front.tolist() == [True, False, True, False]


def test_no_row_of_the_front_dominates_another_one() -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        n, k = 40, 12
        clock = rng.integers(0, 30, n + k)
        numbers = [*range(n), *(-1 - np.arange(k))]
        rows = list(zip(numbers, clock, rng.random(n + k), rng.random(n + k), strict=True))
        results = _results(_table(rows))
        values, front = results.values, results.is_front
        counts = ~results.is_superseded

        assert front.tolist() == feasible_front(values, counts, ENERGY_AND_TIME).tolist()
        assert not is_dominated_by(values[front], values[front]).any()


def test_hypervolume_and_history_are_those_of_the_trials() -> None:
    alone, both = _results(_table(ROWS)), _results(_table([*ROWS, (-1, 2.5, 0.1, 0.1)]))

    assert both.hypervolume == alone.hypervolume
    assert both.n_complete == 3
    assert both.n_measured == 1
    for one, other in zip(hypervolume_history(alone), hypervolume_history(both), strict=True):
        np.testing.assert_array_equal(one, other)
    assert "1 measured rows" in repr(both)


def test_measured_rows_survive_the_folder(tmp_path: Path) -> None:
    results = _results(_table([*ROWS, (-1, 2.0, 3.5, 3.0)]))
    write_folder(results, tmp_path)
    read = read_folder(tmp_path)
    (tmp_path / "results.npz").unlink()

    for one in (read, read_folder(tmp_path)):
        assert one.table["design_id"].tolist() == [0, 1, 2, -1]
        assert one.is_front.tolist() == results.is_front.tolist()
        assert (one.n_complete, one.n_measured) == (3, 1)


def test_folder_without_its_measured_rows_is_damaged(tmp_path: Path) -> None:
    write_folder(_results(_table([*ROWS, (-1, 2.0, 3.5, 3.0)])), tmp_path)
    lines = (tmp_path / "trials.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (tmp_path / "trials.csv").write_text("".join(lines[:-1]), encoding="utf-8")

    with pytest.raises(InvalidFile, match=r"3 trials and 0 measured rows.*n_measured 1"):
        read_folder(tmp_path)


def test_dominance_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    values, rivals = rng.integers(0, 5, (60, 3)).astype(float), rng.integers(0, 5, (20, 3)).astype(float)
    expected = [any(all(r <= v) and any(r < v) for r in rivals) for v in values]

    assert is_dominated_by(values, rivals).tolist() == expected
    assert not is_dominated_by(values, rivals[:0]).any()
    assert not front_with_measured_rows(
        take(_table(ROWS), np.zeros(0, dtype=np.int64)), np.zeros((0, 2)), ENERGY_AND_TIME,
        is_superseded=np.zeros(0, dtype=np.bool_),
    ).size  # fmt: skip
