"""Interactive page in a browser without network access: controls, marks, filters, commands, keyboard."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

import explorer
from explorer.pareto.exact_front import front_designs
from explorer.pareto.geometry.refinement import Budget
from explorer.pareto.results.folder import write_folder
from explorer.pareto.results.results import Results
from explorer.problem.columns import n_rows, stack, take
from explorer.report.pages.write import write_page
from explorer.report.plots.thinning import MAX_FRONT
from tests.cli.conftest import run_here

# One process for the module: its results take a minute to compute.
pytestmark = pytest.mark.xdist_group("page")

Page = Chrome


@pytest.fixture(scope="module")
def folder(shared_run: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with results: two objectives, three objectives, and measured designs only."""
    root = tmp_path_factory.mktemp("studies")
    for study in ("paper", "energy-latency-accuracy"):
        shutil.copytree(shared_run(study), root / "results" / study)
    # In root, so that the commands of the page use the name of the study.
    done = run_here(root, ["run", "digits-cnn-live", "--trials", "12"])
    assert done.returncode == 0, done.stderr
    return root


@pytest.fixture(scope="module")
def long_fronts(folder: Path) -> Path:
    """Return the folder with two more results: a front of a thousand designs, and one longer than a page contains."""
    problem, reference = explorer.load_study("energy-latency-accuracy"), (28.0, 0.23, 0.86)
    scan = problem.sample(2**12)
    front = front_designs(problem, reference, budget=Budget(1e-3, 30_000, n_scanned=2**12, n_offspring=6_000)).designs
    for name, n in (("thousand", 1_000), ("thousands", n_rows(front))):
        some = problem.evaluate(take(front, np.linspace(0, n_rows(front) - 1, n).astype(np.int64)))
        table = stack([{column: part[column] for column in scan} for part in (scan, some)])
        table["design_id"] = np.arange(n_rows(table))
        table["origin"] = np.full(n_rows(table), "search", dtype=object)
        results = Results(name, name, table, problem.study.objectives, (), reference, {}, (), ())
        write_folder(results, folder / "results" / name)
        write_page(results, folder / "results" / name / "report.html", display_name=name)
    return folder


@pytest.fixture
def page(browser: Chrome, folder: Path) -> Iterator[Callable[..., Page]]:
    """Return a function that opens the page of a study at a width; the console must have no error after the test."""

    def open_at(width: int = 1400, *, study: str = "paper", dark: bool = False) -> Page:
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        browser.get((folder / "results" / study / "report.html").as_uri())
        _until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, "#scatter .main-svg"))
        return browser

    yield open_at
    faults = [line for line in browser.get_log("browser") if line["level"] == "SEVERE"]
    assert not faults


def _until(browser: Chrome, is_done: Callable[[], Any]) -> Any:
    # The page replaces elements when it redraws, so a reference can become stale.
    waiting = WebDriverWait(browser, 60, poll_frequency=0.05, ignored_exceptions=[StaleElementReferenceException])
    return waiting.until(lambda _: is_done())


def _one(page: Page, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def _design(page: Page, mark: str) -> int:
    return int(page.execute_script(f"return document.querySelector('#cards [data-mark={mark}]').dataset.design"))


def _chosen(folder: Path, study: str, *args: str) -> int:
    done = run_here(folder, ["choose", study, *args, "--json", "-o", "chosen.json"])
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout)["design"]["design_id"])


def _type(page: Page, field: str, text: str) -> None:
    """Select the content of a field and type over it."""
    _one(page, field).send_keys(Keys.CONTROL, "a")
    _one(page, field).send_keys(text)


def _wait_for_redraw(page: Page) -> None:
    """Wait two animation frames; the page draws once per frame."""
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def _ids(page: Page) -> list[int]:
    texts = page.execute_script("return [...document.querySelectorAll('#front-body button')].map((b) => b.textContent)")
    return [int(text.rstrip("*")) for text in texts]


