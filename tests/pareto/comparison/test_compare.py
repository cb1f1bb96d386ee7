"""Comparing fronts: coverage and hypervolume by their laws and a slow twin; unequal questions are told, not mixed."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from explorer.pareto.results.results import Results
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from explorer.errors import NoFeasibleDesign, UnknownName, WrongUsage
from explorer.pareto.comparison.compare import Comparison, compare, comparison_json, coverage
from explorer.problem.columns import Float
from explorer.problem.objectives import OBJECTIVES, Objective

TWO = (OBJECTIVES["edp_js"], OBJECTIVES["accuracy"])
THREE = (OBJECTIVES["energy_j"], OBJECTIVES["latency_s"], OBJECTIVES["accuracy"])
# Few different numbers, so that ties and equal points are common.
GRID = st.integers(0, 5).map(float)
TABLES = st.integers(1, 9).flatmap(lambda n: arrays(np.float64, (n, 3), elements=GRID))
LAWS = settings(max_examples=60, deadline=None)
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
    """Make results whose designs have these objectives, and a provenance that differs in what is `changed`."""
    n = len(values)
    table = {
        "design_id": np.arange(n),
        "family": np.full(n, "CNN", dtype=object),
        **{o.name: values[:, j].astype(np.float64) for j, o in enumerate(objectives)},
        **more,
        "is_feasible": np.ones(n, dtype=np.bool_) if is_feasible is None else np.array(is_feasible),
    }
    told = copy.deepcopy(PROVENANCE)
    for path, value in (changed or {}).items():
        *parents, last = [int(key) if key.isdecimal() else key for key in path.split("/")]
        place: Any = told
        for parent in parents:
            place = place[parent]
        place[last] = value
    return Results(
        study=name, title=name, table=table, objectives=tuple(objectives), constraints=constraints,
        reference_point=tuple(reference or (9.0 if o.sign > 0 else -1.0 for o in objectives)), samples={},
        sample_labels=(), notes=(), provenance=told,
    )  # fmt: skip


def pair(first: dict[str, Any] | None = None, second: dict[str, Any] | None = None, **asked: Any) -> Comparison:
    """Compare two studies of one front, made differently."""
    values = np.array([[1.0, 0.9], [2.0, 0.95]])
    return compare([study(values, **{"objectives": TWO, "name": name, **(how or {})})
                    for name, how in (("a", first), ("b", second))], **asked)  # fmt: skip


def slow_coverage(first: Float, second: Float, objectives: Sequence[Objective]) -> float:
    signs = [o.sign for o in objectives]
    covered = [
        any(all(s * x <= s * y for s, x, y in zip(signs, a, b, strict=True)) for a in first.tolist())
        for b in second.tolist()
    ]
    return sum(covered) / len(covered)


@LAWS
@given(first=TABLES, second=TABLES)
def test_coverage_is_that_of_a_slow_twin(first: Float, second: Float) -> None:
    assert coverage(first, second, THREE) == slow_coverage(first, second, THREE)


def test_large_fronts_are_covered_block_by_block() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((3000, 3)), rng.random((2500, 3))
    some = rng.choice(2500, 20, replace=False)

    assert coverage(first, second[some], THREE) == slow_coverage(first, second[some], THREE)
    blocks = [coverage(first, part, THREE) * len(part) for part in np.array_split(second, 50)]
    assert coverage(first, second, THREE) == pytest.approx(sum(blocks) / 2500, abs=1e-12)


@LAWS
@given(values=TABLES)
def test_a_front_covers_itself(values: Float) -> None:
    assert coverage(values, values, THREE) == 1.0


@LAWS
@given(values=TABLES)
def test_what_is_better_everywhere_covers_all_and_is_covered_by_none(values: Float) -> None:
    better = values - 6 * np.array([o.sign for o in THREE])

    assert coverage(better, values, THREE) == 1.0
    assert coverage(values, better, THREE) == 0.0


@LAWS
@given(first=TABLES, second=TABLES, seed=st.integers(0, 99))
def test_the_order_of_designs_does_not_matter(first: Float, second: Float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, other = (
        compare([study(first), study(second)]),
        compare([study(rng.permutation(first)), study(rng.permutation(second))]),
    )

    assert comparison_json(one)["coverage"] == comparison_json(other)["coverage"]
    assert one.union_hypervolume == other.union_hypervolume
    assert [side.n_surviving for side in one.sides] == [side.n_surviving for side in other.sides]


@LAWS
@given(first=TABLES, second=TABLES)
def test_the_order_of_studies_only_permutes(first: Float, second: Float) -> None:
    one, other = compare([study(first), study(second)]), compare([study(second), study(first)])

    assert one.coverage.T[::-1, ::-1].T.tolist() == other.coverage.tolist()
    assert one.reference_point == other.reference_point
    assert [side.hypervolume for side in one.sides] == [side.hypervolume for side in other.sides][::-1]


@LAWS
@given(tables=st.lists(TABLES, min_size=2, max_size=4))
def test_the_union_is_at_least_each_front_and_every_share_at_most_one(tables: list[Float]) -> None:
    found = compare([study(values) for values in tables])

    assert all(side.hypervolume <= found.union_hypervolume * (1 + 1e-12) for side in found.sides)
    assert all(side.share <= 1 + 1e-12 for side in found.sides)
    assert all(side.n_surviving <= len(side.values) for side in found.sides)
    assert any(side.n_surviving for side in found.sides)


@LAWS
@given(first=TABLES, second=TABLES)
def test_designs_survive_where_no_design_of_another_front_dominates_them(first: Float, second: Float) -> None:
    found = compare([study(first), study(second)])
    signs = np.array([o.sign for o in THREE])
    mine, other = (side.values * signs for side in found.sides)
    beaten = [any((b <= a).all() and (b < a).any() for b in other) for a in mine]

    assert found.sides[0].n_surviving == len(mine) - sum(beaten)


def test_equal_fronts_share_everything_and_nothing_has_changed() -> None:
    found = pair(second={"name": "a"})

    assert [side.share for side in found.sides] == [1.0, 1.0]
    assert found.coverage.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert [side.n_surviving for side in found.sides] == [2, 2]
    assert found.union_size == 2
    assert (found.changes, found.notes) == ((), ())


def test_infeasible_designs_are_on_no_front() -> None:
    values = np.array([[1.0, 0.9], [0.1, 0.99]])
    found = compare([study(values, objectives=TWO, is_feasible=[True, False]), study(values[:1], objectives=TWO)])

    assert found.coverage.tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_a_study_without_a_front_covers_nothing_and_nothing_is_said_of_it() -> None:
    values = np.array([[1.0, 0.9]])
    found = compare([study(values, objectives=TWO), study(values, objectives=TWO, is_feasible=[False])])

    assert found.sides[1].hypervolume == 0.0
    assert found.coverage[1, 0] == 0.0
    assert np.isnan(found.coverage[:, 1]).all()
    with pytest.raises(NoFeasibleDesign, match="none of the studies"):
        compare([study(values, objectives=TWO, is_feasible=[False])] * 2)


def test_equal_reference_points_are_kept_and_unequal_ones_replaced_by_one_beyond_all() -> None:
    own = pair({"reference": (4.0, 0.8)}, {"reference": (4.0, 0.8)})
    common = pair({"reference": (4.0, 0.8)}, {"reference": (3.0, 0.8)})

    assert own.reference_point == (4.0, 0.8)
    assert "own" in own.reference_origin
    assert common.reference_point == pytest.approx((2.1, 0.895))  # a tenth of 1.0 and of 0.05 beyond 2.0 and 0.9
    assert "a tenth" in common.reference_origin


def test_the_order_in_which_objectives_are_declared_does_not_matter() -> None:
    values = np.array([[1.0, 0.9], [2.0, 0.95]])
    turned = study(values[:, ::-1], objectives=TWO[::-1], reference=(0.8, 4.0))
    found = compare([study(values, objectives=TWO, reference=(4.0, 0.8)), turned])

    assert found.reference_point == (4.0, 0.8)
    assert found.coverage.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert not found.notes


def with_columns(objectives: Sequence[str], **how: Any) -> Results:
    """Make a study of three designs that holds more columns than it was searched for."""
    columns = {
        "edp_js": [1.0, 2.0, 3.0], "accuracy": [0.9, 0.91, 0.92], "weighted_cost": [0.3, 0.2, 0.1],
        "latency_s": [0.1, 0.2, 0.15],
    }  # fmt: skip
    asked = [OBJECTIVES[name] for name in objectives]
    rest = {name: np.array(values) for name, values in columns.items() if name not in objectives}
    return study(np.array([columns[name] for name in objectives]).T, objectives=asked, **rest, **how)


def test_studies_of_other_objectives_are_compared_by_what_both_declare() -> None:
    found = compare([with_columns(["edp_js", "accuracy"]), with_columns(["edp_js", "accuracy", "latency_s"], name="b")])

    assert [o.name for o in found.objectives] == ["edp_js", "accuracy"]
    assert "LEFT OUT: latency_s" in found.notes[0]
    assert "OBJECTIVES DIFFER: b was searched for edp_js, accuracy, latency_s" in found.notes[1]


def test_studies_that_share_one_objective_are_compared_by_all_that_both_hold() -> None:
    found = compare([with_columns(["edp_js", "accuracy"]), with_columns(["edp_js", "latency_s"], name="b")])

    assert [o.name for o in found.objectives] == ["edp_js", "accuracy", "latency_s"]
    assert "OBJECTIVES DIFFER" in found.notes[0]


def test_objectives_can_be_chosen() -> None:
    found = compare([with_columns(["edp_js", "accuracy"])] * 2, objectives=["latency_s", "accuracy"])

    assert [o.name for o in found.objectives] == ["latency_s", "accuracy"]
    assert found.sides[0].values.tolist() == [[0.1, 0.9], [0.15, 0.92]]  # a front of its own


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        pytest.param(["edp", "accuracy"], "unknown name 'edp'(.|\n)*did you mean 'edp_js'", id="unknown"),
        pytest.param(["edp_js", "edp_js"], "fewer than two objectives", id="one"),
        pytest.param(["edp_js", "power_w"], "hold power_w(.|\n)*--objectives with two or more of edp_js", id="lacking"),
    ],
)
def test_objectives_that_cannot_be_compared_are_told_with_those_that_can(asked: list[str], said: str) -> None:
    with pytest.raises((WrongUsage, UnknownName), match=said):
        compare([with_columns(["edp_js", "accuracy"])] * 2, objectives=asked)


def test_a_column_with_gaps_is_not_held() -> None:
    gaps = with_columns(["edp_js", "accuracy"])
    gaps.table["latency_s"][1] = np.nan

    with pytest.raises(WrongUsage, match="not all of the studies hold latency_s"):
        compare([gaps, with_columns(["edp_js", "accuracy"])], objectives=["latency_s", "accuracy"])


def test_studies_without_two_common_columns_are_refused() -> None:
    first = study(np.array([[1.0, 0.9]]), objectives=TWO)
    second = study(np.array([[1.0, 0.9]]), objectives=(OBJECTIVES["latency_s"], OBJECTIVES["accuracy"]))

    with pytest.raises(WrongUsage, match=r"fewer than two objectives to compare by \(accuracy\)"):
        compare([first, second])
    with pytest.raises(WrongUsage, match="1 study given"):
        compare([first])


@pytest.mark.parametrize("key", ["alpha", "energy_max_j"])
def test_weighted_costs_of_unequal_weights_are_never_mixed(key: str) -> None:
    other = {"changed": {f"question/{key}": 0.5}}
    asked = ["edp_js", "weighted_cost"]
    with pytest.raises(WrongUsage, match=r"weighted_cost means different things \(a: alpha 0\.9(.|\n)*--objectives"):
        compare([with_columns(asked), with_columns(asked, name="b", **other)])
    assert compare([with_columns(asked), with_columns(asked, name="b")]).objectives[1].name == "weighted_cost"

    found = compare([with_columns(["edp_js", "accuracy", "weighted_cost"]),
                     with_columns(["edp_js", "accuracy"], name="b", **other)])  # fmt: skip
    assert [o.name for o in found.objectives] == ["edp_js", "accuracy"]
    assert any(note.startswith("ALPHA OR E_MAX DIFFER: a: alpha 0.9, E_max 39.6 J; b:") for note in found.notes)
    assert any(note.startswith("LEFT OUT: weighted_cost") for note in found.notes)


@pytest.mark.parametrize(
    ("how", "said"),
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
def test_unequal_questions_are_told(how: dict[str, Any], said: str) -> None:
    assert [note for note in pair(second=how).notes if note.startswith(said)]
    assert not pair(how, how).notes


def test_a_model_that_only_bears_another_name_is_the_same_model() -> None:
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
def test_what_changed_is_told_as_old_and_new_and_nothing_else(
    path: str, value: Any, what: str, texts: tuple[str, str]
) -> None:
    (change,) = pair(second={"name": "a", "changed": {path: value}}).changes

    assert (change.what, change.values) == (what, texts)


def test_the_space_of_a_family_that_one_study_lacks_is_told_by_its_name_only() -> None:
    wider = {"question/families": [["CNN"], ["DNN"]], "question/spaces": [SPACE, {**SPACE, "family": "DNN"}]}

    assert [change.what for change in pair(second={"name": "a", "changed": wider}).changes] == ["families"]


@pytest.mark.parametrize(
    "changed",
    [{"question": None}, {"question": 3}, {"model": []}, {"spaces": "x"}, {"packages": None}, {"study": 1},
     {"question/families": "CNN"}, {"question/alpha": [1]}, {"question/spaces": {"a": 1}}],
)  # fmt: skip
def test_a_provenance_that_somebody_edited_is_no_crash(changed: dict[str, Any]) -> None:
    found = pair(second={"changed": changed})

    assert found.coverage.tolist() == [[1.0, 1.0], [1.0, 1.0]]
    assert found.changes
