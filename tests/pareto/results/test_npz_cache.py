"""results.npz: equal to front.json and trials.csv bit for bit, and ignored when stale or damaged."""

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import explorer
from explorer.pareto.results import folder as folder_module
from explorer.pareto.results.folder import FRONT_JSON, TRIALS_CSV, read_folder, write_folder
from explorer.pareto.results.npz_cache import NPZ_CACHE, read_npz_cache
from explorer.pareto.results.results import ExactFront, Results
from explorer.problem.columns import Column, Columns
from explorer.problem.objectives import OBJECTIVES

WORDS = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(["", "007", "nan", "1e3", "True", "a\r\nb"])
NUMBERS = st.floats(width=64) | st.sampled_from([-0.0, 5e-324, 1e300, 0.1])


@st.composite
def tables(draw: st.DrawFn) -> Columns:
    """Draw a table of any study: own knobs of every type, any strings and numbers."""
    n = draw(st.integers(0, 12))

    def column(values: st.SearchStrategy[Any], dtype: Any) -> NDArray[Any]:
        array = np.empty(n, dtype=dtype)
        array[:] = draw(st.lists(values, min_size=n, max_size=n))
        return array

    own = {
        "side_px": column(NUMBERS, np.float64),
        "batch": column(st.integers(-5, 5), np.int64),
        "is_fused": column(st.booleans(), np.bool_),
        "precision": column(WORDS, object),
        "anything": column(WORDS | NUMBERS | st.booleans() | st.none(), object),
        "half": column(st.floats(width=32), np.float32),
    }
    return {
        "family": column(WORDS, object),
        "pruning_ratio": column(NUMBERS, np.float64),
        **{name: values for name, values in own.items() if draw(st.booleans())},
        "energy_j": column(st.floats(0, 4), np.float64),
        "accuracy": column(st.floats(0, 1), np.float64),
        "domain_distance": column(NUMBERS, np.float64),
        "certainty": column(st.sampled_from(["sure", "possible", "dominated"]), object),
        "design_id": np.arange(n, dtype=np.int64),
        "origin": column(st.sampled_from(["search", "sample"]), object),
        "is_feasible": column(st.booleans(), np.bool_),
    }


def results_with(table: Columns) -> Results:
    return Results(
        study="edge",
        title="Über <alles>",
        table=table,
        objectives=(OBJECTIVES["energy_j"], OBJECTIVES["accuracy"]),
        constraints=("power_w <= 22 W",),
        reference_point=(5.0, 0.1),
        samples={"family": np.array(["A"], dtype=object), "accuracy": np.array([np.nan])},
        sample_labels=("A1",),
        notes=("a note",),
        provenance={"seed": 0, "runs": []},
        exact=ExactFront(1.5, 1e-5, 1000, np.array([[0.1, 0.2], [1 / 3, 0.3]])),
        advice="measure",
        importance=({"family": "A", "total": 0.25},),
        model_check={"targets": {}},
        own_columns={"side_px": Column("side_px", "Side", "knob", "px")},
    )


def assert_same(first: Results, second: Results) -> None:
    """Assert that two results are equal in every field, numbers bit for bit."""
    for columns, expected in ((first.table, second.table), (first.samples, second.samples)):
        assert list(columns) == list(expected)
        for name, values in columns.items():
            assert values.dtype == expected[name].dtype, name
            assert as_bits(values) == as_bits(expected[name]), name
    for name in {field.name for field in fields(Results)} - {"table", "samples", "exact", "_cache"}:
        assert getattr(first, name) == getattr(second, name), name
    if first.exact is None or second.exact is None:
        assert first.exact is second.exact
    else:
        assert as_bits(first.exact.values) == as_bits(second.exact.values)
        assert first.exact.hypervolume == second.exact.hypervolume


def as_bits(values: NDArray[Any]) -> list[Any]:
    return values.view(np.int64).tolist() if values.dtype == np.float64 else values.tolist()


