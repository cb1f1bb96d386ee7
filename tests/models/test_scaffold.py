"""Scaffold: space and study from a user's samples load and run without changes."""

import random
from pathlib import Path

import pytest

from explorer.errors import InvalidFile, WrongUsage
from explorer.io.csv_text import CsvTable
from explorer.models.evaluation import make_problem
from explorer.models.loading import load_evaluator
from explorer.models.samples.knob_inference import infer_knobs
from explorer.models.samples.samples import paper_samples
from explorer.models.scaffold.names import scaffold_name
from explorer.models.scaffold.scaffold import scaffold_study
from explorer.models.scaffold.stated import StatedColumns
from explorer.problem.study import read_study

OWN = """\
name,family,pruning_ratio,width,resolution,precision,operator,accuracy,latency_s,energy_j,board_temperature
"""


def own_table() -> str:
    rng = random.Random(1)
    rows = []
    for i in range(24):
        knobs = (
            f"{'AB'[i % 2]},{0.25 * (i % 3)},{1 - 0.25 * (i % 3)},{96 + 32 * (i % 4)},{('fp32', 'int8')[i // 4 % 2]}"
        )
        targets = f"{rng.uniform(0.5, 0.9)},{rng.uniform(0.01, 0.1)},{rng.uniform(1, 2)}"
        rows.append(f"n{i},{knobs},me,{targets},{20 + i % 5}")
    return OWN + "\n".join(rows) + "\n"


def write_scaffold(folder: Path, text: str, *, is_table: bool = False, knobs: tuple[str, ...] = ()) -> tuple[str, str]:
    (folder / "mine.csv").write_text(text)
    (folder / "studies").mkdir(exist_ok=True)
    (folder / "search_spaces").mkdir(exist_ok=True)
    scaffold = scaffold_study(
        folder / "mine.csv",
        name="mine",
        folder=folder / "studies",
        stated=StatedColumns(knobs=knobs),
        is_table=is_table,
    )
    (folder / "studies/mine.toml").write_text(scaffold.study)
    if scaffold.space is not None:
        (folder / "search_spaces/mine.toml").write_text(scaffold.space)
    return scaffold.space or "", scaffold.study


def test_scaffold_of_the_papers_table_is_a_runnable_study(tmp_path: Path) -> None:
    """The paper's table as a user's CSV: its operating points are the measured ones."""
    columns = paper_samples().columns
    lines = [",".join(columns), *[",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]]
    space, _ = write_scaffold(tmp_path, "\n".join(lines) + "\n")
    study = read_study(str(tmp_path / "studies/mine.toml"))
    problem = make_problem(study, load_evaluator(study))

    assert "points = [" in space
    assert problem.sample(64)["is_feasible"].any()
    assert set(problem.regions) == {"CNN", "DNN", "RNN", "Transformer"}
    assert [o.name for o in study.objectives] == ["energy_j", "latency_s", "accuracy"]


def test_knobs_are_inferred_from_names_and_values(tmp_path: Path) -> None:
    space, _ = write_scaffold(tmp_path, own_table())

    assert "resolution = { values = [96, 128, 160, 192] }" in space
    assert 'precision = { choices = ["fp32", "int8"] }' in space
    assert "pruning_ratio = { values = [0, 0.25, 0.5] }    # or between them: range = [0, 0.5]" in space
    assert "# board_temperature = { ... }" in space
    assert "# width = { ... }" in space  # redundant with the pruning ratio
    assert "operator" not in space
    assert read_study(str(tmp_path / "studies/mine.toml")).own_columns.keys() == {"resolution", "precision"}


def test_scaffold_of_a_table_searches_its_rows(tmp_path: Path) -> None:
    write_scaffold(tmp_path, own_table(), is_table=True)
    study = read_study(str(tmp_path / "studies/mine.toml"))
    problem = make_problem(study, load_evaluator(study))

    assert study.table is not None
    assert problem.n_designs == problem.every_design()["row"].size
    assert {"resolution", "precision"} <= set(problem.every_design())


def test_knobs_can_be_named(tmp_path: Path) -> None:
    space, _ = write_scaffold(tmp_path, own_table(), knobs=("board_temperature",))

    assert "board_temperature = { values = [20, 21, 22, 23, 24] }" in space
    assert "# resolution = { ... }" in space


def test_samples_with_one_target_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="targets that vary: accuracy; a front needs two"):
        write_scaffold(tmp_path, "resolution,accuracy\n96,0.5\n128,0.6\n")


def test_e_max_is_the_largest_measured_energy(tmp_path: Path) -> None:
    text = own_table()
    write_scaffold(tmp_path, text)
    study = read_study(str(tmp_path / "studies/mine.toml"))
    energies = [float(line.split(",")[9]) for line in text.splitlines()[1:]]

    assert study.constants.energy_max_j == pytest.approx(max(energies), rel=1e-3)


@pytest.mark.parametrize("name", ["cnn", "paper", "h100"])
def test_scaffold_name_avoids_shipped_names(name: str) -> None:
    """A local search_spaces/cnn.toml would shadow the shipped space `cnn` for every study in the folder."""
    assert scaffold_name(Path(f"{name}.csv")) == f"my-{name}"
    with pytest.raises(WrongUsage, match=rf"--name {name}: [^\n]* ships[^\n]*\n  fix: --name my-{name}"):
        scaffold_name(Path("rows.csv"), name=name)


@pytest.mark.parametrize("name", ["a b", "../x", "x" * 81])
def test_invalid_scaffold_name_is_refused(name: str) -> None:
    with pytest.raises(WrongUsage, match="a name has letters"):
        scaffold_name(Path("rows.csv"), name=name)


def test_batch_size_is_a_knob_and_number_of_batches_is_not() -> None:
    rows = [["8", "1000", "0.9"], ["16", "600", "0.8"], ["8", "990", "0.9"]]

    assert infer_knobs(CsvTable(["batch_size", "n_batches", "accuracy"], rows, [2, 3, 4], "")).knobs == ("batch_size",)


def test_constant_knob_is_fixed_in_a_space_of_categories(tmp_path: Path) -> None:
    """All rows at 1 V, only the precision varies: the scaffold must run."""
    rows = [f"1.0,{'abc'[i % 3]},{0.9 - 0.1 * (i % 3)},{5 - i % 3}" for i in range(12)]
    space, _ = write_scaffold(
        tmp_path, "\n".join(["voltage_v,precision,accuracy,power_w", *rows]), knobs=("precision",)
    )
    study = read_study(str(tmp_path / "studies/mine.toml"))
    designs = make_problem(study, load_evaluator(study)).every_design()

    assert "# voltage_v: 1 V in every row, so it is fixed" in space
    assert designs["voltage_v"].tolist() == [1.0, 1.0, 1.0]
    assert sorted(designs["precision"].tolist()) == ["a", "b", "c"]


def test_a_table_without_a_knob_is_refused_with_the_columns_that_could_be_one(tmp_path: Path) -> None:
    path = tmp_path / "quants.csv"
    path.write_text("quant,perplexity,vram_gb\nq4,6.1,5\nq8,5.9,7\nf16,5.8,13\n")
    with pytest.raises(InvalidFile, match=r"no knob varies: all rows are the same design(.|\n)*--knob COLUMN.*quant"):
        scaffold_study(path, name="quants", folder=tmp_path)
