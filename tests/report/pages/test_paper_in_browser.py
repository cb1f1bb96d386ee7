"""Page of the paper in a browser: plots and page fit every width, empty console."""

from collections.abc import Callable
from typing import Any

import pytest

from explorer.api import paper
from explorer.report.pages.paper import paper_figures, paper_page
from explorer.report.plots.paper import FIGURES

pytestmark = pytest.mark.xdist_group("paper_page")

OPENED = (400, 800, 1400)
# A frame that opens wide and is narrowed after the plots are drawn, like a rotated phone.
RESIZED = 600
WIDTHS = (*OPENED, RESIZED)

Opened = tuple[dict[int, dict[str, Any]], list[str]]


@pytest.fixture(scope="module")
def opened(open_page: Callable[..., Opened]) -> Opened:
    audit = paper()
    page = paper_page(figures=paper_figures(audit.table), claims=audit.claims, tables=audit.printed_tables)
    return open_page(page, widths=OPENED, resized=RESIZED)


@pytest.mark.slow
def test_the_console_is_empty(opened: Opened) -> None:
    frames, console = opened
    assert console == []
    assert [frame["faults"] for frame in frames.values()] == [[]] * len(WIDTHS)


@pytest.mark.parametrize("width", OPENED)
@pytest.mark.slow
def test_the_page_never_scrolls_sideways(opened: Opened, width: int) -> None:
    frames, _ = opened
    assert frames[width]["page"] <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_figures_are_as_wide_as_their_boxes(opened: Opened, width: int) -> None:
    plots = opened[0][width]["plots"]
    assert len(plots) == len(FIGURES)
    assert max(box_width for box_width, _ in plots) <= width
    assert [plot_width for box_width, plot_width in plots if abs(plot_width - box_width) > 1] == []


def test_number_tables_scroll_in_their_own_box_on_a_phone(opened: Opened) -> None:
    audit_box, *number_boxes = opened[0][400]["boxes"]
    assert audit_box[1] <= audit_box[0] + 1
    assert [inside > outside for outside, inside in number_boxes] == [True, True]
