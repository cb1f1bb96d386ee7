"""Result page and Pareto plot as files."""

from pathlib import Path
from typing import Literal

from explorer.io.files import write_text
from explorer.pareto.results.results import Results
from explorer.report.pages.front import front_page
from explorer.report.plots.front import plot_front
from explorer.report.plots.images import write_images


def write_page(results: Results, path: Path, *, display_name: str = "") -> None:
    """Write the result page atomically.

    Args:
        results: results of a study.
        path: the file to write.
        display_name: study name or result folder in the commands on the page; default: the study's name.

    Raises:
        WrongUsage: the folder cannot be written.
    """
    write_text(path, front_page(results, display_name=display_name))


def write_image(results: Results, path: Path, *, kind: Literal["png", "svg"]) -> Path:
    """Write the Pareto plot as a static image and return its path, with `kind` as extension.

    Raises:
        MissingPart: kaleido is not installed.
        NoBrowser: no browser is installed, or it failed.
        WrongUsage: the folder cannot be written.
    """
    (written,) = write_images({path.stem: plot_front(results)}, path.parent, formats=(kind,))
    return written
