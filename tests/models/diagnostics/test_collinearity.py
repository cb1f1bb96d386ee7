"""Collinearity of main effects, against designs of experiments and designs with a constructed null space."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.models.diagnostics.collinearity import find_collinear
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import paper_samples
from explorer.problem.columns import Columns, take

FAMILY, VOLTAGE, CLOCK = (
    KnobSpec("family", "category"),
    KnobSpec("voltage_v", "number"),
    KnobSpec("frequency_hz", "number"),
)
PAPER = (FAMILY, KnobSpec("pruning_ratio", "number"), KnobSpec("quant_step", "number"), VOLTAGE, CLOCK)


def numeric(matrix: np.ndarray) -> tuple[Columns, tuple[KnobSpec, ...]]:
    """Return a matrix as knobs x0, x1, ... on a linear scale."""
    columns = {f"x{i}": column for i, column in enumerate(matrix.T)}
    return columns, tuple(KnobSpec(name, "number") for name in columns)


def groups(designs: Columns, knobs: tuple[KnobSpec, ...]) -> list[tuple[str, ...]]:
    return [group.knobs for group in find_collinear(designs, knobs)]


@given(d=st.integers(2, 12), low=st.floats(-5, 5), step=st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_one_factor_at_a_time_is_separable(d: int, low: float, step: float) -> None:
    design = np.full((d + 1, d), low) + step * np.concatenate([np.zeros((1, d)), np.eye(d)])

    assert groups(*numeric(design)) == []


def test_one_factor_at_a_time_with_the_built_in_knobs_is_separable() -> None:
    designs = {
        "family": np.full(5, "CNN", dtype=object),
        "pruning_ratio": np.array([0.2, 0.5, 0.2, 0.2, 0.2]),
        "quant_step": np.array([0.02, 0.02, 0.05, 0.02, 0.02]),
        "voltage_v": np.array([1.0, 1.0, 1.0, 0.85, 1.0]),
        "frequency_hz": np.array([2e9, 2e9, 2e9, 2e9, 1.4e9]),
    }

    assert groups(designs, PAPER) == []


def test_fractional_factorial_is_separable_and_its_alias_is_found() -> None:
    """2^(4-1) with D = ABC, then with E = D: the alias of a main effect."""
    full = np.array([*itertools.product([-1.0, 1.0], repeat=3)])
    half = np.column_stack([full, full.prod(axis=1)])

    assert groups(*numeric(half)) == []
    assert groups(*numeric(np.column_stack([half, half[:, 3]]))) == [("x3", "x4")]


@given(
    seed=st.integers(0, 10_000),
    n_free=st.integers(1, 5),
    sizes=st.lists(st.integers(2, 4), min_size=0, max_size=3),
    n_extra=st.integers(6, 30),
)
@settings(max_examples=60, deadline=None)
def test_groups_equal_the_constructed_null_space(seed: int, n_free: int, sizes: list[int], n_extra: int) -> None:
    """The last column of each group is a combination of its others; all other columns are orthogonal."""
    rng = np.random.default_rng(seed)
    n_columns = n_free + sum(size - 1 for size in sizes)
    normal = rng.standard_normal((n_columns + n_extra, n_columns))
    basis = np.linalg.qr(normal - normal.mean(axis=0))[0]
    columns, expected, used, position = [*basis[:, :n_free].T], [], n_free, n_free
    for size in sizes:
        others = basis[:, used : used + size - 1]
        columns += [*others.T, others @ rng.uniform(0.5, 2, size - 1)]
        expected.append([*range(position, position + size)])
        used, position = used + size - 1, position + size
    order = rng.permutation(position)
    matrix = np.stack(columns, axis=1)[:, order] * rng.uniform(0.01, 100, position) + rng.uniform(-3, 3, position)
    place = {int(old): new for new, old in enumerate(order)}
    wanted = {tuple(f"x{i}" for i in sorted(place[old] for old in group)) for group in expected}

    assert {*groups(*numeric(matrix))} == wanted


@given(seed=st.integers(0, 10_000), d=st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_fewer_rows_than_effects_separate_nothing(seed: int, d: int) -> None:
    (group,) = find_collinear(*numeric(np.random.default_rng(seed).random((d, d))))

    assert group.knobs == tuple(f"x{i}" for i in range(d))
    assert f"{d} designs for {d} effects" in group.text


@given(seed=st.integers(0, 10_000), d=st.integers(2, 6))
@settings(max_examples=30, deadline=None)
def test_groups_do_not_depend_on_repeats_units_or_order(seed: int, d: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.random((d + 1, d))
    changed = np.repeat(matrix[rng.permutation(d + 1)] * 1e6 + 5, rng.integers(1, 4, d + 1), axis=0)

    assert groups(*numeric(matrix)) == groups(*numeric(changed))


@pytest.mark.parametrize("correlation", [0.5, 0.9, 0.97, 0.999])
def test_nearly_equal_knobs_are_grouped_by_their_inflation(correlation: float) -> None:
    """The variance inflation factor of two knobs is 1 / (1 - r^2); the limit is 10, that is r = .949."""
    basis = np.linalg.qr(np.column_stack([np.ones(40), np.random.default_rng(0).standard_normal((40, 3))]))[0][:, 1:]
    matrix = np.column_stack(
        [basis[:, 0], basis[:, 1], correlation * basis[:, 0] + np.sqrt(1 - correlation**2) * basis[:, 2]]
    )
    found = find_collinear(*numeric(matrix))

    assert [group.knobs for group in found] == ([("x0", "x2")] if correlation > 0.949 else [])
    assert all(f"{1 / np.sqrt(1 - correlation**2):.1f} times" in group.text for group in found)


def test_paper_rows_are_collinear_in_each_family_and_pooled() -> None:
    columns = paper_samples().columns
    names = ("pruning_ratio", "quant_step", "voltage_v", "frequency_hz")

    assert groups(columns, PAPER) == [names]
    for family in np.unique(columns["family"].astype(str)):
        assert groups(take(columns, columns["family"] == family), PAPER) == [names]


def test_rows_that_separate_voltage_from_compression_split_the_group() -> None:
    """Four more rows: two networks of the CNN at the other's operating point, and two of the DNN."""
    columns = {name: paper_samples().columns[name] for name in (knob.name for knob in PAPER)}
    more = take(columns, np.array([0, 2, 3, 5]))
    operating = take(columns, np.array([2, 0, 5, 3]))
    more |= {name: operating[name] for name in ("voltage_v", "frequency_hz")}
    table = {name: np.concatenate([columns[name], more[name]]) for name in columns}

    assert groups(table, PAPER) == [("pruning_ratio", "quant_step"), ("voltage_v", "frequency_hz")]


