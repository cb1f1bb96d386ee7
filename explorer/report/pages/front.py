"""The result page: look at the front, move what matters, choose; and what to know before trusting any of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from explorer.pareto.results.results import Results, constraint_gaps
from explorer.problem.columns import COLUMNS, n_rows, own_knobs
from explorer.problem.constraints import parse_constraint
from explorer.report.live.data import MAX_BEHIND, live_data
from explorer.report.pages.html import App, Block, Grid, Heading, Paragraph, Plot, render_page
from explorer.report.plots.figures import plot_convergence, plot_importance
from explorer.report.plots.thinning import MAX_FRONT

_LIVE = Path(__file__).parent.parent / "live"
# In the order in which they read each other's names.
_SCRIPTS = ("data", "decide", "scatter", "marks", "parallel", "table", "cards", "alpha", "main")


def front_page(results: Results, *, place: str = "") -> str:
    """Return the result page as the text of one HTML file that needs no network.

    Args:
        results: the study's results.
        place: what the commands on the page call them; default: the study's name.
    """
    n = n_rows(results.front_columns)
    wanted = " against ".join(f"{o.name} ({o.direction[:3]}.)" for o in results.objectives)
    lead = (
        f"{n:,} of {results.n_complete:,} designs {'is' if n == 1 else 'are'} on the front of {wanted}; hypervolume "
        f"{results.hypervolume:.5g} up to the reference point {', '.join(f'{x:g}' for x in results.reference_point)}."
    )
    blocks: list[Block] = []
    if n:
        if results.constraints:
            blocks.append(Paragraph(f"Every design meets: {'; '.join(results.constraints)}."))
        blocks += [*_live(results, place or results.study, n), *_search(results)]
    else:
        blocks.append(Paragraph("No design meets every constraint, so there is no front to show."))
        blocks += _misses(results)
    blocks += [*_importance(results), *_trust(results), Heading("Where it comes from")]
    blocks.append(_origin(results))
    return render_page(title=results.title, lead=lead, blocks=blocks)


def _misses(results: Results) -> list[Block]:
    """Say how near the designs came to each constraint."""
    if not results.n_complete:
        return []
    own = own_knobs(results.table)
    asked = [parse_constraint(text, own=own) for text in results.constraints]
    rows = [line.split(": ", 1) for line in constraint_gaps(results.table, asked)]
    return [Grid(["Constraint", "Of the designs tried"], rows)] if rows else []


def _live(results: Results, place: str, n: int) -> list[Block]:
    script = "\n".join((_LIVE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    markup, style = ((_LIVE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    data = live_data(results, place=place)
    blocks: list[Block] = [Paragraph(_thinned(data["front"]["n"], n, data["sweep"]))] if n > MAX_FRONT else []
    blocks.append(App(markup, style, script, data))
    if results.n_complete > MAX_BEHIND:
        blocks.append(
            Paragraph(f"Of the designs behind the front at most {MAX_BEHIND:,} of a kind are drawn; the legend counts.")
        )
    return blocks


def _thinned(n_carried: int, n: int, sweep: Mapping[str, Any]) -> str:
    """Say which designs of a long front the page carries, and where its marks are those of the whole front."""
    carried, won = len(sweep["rows"]), sweep["total"]
    winners = "" if not won else ", and every design that J can pick"
    if carried < won:
        winners = f", and {carried:,} of the {won:,} designs that J can pick"
    return (
        f"This page carries {n_carried:,} of {n:,} front designs: an even cover, with both ends, the knee, the best of "
        f"every column{winners}. What it marks is what `explorer choose` gives, except where it says that it looks at "
        "these designs alone: the command beside the mark looks at all. front.csv holds every design."
    )


def _search(results: Results) -> list[Block]:
    blocks: list[Block] = [Heading("How far the search has come")]
    if results.exact is not None:
        blocks.append(Paragraph(_certificate(results)))
    if results.n_complete:
        blocks.append(Plot(plot_convergence(results), "Hypervolume of the front after so many designs, samples first."))
    return blocks


def _certificate(results: Results) -> str:
    exact = results.exact
    if exact is None:
        return ""
    if exact.hypervolume == 0:
        return "No design is better than the reference point in every objective: move it in the study's file."
    if "certainty" not in results.table:
        return f"The search reached {results.reached:.1%} of the hypervolume of all designs that there are."
    words = results.table["certainty"]
    return (
        f"The search reached {results.reached:.1%} of the exact front's hypervolume ({exact.hypervolume:.5g}, known "
        f"to {exact.convergence:.0e}). Of the designs tried, given what samples tell, {int(np.sum(words == 'sure')):,} "
        f"are on the front for sure and {int(np.sum(words == 'possible')):,} possibly."
    )


def _importance(results: Results) -> list[Block]:
    if not results.importance:
        return []
    return [
        Heading("What each knob decides"),
        Paragraph(
            "The share of each objective's variance over the searched ranges that a knob explains, alone and together "
            "with others (total Sobol index, knobs independent and uniform). The bars are the prediction's; the thin "
            "lines hold 90 % of what the samples leave open: where two of them are long, the samples do not tell which "
            "of the two knobs does it."
        ),
        Plot(plot_importance(results)),
    ]


def _trust(results: Results) -> list[Block]:
    blocks: list[Block] = [Heading("Before you trust it")]
    blocks += [Paragraph(_sentence(text)) for text in (*results.notes, results.advice) if text]
    blocks.append(Paragraph(_source(results)))
    check = results.model_check
    if not check:
        return blocks
    blocks += [Heading("What the model is worth", 3), _errors(results)]
    blocks += [Heading("What it cannot tell", 3)]
    sentences = (str(check.get("calibration", "")), *check.get("identifiability", ()), *check.get("warnings", ()))
    told = set(results.notes)
    return blocks + [Paragraph(_sentence(text)) for text in map(str, sentences) if text and text not in told]


def _source(results: Results) -> str:
    """Say what the numbers are: predictions, or measurements."""
    model = results.provenance.get("model", {})
    name = model.get("name", "unknown")
    if model.get("kind") == "table":
        return (
            f"The designs are the rows of '{name}', and nothing is predicted: their numbers are what was measured. An "
            "interval is the range of repeated readings of one row."
        )
    if model.get("kind") == "live":
        return f"Every design was measured: '{name}' was compressed and run for each of them."
    if model.get("kind") == "function":
        return f"Every design was measured by '{name}', and nothing is predicted. Intervals are those that it gave."
    return (
        f"Predictions come from model '{name}'. Intervals hold 90 % of what a new measurement would give; what few "
        "samples cannot separate is decided by the model's priors. Measure a design before you ship it."
    )


def _sentence(text: str) -> str:
    """Make a note a sentence of its own; a column that it begins with is called as people call it."""
    name, colon, rest = text.partition(":")
    if colon and name in COLUMNS:
        return f"{COLUMNS[name].label}:{rest}."
    return f"{text}." if "_" in text.split(maxsplit=1)[0] else f"{text[0].upper()}{text[1:]}."


def _errors(results: Results) -> Grid:
    check = results.model_check
    rows = []
    for name, target in check["targets"].items():
        kind = "mae" if name == "accuracy" else "mape"
        error, baseline = target.get(f"loo_{kind}"), target.get(f"baseline_loo_{kind}")
        rows.append(
            [COLUMNS[name].label if name in COLUMNS else name, str(target["n"]), _error(error, kind),
             _error(baseline, kind), _error(target.get("coverage_90"), "mape"),
             _error(target.get("mean_half_width"), kind)]
        )  # fmt: skip
    return Grid(
        ["Target", "Rows", "Error", "Best guess without a model", "Rows within their interval", "Mean half width"],
        rows,
        f"Leave-one-out over {check.get('n_samples', '?')} samples: each is predicted by the others. Accuracy as it "
        "is (mean absolute), the rest relative. 90 % of the rows should lie within their intervals.",
    )


def _error(value: float | None, kind: str) -> str:
    if value is None:
        return "-"
    return f"{value:.2g}" if kind == "mae" else f"{100 * value:.3g} %"


def _sampler(run: Mapping[str, Any]) -> str:
    """Return what proposed the designs of a run: of `auto`, what it stood for."""
    named, did = str(run["sampler"]), str(run.get("proposed_by", run["sampler"]))
    return named if named == did else f"{named} ({did})"


def _origin(results: Results) -> Grid:
    p = results.provenance
    if not p:
        return Grid(["What", "Which"], [])
    versions = [f"explorer {p['explorer_version']}", f"Python {p['python']}"]
    versions += [f"{name} {number}" for name, number in p["packages"].items()]
    runs = [f"trials {r['from']} to {r['to']} by {_sampler(r)}, seed {r['seed']}" for r in p["runs"] if "from" in r]
    if shared := [r for r in p["runs"] if "worker" in r]:
        hosts = {r["host"] for r in shared}
        runs.append(f"{sum(r['added'] for r in shared)} trials by {len(shared)} workers on {len(hosts)} hosts")
    rows = [
        ["Study", f"{p['study']['file']} (SHA-256 {p['study']['sha256'][:12]}...)"],
        ["Model", f"{p['model']['name']} (samples' SHA-256 {str(p['model'].get('samples_sha256', ''))[:12]}...)"],
        ["Search", "; ".join(runs)],
        ["Time", f"{p['began']} to {p['ended']}"],
        ["Trials in", p["storage"]],
        ["Versions", ", ".join(versions)],
    ]
    return Grid(["What", "Which"], rows)