@pytest.mark.parametrize("study", ["paper", "energy-latency-accuracy"])
@pytest.mark.slow
def test_alpha_changes_the_winner_as_choose_does(page: Callable[..., Page], folder: Path, study: str) -> None:
    opened = page(study=study)
    winners = {}
    for alpha in ("0.1", "0.6", "0.95"):
        _type(opened, "#alpha-number", alpha)
        _until(opened, lambda text=f"--alpha {alpha} ": text in _one(opened, "#cards").text)
        winners[alpha] = _design(opened, "winner")

        assert winners[alpha] == _chosen(folder, study, "--alpha", alpha)

    assert winners["0.1"] != winners["0.95"]


@pytest.mark.slow
def test_knee_and_best_within_limits_match_choose(page: Callable[..., Page], folder: Path) -> None:
    opened = page()
    before = _design(opened, "best")
    _type(opened, "#floor", "0.915")
    _type(opened, "#cap", "21.5")
    opened.execute_script("arguments[0].value = 'edp_js'", _one(opened, "#minimize"))
    opened.execute_script("arguments[0].dispatchEvent(new Event('change'))", _one(opened, "#minimize"))
    _until(opened, lambda: "--minimize edp_js" in _one(opened, "#cards").text)
    limits = ("--where", "accuracy>=0.915", "--where", "power_w<=21.5")

    assert "Least edp within limits" in _one(opened, "#cards").text
    assert _design(opened, "knee") == _chosen(folder, "paper", "--knee")
    assert _design(opened, "best") == _chosen(folder, "paper", "--minimize", "edp_js", "--front", *limits) != before


@pytest.mark.slow
def test_goal_names_and_command_wrapping_on_a_phone(page: Callable[..., Page]) -> None:
    opened = page(400)
    opened.execute_script("arguments[0].value = 'accuracy'", _one(opened, "#minimize"))
    opened.execute_script("arguments[0].dispatchEvent(new Event('change'))", _one(opened, "#minimize"))
    _until(opened, lambda: "--minimize accuracy" in _one(opened, "#cards").text)
    heights = opened.execute_script("return [...document.querySelectorAll('#cards .word')].map((w) => w.offsetHeight)")

    assert "Greatest accuracy within limits" in _one(opened, "#cards").text
    assert len(set(heights)) == 1


def test_energy_max_changes_the_winner_as_choose_does(page: Callable[..., Page], folder: Path) -> None:
    opened = page()
    before = _design(opened, "winner")
    _type(opened, "#energy-max", "12")
    _until(opened, lambda: "--energy-max 12J" in _one(opened, "#cards").text)

    assert _design(opened, "winner") == _chosen(folder, "paper", "--alpha", "0.9", "--energy-max", "12") != before


def _minimize(page: Page, column: str) -> None:
    page.execute_script("arguments[0].value = arguments[1]", _one(page, "#minimize"), column)
    page.execute_script("arguments[0].dispatchEvent(new Event('change'))", _one(page, "#minimize"))


def _best_is_of_whole_front(page: Page) -> bool:
    return "The command searches all" not in _one(page, "#cards .card:last-child").text


@pytest.mark.slow
def test_marks_on_a_front_of_1000_designs_match_choose(page: Callable[..., Page], long_fronts: Path) -> None:
    opened = page(study="thousand")
    n = json.loads((long_fronts / "results/thousand/front.json").read_text())["front_size"]
    _type(opened, "#alpha-number", "0.73")
    _type(opened, "#floor", "0.915")
    _type(opened, "#cap", "21.5")
    _minimize(opened, "latency_s")
    _until(opened, lambda: "--minimize latency_s" in _one(opened, "#cards").text)
    limits = ("--where", "accuracy>=0.915", "--where", "power_w<=21.5")

    assert 900 < n < MAX_FRONT
    assert _design(opened, "winner") == _chosen(long_fronts, "thousand", "--alpha", "0.73")
    assert _design(opened, "knee") == _chosen(long_fronts, "thousand", "--knee")
    assert _design(opened, "best") == _chosen(long_fronts, "thousand", "--minimize", "latency_s", "--front", *limits)
    assert _best_is_of_whole_front(opened)


