"""Still images of plotly figures, where kaleido and a browser are there to draw them."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from explorer.errors import ExplorerError, MissingPart
from explorer.io.files import cannot_write
from explorer.report.plots.style import for_print

_SIZE = {"width": 900, "scale": 2}


class NoBrowser(ExplorerError):
    """Kaleido is installed, but found no browser that draws (exit 5)."""

    exit_code = 5

    def __init__(self, reason: str) -> None:
        super().__init__(f"no browser could draw the images: {reason}", fix="install Chrome or Chromium")


def write_images(figures: Mapping[str, Any], folder: Path, *, formats: Sequence[str] = ("png", "svg")) -> list[Path]:
    """Write each figure as `folder/<name>.<format>`, on white; one browser draws them all.

    Images are drawn beside their place and moved there when all are whole, so a failure leaves the old ones.

    Args:
        figures: plotly figures by file name (without its ending).
        folder: where to write; made if need be.
        formats: endings that kaleido knows: png, svg, pdf, jpg, webp.

    Returns:
        The files written.

    Raises:
        MissingPart: kaleido is not installed.
        NoBrowser: there is no browser, or it failed.
        WrongUsage: the folder cannot be written.
    """
    try:
        import kaleido  # type: ignore[import-untyped]
    except ImportError:
        raise MissingPart("kaleido", needed_for="drawing PNG and SVG images", extra="images") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".images.") as scratch:
            drawn = [Path(scratch) / f"{name}.{ending}" for name in figures for ending in formats]
            jobs = [_job(figures[path.stem], path) for path in drawn]
            try:
                # MathJax would come from the network, and no label needs it.
                kaleido.write_fig_from_object_sync(jobs, kopts={"mathjax": False})
            except Exception as error:  # noqa: BLE001 - whatever a browser does wrong, the rest of the page is fine
                raise NoBrowser(str(error).strip().partition(". ")[0] or type(error).__name__) from None
            return [path.replace(folder / path.name) for path in drawn]
    except OSError as error:
        raise cannot_write(folder, error) from None


def _job(figure: Any, path: Path) -> dict[str, Any]:
    opts = {**_SIZE, "format": path.suffix.removeprefix("."), "height": figure.layout.height or 420}
    return {"fig": for_print(figure).to_plotly_json(), "path": path, "opts": opts}
