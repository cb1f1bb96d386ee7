"""The page of a study of one objective fits wide and narrow screens, without faults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from explorer.api import run

STUDY = """
space = "cnn"
model = "paper"
objectives = ["energy_j"]
constraints = ["accuracy >= 0.92", "power_w <= 20 W"]
"""


@pytest.mark.slow
def test_the_page_of_one_objective_fits_its_width(tmp_path: Path, open_page: Callable[..., Any]) -> None:
    (tmp_path / "least.toml").write_text(STUDY, encoding="utf-8")
    run(tmp_path / "least.toml", trials=60, out=tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")

    frames, console = open_page(page, widths=(1400, 420), resized=500)

    assert "1 of 60 designs has the best energy_j (min.)" in page
    assert not console
    for width in (1400, 420):
        assert not frames[width]["faults"]
        assert frames[width]["page"] <= width
