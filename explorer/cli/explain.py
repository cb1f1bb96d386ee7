"""`explorer explain`: why a design is where it is."""

import math
from typing import TYPE_CHECKING, Annotated

import typer

from explorer.cli.front import StudyOrFolder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from explorer.api.analysis import Explanation, LocalSensitivity, Perturbation

_SIGNS = {"+": "up", "-": "down", "?": "not known", "0": "no effect"}
# A form knows no effect of a knob that its samples lack: that is not to have measured that there is none.
_SIGNS_OF = {"responses": {**_SIGNS, "0": "none modelled"}, "prediction": _SIGNS,
             "readings": {**_SIGNS, "0": "same reading"}}  # fmt: skip
_MOST_CHOICES = 6  # of one knob in one table
_TITLES = {
    "responses": ("What a small step or another choice changes", "[90 %]", "sure sign"),
    "prediction": ("What a small step changes", "", "sign"),
    "readings": ("What the rows beside it have otherwise", "[range of repeats]", "sign"),
}


def explain(
    study: StudyOrFolder,
    design: Annotated[int, typer.Option("--design", metavar="ID", help="Its number, as `explorer front` shows it.")],
    study_file: Annotated[
        str | None,
        typer.Option("--study", metavar="FILE", help="The study of the results.", show_default="as they recorded it"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Explain one design: sensitivities to the knobs, active limits, and the dominating design.

    Rates are the first-order change for a small step of one knob, or the whole change for another choice, with the
    interval that holds them with 90 % probability, given the samples and the priors. Of a table's rows the change is
    that to the rows that differ in one knob alone. The design can be any that was tried, on the front or not.
    """
    from explorer import api
    from explorer.api.analysis import explanation_json
    from explorer.cli.console import note, print_json, print_prose, print_text

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
    print_text("What the rows say:" if explanation.basis == "readings" else "What this means, where it is certain:")
    for text in explanation.meaning:
        print_prose(text, indent="  ")


def _print_design(e: "Explanation") -> None:
    from explorer.api.selection import describe_design
    from explorer.cli.console import print_prose, print_text

    status = "on the front" if e.is_front else "not on the front" if e.design["is_feasible"] else "not feasible"
    chance = e.design.get("p_front")
    sure = (
        "" if chance is None
        else f"; probability of being on the front {chance:.2f} over forms and draws ({e.design['certainty']})"
    )  # fmt: skip
    print_prose(f"design {e.design['design_id']} of {e.study}: {status}{sure}")
    if e.design.get("origin") == "sample":
        print_text("MEASURED: its values are readings; effects of the knobs are those of the model")
    if e.is_extrapolated:
        print_text("EXTRAPOLATED: outside the model's domain; measure it before you believe it")
    for line in describe_design(e.design, e.own_columns):
        print_text(f"  {line}")
    if e.rival is not None:
        rivals = "one design beats" if e.rival.n == 1 else f"{e.rival.n} designs beat"
        p = e.rival.probability
        sure = "" if math.isnan(p) else f" (in {p:.0%} of what the samples allow)"
        print_prose(f"{rivals} it; design {e.rival.design_id} by most{sure}:")
        for name, (change, low, high) in e.rival.gains.items():
            span = "" if math.isnan(low) else f" ({_signed(e, name, low)} to {_signed(e, name, high)})"
            print_text(f"  {e.column(name).label}: {_signed(e, name, change)}{span}")
    print_text("")


def _print_rates(e: "Explanation") -> None:
    from explorer.cli.console import print_prose, print_table, print_text

    constrained = [limit.column for limit in e.limits if limit.kind == "constraint"]
    columns = list(dict.fromkeys([*(o.name for o in e.objectives), *constrained]))
    title, interval, sign = _TITLES[e.basis]
    left_out: dict[str, int] = {}
    for name in columns if e.moves else []:
        column, rates = e.column(name), e.rates[name]
        reached = [end for rate in rates.values() for end in (rate.change, rate.lo, rate.hi) if not math.isnan(end)]
        largest = max(map(abs, reached)) / column.scale
        power = min(3 * math.floor(math.log10(largest) / 3), 0) if largest > 0 else 0
        unit = (
            f"{f'10^{power} ' if power else ''}{(column.display_unit or column.symbol).replace('J*s', 'J·s')}".strip()
        )
        moves = _largest_choices(e.moves, rates, left_out)
        rows = [
            _rate_row(move, rates[move.name], column.scale * 10.0**power, signs=_SIGNS_OF[e.basis]) for move in moves
        ]
        headers = [
            "step",
            f"change{f', {unit}' if unit else ''} {interval}".rstrip(),
            f"% per % {interval}".rstrip(),
            sign,
        ]
        if all(move.is_choice for move in moves):
            headers, rows = [headers[0], headers[1], sign], [[row[0], row[1], row[3]] for row in rows]
        print_table(headers, rows, title=f"{title}: {column.label}, here {column.text(float(e.design[name]))}")
        print_text("")
    if any(move.step and move.directions != "both" for move in e.moves):
        print_prose("* only one way is open, or none (see the limits); the rate is for the step as it is written")
    for knob, n in left_out.items():
        print_prose(f"{n} other choices of {e.column(knob).label} change each of them less (--json lists them)")
    print_prose(_caveat(e, ", ".join(name for name in e.rates if name not in columns)))
    print_text("")


def _caveat(e: "Explanation", more: str) -> str:
    if e.basis == "readings":
        if not e.moves:
            return "No other row differs from it in one knob alone: the effect of a single knob is unknown."
        text = "Rows that differ in one knob alone; a row that was measured once has no interval, and none is invented."
    elif e.basis == "prediction":
        text = "The model has no posterior: how sure these changes are is not known."
    else:
        text = (
            "Intervals are what the samples leave open, over all forms that fit them (`explorer fit` lists forms and "
            "assumptions). Where none is modelled, that column's samples lack the knob, or no form found a use for it."
        )
    return f"{text} Also with --json: {more}." if more else text


def _largest_choices(
    moves: "Sequence[Perturbation]", rates: "Mapping[str, LocalSensitivity]", left_out: dict[str, int]
) -> "list[Perturbation]":
    """Return the moves in order; of many choices on one knob those that change most, and count the others."""
    largest = []
    for move in moves:
        rivals = [rates[one.name] for one in moves if one.is_choice and one.knob == move.knob]
        n_larger = sum(abs(rate.change) > abs(rates[move.name].change) for rate in rivals)
        if not move.is_choice or n_larger < _MOST_CHOICES:
            largest.append(move)
        else:
            left_out[move.knob] = len(rivals) - _MOST_CHOICES
    return largest


def _rate_row(
    move: "Perturbation", rate: "LocalSensitivity", scale: float, *, signs: "Mapping[str, str]"
) -> list[object]:
    change, share = "0", "0"
    if rate.sign != "0":
        interval = "" if math.isnan(rate.lo) else f" [{_short(rate.lo / scale)}, {_short(rate.hi / scale)}]"
        change = f"{rate.change / scale:+.3g}{interval}"
        interval = (
            "" if math.isnan(rate.elasticity_lo) else f" [{_short(rate.elasticity_lo)}, {_short(rate.elasticity_hi)}]"
        )
        share = f"{rate.elasticity:+.2g}{interval}"
    if move.is_choice:
        return [move.label, change, "-", signs[rate.sign]]
    return [f"{move.label} +{move.step}{'' if move.directions == 'both' else '*'}", change, share, signs[rate.sign]]


def _short(value: float) -> str:
    """Print a bound to two digits, without a power of ten where there need be none: 110, not 1.1e+02."""
    return f"{float(f'{value:.2g}'):g}"


def _print_limits(e: "Explanation") -> None:
    from explorer.cli.console import print_prose, print_table, print_text

    by_name = {move.name: move for move in e.moves}
    shown = [limit for limit in e.limits if limit.is_active or limit.kind in {"constraint", "voltage and clock"}]
    rows = [
        [
            limit.text,
            limit.margin_text + ("" if limit.p_met is None else f" (met with probability {limit.p_met:.2f})"),
            "yes" if limit.is_active else "no",
            ", ".join(f"{name} ({_way_text(by_name[way[0]], way[1])})" for name, way in limit.improves.items()) or "-",
        ]
        for limit in shown
    ]
    title = "What holds it: limits less than one step away, and the study's own"
    if rows:
        print_table(["limit", "left", "holds", "loosened, would improve"], rows, title=title)
    if e.scenarios:
        print_text("Scenario that binds each limit:")
        for bound in e.scenarios:
            print_prose(bound.text, indent="  ")
    rest = len(e.limits) - len(shown)
    if rest:
        print_prose(f"{rest} other ends of axes and edges of the domain are further away (--json lists them)")
    if e.limits:
        print_text("")


def _way_text(move: "Perturbation", direction: int) -> str:
    return move.label if move.is_choice else f"{move.label} {'up' if direction > 0 else 'down'}"


def _print_nearest(e: "Explanation") -> None:
    from explorer.cli.console import print_prose, print_table, print_text

    for sample in [e.nearest, *e.also_near] if e.nearest else []:
        where = "here" if sample.distance == 0 else f"{sample.distance:.2f} widths of the samples' range away"
        rows = [
            [e.column(name).label, *[e.column(name).text(v) for v in (value, *sample.predicted[name])]]
            for name, value in sample.measured.items()
        ]
        what = "Nearest sample" if sample is e.nearest else f"Nearest sample of {', '.join(sample.measured)}"
        print_table(["", "measured", "model there", "90 % from", "to"], rows, title=f"{what}: {sample.label}, {where}")
        if any(name in e.own_columns for name in sample.knobs):
            told = [
                f"{e.column(name).label} {value if isinstance(value, str) else e.column(name).text(value)}"
                for name, value in sample.knobs.items()
            ]
            print_prose(f"(measured at {', '.join(told)})", indent="  ")
    if e.nearest:
        print_prose("(the model was fitted to it; `explorer fit` shows the errors on held-out samples)", indent="  ")
        print_text("")


def _signed(e: "Explanation", name: str, change: float) -> str:
    text = e.column(name).text(abs(change))
    return text if change == 0 else f"{'+' if change > 0 else '-'}{text}"
