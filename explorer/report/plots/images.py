"""Static images (PNG, SVG) of plotly figures; needs kaleido and a browser."""

import re
import struct
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from explorer.errors import ExplorerError, MissingPart
from explorer.io.files import cannot_write
from explorer.io.outputs import GENERATOR, SVG_MARK
from explorer.report.plots.style import for_print

_PNG_HEADER_BYTES = 8 + 25  # signature and IHDR
FORMATS: tuple[Literal["png", "svg"], ...] = ("png", "svg")
_SIZE = {"width": 900, "scale": 2}


class NoBrowser(ExplorerError):
    """Error of kaleido without a working browser (exit code 5)."""

    exit_code = 5

    def __init__(self, reason: str) -> None:
        super().__init__(f"no browser could draw the images: {reason}", fix="install Chrome or Chromium")


def write_images(figures: Mapping[str, Any], folder: Path, *, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write each figure as `folder/<name>.<format>` on a white background, with one browser process.

    Images are written to a temporary folder and moved when all are complete, so a failure keeps the previous ones.

    Args:
        figures: plotly figures by file name without extension.
        folder: target folder; created if it does not exist.
        formats: extensions.

    Returns:
        Paths of the written files.

    Raises:
        MissingPart: kaleido is not installed.
        NoBrowser: no browser is installed, or it failed.
        WrongUsage: the folder cannot be written.
    """
    try:
        import kaleido  # type: ignore[import-untyped]
    except ImportError:
        raise MissingPart("kaleido", needed_for="drawing PNG and SVG images", extra="images") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".images.") as scratch:
            drafts = [Path(scratch) / f"{name}.{ending}" for name in figures for ending in formats]
            jobs = [_job(figures[path.stem], path) for path in drafts]
            try:
                # Without MathJax: it would be loaded from the network, and no label needs it.
                kaleido.write_fig_from_object_sync(jobs, kopts={"mathjax": False})
            except Exception as error:  # noqa: BLE001 - a failure of the browser must not stop the page, which needs none
                raise NoBrowser(str(error).strip().partition(". ")[0] or type(error).__name__) from None
            for path in drafts:
                path.write_bytes(_marked(path.read_bytes(), path.suffix))
            return [path.replace(folder / path.name) for path in drafts]
    except OSError as error:
        raise cannot_write(folder, error) from None


def _job(figure: Any, path: Path) -> dict[str, Any]:
    opts = {**_SIZE, "format": path.suffix.removeprefix("."), "height": figure.layout.height or 420}
    return {"fig": for_print(figure).to_plotly_json(), "path": path, "opts": opts}


def _marked(image: bytes, suffix: str) -> bytes:
    """Return an image that names its program: only such a file is replaced later."""
    if suffix == ".png":  # a text chunk after the header (PNG specification, 11.3.4.3)
        chunk = b"tEXtSoftware\0" + GENERATOR.encode()
        chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        return image[:_PNG_HEADER_BYTES] + chunk + image[_PNG_HEADER_BYTES:]
    return re.sub(rb">", f">{SVG_MARK}".encode(), image, count=1) if suffix == ".svg" else image
