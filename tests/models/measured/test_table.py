"""TableEvaluator: the rows of a table as designs with their measured values."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.errors import InvalidFile, UnknownName
from explorer.models.measured.table import TableEvaluator, table_evaluator
from explorer.models.samples.samples import read_samples_csv
from explorer.problem.design_space import ROW
from explorer.problem.objectives import Constants, add_objectives

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
    return table_evaluator(read_samples_csv(path, extra_knobs=own), name="table.csv", needs=needs)


def test_designs_have_the_values_of_their_rows_averaged(tmp_path: Path) -> None:
    evaluator = table(tmp_path)
    rows = evaluator.evaluate(evaluator.region("net").every_design())

    assert rows[ROW].tolist() == ["a", "b", "c"]
    assert rows["resolution"].tolist() == [96.0, 128.0, 160.0]
    assert rows["latency_s"] == pytest.approx([0.010, 0.017, 0.020])
    assert rows["energy_j"] == pytest.approx([0.020, 0.031, 0.060])
    assert (rows["domain_distance"] == 0).all()


def test_interval_is_the_range_of_repeated_measurements(tmp_path: Path) -> None:
    evaluator = table(tmp_path)
    rows = add_objectives(evaluator.evaluate(evaluator.region("net").every_design()), Constants())
    bounded = evaluator.add_intervals(rows, constants=Constants())

    assert np.isnan(bounded["latency_s_lo"]).tolist() == [True, False, True]
    assert (bounded["latency_s_lo"][1], bounded["latency_s_hi"][1]) == (0.016, 0.018)
    assert bounded["edp_js_lo"][1] == pytest.approx(min(0.016 * 0.032, 0.018 * 0.030))
    assert bounded["edp_js_hi"][1] == pytest.approx(max(0.018 * 0.030, 0.017 * 0.031))


def test_every_row_is_a_design_without_knobs(tmp_path: Path) -> None:
    text = "label,accuracy,size_mb\nx,0.7,1\ny,0.7,1\nx,0.8,2\n"
    evaluator = table(tmp_path, text, own=())

    assert evaluator.rows[ROW].tolist() == ["x #1", "y", "x #2"]
    assert evaluator.rows["size_bytes"].tolist() == [1e6, 1e6, 2e6]


def test_rows_without_a_required_target_are_left_out_with_a_note(tmp_path: Path) -> None:
    evaluator = table(tmp_path, needs=("energy_j", "accuracy"))

    assert evaluator.rows[ROW].tolist() == ["a", "b", "c"]
    assert any("1 of 5 rows lack energy_j" in note for note in evaluator.notes)


def test_table_without_a_complete_row_is_refused(tmp_path: Path) -> None:
    text = "name,accuracy,energy_j\na,0.7,\nb,,1\n"
    with pytest.raises(InvalidFile, match="no row has all of energy_j, accuracy"):
        table(tmp_path, text, own=(), needs=("energy_j", "accuracy"))


def test_reserved_column_name_is_no_knob(tmp_path: Path) -> None:
    with pytest.raises(InvalidFile, match="'row' cannot be a knob"):
        table(tmp_path, "row,accuracy,energy_j\n1,0.7,1\n", own=("row",))


def test_unknown_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="unknown name 'z'"):
        table(tmp_path).evaluate({ROW: np.array(["z"], dtype=object)})


@given(
    rows=st.lists(
        st.tuples(st.integers(1, 3), st.integers(1, 3), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3)),
        min_size=1, max_size=20,
    )
)  # fmt: skip
def test_mean_is_within_the_interval(rows: list[tuple[int, int, float, float]]) -> None:
    import tempfile

    text = "a,b,energy_j,latency_s\n" + "".join(f"{a},{b},{e!r},{t!r}\n" for a, b, e, t in rows)
    with tempfile.TemporaryDirectory() as folder:
        evaluator = table(Path(folder), text, own=("a", "b"))
    every = evaluator.region(evaluator.families[0]).every_design()
    bounded = evaluator.add_intervals(add_objectives(evaluator.evaluate(every), Constants()), constants=Constants())

    assert len(every[ROW]) == len({(a, b) for a, b, _, _ in rows})
    for name in ("energy_j", "latency_s", "edp_js"):
        is_finite = np.isfinite(bounded[f"{name}_lo"])
        assert (bounded[f"{name}_lo"][is_finite] <= bounded[name][is_finite] * (1 + 1e-12)).all()
        assert (bounded[f"{name}_hi"][is_finite] >= bounded[name][is_finite] * (1 - 1e-12)).all()
        assert is_finite.sum() == sum(
            sum((a, b) == k for a, b, _, _ in rows) > 1 for k in {(a, b) for a, b, _, _ in rows}
        )
