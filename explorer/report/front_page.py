"""The result page: the Pareto plot, the front's designs, what to know before trusting them, where they come from."""

import math

import numpy as np

from explorer.pareto.results import Results
from explorer.problem.columns import COLUMNS, Columns, bounds, n_rows
from explorer.problem.domain import is_extrapolated
from explorer.report.front_plot import CONFIGURATION, plot_front
from explorer.report.page import Block, Grid, Heading, Paragraph, Plot, render_page

MAX_TABLE_ROWS = 500
_TABLE = (*CONFIGURATION, "domain_distance", "p_front")


def front_page(results: Results) -> str:
    """Return the result page as the text of one HTML file that needs no network."""
    front = results.front_columns
    n = n_rows(front)
    wanted = " against ".join(f"{o.name} ({o.direction[:3]}.)" for o in results.objectives)
    model = results.provenance.get("model", {}).get("name", "unknown")
    lead = (
        f"{n} of {results.n_complete:,} designs are on the front of {wanted}; hypervolume {results.hypervolume:.5g} up "
        f"to the reference point {', '.join(f'{x:g}' for x in results.reference_point)}."
    )
    blocks: list[Block] = []
    if results.constraints:
        blocks.append(Paragraph(f"Every design meets: {'; '.join(results.constraints)}."))
    blocks.append(
        Plot(
            plot_front(results),
            "Designs are where the model predicts them: filled where no other one tried beats them (in 95 % of "
            "what the samples allow), open where only possibly. Dotted markers are measured samples. Hover for a whole "
            "configuration with its 90 % intervals; click the legend to hide a group or to show the intervals.",
        )
    )
    if results.exact is not None:
        blocks.append(Paragraph(_certificate(results)))
    blocks.append(Heading("Before you trust it"))
    blocks += [Paragraph(f"{text[0].upper()}{text[1:]}.") for text in (*results.notes, results.advice) if text]
    blocks.append(
        Paragraph(
            f"Predictions come from model '{model}'. Intervals hold 90 % of what a new measurement would give; "
            "what few samples cannot separate is decided by the model's priors. Measure a design before you ship it."
        )
    )
    blocks.append(Heading("The front"))
    blocks.append(_table(results))
    blocks.append(Heading("Where it comes from"))
    blocks.append(_origin(results))
    return render_page(title=results.title, lead=lead, blocks=blocks)


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


def _table(results: Results) -> Grid:
    front = results.front_columns
    names = [name for name in _TABLE if name in front]
    n = n_rows(front)
    rows = [[_number(front, i), *[_cell(front, name, i) for name in names]] for i in range(min(n, MAX_TABLE_ROWS))]
    rest = f" The first {MAX_TABLE_ROWS} of {n}; all are in front.csv." if n > MAX_TABLE_ROWS else ""
    return Grid(
        ["Design", *[COLUMNS[name].title for name in names]], rows, f"In order of {results.objectives[0].name}.{rest}"
    )


def _number(front: Columns, i: int) -> str:
    return f"{front['design_id'][i]}{' (extrapolated)' if is_extrapolated(front['domain_distance'][i]) else ''}"


def _cell(front: Columns, name: str, i: int) -> str:
    value = front[name][i]
    if isinstance(value, str):
        return value
    scale, (low, high) = COLUMNS[name].scale, bounds(name)
    if math.isnan(float(value)):
        return "-"
    text = f"{float(value) / scale:.4g}"
    if low in front and math.isfinite(float(front[low][i])):
        text += f" ({float(front[low][i]) / scale:.3g} to {float(front[high][i]) / scale:.3g})"
    return text


def _origin(results: Results) -> Grid:
    p = results.provenance
    rows = (
        [
            ["Study", f"{p['study']['file']} (SHA-256 {p['study']['sha256'][:12]}...)"],
            ["Model", f"{p['model']['name']} (samples' SHA-256 {str(p['model'].get('samples_sha256', ''))[:12]}...)"],
            [
                "Search",
                "; ".join(f"trials {r['from']} to {r['to']} by {r['sampler']}, seed {r['seed']}" for r in p["runs"]),
            ],
            ["Time", f"{p['began']} to {p['ended']}"],
            ["Trials in", p["storage"]],
            [
                "Versions",
                ", ".join(
                    [
                        f"explorer {p['explorer_version']}",
                        f"Python {p['python']}",
                        *[f"{name} {number}" for name, number in p["packages"].items()],
                    ]
                ),
            ],
        ]
        if p
        else []
    )
    return Grid(["What", "Which"], rows)
