"""Result page: one file, no network access, escaped user text."""

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from explorer.errors import WrongUsage
from explorer.models.evaluation import make_problem
from explorer.models.samples.samples import paper_samples
from explorer.pareto.results.results import Results
from explorer.problem.study import read_study
from explorer.report.pages.front import front_page
from explorer.report.pages.write import write_page
from explorer.report.plots.thinning import MAX_FRONT
from explorer.search.run_log import build_provenance
from tests.paper_fit import paper_model

EVIL = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def results() -> Results:
    """Return the designs of a scan of a shipped study in the form of a finished run."""
    problem = make_problem(read_study("power-cap"), paper_model())
    table = problem.sample(256)
    n = len(table["family"])
    table["design_id"] = np.arange(n)
    table["origin"] = np.full(n, "search", dtype=object)
    samples = problem.evaluate(paper_samples().rows(paper_samples().columns["family"] == "CNN").columns)
    run = {"sampler": "nsga2", "seed": 0, "from": 0, "to": n, "began": "2026-01-01T00:00", "ended": "2026-01-01T00:01"}
    return Results(
        study="power-cap",
        title="EDP against accuracy",
        table=table,
        objectives=problem.study.objectives,
        constraints=("power_w <= 22 W",),
        reference_point=(5.0, 0.86),
        samples=samples,
        sample_labels=("CNN1", "CNN2", "CNN3"),
        notes=("the first note", "a second one"),
        provenance=build_provenance(
            problem, storage_label="x/study.journal", runs=[run], model={"samples_sha256": "abcdef0123456789"}
        ),
    )


@pytest.fixture(scope="module")
def page(results: Results) -> str:
    return front_page(results)


def test_plotly_is_embedded_exactly_once(page: str) -> None:
    assert page.count(get_plotlyjs()[:5000]) == 1
    assert page.count("plotly.js v") == get_plotlyjs().count("plotly.js v")


def test_the_page_needs_no_network(page: str) -> None:
    own = page.replace(get_plotlyjs(), "")

    assert not re.findall(r"""(?:src|href)=["'](?!data:)[^"']+""", own)
    assert "@import" not in own
    assert "default-src &#x27;none&#x27;" in own


def test_the_page_has_notes_constraints_and_provenance(page: str) -> None:
    for text in (
        "EDP against accuracy",
        "The first note.",
        "A second one.",
        "power_w &lt;= 22 W",
        "nsga2, seed 0",
        "x/study.journal",
        "Measure a design before you deploy it",
    ):
        assert text in page


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda r: replace(r, title=EVIL), id="title"),
        pytest.param(lambda r: replace(r, notes=(EVIL,)), id="note"),
        pytest.param(lambda r: replace(r, constraints=(EVIL,)), id="constraint"),
        pytest.param(lambda r: replace(r, sample_labels=(EVIL, "b", "c")), id="sample's name"),
        pytest.param(lambda r: replace(r, table=_renamed(r)), id="family"),
    ],
)
def test_user_text_is_escaped(results: Results, change: Callable[[Results], Results]) -> None:
    page = front_page(change(results)).replace(get_plotlyjs(), "")

    assert "alert(" in page
    assert EVIL not in page


def test_equal_results_give_equal_pages(results: Results, page: str) -> None:
    assert front_page(results) == page


def test_a_long_front_is_thinned_with_a_note(results: Results) -> None:
    n = MAX_FRONT + 40
    table = {name: np.repeat(values[:1], n) for name, values in results.table.items()}
    table |= {"edp_js": np.linspace(2, 4, n), "accuracy": np.linspace(0.88, 0.95, n), "design_id": np.arange(n)}
    table["is_feasible"] = np.ones(n, dtype=bool)
    page = front_page(replace(results, table=table))

    assert f"This page contains {MAX_FRONT:,} of {n:,} front designs" in page


def test_a_page_without_a_front_has_the_constraint_gaps(results: Results) -> None:
    none = {**results.table, "is_feasible": np.zeros(len(results.table["family"]), dtype=bool)}
    page = front_page(replace(results, table=none))

    assert "0 of " in page
    assert "so the front is empty" in page
    assert "Constraints of the front" not in page
    assert ["Constraint", "Evaluated designs"] in _rows(page)
    assert any(row[0] == "power_w <= 22 W" for row in _rows(page))


def test_the_page_of_a_table_mentions_no_predictions(results: Results) -> None:
    model = {"name": "rows.csv", "kind": "table", "samples_sha256": "0"}
    page = front_page(replace(results, provenance={**results.provenance, "model": model}))

    assert "nothing is predicted" in page
    assert "Predictions come from" not in page


def test_a_note_appears_once_and_starts_with_a_label(results: Results) -> None:
    note = "latency_s: far from the other rows"
    check = {"targets": {}, "warnings": [note, "weight_bits never varied"], "identifiability": ["voltage_v alone"]}
    page = front_page(replace(results, notes=(note,), model_check=check))

    assert page.count("Latency T: far from the other rows.") == 1
    assert "latency_s: far" not in page
    assert "<p>voltage_v alone.</p>" in page


def test_results_without_provenance_give_a_page(results: Results) -> None:
    assert "model &#x27;unknown&#x27;" in front_page(replace(results, provenance={}))


def test_the_page_is_written_atomically(results: Results, page: str, tmp_path: Path) -> None:
    write_page(results, tmp_path / "report.html")

    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / "file").touch()
    with pytest.raises(WrongUsage, match="cannot write"):
        write_page(results, tmp_path / "file" / "report.html")


def _renamed(results: Results) -> dict[str, np.ndarray]:
    return {**results.table, "family": np.full(len(results.table["family"]), EVIL, dtype=object)}


class _Table(HTMLParser):
    """Parser that collects the text of table cells by row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self._in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag == "tr":
            self.rows.append([])
        if tag in {"td", "th"}:
            self.rows[-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.rows[-1][-1] += data


def _rows(page: str) -> list[list[str]]:
    """Return the text of the cells of every table row of a page."""
    parser = _Table()
    parser.feed(page.replace(get_plotlyjs(), ""))
    return parser.rows


def test_warnings_of_the_model_stand_above_the_plot(results: Results) -> None:
    warned = replace(results, model_warnings=({"kind": "outlier", "text": f"row 7 {EVIL} is an outlier"},))
    page = front_page(warned)
    box = page.index('<aside class="warnings"')

    assert "<h2>" not in page[:box]
    assert box < page.index('<section id="live"')
    assert EVIL not in page
    assert '<aside class="warnings"' not in front_page(results)
