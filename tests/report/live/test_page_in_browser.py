"""The live page in a real browser with the network off: looking, moving, choosing, copying, by mouse and keyboard."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explorer.pareto.results.folder import write_folder
from explorer.pareto.results.results import Results
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import ActionChains, Chrome
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

import explorer
from explorer.report.pages.write import write_page
from explorer.report.plots.thinning import MAX_FRONT

Page = Chrome


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which studies were run: two objectives, three, and one whose designs were all measured."""
    place = tmp_path_factory.mktemp("studies")
    for study, trials in (("paper", 200), ("energy-latency-accuracy", 150), ("digits-cnn-live", 12)):
        explorer.run(study, trials=trials, out=place / "results" / study)
        command = [sys.executable, "-m", "explorer", "report", study]  # written as from there: commands name the study
        subprocess.run(command, cwd=place, check=True, capture_output=True)
    return place


@pytest.fixture(scope="module")
def long_fronts(folder: Path) -> Path:
    """The same folder with two more results: fronts of a thousand designs, and of more than a page carries."""
    problem = explorer.load_problem("energy-latency-accuracy")
    for name, n in (("thousand", 2**14), ("thousands", 2**17)):
        table = problem.sample(n)
        table["design_id"] = np.arange(len(table["family"]))
        table["origin"] = np.full(len(table["family"]), "search", dtype=object)
        results = Results(name, name, table, problem.study.objectives, (), (28.0, 0.23, 0.86), {}, (), ())
        write_folder(results, folder / "results" / name)
        write_page(results, folder / "results" / name / "report.html", place=name)
    return folder


@pytest.fixture
def page(browser: Chrome, folder: Path) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a study's page at a width; after the test nothing may stand in the console."""

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
    # Parts are drawn anew while a test looks: an element found a moment ago may be gone.
    waiting = WebDriverWait(browser, 60, poll_frequency=0.05, ignored_exceptions=[StaleElementReferenceException])
    return waiting.until(lambda _: is_done())


def _one(page: Page, selector: str) -> WebElement:
    return page.find_element(By.CSS_SELECTOR, selector)


def _design(page: Page, mark: str) -> int:
    return int(page.execute_script(f"return document.querySelector('#cards [data-mark={mark}]').dataset.design"))


