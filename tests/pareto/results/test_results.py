"""Results and their folder: every digit is kept, and damage is told."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer.errors import InvalidFile, WrongUsage
from explorer.pareto.results.folder import FRONT_CSV, FRONT_JSON, PROVENANCE_JSON, TRIALS_CSV, read_folder, write_folder
from explorer.pareto.results.results import Results, front_order
from explorer.problem.columns import COLUMNS, KNOBS, Columns
from explorer.problem.objectives import OBJECTIVES


def make_results(n: int = 6, *, seed: int = 0, samples: bool = True) -> Results:
    """Make results of n designs with any numbers: what they mean does not matter to the folder."""
    rng = np.random.default_rng(seed)
    table = _table(rng, n)
    measured = {k: v for k, v in _table(rng, 2).items() if k not in {"design_id", "origin", "is_feasible"}}
    measured["accuracy"] = np.array([0.9, np.nan])
    return Results(
        study="edge, with a comma",
        title="Über <alles>",
        table=table,
        objectives=(OBJECTIVES["edp_js"], OBJECTIVES["accuracy"]),
        constraints=("power_w <= 22 W",),
        reference_point=(5.0, 0.1),
        samples=measured if samples else {},
        sample_labels=("A1", "A2") if samples else (),
        notes=("a note",),
        provenance={"seed": 0, "runs": [{"from": 0, "to": n}]},
    )


def test_the_front_is_in_order_of_the_first_objective() -> None:
    front = make_results(60).front_columns

    assert front["edp_js"].tolist() == sorted(front["edp_js"].tolist())
    assert front["is_feasible"].all()
    assert front["accuracy"].tolist() == sorted(front["accuracy"].tolist())  # of two objectives: one for the other


def test_the_hypervolume_is_that_of_the_feasible_designs() -> None:
    results = make_results(60)
    best = {}
    for x, y in results.values[results.table["is_feasible"]].tolist():
        best[x] = max(y, best.get(x, 0.1))
    area, highest = 0.0, 0.1
    for x in sorted(best):
        area += max(5.0 - x, 0) * max(best[x] - highest, 0)
        highest = max(highest, best[x])

    assert results.hypervolume == pytest.approx(area)


def test_frames_are_the_same_designs() -> None:
    results = make_results(20)

    assert results.frame()["design_id"].tolist() == list(range(20))
    assert results.front()["design_id"].tolist() == results.front_columns["design_id"].tolist()
    assert list(results.front().columns) == front_order(results.table)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(0, 20), seed=st.integers(0, 1000), samples=st.booleans())
def test_a_folder_gives_back_exactly_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int, samples: bool
) -> None:
    folder = tmp_path_factory.mktemp("results")
    results = make_results(n, seed=seed, samples=samples)
    write_folder(results, folder)
    again = read_folder(folder)

    for ours, theirs in ((results.table, again.table), (results.samples, again.samples)):
        assert set(ours) == set(theirs)
        for name, values in ours.items():
            assert values.dtype == theirs[name].dtype, name
            if values.dtype == np.float64:
                assert values.view(np.int64).tolist() == theirs[name].view(np.int64).tolist(), name
            else:
                assert values.tolist() == theirs[name].tolist(), name
    plain = ("study", "title", "objectives", "constraints", "reference_point", "sample_labels", "notes", "provenance")
    assert [getattr(again, name) for name in plain] == [getattr(results, name) for name in plain]
    assert again.hypervolume == results.hypervolume


def test_front_csv_has_its_columns_in_the_documented_order(tmp_path: Path) -> None:
    """Identity, knobs, predictions, objectives, checks."""
    results = make_results()
    write_folder(results, tmp_path)
    with (tmp_path / FRONT_CSV).open(encoding="utf-8", newline="") as file:
        header, *rows = list(csv.reader(file))

    assert header == front_order(results.table)
    assert header[:7] == ["design_id", "origin", *KNOBS]
    kinds = [COLUMNS[name].kind for name in header[2:]]
    assert kinds == sorted(kinds, key=["knob", "prediction", "objective", "check"].index)
    assert [int(row[0]) for row in rows] == results.front_columns["design_id"].tolist()


def test_front_json_says_what_scripts_rely_on(tmp_path: Path) -> None:
    results = make_results()
    write_folder(results, tmp_path)
    data = json.loads((tmp_path / FRONT_JSON).read_text(encoding="utf-8"))

    assert data["schema"] == "explorer.front/1"
    assert [(o["name"], o["direction"]) for o in data["objectives"]] == [
        ("edp_js", "minimize"),
        ("accuracy", "maximize"),
    ]
    assert data["hypervolume"] == results.hypervolume
    assert data["front_size"] == len(data["designs"]) == int(results.is_front.sum())
    assert {*KNOBS, "accuracy", "edp_js"} <= set(data["designs"][0])
    assert data["reference_point"] == [5.0, 0.1]
    assert json.loads((tmp_path / PROVENANCE_JSON).read_text(encoding="utf-8")) == data["provenance"]


def test_numbers_that_json_lacks_are_null(tmp_path: Path) -> None:
    write_folder(make_results(), tmp_path)
    samples = json.loads((tmp_path / FRONT_JSON).read_text(encoding="utf-8"))["samples"]

    assert [sample["accuracy"] for sample in samples] == [0.9, None]


def test_a_second_writing_replaces_the_first_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_folder(make_results(8), tmp_path)
    written = write_folder(make_results(3), tmp_path)

    assert sorted(tmp_path.iterdir()) == sorted(written)
    assert read_folder(tmp_path).n_complete == 3


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WrongUsage, match="cannot write"):
        write_folder(make_results(), tmp_path / "file" / "results")


@pytest.mark.parametrize("missing", [FRONT_JSON, TRIALS_CSV])
def test_a_folder_without_its_files_holds_no_results(tmp_path: Path, missing: str) -> None:
    write_folder(make_results(), tmp_path)
    (tmp_path / missing).unlink()
    with pytest.raises(WrongUsage, match=r"holds no results\n  fix: run the study first"):
        read_folder(tmp_path)


def _cut(text: str) -> str:
    return text[: len(text) // 2]


def _without(*keys: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        data = json.loads(text)
        for key in keys:
            del data[key]
        return json.dumps(data)

    return change


def _with(**values: Any) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), **values})


def _written(rows: list[list[str]]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    return buffer.getvalue()


def _without_column(name: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        rows = list(csv.reader(io.StringIO(text)))
        j = rows[0].index(name)
        return _written([row[:j] + row[j + 1 :] for row in rows])

    return change


def _cell(column: str, value: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        rows = list(csv.reader(io.StringIO(text)))
        rows[1][rows[0].index(column)] = value
        return _written(rows)

    return change


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        pytest.param(FRONT_JSON, _cut, id="front.json cut off"),
        pytest.param(FRONT_JSON, lambda _: "", id="front.json empty"),
        pytest.param(FRONT_JSON, lambda _: "[]", id="front.json a list"),
        pytest.param(FRONT_JSON, lambda _: "[" * 100_000, id="front.json nested without end"),
        pytest.param(FRONT_JSON, _with(schema="explorer.front/9"), id="another schema"),
        pytest.param(FRONT_JSON, _without("objectives"), id="no objectives"),
        pytest.param(FRONT_JSON, _without("samples"), id="no samples"),
        pytest.param(FRONT_JSON, _with(objectives=[{"name": "beauty"}]), id="an unknown objective"),
        pytest.param(FRONT_JSON, _with(reference_point=[1.0]), id="a short reference point"),
        pytest.param(FRONT_JSON, _with(reference_point=["a", "b"]), id="a reference point of text"),
        pytest.param(FRONT_JSON, _with(provenance=[]), id="provenance a list"),
        pytest.param(FRONT_JSON, _with(samples=[{"name": "A1"}, {"family": "A"}]), id="samples of two kinds"),
        pytest.param(TRIALS_CSV, lambda text: text[:-30], id="trials.csv cut off within a row"),
        pytest.param(TRIALS_CSV, lambda text: "\n".join(text.splitlines()[:3]) + "\n", id="trials.csv lacks rows"),
        pytest.param(TRIALS_CSV, lambda _: "", id="trials.csv empty"),
        pytest.param(TRIALS_CSV, lambda text: text.replace("\n", "\r", 1), id="a bare carriage return"),
        *[
            pytest.param(TRIALS_CSV, _without_column(name), id=f"no {name}")
            for name in ("design_id", "origin", "family", "voltage_v", "edp_js", "accuracy", "is_feasible")
        ],
        pytest.param(TRIALS_CSV, _cell("edp_js", "abc"), id="text for a number"),
        pytest.param(TRIALS_CSV, _cell("design_id", "1.5"), id="half a design"),
        pytest.param(TRIALS_CSV, _cell("is_feasible", "TRUE"), id="another spelling of true"),
    ],
)
def test_a_damaged_file_is_refused_under_its_own_name(tmp_path: Path, name: str, damage: Callable[[str], str]) -> None:
    write_folder(make_results(), tmp_path)
    path = tmp_path / name
    path.write_bytes(damage(path.read_text(encoding="utf-8")).encode())
    with pytest.raises(InvalidFile, match=rf"{name}: (.|\n)*\n  fix: ") as caught:
        read_folder(tmp_path)

    assert caught.value.exit_code == 3


def _table(rng: np.random.Generator, n: int) -> Columns:
    names = [name for name, column in COLUMNS.items() if column.symbol or name in {"accuracy", "weighted_cost"}]
    table: Columns = {name: rng.uniform(0, 1, n) * 10.0 ** rng.integers(-9, 9) for name in names}
    return {
        "family": np.array([["A", 'quoted "B", with a comma'][i % 2] for i in range(n)], dtype=object),
        "pruning_ratio": rng.uniform(0, 1, n),
        "quant_step": rng.uniform(0, 1, n),
        **table,
        "accuracy": rng.uniform(0.2, 1, n),
        "edp_js": rng.uniform(0.1, 4, n),
        "domain_distance": np.where(rng.random(n) < 0.5, 0.0, rng.uniform(0, 1, n)),
        "design_id": np.arange(n, dtype=np.int64),
        "origin": np.array(["sample" if i < 2 else "search" for i in range(n)], dtype=object),
        "is_feasible": rng.random(n) < 0.8,
    }