def read_both_ways(folder: Path) -> tuple[Results, Results]:
    """Return the results read with the cache, and without it."""
    assert read_npz_cache(folder, (FRONT_JSON, TRIALS_CSV)) is not None
    cached = read_folder(folder)
    (folder / NPZ_CACHE).unlink()
    return cached, read_folder(folder)


@settings(max_examples=60, deadline=None)
@given(table=tables())
@pytest.mark.slow
def test_cache_and_files_give_the_same_results_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, table: Columns
) -> None:
    folder = tmp_path_factory.mktemp("results")
    write_folder(results_with(table), folder)
    written = (folder / NPZ_CACHE).read_bytes()

    assert_same(*read_both_ways(folder))
    assert (folder / NPZ_CACHE).read_bytes() == written  # rewritten, the file is identical


TABLE_STUDY = """\
model = { table = "rows.csv", knobs = ["resolution", "precision"] }
objectives = ["energy_j", "accuracy"]
[search]
trials = 30
"""


@pytest.mark.slow
def test_cache_equals_the_files_for_real_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A surrogate with intervals, a table with repeated rows, and measured networks."""
    monkeypatch.chdir(tmp_path)
    rows = [f"net{i},A,{64 + 8 * (i // 2)},{['fp32', 'int8'][i % 2]},{0.5 + i / 99},{i * i + 1}" for i in range(20)]
    lines = ["name,family,resolution,precision,accuracy,energy_j", *rows, rows[3].replace("0.5", "0.6")]
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    (tmp_path / "mine.toml").write_text(TABLE_STUDY)
    for study, trials in (("paper", 60), ("./mine.toml", 30), ("digits-cnn-live", 3)):
        out = explorer.run(study, trials=trials, sampler="random").out

        assert_same(*read_both_ways(out))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A result folder of forty designs."""
    rng = np.random.default_rng(0)
    table: Columns = {
        "family": np.array(["A", "B"] * 20, dtype=object),
        "pruning_ratio": rng.random(40),
        "energy_j": rng.random(40),
        "accuracy": rng.random(40),
        "domain_distance": np.zeros(40),
        "design_id": np.arange(40, dtype=np.int64),
        "origin": np.array(["search"] * 40, dtype=object),
        "is_feasible": np.ones(40, dtype=np.bool_),
    }
    write_folder(results_with(table), tmp_path / "results")
    return tmp_path / "results"


