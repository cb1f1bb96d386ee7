"""Colours and markers of the families, and the layout of all figures for light and dark pages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Palette of Okabe and Ito, distinguishable with every common colour vision deficiency (https://jfly.uni-koeln.de/color/),
# without its black (invisible on a dark page) and yellow (invisible on a white page).
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, GREY = "#E69F00", "#56B4E9", "#999999"

# A mid grey is legible on white and black. Pages recolour it with CSS (pages/html.py); images use `PRINT_TEXT`.
TEXT, GRID, PRINT_TEXT = "#6b7280", "rgba(128, 128, 128, 0.25)", "#1f2328"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class FamilyStyle:
    """Style of one family: a CSS colour, and a plotly marker symbol for readers who cannot distinguish the colour."""

    colour: str
    symbol: str


_PAPER_FAMILIES = {
    "CNN": FamilyStyle(BLUE, "circle"),
    "DNN": FamilyStyle(VERMILLION, "square"),
    "RNN": FamilyStyle(GREEN, "diamond"),
    "Transformer": FamilyStyle(PURPLE, "triangle-up"),
}
_COLOURS = (ORANGE, SKY, GREY, BLUE, VERMILLION, GREEN, PURPLE)
_SYMBOLS = ("cross", "x", "star", "triangle-down", "pentagon", "hexagram", "bowtie", "hourglass")


def family_style(families: Iterable[str]) -> Mapping[str, FamilyStyle]:
    """Return the style of each family: fixed for the four of the paper, assigned in alphabetical order for others.

    Symbols repeat after 8 families and colours after 7, so that up to 56 other families differ pairwise.

    >>> family_style(["CNN"])["CNN"]
    FamilyStyle(colour='#0072B2', symbol='circle')
    """
    distinct = dict.fromkeys(families)
    unknown = sorted(name for name in distinct if name not in _PAPER_FAMILIES)
    assigned = {
        name: FamilyStyle(_COLOURS[i % len(_COLOURS)], _SYMBOLS[i % len(_SYMBOLS)]) for i, name in enumerate(unknown)
    }
    return {name: _PAPER_FAMILIES.get(name) or assigned[name] for name in distinct}


def base_layout(*, x: str, y: str, height: int = 420) -> dict[str, Any]:
    """Return the plotly layout of all figures: transparent background, neutral grid, legend above the plot.

    Args:
        x: title of the x axis, with its unit.
        y: title of the y axis, with its unit.
        height: height in pixels; the width follows the page.
    """
    axis = {"gridcolor": GRID, "zerolinecolor": GRID, "linecolor": GRID, "automargin": True}
    return {
        "template": "none",
        "autosize": True,
        "height": height,
        "margin": {"l": 56, "r": 16, "t": 24, "b": 48},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"family": FONT, "size": 13, "color": TEXT},
        "hoverlabel": {"font": {"family": FONT, "size": 13}},
        # Above the plot: slanted tick labels need the space below it on a narrow page.
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
        "xaxis": {**axis, "title": {"text": x, "standoff": 12}},
        "yaxis": {**axis, "title": {"text": y, "standoff": 12}},
    }


def for_print(figure: Any) -> Any:
    """Return a copy of a plotly figure with a white background and dark text, for static images."""
    # Copied through its dict form, so that this module does not import plotly, which is slow.
    return type(figure)(figure.to_dict()).update_layout(
        paper_bgcolor="white", plot_bgcolor="white", font_color=PRINT_TEXT
    )
