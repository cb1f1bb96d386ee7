"""Static images, with and without kaleido and a browser."""

import subprocess
import sys
from pathlib import Path

import plotly.graph_objects as go
import pytest

from explorer.errors import MissingPart, WrongUsage
from explorer.io.outputs import is_written_as
from explorer.report.plots.images import NoBrowser, write_images


def figure() -> go.Figure:
    return go.Figure(go.Scatter(x=[1, 2], y=[3, 4]))


@pytest.mark.usefixtures("chromium")
@pytest.mark.slow
def test_every_figure_is_written_in_every_format(tmp_path: Path) -> None:
    written = write_images({"one": figure(), "two": figure()}, tmp_path / "new", formats=("png", "svg"))
    assert sorted(path.name for path in written) == ["one.png", "one.svg", "two.png", "two.svg"]
    assert sorted(written) == sorted((tmp_path / "new").iterdir())
    assert (tmp_path / "new" / "one.png").read_bytes().startswith(b"\x89PNG")
    assert all(is_written_as(path, "png" if path.suffix == ".png" else "svg") for path in written)
    assert "<svg" in (tmp_path / "new" / "two.svg").read_text(encoding="utf-8")[:200]


def test_without_a_browser_existing_images_are_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one.svg").write_text("old")
    monkeypatch.setenv("BROWSER_PATH", str(tmp_path / "no-such-browser"))
    with pytest.raises(NoBrowser, match=r"no browser could draw the images: .*\n  fix: install Chrome or Chromium"):
        write_images({"one": figure()}, tmp_path, formats=("svg",))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("one.svg", "old")]


def test_an_invalid_folder_is_an_error_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(WrongUsage, match=r"file.*: cannot write: .*\n  fix: free disk space"):
        write_images({"one": figure()}, tmp_path / "file" / "images")


def test_without_kaleido_the_error_has_the_install_command() -> None:
    code = (
        "import sys; sys.modules['kaleido'] = None\n"
        "from pathlib import Path\n"
        "from explorer.errors import ExplorerError\n"
        "from explorer.report.plots.images import write_images\n"
        "try: write_images({}, Path('.'))\n"
        "except ExplorerError as error: print(type(error).__name__, error.exit_code, error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    expected = MissingPart("kaleido", needed_for="drawing PNG and SVG images", extra="images")
    assert done.stdout.strip() == f"MissingPart 5 {expected}"
