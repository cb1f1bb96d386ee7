"""Prediction of single designs from text, and of tables of designs, with intervals."""

from collections.abc import Mapping

import numpy as np

from explorer.errors import OutOfRange, UnknownName, WrongUsage
from explorer.models.intervals import add_intervals
from explorer.models.posterior_draws import PosteriorModel, posterior_draws
from explorer.problem.columns import Columns, allowed_text, bounds, column_of, is_allowed, n_rows
from explorer.problem.objectives import Constants
from explorer.units import SYMBOLS, parse_quantity


def parse_design(model: PosteriorModel, knobs: Mapping[str, str]) -> Columns:
    """Return a table of one design parsed from texts; numbers may carry a unit.

    Args:
        model: defines the knobs.
        knobs: text of each knob by name; a knob that is constant in the samples may be left out.

    Raises:
        WrongUsage: a knob is missing or unknown, or a text is not a quantity of its unit.
        OutOfRange: a value is outside the range of its knob.
    """
    family = knobs.get("family") or (model.families[0] if len(model.families) == 1 else "")
    if not family:
        raise WrongUsage("the family is missing", fix=f"--family with one of {', '.join(model.families)}")
    if family not in model.families:
        raise UnknownName("--family", family, model.families)
    spans, choices, implied = model.domain[family], model.choices(family), _implied(model, family)
    missing = [name for name in (*spans, *choices) if name not in knobs and name not in implied]
    unknown = [name for name in knobs if name not in ("family", *spans, *choices)]
    if missing or unknown:
        faults = [f"{', '.join(missing)} missing"] if missing else []
        faults += [f"the model has no knob {', '.join(unknown)}"] if unknown else []
        raise WrongUsage(
            "; ".join(faults), fix=f"give {', '.join(map(_flag, (*spans, *choices)))}, or --designs FILE.csv"
        )
    texts = {**implied, **knobs}
    numbers = {name: _number(name, texts[name], is_measured=supports_unquantized(model)) for name in spans}
    table: Columns = {"family": np.array([family], dtype=object)}
    table |= {name: np.array([value]) for name, value in numbers.items()}
    return table | {name: np.array([texts[name]], dtype=object) for name in choices}


def implied_knobs(model: PosteriorModel) -> dict[str, str]:
    """Return the knobs that may be left out, as texts: those with one value in all samples of all families."""
    first, *rest = [{"family": family, **_implied(model, family)} for family in model.families]
    return {name: text for name, text in first.items() if all(implied.get(name) == text for implied in rest)}


def _implied(model: PosteriorModel, family: str) -> dict[str, str]:
    """Return the knobs that are constant in the samples of a family, as texts."""
    fixed = {name: f"{span.low!r}" for name, span in model.domain[family].items() if span.low == span.high}
    return fixed | {name: names[0] for name, names in model.choices(family).items() if len(names) == 1}


def supports_unquantized(model: PosteriorModel) -> bool:
    """Return True if a model predicts unquantized networks (a step of 0): one of its samples is."""
    steps = model.samples.columns.get("quant_step")
    return steps is not None and bool((steps == 0).any())


def _number(name: str, text: str, *, is_measured: bool) -> float:
    value = parse_quantity(text, column_of(name).symbol if column_of(name).symbol in SYMBOLS else "")
    if not is_allowed(name, np.array([value]), is_measured=is_measured)[0]:
        allowed = allowed_text(name, is_measured=is_measured)
        raise OutOfRange(name, f"{value:g}", allowed=allowed, fix="check its unit: numbers are SI")
    return value


def _flag(name: str) -> str:
    flags = {"pruning_ratio": "--pruning-ratio", "quant_step": "--quant-step", "voltage_v": "--voltage",
             "frequency_hz": "--frequency"}  # fmt: skip
    return flags.get(name, f"--set {name}=...")


def predict_designs(model: PosteriorModel, designs: Columns) -> Columns:
    """Return designs with predictions, prediction intervals, the highest clock at their voltage and domain distance.

    Raises:
        UnknownName: a family without samples.
    """
    columns = model.evaluate(designs)
    bounded = add_intervals(columns, model=model, draws=posterior_draws(model), constants=Constants())
    highest = np.full(n_rows(designs), np.nan)
    for family in set(designs["family"].tolist()):
        law = model.law(family)
        rows = designs["family"] == family
        if law is not None:
            highest[rows] = law.frequency_max(designs["voltage_v"][rows])
    predicted = {name: bounded[name] for target in model.targets for name in (target, *bounds(target))}
    limit = {"frequency_max_hz": highest} if "voltage_v" in designs and "frequency_hz" in designs else {}
    return {**designs, **predicted, **limit, "domain_distance": columns["domain_distance"]}