def test_fresh_cache_avoids_parsing_csv(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(folder_module, "read_results_csv")

    assert read_folder(folder).n_complete == 40


@pytest.mark.parametrize("name", [FRONT_JSON, TRIALS_CSV])
def test_changed_file_makes_the_cache_stale(folder: Path, name: str) -> None:
    """The file size does not change: only its digest does."""
    path = folder / name
    changed = path.read_bytes().replace(b"a note", b"A NOTE").replace(b",A,", b",C,")
    path.write_bytes(changed)
    results = read_folder(folder)

    assert "A NOTE" in results.notes or "C" in results.table["family"]
    assert read_npz_cache(folder, (FRONT_JSON, TRIALS_CSV)) is not None  # the cache was rewritten


def test_cache_of_a_copied_folder_is_fresh(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")

    assert read_npz_cache(tmp_path / "copy", (FRONT_JSON, TRIALS_CSV)) is not None


def test_missing_cache_is_rewritten(folder: Path) -> None:
    written = (folder / NPZ_CACHE).read_bytes()
    (folder / NPZ_CACHE).unlink()
    read_folder(folder)

    assert (folder / NPZ_CACHE).read_bytes() == written


def test_unwritable_cache_does_not_prevent_reading(folder: Path) -> None:
    (folder / NPZ_CACHE).unlink()
    (folder / NPZ_CACHE).mkdir()

    assert read_folder(folder).n_complete == 40
    assert (folder / NPZ_CACHE).is_dir()


def arrays_of(content: bytes) -> dict[str, Any]:
    with np.load(io.BytesIO(content)) as file:
        return dict(file)


def packed(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def with_arrays(**changes: Callable[[NDArray[Any]], Any]) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        arrays = arrays_of(content)
        return packed({**arrays, **{name: make(arrays[name]) for name, make in changes.items()}})

    return change


def with_index(change: Callable[[dict[str, Any]], Any]) -> Callable[[bytes], bytes]:
    """Change the JSON index of the cache."""

    def edit(array: NDArray[Any]) -> NDArray[np.uint8]:
        data = json.loads(array.tobytes())
        return np.frombuffer(json.dumps(change(data) or data).encode(), dtype=np.uint8)

    return with_arrays(told=edit)


def with_false_shape(content: bytes) -> bytes:
    """Return a cache whose header claims 10^15 numbers, in the same number of bytes."""
    true, false = b"(4, 40), }" + b" " * 12, b"(4, 250000000000000), }"
    assert content.count(true) == 1
    return content.replace(true, false.ljust(len(true))[: len(true)])


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda _: b"PK\x03\x04 not a zip", id="no zip"),
        pytest.param(lambda content: content[: len(content) // 2], id="cut off"),
        pytest.param(lambda content: content[:900] + bytes(64) + content[964:], id="overwritten in the middle"),
        pytest.param(with_false_shape, id="an array longer than the file"),
        pytest.param(with_arrays(words=lambda a: a.astype(object)), id="pickled objects"),
        pytest.param(with_arrays(words=lambda a: a + 7), id="words that are not listed"),
        pytest.param(with_arrays(words=lambda a: a - 7), id="words before the first"),
        pytest.param(with_arrays(words=lambda a: a.astype(np.int64)), id="words of another type"),
        pytest.param(with_arrays(numbers=lambda a: a.astype(np.float32)), id="numbers that lost digits"),
        pytest.param(with_arrays(numbers=lambda a: a[:, :-1]), id="numbers of fewer designs"),
        pytest.param(with_arrays(numbers=lambda a: a[:1]), id="a column is missing"),
        pytest.param(with_arrays(numbers=lambda _: np.float64(1)), id="a single number"),
        pytest.param(with_arrays(told=lambda _: np.frombuffer(b"{", dtype=np.uint8)), id="no JSON"),
        pytest.param(with_arrays(told=lambda _: np.frombuffer(b"[" * 99_999, dtype=np.uint8)), id="JSON without end"),
        pytest.param(with_index(lambda _: []), id="a list"),
        pytest.param(with_index(lambda data: data.update(schema="explorer.results/9")), id="another schema"),
        pytest.param(with_index(lambda data: data.update(files={})), id="made from nothing"),
        pytest.param(with_index(lambda data: data.update(files={FRONT_JSON: 1, TRIALS_CSV: 2})), id="marks of numbers"),
        pytest.param(with_index(lambda data: data["head"].pop("objectives")), id="no objectives"),
        pytest.param(with_index(lambda data: data["head"].update(n_complete=7)), id="another number of designs"),
        pytest.param(with_index(lambda data: data.update(head=1)), id="no head"),
        pytest.param(with_index(lambda data: data["columns"].pop()), id="a column is not listed"),
        pytest.param(
            with_index(lambda data: data["columns"].append(["accuracy", "words", 0])), id="words for a number"
        ),
        pytest.param(with_index(lambda data: data["columns"].append(["x", "codes", 0])), id="an unknown block"),
        pytest.param(with_index(lambda data: data["words"].update(family=[1, 2])), id="numbers for words"),
    ],
)
def test_damaged_cache_is_ignored(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    before, written = read_folder(folder), (folder / NPZ_CACHE).read_bytes()
    (folder / NPZ_CACHE).write_bytes(damage(written))

    assert_same(read_folder(folder), before)
    assert (folder / NPZ_CACHE).read_bytes() == written