def test_voltage_of_a_sweep_follows_the_clock() -> None:
    clock = np.array([0.4e9, 0.8e9, 1.2e9, 1.6e9, 2e9])
    volts = np.array([0.7, 0.7, 0.75, 0.9, 1.05])
    (group,) = find_collinear({"voltage_v": volts, "frequency_hz": clock}, (VOLTAGE, CLOCK))

    assert group.knobs == ("voltage_v", "frequency_hz")
    assert "voltage_v follows frequency_hz (a sweep of operating points)" in group.text


def test_one_clock_at_two_voltages_ends_the_sweep() -> None:
    """The same sweep, measured at a second voltage at both ends."""
    clock = np.array([0.4e9, 0.8e9, 1.2e9, 1.6e9, 2e9, 0.4e9, 2e9])
    volts = np.array([0.7, 0.7, 0.75, 0.9, 1.05, 1.05, 0.7])

    assert groups({"voltage_v": volts, "frequency_hz": clock}, (VOLTAGE, CLOCK)) == []


def test_knob_that_is_constant_in_each_family_is_aliased_with_it() -> None:
    designs = {
        "family": np.repeat(["a", "b"], 4).astype(object),
        "voltage_v": np.repeat([0.8, 1.0], 4),
        "frequency_hz": np.tile([1e9, 1.2e9, 1.4e9, 1.6e9], 2),
    }
    (group,) = find_collinear(designs, (FAMILY, VOLTAGE, CLOCK))

    assert group.knobs == ("family", "voltage_v")


def test_category_that_follows_another_is_found_beside_a_free_one() -> None:
    bits, scheme, backend = zip(*itertools.product((4.0, 8.0), "ab", "xyz"), strict=True)
    designs = {
        "weight_bits": np.array(bits),
        "scheme": np.array(scheme, dtype=object),
        "backend": np.array(backend, dtype=object),
        "kernel": np.array([f"k{name}" for name in backend], dtype=object),
    }
    knobs = (KnobSpec("weight_bits", "number"), *(KnobSpec(k, "category") for k in ("scheme", "backend", "kernel")))

    assert groups(designs, knobs[:3]) == []
    assert groups(designs, knobs) == [("backend", "kernel")]


def test_constant_and_missing_values_are_in_no_group() -> None:
    designs = {"x0": np.array([1.0, 2.0, 3.0, np.nan]), "x1": np.full(4, 7.0), "x2": np.array([1.0, 5.0, 2.0, 4.0])}

    assert groups(designs, tuple(KnobSpec(name, "number") for name in designs)) == []
    assert groups({}, ()) == []


@pytest.mark.slow
def test_200_knobs_and_10000_rows_are_checked_in_seconds() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.random((10_000, 200))
    matrix[:, 7] = matrix[:, 3] + matrix[:, 5]

    assert groups(*numeric(matrix)) == [("x3", "x5", "x7")]