@pytest.mark.slow
def test_marks_on_a_thinned_front_match_choose(page: Callable[..., Page], long_fronts: Path) -> None:
    opened = page(study="thousands")
    n = json.loads((long_fronts / "results/thousands/front.json").read_text())["front_size"]
    text = opened.find_element(By.TAG_NAME, "main").text

    assert f"This page contains {MAX_FRONT:,} of {n:,} front designs" in text
    assert _design(opened, "knee") == _chosen(long_fronts, "thousands", "--knee")
    for alpha in ("0.86",):
        _type(opened, "#alpha-number", alpha)
        _until(opened, lambda a=alpha: f"--alpha {a} " in _one(opened, "#cards").text)
        assert _design(opened, "winner") == _chosen(long_fronts, "thousands", "--alpha", alpha)
    for column in ("accuracy", "size_bytes"):
        _minimize(opened, column)
        _until(opened, lambda c=column: f"--minimize {c}" in _one(opened, "#cards").text)
        assert _design(opened, "best") == _chosen(long_fronts, "thousands", "--minimize", column, "--front")
        assert _best_is_of_whole_front(opened)


@pytest.mark.slow
def test_a_limit_on_a_thinned_front_adds_a_caveat(page: Callable[..., Page], long_fronts: Path) -> None:
    opened = page(study="thousands")
    n = json.loads((long_fronts / "results/thousands/front.json").read_text())["front_size"]
    _type(opened, "#floor", "0.915")

    _until(
        opened,
        lambda: (
            f"Best of the {MAX_FRONT:,} designs on this page. The command searches all {n:,}."
            in _one(opened, "#cards .card:last-child").text
        ),
    )
    assert "The command searches all" not in _one(opened, "#cards .card:first-child").text


def test_moving_a_slider_does_not_redraw_the_points(page: Callable[..., Page], long_fronts: Path) -> None:
    """Redrawing thousands of points with plotly would be slow; only the marks move."""
    opened = page(study="thousands")
    opened.execute_script(
        "window.n = 0; for (const id of ['scatter', 'alpha-plot'])"
        " document.getElementById(id).on('plotly_afterplot', () => (window.n += 1))"
    )
    before, position = _design(opened, "winner"), _centre(opened, "#marks .winner")
    _type(opened, "#alpha-number", "0.2")
    _until(opened, lambda: _design(opened, "winner") != before)
    _until(opened, lambda: _centre(opened, "#marks .winner") != position)

    assert opened.execute_script("return window.n") == 0
    opened.execute_script("arguments[0].click()", _one(opened, "#x-log"))
    _until(opened, lambda: opened.execute_script("return window.n") > 0)


def _centre(page: Page, selector: str) -> list[float]:
    return list(
        page.execute_script(
            "const r = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2]",
            selector,
        )
    )


@pytest.mark.parametrize("is_log", [False, True], ids=["linear", "logarithmic"])
@pytest.mark.parametrize("width", [400, 1400])
def test_a_mark_is_at_the_point_of_its_design(page: Callable[..., Page], width: int, is_log: bool) -> None:
    opened = page(width)
    if is_log:
        opened.execute_script("arguments[0].click()", _one(opened, "#x-log"))
        _until(
            opened,
            lambda: opened.execute_script("return document.getElementById('scatter').layout.xaxis.type") == "log",
        )
    _wait_for_redraw(opened)
    knee = _design(opened, "knee")
    point = opened.execute_script(
        """
        for (const [i, trace] of document.getElementById('scatter').data.entries()) {
          const at = (trace.text ?? []).findIndex((text) => text.includes(`<b>design ${arguments[0]}</b>`));
          if (at < 0) continue;
          const uid = document.getElementById('scatter')._fullData[i].uid;
          const r = document.querySelectorAll(`#scatter .trace${uid} .point`)[at].getBoundingClientRect();
          return [r.x + r.width / 2, r.y + r.height / 2];
        }""",
        knee,
    )

    assert _centre(opened, "#marks .knee") == pytest.approx(point, abs=1)


