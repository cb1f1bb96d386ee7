"""Browser fixtures for the tests of pages and images."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

# A frame can be narrower than the minimum window of a browser, and its media queries use the width of the frame. Frames
# are low enough to be visible together, because a browser does not draw off-screen frames.
FRAMES = """<!doctype html><body><pre id="measured"></pre><script>
addEventListener("message", (event) => {{ document.getElementById("measured").textContent += event.data + "\\n"; }});
</script>{frames}</body>"""
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
// Plots are drawn with a delay, also after a resize: measure until they fit, or report the last measurement.
let isResized = wanted === innerWidth;
const poll = (tries) => setTimeout(() => {
  const result = measure();
  const fits = result.plots.every(([box, plot]) => Math.abs(box - plot) <= 1);
  if (tries > 0 && !fits) return poll(tries - 1);
  if (isResized) return parent.postMessage(JSON.stringify(result), "*");
  isResized = true;
  document.body.style.width = wanted + "px";
  dispatchEvent(new Event("resize"));
  poll(40);
}, 250);
addEventListener("load", () => poll(40));
</script>"""


@pytest.fixture(scope="session")
def chromium() -> str:
    """Return the path of chromium or chrome; without one skip, but fail in CI."""
    for name in ("chromium", "chromium-browser", "google-chrome", "chrome"):
        if path := shutil.which(name):
            return path
    if os.environ.get("CI"):
        pytest.fail("no chromium or chrome on the PATH; continuous integration must have one")
    pytest.skip("no chromium or chrome on the PATH")


@pytest.fixture(scope="session")
def open_page(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Return a function that opens a page at several widths without network access.

    It returns the measurements of each frame by width, and the lines of the console. The frame for `resized` opens wide
    and then narrows its page. It dispatches the resize event itself, because a headless browser may not send one.
    """

    def open_at(page: str, *, widths: tuple[int, ...], resized: int) -> tuple[dict[int, dict[str, Any]], list[str]]:
        folder = tmp_path_factory.mktemp("page")
        (folder / "page.html").write_text(page.replace("<style>", PROBE + "<style>", 1), encoding="utf-8")
        frames = "".join(f'<iframe src="page.html" width="{width}" height="250"></iframe>' for width in widths)
        frames += f'<iframe src="page.html#{resized}" width="1400" height="250"></iframe>'
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
        match = re.search(r'<pre id="measured">(.*?)</pre>', done.stdout, re.DOTALL)
        assert match, done.stderr
        measured = [json.loads(line) for line in match[1].splitlines()]
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        return {frame["width"]: frame for frame in measured}, console

    return open_at


@pytest.fixture(scope="session")
def browser(chromium: str, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Chrome]":
    """Return a driven browser (Selenium) without network access and with software WebGL."""
    driver = shutil.which("chromedriver")
    if driver is None:
        if os.environ.get("CI"):
            pytest.fail("no chromedriver on the PATH; continuous integration must have one")
        pytest.skip("no chromedriver on the PATH")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in (
        "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
        "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
        "--host-resolver-rules=MAP * ~NOTFOUND", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
    ):  # fmt: skip
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()
