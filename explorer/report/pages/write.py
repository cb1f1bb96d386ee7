"""Reports as files: the result page, and still images where a browser is there."""

from pathlib import Path
from typing import Literal

from explorer.io.files import write_text
from explorer.pareto.results.results import Results
from explorer.report.pages.front import front_page
from explorer.report.plots.front import plot_front
from explorer.report.plots.images import write_images


def write_page(results: Results, path: Path, *, place: str = "") -> None:
    """Write the result page in one step.

    Args:
        results: the study's results.
        path: the file.
        place: what the commands on the page call the results; default: the study's name.

    Raises:
        WrongUsage: the folder cannot be written.
    """
    write_text(path, front_page(results, place=place))


def write_image(results: Results, path: Path, *, kind: Literal["png", "svg"]) -> Path:
    """Write the Pareto plot as a still image; return its path, which ends as its kind does.

    Raises:
        MissingPart: kaleido is not installed.
        NoBrowser: there is no browser, or it failed.
        WrongUsage: the folder cannot be written.
    """
    (written,) = write_images({path.stem: plot_front(results)}, path.parent, formats=(kind,))
    return written
