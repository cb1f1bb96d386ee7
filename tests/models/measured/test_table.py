"""TableEvaluator: the rows of a table as designs, exactly as they were measured."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import InvalidFile, UnknownName
from explorer.models.measured.table import TableEvaluator, table_evaluator
from explorer.models.samples.samples import read_samples
from explorer.problem.design_space import ROW
from explorer.problem.objectives import CostWeights, add_objectives

TABLE = """\
name,family,resolution,threads,accuracy,latency_s,energy_j
a,net,96,1,0.60,0.010,0.020
b,net,128,1,0.65,0.016,0.032
b again,net,128,1,0.65,0.018,0.030
c,net,160,2,0.69,0.020,0.060
d,other,96,1,0.55,0.008,
"""


def table(folder: Path, text: str = TABLE, *, own: tuple[str, ...] = ("resolution", "threads"),
          needs: tuple[str, ...] = ()) -> TableEvaluator:  # fmt: skip
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return table_evaluator(read_samples(path, extra_knobs=own), name="table.csv", needs=needs)


def test_a_design_has_what_was_measured_in_its_row_and_repeats_are_averaged(tmp_path: Path) -> None:
    found = table(tmp_path)
    rows = found.evaluate(found.region("net").every_design())

    assert rows[ROW].tolist() == ["a", "b", "c"]
    assert rows["resolution"].tolist() == [96.0, 128.0, 160.0]
    assert rows["latency_s"] == pytest.approx([0.010, 0.017, 0.020])
    assert rows["energy_j"] == pytest.approx([0.020, 0.031, 0.060])
    assert (rows["domain_distance"] == 0).all()


def test_only_repeated_rows_have_an_interval_and_it_is_the_range_of_the_readings(tmp_path: Path) -> None:
    found = table(tmp_path)
    rows = add_objectives(found.evaluate(found.region("net").every_design()), CostWeights())
    bounded = found.add_intervals(rows, weights=CostWeights())

    assert np.isnan(bounded["latency_s_lo"]).tolist() == [True, False, True]
    assert (bounded["latency_s_lo"][1], bounded["latency_s_hi"][1]) == (0.016, 0.018)
    assert bounded["edp_js_lo"][1] == pytest.approx(min(0.016 * 0.032, 0.018 * 0.030))
    assert bounded["edp_js_hi"][1] == pytest.approx(max(0.018 * 0.030, 0.017 * 0.031))


def test_without_knobs_every_row_is_a_configuration_of_its_own(tmp_path: Path) -> None:
    text = "label,accuracy,size_mb\nx,0.7,1\ny,0.7,1\nx,0.8,2\n"
    found = table(tmp_path, text, own=())

    assert found.rows[ROW].tolist() == ["x #1", "y", "x #2"]
    assert found.rows["size_bytes"].tolist() == [1e6, 1e6, 2e6]


def test_rows_that_lack_what_is_asked_are_left_out_and_it_is_said(tmp_path: Path) -> None:
    found = table(tmp_path, needs=("energy_j", "accuracy"))

    assert found.rows[ROW].tolist() == ["a", "b", "c"]
    assert any("1 of 5 rows lack energy_j" in note for note in found.notes)


def test_a_table_in_which_nothing_was_measured_together_is_refused(tmp_path: Path) -> None:
    text = "name,accuracy,energy_j\na,0.7,\nb,,1\n"
    with pytest.raises(InvalidFile, match="no row has all of energy_j, accuracy"):
        table(tmp_path, text, own=(), needs=("energy_j", "accuracy"))


def test_a_column_that_is_called_as_explorer_calls_its_own_is_no_knob(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="'row' cannot be a knob"):
        table(tmp_path, "row,accuracy,energy_j\n1,0.7,1\n", own=("row",))


def test_a_row_that_the_table_does_not_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown name 'z'"):
        table(tmp_path).evaluate({ROW: np.array(["z"], dtype=object)})


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 3), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)),
        min_size=1, max_size=20,
    )
)  # fmt: skip
def test_the_mean_of_a_configuration_lies_within_its_interval(rows: list[tuple[int, int, float, float]]) -> None:
    import tempfile

    text = "a,b,energy_j,latency_s\n" + "".join(f"{a},{b},{e!r},{t!r}\n" for a, b, e, t in rows)
    with tempfile.TemporaryDirectory() as folder:
        found = table(Path(folder), text, own=("a", "b"))
    every = found.region(found.families[0]).every_design()
    bounded = found.add_intervals(add_objectives(found.evaluate(every), CostWeights()), weights=CostWeights())

    assert len(every[ROW]) == len({(a, b) for a, b, _, _ in rows})
    for name in ("energy_j", "latency_s", "edp_js"):
        known = np.isfinite(bounded[f"{name}_lo"])
        assert (bounded[f"{name}_lo"][known] <= bounded[name][known] * (1 + 1e-12)).all()
        assert (bounded[f"{name}_hi"][known] >= bounded[name][known] * (1 - 1e-12)).all()
        assert known.sum() == sum(sum((a, b) == k for a, b, _, _ in rows) > 1 for k in {(a, b) for a, b, _, _ in rows})