def test_unmet_limits_report_the_closest_value(page: Callable[..., Page]) -> None:
    opened = page()
    _type(opened, "#floor", "0.99")
    _until(opened, lambda: "No design of the front meets the limits" in _one(opened, "#cards").text)

    assert re.search(r"Accuracy: the closest is 0\.9\d", _one(opened, "#cards").text)


def test_an_invalid_number_is_marked_and_ignored(page: Callable[..., Page]) -> None:
    opened = page()
    before = _design(opened, "winner")
    _type(opened, "#alpha-number", "1")  # "1" is valid on the way to "1.5", and is drawn
    _wait_for_redraw(opened)
    assert _one(opened, "#alpha").get_property("value") == "1"
    _one(opened, "#alpha-number").send_keys(".5")
    _wait_for_redraw(opened)
    assert _one(opened, "#alpha-number").get_attribute("aria-invalid") == "true"
    assert "1.5 is not between 0 and 1. The page keeps the previous value: 0.9" in _one(opened, "#number-note").text

    assert _design(opened, "winner") == before
    assert _one(opened, "#alpha").get_property("value") == "0.9"

    _type(opened, "#alpha-number", "0.1")
    _wait_for_redraw(opened)
    assert not _one(opened, "#number-note").is_displayed()
    assert _design(opened, "winner") != before


def test_a_page_of_measurements_mentions_no_predictions(page: Callable[..., Page]) -> None:
    opened = page(study="digits-cnn-live")
    _one(opened, "#scatter-box").send_keys(Keys.ARROW_RIGHT)
    _until(opened, lambda: opened.find_elements(By.CSS_SELECTOR, "#selected h3"))
    text = opened.find_element(By.TAG_NAME, "body").text

    assert _one(opened, "#selected thead").text.split() == ["Measured", "Interval"]
    assert _one(opened, "#bars-label .interval-word").text == "Intervals"
    assert "Small numbers: Intervals." in text
    assert not re.search("p [≥<] 95 %|90 % interval|Predicted", text)


def test_a_range_on_an_axis_filters_table_and_plot(page: Callable[..., Page]) -> None:
    opened = page()
    n_front = int(re.findall(r"\d+", _one(opened, "#front-count").text)[0])
    axis = _one(opened, "#parallel-axes g:has([data-axis=accuracy]) .target")
    ActionChains(opened).scroll_to_element(axis).move_to_element_with_offset(
        axis, 0, -90
    ).click_and_hold().move_by_offset(0, 60).release().perform()
    _until(opened, lambda: "are within the range" in _one(opened, "#brush-count").text)
    n_filtered, total = map(int, re.findall(r"\d+", _one(opened, "#brush-count").text)[:2])
    legend = "return document.querySelector('#scatter .legend').textContent"

    assert 0 < n_filtered < n_front == total
    # Off-screen parts and the plot are redrawn after the drag.
    _until(opened, lambda: f"front, filtered out ({total - n_filtered})" in opened.execute_script(legend))
    _until(opened, lambda: _one(opened, "#front-count").text.startswith(f"{n_filtered} of {total} front designs"))

    _one(opened, "#brush-clear").click()
    _until(opened, lambda: f"All {total} designs" in _one(opened, "#brush-count").text)


def test_the_table_sorts_by_a_column_in_both_directions(page: Callable[..., Page], folder: Path) -> None:
    opened = page()
    front = {d["design_id"]: d for d in json.loads((folder / "results/paper/front.json").read_text())["designs"]}
    for name in ("power_w", "size_bytes"):
        orders = []
        for direction in ("ascending", "descending"):
            _one(opened, f"#front-head [data-focus='column {name}']").click()
            _until(
                opened,
                lambda d=direction, n=name: (
                    _one(opened, f"th:has([data-focus='column {n}'])").get_attribute("aria-sort") == d
                ),
            )
            orders.append([front[i][name] for i in _ids(opened)])

        assert orders[0] == sorted(orders[0])
        assert orders[1] == sorted(orders[1], reverse=True)


