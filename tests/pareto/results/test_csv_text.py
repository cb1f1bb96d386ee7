"""Columns as CSV and JSON: equal to the text of the writers of the standard library."""

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.pareto.results import csv_text as csv_module
from explorer.pareto.results import front_json
from explorer.pareto.results.csv_text import csv_round_trip, csv_text, read_results_csv
from explorer.pareto.results.front_json import front_parts
from explorer.problem.columns import Columns

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=5) | st.sampled_from(
    ['a"b', "a,b", "a\nb", ""]
)
KINDS = [
    pytest.param(st.floats() | st.sampled_from([-0.0, math.nan, math.inf, 5e-324]), np.float64, id="numbers"),
    pytest.param(st.integers(-(2**63), 2**63 - 1), np.int64, id="integers"),
    pytest.param(st.booleans(), np.bool_, id="flags"),
    pytest.param(WORDS, object, id="words"),
    pytest.param(WORDS | st.floats() | st.booleans() | st.integers() | st.none(), object, id="anything"),
]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use blocks of three rows, so that few rows make several blocks."""
    monkeypatch.setattr(csv_module, "BLOCK", 3)
    monkeypatch.setattr(front_json, "BLOCK", 3)


def columns_of(values: list[Any], dtype: Any) -> Columns:
    array = np.empty(len(values), dtype=dtype)
    array[:] = values
    return {"design_id": np.arange(len(values), dtype=np.int64), "x": array}


@pytest.mark.parametrize(("values", "dtype"), KINDS)
@given(data=st.data())
def test_csv_equals_that_of_the_csv_module(data: st.DataObject, values: st.SearchStrategy[Any], dtype: Any) -> None:
    cells = data.draw(st.lists(values, max_size=8))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["design_id", "x"])
    writer.writerows(
        (i, "" if isinstance(value, float) and math.isnan(value) else value) for i, value in enumerate(cells)
    )

    assert csv_text(columns_of(cells, dtype), ["design_id", "x"]) == buffer.getvalue()


@pytest.mark.parametrize(("values", "dtype"), KINDS)
@given(data=st.data())
def test_front_json_holds_one_line_per_design(data: st.DataObject, values: st.SearchStrategy[Any], dtype: Any) -> None:
    cells = data.draw(st.lists(values, max_size=8))
    front = {**columns_of(cells, dtype), "origin": np.array(["search"] * len(cells), dtype=object)}
    text = "".join(front_parts(front, {"before": [1], "designs": [], "after": '\n  "designs": []'}))
    parsed = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))

    assert (parsed["before"], parsed["after"]) == ([1], '\n  "designs": []')
    assert [design["x"] for design in parsed["designs"]] == [
        None if isinstance(value, float) and not math.isfinite(value) else value for value in cells
    ]
    assert len([line for line in text.splitlines() if '"design_id"' in line]) == len(cells)


@given(words=st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=9))
def test_strings_survive_a_csv_round_trip(words: list[str]) -> None:
    """Also with carriage returns, which the csv module does not quote."""
    columns = {"family": np.array(words, dtype=object), "design_id": np.arange(len(words), dtype=np.int64)}
    read = read_results_csv(csv_text(columns, ["family", "design_id"]))

    assert read["family"].tolist() == words == csv_round_trip(columns)["family"].tolist()


def test_column_names_may_hold_percent_signs_and_quotes() -> None:
    front = {**columns_of([0.5], np.float64), "origin": np.array(["search"], dtype=object)}
    front['a "%s" of 5%'] = front.pop("x")
    (design,) = json.loads("".join(front_parts(front, {"designs": []})))["designs"]

    assert design == {"design_id": 0, "origin": "search", 'a "%s" of 5%': 0.5}
