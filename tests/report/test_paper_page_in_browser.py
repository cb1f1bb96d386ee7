"""The paper's page in a real browser: every plot drawn, nothing on the console, no sideways scrolling at any width."""

import json
import re
import subprocess
from typing import Any

import pytest

from explorer.cli.paper import printed_tables
from explorer.paper.claims import audit
from explorer.paper.tables import paper_table
from explorer.report.paper_figures import FIGURES
from explorer.report.paper_page import paper_figures, paper_page

OPENED = (400, 800, 1400)
# One more frame opens wide and makes its page narrower once the plots are there, as a turned phone does. It tells the
# plots itself: without a screen to draw on, a browser may keep a frame's new size to itself.
RESIZED = 600
WIDTHS = (*OPENED, RESIZED)

# A frame may be narrower than any window a browser opens, and its own media queries see the frame's width. All frames
# are low enough to be seen at once: a browser does not draw what is out of sight.
FRAMES = """<!doctype html><body><pre id="found"></pre><script>
addEventListener("message", (event) => {{ document.getElementById("found").textContent += event.data + "\\n"; }});
</script>{frames}</body>"""
RESIZING = f'<iframe src="paper.html#{RESIZED}" width="1400" height="250"></iframe>'
PROBE = """<script>
const faults = [], wanted = Number(location.hash.slice(1)) || innerWidth;
addEventListener("error", (event) => faults.push(String(event.message)));
addEventListener("securitypolicyviolation", (event) => faults.push(event.violatedDirective + " " + event.blockedURI));
const measure = () => ({
  width: wanted,
  page: document.documentElement.scrollWidth,
  faults,
  plots: [...document.querySelectorAll(".plot")].map((plot) =>
    [plot.clientWidth, Math.ceil(plot.querySelector("svg.main-svg")?.getBoundingClientRect().width ?? -1)]),
  boxes: [...document.querySelectorAll(".scroll")].map((box) => [box.clientWidth, box.scrollWidth]),
});
// Plots are drawn, and drawn again after a resize, a moment later: look until they fit, or tell what does not.
let isResized = wanted === innerWidth;
const look = (tries) => setTimeout(() => {
  const found = measure();
  const fits = found.plots.every(([place, drawn]) => Math.abs(place - drawn) <= 1);
  if (tries > 0 && !fits) return look(tries - 1);
  if (isResized) return parent.postMessage(JSON.stringify(found), "*");
  isResized = true;
  document.body.style.width = wanted + "px";
  dispatchEvent(new Event("resize"));
  look(40);
}, 250);
addEventListener("load", () => look(40));
</script>"""


@pytest.fixture(scope="module")
def opened(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[int, dict[str, Any]], list[str]]:
    """Open the page at every width with the network off; return what each frame measured, and the console's lines."""
    folder = tmp_path_factory.mktemp("page")
    table = paper_table()
    page = paper_page(figures=paper_figures(table), claims=audit(table), tables=printed_tables(table))
    (folder / "paper.html").write_text(page.replace("<style>", PROBE + "<style>", 1), encoding="utf-8")
    frames = "".join(f'<iframe src="paper.html" width="{width}" height="250"></iframe>' for width in OPENED)
    frames += RESIZING
    (folder / "frames.html").write_text(FRAMES.format(frames=frames), encoding="utf-8")
    done = subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={folder / 'profile'}",
            "--enable-logging=stderr", "--v=0", "--virtual-time-budget=40000", "--window-size=1600,1200",
            "--dump-dom", (folder / "frames.html").as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    measured = [json.loads(line) for line in found[1].splitlines()]
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return {frame["width"]: frame for frame in measured}, console


Opened = tuple[dict[int, dict[str, Any]], list[str]]


def test_the_console_stays_silent(opened: Opened) -> None:
    frames, console = opened
    assert console == []
    assert [frame["faults"] for frame in frames.values()] == [[]] * len(WIDTHS)


@pytest.mark.parametrize("width", OPENED)
def test_the_page_never_scrolls_sideways(opened: Opened, width: int) -> None:
    frames, _ = opened
    assert frames[width]["page"] <= width


@pytest.mark.parametrize("width", WIDTHS)
def test_every_figure_is_drawn_as_wide_as_its_place(opened: Opened, width: int) -> None:
    plots = opened[0][width]["plots"]
    assert len(plots) == len(FIGURES)
    assert max(place for place, _ in plots) <= width
    assert [drawn for place, drawn in plots if abs(drawn - place) > 1] == []


def test_tables_of_numbers_scroll_in_their_own_box_on_a_phone(opened: Opened) -> None:
    audit_box, *number_boxes = opened[0][400]["boxes"]
    assert audit_box[1] <= audit_box[0] + 1
    assert [inside > outside for outside, inside in number_boxes] == [True, True]
