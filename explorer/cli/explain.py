"""`explorer explain`: why a design is where it is."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.front import StudyOrFolder

if TYPE_CHECKING:
    from explorer.pareto.explain import Explanation
    from explorer.pareto.moves import Move
    from explorer.pareto.rates import Rate

_SIGNS = {"+": "up", "-": "down", "?": "not known", "0": "no effect"}


def explain(
    study: StudyOrFolder,
    design: Annotated[int, typer.Option("--design", metavar="ID", help="Its number, as `explorer front` shows it.")],
    study_file: Annotated[
        str | None,
        typer.Option("--study", metavar="FILE", help="The study of the results.", show_default="as they recorded it"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Explain one design: what each knob would change, what holds the design where it is, and what beats it.

    Rates are the first-order change for a small step of one knob, with the interval in which they lie with 90 %
    probability, given the samples and the priors. The design can be any that was tried, on the front or not.
    """
    from explorer import api
    from explorer.cli.console import note, print_json, print_prose, print_text
    from explorer.pareto.explain import explanation_json

    explanation = api.explain(study, design=design, study=study_file)
    for text in explanation.warnings:
        note(f"WARNING: {text}")
    if as_json:
        print_json(explanation_json(explanation))
        return
    _print_design(explanation)
    _print_rates(explanation)
    _print_limits(explanation)
    _print_nearest(explanation)
    print_text("What this means, where it is certain:")
    for text in explanation.meaning:
        print_prose(text, indent="  ")


def _print_design(e: "Explanation") -> None:
    from explorer import api
    from explorer.cli.console import print_prose, print_text
    from explorer.problem.columns import COLUMNS

    place = "on the front" if e.is_front else "not on the front" if e.design["is_feasible"] else "not feasible"
    chance = e.design.get("p_front")
    sure = "" if chance is None else f"; probability of being on the front {chance:.2f} ({e.design['certainty']})"
    print_prose(f"design {e.design['design_id']} of {e.study}: {place}{sure}")
    if e.is_extrapolated:
        print_text("EXTRAPOLATED: outside the model's domain; measure it before you believe it")
    for line in api.describe(e.design):
        print_text(f"  {line}")
    if e.rival is not None:
        others = "one design beats" if e.rival.n == 1 else f"{e.rival.n} designs beat"
        print_prose(
            f"{others} it; design {e.rival.design_id} by most (in {e.rival.probability:.0%} of what the samples allow):"
        )
        for name, (change, low, high) in e.rival.gains.items():
            text = f"{_signed(name, change)} ({_signed(name, low)} to {_signed(name, high)})"
            print_text(f"  {COLUMNS[name].label}: {text}")
    print_text("")


def _print_rates(e: "Explanation") -> None:
    from explorer.cli.console import print_prose, print_table, print_text
    from explorer.problem.columns import COLUMNS

    constrained = [limit.column for limit in e.limits if limit.kind == "constraint"]
    shown = list(dict.fromkeys([*(o.name for o in e.objectives), *constrained]))
    for name in shown:
        column, rates = COLUMNS[name], e.rates[name]
        largest = max(abs(bound) for rate in rates.values() for bound in (rate.lo, rate.hi)) / column.scale
        power = min(3 * math.floor(math.log10(largest) / 3), 0) if largest > 0 else 0
        unit = f"{f'10^{power} ' if power else ''}{(column.shown_in or column.symbol).replace('J*s', 'J·s')}".strip()
        print_table(
            ["step", f"change{f', {unit}' if unit else ''} [90 %]", "% per % [90 %]", "sure sign"],
            [_rate_row(move, rates[move.name], column.scale * 10.0**power) for move in e.moves],
            title=f"What a small step changes: {column.label}, here {column.text(float(e.design[name]))}",
        )
        print_text("")
    if any(move.step and move.room != "both" for move in e.moves):
        print_prose("* only one way is open, or none (see the limits); the rate is for the step as it is written")
    others = ", ".join(name for name in e.rates if name not in shown)
    print_prose(
        f"The signs and shapes that effects can have are physics that the model assumes, and an interval without "
        f"width is assumed altogether; how much of each coefficient the samples tell: `explorer fit`. Also with "
        f"--json: {others}."
    )
    print_text("")


def _rate_row(move: "Move", rate: "Rate", scale: float) -> list[object]:
    change, share = "0", "0"
    if rate.sign != "0":
        change = f"{rate.change / scale:+.3g} [{_short(rate.lo / scale)}, {_short(rate.hi / scale)}]"
        share = f"{rate.elasticity:+.2g} [{_short(rate.elasticity_lo)}, {_short(rate.elasticity_hi)}]"
    if not move.step:
        return [move.label, change, "-", _SIGNS[rate.sign]]
    return [f"{move.label} +{move.step}{'' if move.room == 'both' else '*'}", change, share, _SIGNS[rate.sign]]


def _short(value: float) -> str:
    """Print a bound to two digits, without a power of ten where there need be none: 110, not 1.1e+02."""
    return f"{float(f'{value:.2g}'):g}"


def _print_limits(e: "Explanation") -> None:
    from explorer.cli.console import print_prose, print_table, print_text

    labels = {move.name: move.label for move in e.moves}
    shown = [limit for limit in e.limits if limit.touches or limit.kind in {"constraint", "voltage and clock"}]
    rows = [
        [
            limit.text,
            limit.left_text + ("" if limit.p_met is None else f" (met with probability {limit.p_met:.2f})"),
            "yes" if limit.touches else "no",
            ", ".join(f"{n} ({labels[m]} {'up' if way > 0 else 'down'})" for n, (m, way) in limit.improves.items())
            or "-",
        ]
        for limit in shown
    ]
    title = "What holds it: limits less than one step away, and the study's own"
    print_table(["limit", "left", "holds", "loosened, would improve"], rows, title=title)
    rest = len(e.limits) - len(shown)
    if rest:
        print_prose(f"{rest} other ends of axes and edges of the domain are further away (--json lists them)")
    print_text("")


def _print_nearest(e: "Explanation") -> None:
    from explorer.cli.console import print_prose, print_table, print_text
    from explorer.problem.columns import COLUMNS

    sample = e.nearest
    where = "here" if sample.distance == 0 else f"{sample.distance:.2f} widths of the samples' range away"
    rows = [
        [COLUMNS[name].label, COLUMNS[name].text(value), *[COLUMNS[name].text(v) for v in sample.predicted[name]]]
        for name, value in sample.measured.items()
    ]
    print_table(
        ["", "measured", "model there", "90 % from", "to"], rows, title=f"Nearest sample: {sample.label}, {where}"
    )
    print_prose("(the model was fitted to it; `explorer fit` tells the errors on samples left out)", indent="  ")
    print_text("")


def _signed(name: str, change: float) -> str:
    from explorer.problem.columns import COLUMNS

    text = COLUMNS[name].text(abs(change))
    return text if change == 0 else f"{'+' if change > 0 else '-'}{text}"
