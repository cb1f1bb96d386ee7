"""The result page: the Pareto plot, the front's designs, what to know before trusting them, where they come from."""

import math

from explorer.pareto.results import Results
from explorer.problem.columns import COLUMNS, n_rows
from explorer.report.front_plot import plot_front
from explorer.report.page import Block, Grid, Heading, Paragraph, Plot, render_page

MAX_TABLE_ROWS = 500
_TABLE = (
    "family",
    "pruning_ratio",
    "quant_step",
    "voltage_v",
    "frequency_hz",
    "accuracy",
    "latency_s",
    "energy_j",
    "power_w",
    "size_bytes",
    "edp_js",
    "weighted_cost",
    "domain_distance",
)


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
            "Filled markers are designs as the model predicts them, open markers are measured samples. "
            "Hover to see a whole configuration; click the legend to hide a group.",
        )
    )
    blocks.append(Heading("Before you trust it"))
    blocks += [Paragraph(note) for note in results.notes]
    blocks.append(
        Paragraph(
            f"Predictions come from model '{model}'. They have the leave-one-out errors that `explorer fit` prints; "
            "what few samples cannot separate is decided by the model's priors. Measure a design before you ship it."
        )
    )
    blocks.append(Heading("The front"))
    blocks.append(_table(results))
    blocks.append(Heading("Where it comes from"))
    blocks.append(_origin(results))
    return render_page(title=results.title, lead=lead, blocks=blocks)


def _table(results: Results) -> Grid:
    front = results.front_columns
    names = [name for name in _TABLE if name in front]
    n = n_rows(front)
    rows = [
        [str(front["design_id"][i]), *[_cell(name, front[name][i]) for name in names]]
        for i in range(min(n, MAX_TABLE_ROWS))
    ]
    rest = f" The first {MAX_TABLE_ROWS} of {n}; all are in front.csv." if n > MAX_TABLE_ROWS else ""
    return Grid(
        ["Design", *[COLUMNS[name].title for name in names]], rows, f"In order of {results.objectives[0].name}.{rest}"
    )


def _cell(name: str, value: object) -> str:
    if isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]
    return "-" if math.isnan(number) else f"{number / COLUMNS[name].scale:.4g}"


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
