"""Colours and markers: each family keeps its own, everywhere."""

import plotly.graph_objects as go
import pytest
from hypothesis import given
from hypothesis import strategies as st

from explorer.report.plots.style import base_layout, family_style, for_print

KNOWN = ["CNN", "DNN", "RNN", "Transformer"]
names = st.lists(st.text(min_size=1, max_size=8), max_size=20, unique=True)


@given(others=names)
def test_the_papers_families_keep_their_style_in_any_company(others: list[str]) -> None:
    alone = family_style(KNOWN)
    together = family_style([*others, *KNOWN])
    assert {name: together[name] for name in KNOWN} == dict(alone)


@given(others=names)
def test_no_two_families_look_the_same(others: list[str]) -> None:
    style = family_style([*KNOWN, *others])
    assert len(set(style.values())) == len(style)


@given(others=names)
def test_the_order_of_the_families_does_not_matter(others: list[str]) -> None:
    assert dict(family_style(others)) == dict(family_style(reversed(others)))


def test_the_papers_families_differ_both_in_colour_and_in_marker() -> None:
    style = family_style(KNOWN)
    assert len({s.colour for s in style.values()}) == len({s.symbol for s in style.values()}) == 4


@pytest.mark.parametrize("key", ["paper_bgcolor", "plot_bgcolor"])
def test_a_figure_shows_the_page_through(key: str) -> None:
    assert base_layout(x="time (s)", y="energy (J)")[key] == "rgba(0,0,0,0)"


def test_an_image_is_dark_on_white_and_the_figure_stays_as_it_was() -> None:
    figure = go.Figure(layout=base_layout(x="time (s)", y="energy (J)"))
    printed = for_print(figure)
    assert (printed.layout.paper_bgcolor, printed.layout.font.color) == ("white", "#1f2328")
    assert figure.layout.paper_bgcolor == "rgba(0,0,0,0)"
