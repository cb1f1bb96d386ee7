"""Columns as CSV and as JSON: the same text as Python's own writers make, which are slower."""

import csv
import io
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.pareto.results import csv_text as csv_columns
from explorer.pareto.results import front_json
from explorer.pareto.results.csv_text import as_read, csv_text, read_csv
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
    """Let a few rows be many blocks."""
    monkeypatch.setattr(csv_columns, "BLOCK", 3)
    monkeypatch.setattr(front_json, "BLOCK", 3)


def columns_of(values: list[Any], dtype: Any) -> Columns:
    array = np.empty(len(values), dtype=dtype)
    array[:] = values
    return {"design_id": np.arange(len(values), dtype=np.int64), "x": array}


@pytest.mark.parametrize(("values", "dtype"), KINDS)
@given(data=st.data())
def test_csv_is_what_the_csv_module_writes(data: st.DataObject, values: st.SearchStrategy[Any], dtype: Any) -> None:
    drawn = data.draw(st.lists(values, max_size=8))
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["design_id", "x"])
    writer.writerows(
        (i, "" if isinstance(value, float) and math.isnan(value) else value) for i, value in enumerate(drawn)
    )

    assert csv_text(columns_of(drawn, dtype), ["design_id", "x"]) == buffer.getvalue()


@pytest.mark.parametrize(("values", "dtype"), KINDS)
@given(data=st.data())
def test_a_design_is_a_line_of_json_that_gives_the_same_values(
    data: st.DataObject, values: st.SearchStrategy[Any], dtype: Any
) -> None:
    drawn = data.draw(st.lists(values, max_size=8))
    front = {**columns_of(drawn, dtype), "origin": np.array(["search"] * len(drawn), dtype=object)}
    text = "".join(front_parts(front, {"before": [1], "designs": [], "after": '\n  "designs": []'}))
    told = json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))

    assert (told["before"], told["after"]) == ([1], '\n  "designs": []')
    assert [design["x"] for design in told["designs"]] == [
        None if isinstance(value, float) and not math.isfinite(value) else value for value in drawn
    ]
    assert len([line for line in text.splitlines() if '"design_id"' in line]) == len(drawn)


@given(words=st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=9))
def test_words_of_any_kind_come_back(words: list[str]) -> None:
    """Also with carriage returns, which Python's own writer leaves bare."""
    columns = {"family": np.array(words, dtype=object), "design_id": np.arange(len(words), dtype=np.int64)}
    again = read_csv(csv_text(columns, ["family", "design_id"]))

    assert again["family"].tolist() == words == as_read(columns)["family"].tolist()


def test_a_name_with_a_percent_sign_or_a_quote_is_a_name() -> None:
    front = {**columns_of([0.5], np.float64), "origin": np.array(["search"], dtype=object)}
    front['a "%s" of 5%'] = front.pop("x")
    (design,) = json.loads("".join(front_parts(front, {"designs": []})))["designs"]

    assert design == {"design_id": 0, "origin": "search", 'a "%s" of 5%': 0.5}
