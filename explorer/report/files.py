"""Reports as files: the result page, and still images where a browser is there."""

from pathlib import Path
from typing import Literal

from explorer.errors import MissingPart
from explorer.files import cannot_write, write_text
from explorer.pareto.results import Results
from explorer.report.front_page import front_page
from explorer.report.front_plot import plot_front
from explorer.report.style import for_print


def write_page(results: Results, path: Path) -> None:
    """Write the result page in one step.

    Raises:
        WrongUsage: the folder cannot be written.
    """
    write_text(path, front_page(results))


def write_image(results: Results, path: Path, *, kind: Literal["png", "svg"]) -> None:
    """Write the Pareto plot as a still image, 1200 pixels wide.

    Raises:
        MissingPart: kaleido is not installed, or it finds no browser.
        WrongUsage: the folder cannot be written.
    """
    figure = for_print(plot_front(results))
    try:
        data: bytes = figure.to_image(format=kind, width=1200, scale=2 if kind == "png" else 1)
    except (ValueError, RuntimeError) as error:
        part = (
            "kaleido"
            if "kaleido" in str(error).lower() and "chrome" not in str(error).lower()
            else "a browser (chromium)"
        )
        raise MissingPart(part, needed_for=f"a {kind.upper()} of the plot", extra="images") from None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.new")
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from None
