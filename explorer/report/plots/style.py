"""How figures look: one colour and one marker for each family everywhere, and a layout that suits light and dark."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

# Okabe and Ito's colours, told apart by every common kind of colour vision (https://jfly.uni-koeln.de/color/). Their
# black and yellow are left out: one of them is lost on a dark page, the other on a white one.
BLUE, VERMILLION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
ORANGE, SKY, GREY = "#E69F00", "#56B4E9", "#999999"

# A mid grey reads on white and on black; pages recolour it with CSS (see page.py), still images take `PRINT_TEXT`.
TEXT, GRID, PRINT_TEXT = "#6b7280", "rgba(128, 128, 128, 0.25)", "#1f2328"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


@dataclass(frozen=True, slots=True)
class FamilyStyle:
    """How one family is drawn: a CSS colour, and a plotly marker symbol for whoever does not see the colour."""

    colour: str
    symbol: str


_KNOWN = {
    "CNN": FamilyStyle(BLUE, "circle"),
    "DNN": FamilyStyle(VERMILLION, "square"),
    "RNN": FamilyStyle(GREEN, "diamond"),
    "Transformer": FamilyStyle(PURPLE, "triangle-up"),
}
_COLOURS = (ORANGE, SKY, GREY, BLUE, VERMILLION, GREEN, PURPLE)
_SYMBOLS = ("cross", "x", "star", "triangle-down", "pentagon", "hexagram", "bowtie", "hourglass")


def family_style(families: Iterable[str]) -> Mapping[str, FamilyStyle]:
    """Return each family's style; the paper's four keep theirs, others take the next free one in alphabetical order.

    Symbols go round every 8 families, colours every 7, so that 56 unknown families still differ pairwise.

    >>> family_style(["CNN"])["CNN"]
    FamilyStyle(colour='#0072B2', symbol='circle')
    """
    wanted = dict.fromkeys(families)
    unknown = sorted(name for name in wanted if name not in _KNOWN)
    more = {
        name: FamilyStyle(_COLOURS[i % len(_COLOURS)], _SYMBOLS[i % len(_SYMBOLS)]) for i, name in enumerate(unknown)
    }
    return {name: _KNOWN.get(name) or more[name] for name in wanted}


def base_layout(*, x: str, y: str, height: int = 420) -> dict[str, Any]:
    """Return the plotly layout that all figures share: transparent, a neutral grid, the legend above the plot.

    Args:
        x: label of the x axis, with its unit.
        y: label of the y axis, with its unit.
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
        # On top, because slanted tick labels need the room below on a narrow page.
        "legend": {"orientation": "h", "yanchor": "bottom", "y": 1.02, "x": 0, "traceorder": "normal"},
        "xaxis": {**axis, "title": {"text": x, "standoff": 12}},
        "yaxis": {**axis, "title": {"text": y, "standoff": 12}},
    }


def for_print(figure: Any) -> Any:
    """Return a copy of a plotly figure with a white background and dark text, for images outside a page."""
    # A copy through the dict form keeps this module free of plotly, which is slow to import.
    return type(figure)(figure.to_dict()).update_layout(
        paper_bgcolor="white", plot_bgcolor="white", font_color=PRINT_TEXT
    )