@pytest.mark.slow
def test_the_copied_command_deploys_the_selected_design(
    page: Callable[..., Page], folder: Path, tmp_path: Path
) -> None:
    opened = page()
    design = _ids(opened)[3]
    _one(opened, "#front-body tr:nth-child(4) button").click()
    _until(opened, lambda: f"Design {design}" in _one(opened, "#selected").text)
    _one(opened, "#deploy-command button").click()
    _until(opened, lambda: _one(opened, "#deploy-command button").text == "Copied")
    # Read the clipboard by pasting into a temporary text area.
    opened.execute_script("document.body.insertAdjacentHTML('beforeend', '<textarea id=pasted></textarea>')")
    _one(opened, "#pasted").send_keys(Keys.CONTROL, "v")
    command = str(_one(opened, "#pasted").get_property("value"))
    shim = tmp_path / "explorer"
    shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m explorer "$@"\n')
    shim.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", command], cwd=folder, env=env, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    manifest = json.loads((folder / f"bundle-{design}" / "manifest.json").read_text())
    assert manifest["design"]["design_id"] == design


def test_clicking_a_point_selects_it(page: Callable[..., Page]) -> None:
    opened = page()
    point = _until(
        opened, lambda: opened.find_elements(By.CSS_SELECTOR, "#scatter .scatterlayer .trace:nth-last-child(2) .point")
    )[0]
    ActionChains(opened).move_to_element(point).click().perform()

    _until(opened, lambda: _one(opened, "#selected").text.startswith("Design "))


def _share(slider: WebElement) -> float:
    """Return where a slider stands between its ends, 0 to 1."""
    low, high, now = (float(str(slider.get_attribute(f"aria-value{end}"))) for end in ("min", "max", "now"))
    return (now - low) / (high - low)


def test_a_late_frame_draws_the_latest_state(page: Callable[..., Page]) -> None:
    """Frames that come late, as on a busy machine: a range is set and cleared between two of them."""
    opened = page()
    opened.execute_async_script(
        """
        const [done] = arguments, frame = window.requestAnimationFrame.bind(window);
        window.requestAnimationFrame = (draw) => setTimeout(() => frame(draw), 300);
        const handle = document.querySelector(".handle[data-axis=accuracy][data-end='0']");
        const press = (key) => handle.dispatchEvent(new KeyboardEvent("keydown", { key }));
        const design = () => document.querySelector("#cards [data-mark=winner]").dataset.design, before = design();
        const alpha = document.getElementById("alpha");
        alpha.value = 0;
        alpha.dispatchEvent(new Event("input"));
        const wait = () => {
          if (design() === before) return setTimeout(wait, 5);
          for (let i = 0; i < 10; i++) press("ArrowUp");
          setTimeout(() => press("Escape"), 200);
          setTimeout(done, 1000);
        };
        wait();
        """
    )

    _until(opened, lambda: _one(opened, "#brush-count").text.startswith("All "))
    _until(opened, lambda: _share(_one(opened, ".handle[data-axis=accuracy][data-end='0']")) == 0)


