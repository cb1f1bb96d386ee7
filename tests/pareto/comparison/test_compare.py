"""Comparison of fronts: coverage and hypervolume against brute force and invariants; warnings for unequal studies."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.errors import NoFeasibleDesign, UnknownName, WrongUsage
from explorer.pareto.comparison.compare import Comparison, compare_results, comparison_json, coverage
from explorer.pareto.results.results import Results
from explorer.problem.columns import Float
from explorer.problem.objectives import OBJECTIVES, Objective

TWO = (OBJECTIVES["edp_js"], OBJECTIVES["accuracy"])
THREE = (OBJECTIVES["energy_j"], OBJECTIVES["latency_s"], OBJECTIVES["accuracy"])
# Few distinct numbers, so that ties and equal points are common.
GRID = st.integers(0, 5).map(float)
TABLES = st.integers(1, 9).flatmap(lambda n: arrays(np.float64, (n, 3), elements=GRID))
PROPERTY = settings(max_examples=60, deadline=None)
SPACE = {"family": "CNN", "axes": {"voltage": {"range": [0.5, 1.3], "scale": "linear"}}}
PROVENANCE: dict[str, Any] = {
    "explorer_version": "0.1.0",
    "study": {"name": "a", "sha256": "a" * 64},
    "spaces": [{"name": "cnn", "sha256": "b" * 64}],
    "model": {"name": "paper", "samples_sha256": "c" * 64, "coefficients": {"accuracy": {"b_R": 0.3, "b_D": 0.1}}},
    "question": {"spaces": [SPACE], "families": [["CNN"]], "alpha": 0.9, "energy_max_j": 39.6, "constraints": []},
    "sampler": "nsga2",
    "seed": 0,
    "trials": 9,
    "python": "3.11.7",
    "packages": {"optuna": "5.0.0"},
}


def study(
    values: Float,
    *,
    objectives: Sequence[Objective] = THREE,
    name: str = "a",
    reference: Sequence[float] | None = None,
    constraints: tuple[str, ...] = (),
    is_feasible: Sequence[bool] | None = None,
    changed: dict[str, Any] | None = None,
    **more: Float,
) -> Results:
    """Return results with these objectives, and a provenance with the entries `changed`."""
    n = len(values)
    table = {
        "design_id": np.arange(n),
        "family": np.full(n, "CNN", dtype=object),
        **{o.name: values[:, j].astype(np.float64) for j, o in enumerate(objectives)},
        **more,
        "is_feasible": np.ones(n, dtype=np.bool_) if is_feasible is None else np.array(is_feasible),
    }
    provenance = copy.deepcopy(PROVENANCE)
    for path, value in (changed or {}).items():
        *parents, last = [int(key) if key.isdecimal() else key for key in path.split("/")]
        node: Any = provenance
        for parent in parents:
            node = node[parent]
        node[last] = value
    return Results(
        study=name, title=name, table=table, objectives=tuple(objectives), constraints=constraints,
        reference_point=tuple(reference or (9.0 if o.sign > 0 else -1.0 for o in objectives)), samples={},
        sample_labels=(), notes=(), provenance=provenance,
    )  # fmt: skip


def pair(first: dict[str, Any] | None = None, second: dict[str, Any] | None = None, **options: Any) -> Comparison:
    """Compare two studies of equal fronts that differ in other ways."""
    values = np.array([[1.0, 0.9], [2.0, 0.95]])
    return compare_results([study(values, **{"objectives": TWO, "name": name, **(how or {})})
                    for name, how in (("a", first), ("b", second))], **options)  # fmt: skip


def brute_force_coverage(first: Float, second: Float, objectives: Sequence[Objective]) -> float:
    signs = [o.sign for o in objectives]
    covered = [
        any(all(s * x <= s * y for s, x, y in zip(signs, a, b, strict=True)) for a in first.tolist())
        for b in second.tolist()
    ]
    return sum(covered) / len(covered)


@PROPERTY
@given(first=TABLES, second=TABLES)
def test_coverage_equals_brute_force(first: Float, second: Float) -> None:
    assert coverage(first, second, THREE) == brute_force_coverage(first, second, THREE)


def test_coverage_of_large_fronts_is_exact() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((3000, 3)), rng.random((2500, 3))
    some = rng.choice(2500, 20, replace=False)

    assert coverage(first, second[some], THREE) == brute_force_coverage(first, second[some], THREE)
    blocks = [coverage(first, part, THREE) * len(part) for part in np.array_split(second, 50)]
    assert coverage(first, second, THREE) == pytest.approx(sum(blocks) / 2500, abs=1e-12)


@PROPERTY
@given(values=TABLES)
def test_front_covers_itself(values: Float) -> None:
    assert coverage(values, values, THREE) == 1.0


@PROPERTY
@given(values=TABLES)
def test_dominating_front_covers_all_points(values: Float) -> None:
    better = values - 6 * np.array([o.sign for o in THREE])

    assert coverage(better, values, THREE) == 1.0
    assert coverage(values, better, THREE) == 0.0


@PROPERTY
@given(first=TABLES, second=TABLES, seed=st.integers(0, 99))
def test_order_of_designs_does_not_matter(first: Float, second: Float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    original, shuffled = (
        compare_results([study(first), study(second)]),
        compare_results([study(rng.permutation(first)), study(rng.permutation(second))]),
    )

    assert comparison_json(original)["coverage"] == comparison_json(shuffled)["coverage"]
    assert original.union_hypervolume == shuffled.union_hypervolume
    assert [side.n_surviving for side in original.sides] == [side.n_surviving for side in shuffled.sides]


@PROPERTY
@given(first=TABLES, second=TABLES)
def test_order_of_studies_permutes_the_result(first: Float, second: Float) -> None:
    forward, backward = compare_results([study(first), study(second)]), compare_results([study(second), study(first)])

    assert forward.coverage.T[::-1, ::-1].T.tolist() == backward.coverage.tolist()
    assert forward.reference_point == backward.reference_point
    assert [side.hypervolume for side in forward.sides] == [side.hypervolume for side in backward.sides][::-1]


@PROPERTY
@given(tables=st.lists(TABLES, min_size=2, max_size=4))
def test_union_hypervolume_bounds_that_of_each_front(tables: list[Float]) -> None:
    comparison = compare_results([study(values) for values in tables])

    assert all(side.hypervolume <= comparison.union_hypervolume * (1 + 1e-12) for side in comparison.sides)
    assert all(side.share <= 1 + 1e-12 for side in comparison.sides)
    assert all(side.n_surviving <= len(side.values) for side in comparison.sides)
    assert any(side.n_surviving for side in comparison.sides)


@PROPERTY
@given(first=TABLES, second=TABLES)
def test_survivors_are_not_dominated_by_another_front(first: Float, second: Float) -> None:
    comparison = compare_results([study(first), study(second)])
    signs = np.array([o.sign for o in THREE])
    first_front, second_front = (side.values * signs for side in comparison.sides)
    dominated = [any((b <= a).all() and (b < a).any() for b in second_front) for a in first_front]

    assert comparison.sides[0].n_surviving == len(first_front) - sum(dominated)


def test_equal_studies_have_no_differences() -> None:
    comparison = pair(second={"name": "a"})

    assert [side.share for side in comparison.sides] == [1.0, 1.0]
    assert comparison.coverage.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert [side.n_surviving for side in comparison.sides] == [2, 2]
    assert comparison.union_size == 2
    assert (comparison.changes, comparison.notes) == ((), ())


def test_infeasible_designs_are_on_no_front() -> None:
    values = np.array([[1.0, 0.9], [0.1, 0.99]])
    comparison = compare_results(
        [study(values, objectives=TWO, is_feasible=[True, False]), study(values[:1], objectives=TWO)]
    )

    assert comparison.coverage.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_study_without_a_front_covers_nothing() -> None:
    values = np.array([[1.0, 0.9]])
    comparison = compare_results([study(values, objectives=TWO), study(values, objectives=TWO, is_feasible=[False])])

    assert comparison.sides[1].hypervolume == 0.0
    assert comparison.coverage[1, 0] == 0.0
    assert np.isnan(comparison.coverage[:, 1]).all()
    with pytest.raises(NoFeasibleDesign, match="none of the studies"):
        compare_results([study(values, objectives=TWO, is_feasible=[False])] * 2)


def test_unequal_reference_points_are_replaced_by_a_common_one() -> None:
    own = pair({"reference": (4.0, 0.8)}, {"reference": (4.0, 0.8)})
    common = pair({"reference": (4.0, 0.8)}, {"reference": (3.0, 0.8)})

    assert own.reference_point == (4.0, 0.8)
    assert "own" in own.reference_origin
    assert common.reference_point == pytest.approx((2.1, 0.895))  # a tenth of 1.0 and of 0.05 beyond 2.0 and 0.9
    assert "a tenth" in common.reference_origin


def test_order_of_objectives_does_not_matter() -> None:
    values = np.array([[1.0, 0.9], [2.0, 0.95]])
    reordered = study(values[:, ::-1], objectives=TWO[::-1], reference=(0.8, 4.0))
    comparison = compare_results([study(values, objectives=TWO, reference=(4.0, 0.8)), reordered])

    assert comparison.reference_point == (4.0, 0.8)
    assert comparison.coverage.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert not comparison.notes


def with_columns(objectives: Sequence[str], **options: Any) -> Results:
    """Return results of three designs with further columns besides the objectives."""
    columns = {
        "edp_js": [1.0, 2.0, 3.0], "accuracy": [0.9, 0.91, 0.92], "weighted_cost": [0.3, 0.2, 0.1],
        "latency_s": [0.1, 0.2, 0.15],
    }  # fmt: skip
    optimized = [OBJECTIVES[name] for name in objectives]
    rest = {name: np.array(values) for name, values in columns.items() if name not in objectives}
    return study(np.array([columns[name] for name in objectives]).T, objectives=optimized, **rest, **options)


def test_studies_are_compared_by_their_shared_objectives() -> None:
    comparison = compare_results(
        [with_columns(["edp_js", "accuracy"]), with_columns(["edp_js", "accuracy", "latency_s"], name="b")]
    )

    assert [o.name for o in comparison.objectives] == ["edp_js", "accuracy"]
    assert "LEFT OUT: latency_s" in comparison.notes[0]
    assert "OBJECTIVES DIFFER: b was searched for edp_js, accuracy, latency_s" in comparison.notes[1]


def test_one_shared_objective_extends_to_available_columns() -> None:
    comparison = compare_results(
        [with_columns(["edp_js", "accuracy"]), with_columns(["edp_js", "latency_s"], name="b")]
    )

    assert [o.name for o in comparison.objectives] == ["edp_js", "accuracy", "latency_s"]
    assert "OBJECTIVES DIFFER" in comparison.notes[0]


def test_objectives_can_be_requested() -> None:
    comparison = compare_results([with_columns(["edp_js", "accuracy"])] * 2, objectives=["latency_s", "accuracy"])

    assert [o.name for o in comparison.objectives] == ["latency_s", "accuracy"]
    assert comparison.sides[0].values.tolist() == [[0.1, 0.9], [0.15, 0.92]]  # the front in these objectives


@pytest.mark.parametrize(
    ("requested", "message"),
    [
        pytest.param(["edpp", "accuracy"], "unknown name 'edpp'(.|\n)*did you mean 'edp_js'", id="unknown"),
        pytest.param(["edp_js", "edp_js"], "fewer than two objectives", id="one"),
        pytest.param(["edp_js", "power_w"], "hold power_w(.|\n)*--objectives with two or more of edp_js", id="lacking"),
    ],
)
def test_invalid_objectives_are_refused_with_the_valid_ones(requested: list[str], message: str) -> None:
    with pytest.raises((WrongUsage, UnknownName), match=message):
        compare_results([with_columns(["edp_js", "accuracy"])] * 2, objectives=requested)


def test_column_with_missing_values_is_not_available() -> None:
    gaps = with_columns(["edp_js", "accuracy"])
    gaps.table["latency_s"][1] = np.nan

    with pytest.raises(WrongUsage, match="not all of the studies hold latency_s"):
        compare_results([gaps, with_columns(["edp_js", "accuracy"])], objectives=["latency_s", "accuracy"])


def test_studies_without_two_common_columns_are_refused() -> None:
    first = study(np.array([[1.0, 0.9]]), objectives=TWO)
    second = study(np.array([[1.0, 0.9]]), objectives=(OBJECTIVES["latency_s"], OBJECTIVES["accuracy"]))

    with pytest.raises(WrongUsage, match=r"fewer than two objectives to compare by \(accuracy\)"):
        compare_results([first, second])
    with pytest.raises(WrongUsage, match="1 study given"):
        compare_results([first])


@pytest.mark.parametrize("key", ["alpha", "energy_max_j"])
def test_weighted_costs_of_unequal_weights_are_not_compared(key: str) -> None:
    options = {"changed": {f"question/{key}": 0.5}}
    requested = ["edp_js", "weighted_cost"]
    with pytest.raises(WrongUsage, match=r"weighted_cost means different things \(a: alpha 0\.9(.|\n)*--objectives"):
        compare_results([with_columns(requested), with_columns(requested, name="b", **options)])
    assert (
        compare_results([with_columns(requested), with_columns(requested, name="b")]).objectives[1].name
        == "weighted_cost"
    )

    comparison = compare_results([with_columns(["edp_js", "accuracy", "weighted_cost"]),
                     with_columns(["edp_js", "accuracy"], name="b", **options)])  # fmt: skip
    assert [o.name for o in comparison.objectives] == ["edp_js", "accuracy"]
    assert any(note.startswith("ALPHA OR E_MAX DIFFER: a: alpha 0.9, E_max 39.6 J; b:") for note in comparison.notes)
    assert any(note.startswith("LEFT OUT: weighted_cost") for note in comparison.notes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"changed": {"model/samples_sha256": "d"}}, "MODELS DIFFER", id="samples"),
        pytest.param({"changed": {"model/coefficients/accuracy/b_R": 0.31}}, "MODELS DIFFER", id="coefficients"),
        pytest.param({"changed": {"question/families": [["CNN"], ["DNN"]]}}, "FAMILIES DIFFER: a: CNN; b: CNN, DNN",
                     id="families"),
        pytest.param({"constraints": ("power_w <= 22 W",)}, "CONSTRAINTS DIFFER: a: none; b: power_w <= 22 W",
                     id="constraints"),
        pytest.param({"changed": {"question/spaces": []}}, "SEARCH SPACES DIFFER", id="spaces"),
    ],
)  # fmt: skip
def test_differences_of_the_studies_are_warned_of(options: dict[str, Any], message: str) -> None:
    assert [note for note in pair(second=options).notes if note.startswith(message)]
    assert not pair(options, options).notes


def test_renamed_model_is_the_same_model() -> None:
    assert not pair(second={"changed": {"model/name": "mine.json"}}).notes


@pytest.mark.parametrize(
    ("path", "value", "what", "texts"),
    [
        ("seed", 1, "seed", ("0", "1")),
        ("sampler", "tpe", "sampler", ("nsga2", "tpe")),
        ("question/alpha", 0.5, "alpha", ("0.9", "0.5")),
        ("question/constraints", ["power_w <= 22 W"], "constraints", ("-", "power_w <= 22 W")),
        ("question/spaces/0", {**SPACE, "axes": {"voltage": {"range": [0.6, 1.2], "scale": "linear"}}},
         "space CNN: axes.voltage.range", ("0.5, 1.3", "0.6, 1.2")),
        ("study/sha256", "d" * 64, "study file: SHA-256", ("a" * 12, "d" * 12)),
        ("spaces/0/sha256", "d" * 64, "space file: SHA-256", ("b" * 12, "d" * 12)),
        ("model/coefficients/accuracy/b_R", 0.31, "model: coefficients", ("the first one's", "1 of 2 differ")),
        ("packages/optuna", "5.1.0", "optuna", ("5.0.0", "5.1.0")),
        ("explorer_version", "0.2.0", "explorer version", ("0.1.0", "0.2.0")),
    ],
)  # fmt: skip
def test_single_change_is_listed_with_both_values(path: str, value: Any, what: str, texts: tuple[str, str]) -> None:
    (change,) = pair(second={"name": "a", "changed": {path: value}}).changes

    assert (change.what, change.values) == (what, texts)


def test_added_family_is_one_change() -> None:
    wider = {"question/families": [["CNN"], ["DNN"]], "question/spaces": [SPACE, {**SPACE, "family": "DNN"}]}

    assert [change.what for change in pair(second={"name": "a", "changed": wider}).changes] == ["families"]


@pytest.mark.parametrize(
    "changed",
    [{"question": None}, {"question": 3}, {"model": []}, {"spaces": "x"}, {"packages": None}, {"study": 1},
     {"question/families": "CNN"}, {"question/alpha": [1]}, {"question/spaces": {"a": 1}}],
)  # fmt: skip
def test_edited_provenance_does_not_crash(changed: dict[str, Any]) -> None:
    comparison = pair(second={"changed": changed})

    assert comparison.coverage.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert comparison.changes
