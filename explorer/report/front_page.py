"""The result page: look at the front, move what matters, choose; and what to know before trusting any of it."""

from pathlib import Path

import numpy as np

from explorer.pareto.results import Results
from explorer.problem.columns import COLUMNS, n_rows
from explorer.report.figures import plot_convergence, plot_importance
from explorer.report.live_data import MAX_BEHIND, MAX_FRONT, live_data
from explorer.report.page import App, Block, Grid, Heading, Paragraph, Plot, render_page

_LIVE = Path(__file__).parent / "live"
# In the order in which they read each other's names.
_SCRIPTS = ("data", "decide", "scatter", "parallel", "table", "cards", "alpha", "main")


def front_page(results: Results, *, place: str = "") -> str:
    """Return the result page as the text of one HTML file that needs no network.

    Args:
        results: the study's results.
        place: what the commands on the page call them; default: the study's name.
    """
    n = n_rows(results.front_columns)
    wanted = " against ".join(f"{o.name} ({o.direction[:3]}.)" for o in results.objectives)
    lead = (
        f"{n} of {results.n_complete:,} designs are on the front of {wanted}; hypervolume {results.hypervolume:.5g} up "
        f"to the reference point {', '.join(f'{x:g}' for x in results.reference_point)}."
    )
    blocks: list[Block] = []
    if results.constraints:
        blocks.append(Paragraph(f"Every design meets: {'; '.join(results.constraints)}."))
    if n:
        blocks += _live(results, place or results.study, n)
    else:
        blocks.append(Paragraph("No design meets every constraint, so there is no front to show."))
    blocks += [*_search(results), *_importance(results), *_trust(results), Heading("Where it comes from")]
    blocks.append(_origin(results))
    return render_page(title=results.title, lead=lead, blocks=blocks)


def _live(results: Results, place: str, n: int) -> list[Block]:
    script = "\n".join((_LIVE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    markup, style = ((_LIVE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    blocks: list[Block] = [App(markup, style, script, live_data(results, place=place))]
    if n > MAX_FRONT:
        blocks.append(
            Paragraph(
                f"This page carries about {MAX_FRONT:,} of {n:,} front designs, evenly chosen, with the knee and every "
                "design that J can pick; front.csv and `explorer choose` know them all."
            )
        )
    if results.n_complete > MAX_BEHIND:
        blocks.append(
            Paragraph(f"Of the designs behind the front at most {MAX_BEHIND:,} of a kind are drawn; the legend counts.")
        )
    return blocks


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
        f"to {exact.convergence:.0e}). Of the designs tried, given what samples tell, {int(np.sum(words == 'sure'))} "
        f"are on the front for sure and {int(np.sum(words == 'possible'))} possibly."
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
    model = results.provenance.get("model", {}).get("name", "unknown")
    blocks: list[Block] = [Heading("Before you trust it")]
    blocks += [Paragraph(f"{text[0].upper()}{text[1:]}.") for text in (*results.notes, results.advice) if text]
    blocks.append(
        Paragraph(
            f"Predictions come from model '{model}'. Intervals hold 90 % of what a new measurement would give; "
            "what few samples cannot separate is decided by the model's priors. Measure a design before you ship it."
        )
    )
    check = results.model_check
    if not check:
        return blocks
    blocks += [Heading("What the model is worth", 3), _errors(results)]
    blocks += [Heading("What it cannot tell", 3)]
    sentences = (str(check.get("calibration", "")), *check.get("identifiability", ()), *check.get("warnings", ()))
    blocks += [Paragraph(f"{text[0].upper()}{text[1:]}.") for text in map(str, sentences) if text]
    return blocks


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


def _origin(results: Results) -> Grid:
    p = results.provenance
    if not p:
        return Grid(["What", "Which"], [])
    versions = [f"explorer {p['explorer_version']}", f"Python {p['python']}"]
    versions += [f"{name} {number}" for name, number in p["packages"].items()]
    runs = [f"trials {r['from']} to {r['to']} by {r['sampler']}, seed {r['seed']}" for r in p["runs"] if "from" in r]
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