def test_all_controls_work_by_keyboard(page: Callable[..., Page]) -> None:
    opened = page()
    body = ActionChains(opened)

    def focus(selector: str) -> None:
        """Press Tab until an element that matches has focus: by selector, since a late redraw replaces elements."""
        for _ in range(120):
            if opened.execute_script("return document.activeElement.matches(arguments[0])", selector):
                return
            ActionChains(opened).send_keys(Keys.TAB).perform()
        pytest.fail(f"Tab never reaches {selector}")

    focus("#scatter-box")
    body.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT).perform()
    _until(opened, lambda: _one(opened, "#selected").text.startswith("Design "))
    first = _one(opened, "#selected h3").text
    ActionChains(opened).send_keys(Keys.ARROW_RIGHT).perform()
    _until(opened, lambda: _one(opened, "#selected h3").text != first)

    before = _design(opened, "winner")
    focus("#alpha")
    ActionChains(opened).send_keys(Keys.HOME).perform()
    _until(opened, lambda: _design(opened, "winner") != before)

    focus(".handle[data-axis=accuracy][data-end='0']")
    ActionChains(opened).send_keys(*[Keys.ARROW_UP] * 10).perform()
    _until(opened, lambda: "are within the range" in _one(opened, "#brush-count").text)
    _until(opened, lambda: _share(_one(opened, ":focus")) == pytest.approx(0.2))
    ActionChains(opened).send_keys(Keys.ESCAPE).perform()
    _until(opened, lambda: _one(opened, "#brush-count").text.startswith("All "))

    focus("#front-head [data-focus='column accuracy']")
    ActionChains(opened).send_keys(Keys.ENTER).perform()
    _until(
        opened, lambda: _one(opened, "th:has([data-focus='column accuracy'])").get_attribute("aria-sort") == "ascending"
    )
    assert opened.switch_to.active_element == _one(opened, "#front-head [data-focus='column accuracy']")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_fits_the_window(page: Callable[..., Page], width: int, dark: bool) -> None:
    opened = page(width, dark=dark)
    _one(opened, "#front-body button").click()
    _until(opened, lambda: _one(opened, "#selected").text.startswith("Design "))
    wide = opened.execute_script(
        "return [...document.querySelectorAll('main *')].filter((e) => !e.closest('.scroll') && !e.closest('svg') && "
        "e.getBoundingClientRect().right > innerWidth + 1).map((e) => e.tagName + '#' + e.id)"
    )

    assert opened.execute_script("return document.documentElement.scrollWidth") <= width
    assert wide == []


def test_axes_can_be_any_two_columns(page: Callable[..., Page]) -> None:
    opened = page(study="energy-latency-accuracy")
    for axis, column in (("#x-axis", "size_bytes"), ("#y-axis", "power_w")):
        opened.execute_script("arguments[0].value = arguments[1]", _one(opened, axis), column)
        opened.execute_script("arguments[0].dispatchEvent(new Event('change'))", _one(opened, axis))
    _until(opened, lambda: "Power P (W)" in _one(opened, "#scatter .ytitle").text)

    assert "Model size (MB)" in _one(opened, "#scatter .xtitle").text


def test_the_plot_switches_to_3d_and_back(page: Callable[..., Page]) -> None:
    opened = page(study="energy-latency-accuracy")
    for column, kind in (("accuracy", "scatter3d"), ("", "scatter")):
        opened.execute_script("arguments[0].value = arguments[1]", _one(opened, "#z-axis"), column)
        opened.execute_script("arguments[0].dispatchEvent(new Event('change'))", _one(opened, "#z-axis"))
        _until(
            opened,
            lambda k=kind: opened.execute_script("return document.getElementById('scatter').data?.[0].type") == k,
        )


def test_an_axis_can_be_logarithmic(page: Callable[..., Page]) -> None:
    opened = page()
    kind = "return document.getElementById('scatter').layout.xaxis.type"
    assert opened.execute_script(kind) == "linear"

    _one(opened, "#x-log").click()
    _until(opened, lambda: opened.execute_script(kind) == "log")


def test_two_objectives_have_no_z_axis(page: Callable[..., Page]) -> None:
    assert not _one(page(), "#z-label").is_displayed()


def test_the_page_counts_designs_that_j_never_selects(page: Callable[..., Page], folder: Path) -> None:
    text = _one(page(), "#alpha-text").text
    n_winners, total = map(int, re.findall(r"selects (\d+) of (\d+)", text)[0])

    assert total == json.loads((folder / "results/paper/front.json").read_text())["front_size"]
    assert 0 < n_winners < total
    assert f"J selects the other {total - n_winners} for no alpha" in text
