"""Colours and markers of the families, and the common layout."""

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.report.plots.style import base_layout, family_style, for_print

PAPER_FAMILIES = ["CNN", "DNN", "RNN", "Transformer"]
names = st.lists(st.text(min_size=1, max_size=8), max_size=20, unique=True)


@given(families=names)
def test_the_papers_families_have_a_fixed_style(families: list[str]) -> None:
    alone = family_style(PAPER_FAMILIES)
    together = family_style([*families, *PAPER_FAMILIES])
    assert {name: together[name] for name in PAPER_FAMILIES} == dict(alone)


@given(families=names)
def test_styles_differ_pairwise(families: list[str]) -> None:
    style = family_style([*PAPER_FAMILIES, *families])
    assert len(set(style.values())) == len(style)


@given(families=names)
def test_styles_do_not_depend_on_the_order(families: list[str]) -> None:
    assert dict(family_style(families)) == dict(family_style(reversed(families)))


def test_the_papers_families_differ_in_colour_and_marker() -> None:
    style = family_style(PAPER_FAMILIES)
    assert len({s.colour for s in style.values()}) == len({s.symbol for s in style.values()}) == 4


@pytest.mark.parametrize("key", ["paper_bgcolor", "plot_bgcolor"])
def test_the_background_of_a_figure_is_transparent(key: str) -> None:
    assert base_layout(x="time (s)", y="energy (J)")[key] == "rgba(0,0,0,0)"


def test_printing_changes_a_copy_to_dark_on_white() -> None:
    figure = go.Figure(layout=base_layout(x="time (s)", y="energy (J)"))
    printed = for_print(figure)
    assert (printed.layout.paper_bgcolor, printed.layout.font.color) == ("white", "#1f2328")
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
