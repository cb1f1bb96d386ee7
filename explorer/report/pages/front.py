"""Result page: interactive front, search progress, knob importance, model quality and provenance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explorer.pareto.results.results import Results, constraint_gaps
from explorer.problem.columns import COLUMNS, column_of, n_rows, own_knobs
from explorer.problem.constraints import parse_constraint
from explorer.report.live.data import MAX_BEHIND, live_data
from explorer.report.pages.html import App, Block, Grid, Heading, Paragraph, Plot, Warnings, render_page
from explorer.report.plots.figures import plot_convergence, plot_importance
from explorer.report.plots.thinning import MAX_FRONT

_LIVE = Path(__file__).parent.parent / "live"
# In this order: a script uses names of the ones before it.
_SCRIPTS = ("data", "decide", "scatter", "marks", "parallel", "table", "cards", "alpha", "main")


def front_page(results: Results, *, display_name: str = "") -> str:
    """Return the result page as the text of one HTML file that needs no network.

    Args:
        results: results of a study.
        display_name: study name or result folder in the commands on the page; default: the study's name.
    """
    n = n_rows(results.front_columns)
    objectives = " against ".join(f"{o.name} ({o.direction[:3]}.)" for o in results.objectives)
    reference = ", ".join(f"{x:g}" for x in results.reference_point)
    lead = (
        f"{_count(results, n)} {objectives}"
        f"{_measured_part(results)}. "
        f"Hypervolume {results.hypervolume:.5g} up to the reference point ({reference})."
    )
    blocks: list[Block] = _model_warnings(results)
    if n:
        if results.constraints:
            blocks.append(Paragraph(f"Constraints of the front: {'; '.join(results.constraints)}."))
        blocks += [*_interactive_part(results, display_name or results.study, n), *_search_progress(results)]
    else:
        blocks.append(Paragraph("No design meets every constraint, so the front is empty."))
        blocks += _constraint_gaps(results)
    blocks += [*_importance(results), *_quality(results), Heading("Provenance")]
    blocks.append(_provenance(results))
    return render_page(title=results.title, lead=lead, blocks=blocks)


def _count(results: Results, n: int) -> str:
    if len(results.objectives) > 1:
        return f"{n:,} of {results.n_designs:,} designs {'is' if n == 1 else 'are'} on the front of"
    return f"{n:,} of {results.n_designs:,} designs {'has' if n == 1 else 'have'} the best"


def _measured_part(results: Results) -> str:
    n = int((results.is_front & results.is_measured).sum())
    return f", {n:,} of them measured" if n else ""


def _model_warnings(results: Results) -> list[Block]:
    """Return a box with the reasons not to trust the model; nothing without any."""
    texts = [_sentence(warning["text"]) for warning in results.model_warnings]
    return [Warnings("Do not trust this model without a check:", texts)] if texts else []


def _constraint_gaps(results: Results) -> list[Block]:
    """Return a table of the smallest gap to each constraint."""
    if not n_rows(results.table):
        return []
    own = own_knobs(results.table)
    constraints = [parse_constraint(text, own=own) for text in results.constraints]
    rows = [line.split(": ", 1) for line in constraint_gaps(results.table, constraints)]
    return [Grid(["Constraint", "Evaluated designs"], rows)] if rows else []


def _interactive_part(results: Results, display_name: str, n: int) -> list[Block]:
    script = "\n".join((_LIVE / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    markup, style = ((_LIVE / f"page.{kind}").read_text(encoding="utf-8") for kind in ("html", "css"))
    data = live_data(results, display_name=display_name)
    blocks: list[Block] = [Paragraph(_thinning_note(data["front"]["n"], n, data["sweep"]))] if n > MAX_FRONT else []
    blocks.append(App(markup, style, script, data))
    if results.n_complete > MAX_BEHIND:
        blocks.append(
            Paragraph(
                f"Of the designs behind the front, the plot shows at most {MAX_BEHIND:,} of each group. The legend "
                "gives the full counts."
            )
        )
    return blocks


def _thinning_note(n_included: int, n: int, sweep: Mapping[str, Any]) -> str:
    """Return a note on which designs of a long front the page contains and when its marks are exact."""
    n_winners, n_winners_total = len(sweep["rows"]), sweep["total"]
    winners = "" if not n_winners_total else ", and every design that J can select"
    if n_winners < n_winners_total:
        winners = f", and {n_winners:,} of the {n_winners_total:,} designs that J can select"
    return (
        f"This page contains {n_included:,} of {n:,} front designs: an even cover, both ends, the knee, the best of "
        f"every column{winners}. The marked designs are those of `explorer choose`, unless the text next to a mark "
        "says that only the designs on this page were searched. The command next to it searches all designs. The file "
        "front.csv has every design."
    )


def _search_progress(results: Results) -> list[Block]:
    blocks: list[Block] = [Heading("Search progress")]
    if results.exact is not None:
        blocks.append(Paragraph(_certificate(results)))
    if results.n_complete:
        blocks.append(
            Plot(
                plot_convergence(results),
                "Hypervolume of the predictions over the number of evaluated designs; designs of samples first.",
            )
        )
    return blocks


def _certificate(results: Results) -> str:
    exact = results.exact
    if exact is None:
        return ""
    if exact.hypervolume == 0:
        return "No design is better than the reference point in every objective. Move the point in the study file."
    if "certainty" not in results.table:
        return f"The search reached {results.reached:.1%} of the hypervolume of all possible designs."
    n_sure, n_possible, n_far = (results.n_labelled(word) for word in ("sure", "possible", "extrapolated"))
    far = f" Samples do not support {n_far:,} designs." if n_far else ""
    return (
        f"The search reached {results.reached:.1%} of the exact front's hypervolume ({exact.hypervolume:.5g}, "
        f"converged to {exact.convergence:.0e}). {n_sure:,} of {results.n_designs:,} designs are on the front with a "
        f"probability of at least 95 % over forms and draws, {n_possible:,} possibly (column p_front of front.csv)."
        f"{far}"
    )


def _importance(results: Results) -> list[Block]:
    if not results.importance:
        return []
    return [
        Heading("Knob importance"),
        Paragraph(
            "Share of each objective's variance over the searched ranges that a knob explains, alone and in "
            "interactions with others (total Sobol index, knobs independent and uniform). Bars: prediction. Thin "
            "lines: 90 % posterior intervals. Two long lines mean that the samples cannot separate the effects of the "
            "two knobs."
        ),
        Plot(plot_importance(results)),
    ]


def _quality(results: Results) -> list[Block]:
    blocks: list[Block] = [Heading("Notes and limits")]
    blocks += [Paragraph(_sentence(text)) for text in (*results.notes, results.advice) if text]
    blocks.append(Paragraph(_source(results)))
    check = results.model_check
    if not check:
        return blocks
    blocks += [Heading("Model quality", 3), _errors(results)]
    blocks += [Heading("Limits of the model", 3)]
    sentences = (str(check.get("calibration", "")), *check.get("identifiability", ()), *check.get("warnings", ()))
    notes = {*results.notes, *(warning["text"] for warning in results.model_warnings)}
    return blocks + [Paragraph(_sentence(text)) for text in map(str, sentences) if text and text not in notes]


def _source(results: Results) -> str:
    """Return a sentence on the origin of the values: predictions of a model, or measurements."""
    model = results.provenance.get("model", {})
    name = model.get("name", "unknown")
    if model.get("kind") == "table":
        return (
            f"The designs are the rows of '{name}'. All values are measured, and nothing is predicted. An interval is "
            "the range of the repeated measurements of one row."
        )
    if model.get("kind") == "live":
        return f"Every design was measured: '{name}' was compressed and run for each design."
    if model.get("kind") == "function":
        return f"Every design was measured by '{name}', and nothing is predicted. Intervals are those that it returned."
    return (
        f"Predictions come from model '{name}'. Intervals are 90 % prediction intervals for a new measurement. Effects "
        "that few samples cannot separate follow the priors of the model. Measure a design before you deploy it."
    )


def _sentence(text: str) -> str:
    """Return a note as a sentence; a column name at its start is replaced by the label of the column."""
    name, colon, rest = text.partition(":")
    if colon and name in COLUMNS:
        return f"{column_of(name).label}:{rest}."
    return f"{text}." if "_" in text.split(maxsplit=1)[0] else f"{text[0].upper()}{text[1:]}."


def _errors(results: Results) -> Grid:
    check = results.model_check
    rows = []
    for name, target in check["targets"].items():
        kind = "mape" if target.get("errors", "absolute" if name == "accuracy" else "relative") == "relative" else "mae"
        error, baseline = target.get(f"loo_{kind}"), target.get(f"baseline_loo_{kind}")
        rows.append(
            [column_of(name).label if name in COLUMNS else name, str(target["n"]), _error(error, kind),
             _error(baseline, kind), _error(target.get("coverage_90"), "mape"),
             _error(target.get("mean_half_width"), kind)]
        )  # fmt: skip
    return Grid(
        ["Target", "Samples", "Error", "Baseline without a model", "Interval coverage", "Mean half width"],
        rows,
        f"Leave-one-out over {check.get('n_samples', '?')} samples: each is predicted from the others. Mean absolute "
        "error for shares such as accuracy, mean relative error for positive targets. The coverage of the intervals "
        "should be 90 %.",
    )


def _error(value: float | None, kind: str) -> str:
    if value is None:
        return "-"
    return f"{value:.2g}" if kind == "mae" else f"{100 * value:.3g} %"


def _sampler(run: Mapping[str, Any]) -> str:
    """Return the sampler of a run; for `auto` with the sampler that it selected."""
    requested, used = str(run["sampler"]), str(run.get("proposed_by", run["sampler"]))
    return requested if requested == used else f"{requested} ({used})"


def _provenance(results: Results) -> Grid:
    p = results.provenance
    if not p:
        return Grid(["Item", "Value"], [])
    versions = [f"explorer {p['explorer_version']}", f"Python {p['python']}"]
    versions += [f"{name} {number}" for name, number in p["packages"].items()]
    runs = [f"trials {r['from']} to {r['to']} by {_sampler(r)}, seed {r['seed']}" for r in p["runs"] if "from" in r]
    if shared := [r for r in p["runs"] if "worker" in r]:
        hosts = {r["host"] for r in shared}
        runs.append(f"{sum(r['added'] for r in shared)} trials by {len(shared)} workers on {len(hosts)} hosts")
    rows = [
        ["Study", f"{p['study']['file']} (SHA-256 {p['study']['sha256'][:12]}...)"],
        ["Model", f"{p['model']['name']} (SHA-256 of the samples {str(p['model'].get('samples_sha256', ''))[:12]}...)"],
        ["Machine", str(p.get("machine") or "not stated")],
        ["Search", "; ".join(runs)],
        ["Time", f"{p['began']} to {p['ended']}"],
        ["Storage", p["storage"]],
        ["Versions", ", ".join(versions)],
    ]
    return Grid(["Item", "Value"], rows)