def _chosen(folder: Path, study: str, *args: str) -> int:
    command = [sys.executable, "-m", "explorer", "choose", study, *args, "--json", "-o", "chosen.json"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return int(json.loads(done.stdout)["design"]["design_id"])


def _type(page: Page, field: str, text: str) -> None:
    """Replace what stands in a field, as a person does: all of it marked, then typed over."""
    _one(page, field).send_keys(Keys.CONTROL, "a")
    _one(page, field).send_keys(text)


def _drawn(page: Page) -> None:
    """Wait until what was asked for is drawn: the page draws once a frame."""
    page.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def _ids(page: Page) -> list[int]:
    texts = page.execute_script("return [...document.querySelectorAll('#front-body button')].map((b) => b.textContent)")
    return [int(text.rstrip("*")) for text in texts]


@pytest.mark.parametrize("study", ["paper", "energy-latency-accuracy"])
def test_moving_alpha_changes_the_winner_to_what_choose_gives(
    page: Callable[..., Page], folder: Path, study: str
) -> None:
    opened = page(study=study)
    winners = {}
    for alpha in ("0.1", "0.6", "0.95"):
        _type(opened, "#alpha-number", alpha)
        _until(opened, lambda text=f"--alpha {alpha} ": text in _one(opened, "#cards").text)
        winners[alpha] = _design(opened, "winner")

        assert winners[alpha] == _chosen(folder, study, "--alpha", alpha)

    assert winners["0.1"] != winners["0.95"]


def test_the_knee_and_the_best_within_limits_are_what_choose_gives(page: Callable[..., Page], folder: Path) -> None:
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
    assert _design(opened, "best") == _chosen(folder, "paper", "--minimize", "edp_js", *limits) != before


def test_the_most_accurate_is_called_the_greatest_and_commands_break_between_words(page: Callable[..., Page]) -> None:
    opened = page(400)
    opened.execute_script("arguments[0].value = 'accuracy'", _one(opened, "#minimize"))
    opened.execute_script("arguments[0].dispatchEvent(new Event('change'))", _one(opened, "#minimize"))
    _until(opened, lambda: "--minimize accuracy" in _one(opened, "#cards").text)
    heights = opened.execute_script("return [...document.querySelectorAll('#cards .word')].map((w) => w.offsetHeight)")

    assert "Greatest accuracy within limits" in _one(opened, "#cards").text
    assert len(set(heights)) == 1


def test_another_energy_max_moves_the_winner_as_choose_does(page: Callable[..., Page], folder: Path) -> None:
    opened = page()
    before = _design(opened, "winner")
    _type(opened, "#energy-max", "12")
    _until(opened, lambda: "--energy-max 12J" in _one(opened, "#cards").text)

    assert _design(opened, "winner") == _chosen(folder, "paper", "--alpha", "0.9", "--energy-max", "12") != before


def _minimize(page: Page, column: str) -> None:
    page.execute_script("arguments[0].value = arguments[1]", _one(page, "#minimize"), column)
    page.execute_script("arguments[0].dispatchEvent(new Event('change'))", _one(page, "#minimize"))


def _best_is_thorough(page: Page) -> bool:
    return "the command looks at all" not in _one(page, "#cards .card:last-child").text


def test_on_a_front_of_a_thousand_designs_every_mark_is_what_choose_gives(
    page: Callable[..., Page], long_fronts: Path
) -> None:
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
    assert _design(opened, "best") == _chosen(long_fronts, "thousand", "--minimize", "latency_s", *limits)
    assert _best_is_thorough(opened)


def test_where_a_page_does_not_carry_the_whole_front_its_marks_are_still_what_choose_gives(
    page: Callable[..., Page], long_fronts: Path
) -> None:
    opened = page(study="thousands")
    n = json.loads((long_fronts / "results/thousands/front.json").read_text())["front_size"]
    told = opened.find_element(By.TAG_NAME, "main").text

    assert f"This page carries {MAX_FRONT:,} of {n:,} front designs" in told
    assert _design(opened, "knee") == _chosen(long_fronts, "thousands", "--knee")
    for alpha in ("0.3", "0.86"):
        _type(opened, "#alpha-number", alpha)
        _until(opened, lambda a=alpha: f"--alpha {a} " in _one(opened, "#cards").text)
        assert _design(opened, "winner") == _chosen(long_fronts, "thousands", "--alpha", alpha)
    for column in ("accuracy", "power_w", "size_bytes"):
        _minimize(opened, column)
        _until(opened, lambda c=column: f"--minimize {c}" in _one(opened, "#cards").text)
        assert _design(opened, "best") == _chosen(long_fronts, "thousands", "--minimize", column)
        assert _best_is_thorough(opened)


def test_where_a_mark_looks_only_at_what_the_page_carries_it_says_so(
    page: Callable[..., Page], long_fronts: Path
) -> None:
    opened = page(study="thousands")
    n = json.loads((long_fronts / "results/thousands/front.json").read_text())["front_size"]
    _type(opened, "#floor", "0.915")

    _until(
        opened,
        lambda: (
            f"The best of the {MAX_FRONT:,} designs on this page; the command looks at all {n:,}."
            in _one(opened, "#cards .card:last-child").text
        ),
    )
    assert "the command looks at all" not in _one(opened, "#cards .card:first-child").text


def test_moving_a_slider_leaves_the_points_as_they_are(page: Callable[..., Page], long_fronts: Path) -> None:
    """Plotly would draw thousands of them anew: only the marks move."""
    opened = page(study="thousands")
    opened.execute_script(
        "window.n = 0; for (const id of ['scatter', 'alpha-plot'])"
        " document.getElementById(id).on('plotly_afterplot', () => (window.n += 1))"
    )
    before, place = _design(opened, "winner"), _centre(opened, "#marks .winner")
    _type(opened, "#alpha-number", "0.2")
    _until(opened, lambda: _design(opened, "winner") != before)
    _until(opened, lambda: _centre(opened, "#marks .winner") != place)

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
def test_a_mark_stands_on_its_design(page: Callable[..., Page], width: int, is_log: bool) -> None:
    opened = page(width)
    if is_log:
        opened.execute_script("arguments[0].click()", _one(opened, "#x-log"))
        _until(
            opened,
            lambda: opened.execute_script("return document.getElementById('scatter').layout.xaxis.type") == "log",
        )
    _drawn(opened)
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


def test_limits_that_no_design_meets_tell_the_nearest_miss(page: Callable[..., Page]) -> None:
    opened = page()
    _type(opened, "#floor", "0.99")
    _until(opened, lambda: "No design of the front meets the limits" in _one(opened, "#cards").text)

    assert re.search(r"Accuracy: the nearest is 0\.9\d", _one(opened, "#cards").text)


def test_a_meaningless_number_is_marked_and_changes_nothing(page: Callable[..., Page]) -> None:
    opened = page()
    before = _design(opened, "winner")
    _type(opened, "#alpha-number", "1")  # a person's fingers: "1" has a meaning of its own, and is drawn on the way
    _drawn(opened)
    assert _one(opened, "#alpha").get_property("value") == "1"
    _one(opened, "#alpha-number").send_keys(".5")
    _drawn(opened)
    assert _one(opened, "#alpha-number").get_attribute("aria-invalid") == "true"
    assert "1.5 is not between 0 and 1: the page goes on with 0.9" in _one(opened, "#number-note").text

    assert _design(opened, "winner") == before
    assert _one(opened, "#alpha").get_property("value") == "0.9"

    _type(opened, "#alpha-number", "0.1")
    _drawn(opened)
    assert not _one(opened, "#number-note").is_displayed()
    assert _design(opened, "winner") != before


def test_a_page_of_measurements_speaks_of_no_predictions(page: Callable[..., Page]) -> None:
    opened = page(study="digits-cnn-live")
    _one(opened, "#scatter-box").send_keys(Keys.ARROW_RIGHT)
    _until(opened, lambda: opened.find_elements(By.CSS_SELECTOR, "#selected h3"))
    shown = opened.find_element(By.TAG_NAME, "body").text

    assert _one(opened, "#selected thead").text.split() == ["Measured", "Interval"]
    assert _one(opened, "#bars-label .interval-word").text == "Intervals"
    assert "Small print: Intervals." in shown
    assert not re.search("for sure|90 % interval|Predicted", shown)


def test_brushing_an_axis_shrinks_the_table_and_the_plot(page: Callable[..., Page]) -> None:
    opened = page()
    all_of_them = int(re.findall(r"\d+", _one(opened, "#front-count").text)[0])
    axis = _one(opened, "#parallel-axes g:has([data-axis=accuracy]) .target")
    ActionChains(opened).scroll_to_element(axis).move_to_element_with_offset(
        axis, 0, -90
    ).click_and_hold().move_by_offset(0, 60).release().perform()
    _until(opened, lambda: "lie within the range" in _one(opened, "#brush-count").text)
    kept, total = map(int, re.findall(r"\d+", _one(opened, "#brush-count").text)[:2])
    legend = "return document.querySelector('#scatter .legend').textContent"

    assert 0 < kept < all_of_them == total
    # What is out of sight, and the plot, follow when the range stands still.
    _until(opened, lambda: f"front, filtered out ({total - kept})" in opened.execute_script(legend))
    _until(opened, lambda: _one(opened, "#front-count").text.startswith(f"{kept} of {total} front designs"))

    _one(opened, "#brush-clear").click()
    _until(opened, lambda: f"All {total} designs" in _one(opened, "#brush-count").text)


def test_the_table_sorts_by_any_column_both_ways(page: Callable[..., Page], folder: Path) -> None:
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


def test_the_copied_command_ships_the_selected_design(page: Callable[..., Page], folder: Path, tmp_path: Path) -> None:
    opened = page()
    design = _ids(opened)[3]
    _one(opened, "#front-body tr:nth-child(4) button").click()
    _until(opened, lambda: f"Design {design}" in _one(opened, "#selected").text)
    _one(opened, "#deploy-command button").click()
    _until(opened, lambda: _one(opened, "#deploy-command button").text == "Copied")
    # What was copied is what a paste gives: the cap's field takes only numbers, so a text area is borrowed for it.
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
        opened, lambda: opened.find_elements(By.CSS_SELECTOR, "#scatter .scatterlayer .trace:nth-last-child(3) .point")
    )[0]
    ActionChains(opened).move_to_element(point).click().perform()

    _until(opened, lambda: _one(opened, "#selected").text.startswith("Design "))


def test_the_page_can_be_used_by_keyboard_alone(page: Callable[..., Page]) -> None:
    opened = page()
    body = ActionChains(opened)

    def focus(selector: str) -> WebElement:
        """Press Tab until the element has the focus."""
        wanted = _one(opened, selector)
        for _ in range(120):
            if opened.switch_to.active_element == wanted:
                return wanted
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
    _until(opened, lambda: "lie within the range" in _one(opened, "#brush-count").text)
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
def test_the_page_fits_its_window(page: Callable[..., Page], width: int, dark: bool) -> None:
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


def test_three_objectives_can_be_seen_in_space_and_flat_again(page: Callable[..., Page]) -> None:
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


def test_two_objectives_offer_no_third_axis(page: Callable[..., Page]) -> None:
    assert not _one(page(), "#z-label").is_displayed()


def test_the_page_says_what_alpha_can_never_pick(page: Callable[..., Page], folder: Path) -> None:
    text = _one(page(), "#alpha-text").text
    won, total = map(int, re.findall(r"picks (\d+) of (\d+)", text)[0])

    assert total == json.loads((folder / "results/paper/front.json").read_text())["front_size"]
    assert 0 < won < total
    assert f"The other {total - won} win for no alpha" in text
