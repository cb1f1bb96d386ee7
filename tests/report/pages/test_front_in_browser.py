"""Result page in a browser: no network access, plots fit every width, empty console."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from explorer.api import load_results
from explorer.report.pages.front import front_page

pytestmark = pytest.mark.xdist_group("front_page")

Opened = tuple[dict[int, dict[str, Any]], list[str]]
OPENED = (400, 1400)
RESIZED = 600


@pytest.fixture(scope="module", params=["paper", "energy-latency-accuracy", "all-families"])
def opened(
    request: pytest.FixtureRequest, open_page: Callable[..., Opened], shared_run: Callable[[str], Path]
) -> Opened:
    return open_page(front_page(load_results(shared_run(request.param))), widths=OPENED, resized=RESIZED)


@pytest.mark.slow
def test_the_console_is_empty(opened: Opened) -> None:
    frames, console = opened

    assert console == []
    assert [frame["faults"] for frame in frames.values()] == [[]] * 3


@pytest.mark.parametrize("width", OPENED)
def test_the_page_never_scrolls_sideways(opened: Opened, width: int) -> None:
    assert opened[0][width]["page"] <= width


@pytest.mark.parametrize("width", [*OPENED, RESIZED])
@pytest.mark.slow
def test_plots_are_as_wide_as_their_boxes(opened: Opened, width: int) -> None:
    plots = opened[0][width]["plots"]

    assert len(plots) == 4  # the front, alpha, the convergence, the importance
    for box_width, plot_width in plots:
        assert 0 < box_width <= width
        assert abs(plot_width - box_width) <= 1
