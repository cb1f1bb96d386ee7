"""Predicting single designs or tables of them, as asked from outside."""

import numpy as np

from explorer.errors import OutOfRange
from explorer.models.draws import posterior_draws
from explorer.models.intervals import add_intervals
from explorer.models.surrogate import Surrogate
from explorer.problem.columns import NUMERIC_KNOBS, Columns, allowed_text, bounds, is_allowed, n_rows
from explorer.problem.objectives import CostWeights
from explorer.units import parse_quantity


def one_design(*, family: str, pruning_ratio: float, quant_step: float, voltage: str, frequency: str) -> Columns:
    """Return a table of one design; voltage and frequency may carry a unit.

    Raises:
        WrongUsage: a text is not a quantity of its unit.
        OutOfRange: a knob has no meaning there.
    """
    numbers = {
        "pruning_ratio": pruning_ratio,
        "quant_step": quant_step,
        "voltage_v": parse_quantity(voltage, "V"),
        "frequency_hz": parse_quantity(frequency, "Hz"),
    }
    for name, value in numbers.items():
        if not is_allowed(name, np.array([value]))[0]:
            raise OutOfRange(name, f"{value:g}", allowed=allowed_text(name), fix="check its unit: numbers are SI")
    return {"family": np.array([family], dtype=object), **{name: np.array([numbers[name]]) for name in NUMERIC_KNOBS}}


def predict_designs(model: Surrogate, designs: Columns) -> Columns:
    """Return designs with predictions and their intervals, the highest clock at their voltage, and domain distance.

    Raises:
        UnknownName: a family that the model does not know.
    """
    columns = model.evaluate(designs)
    bounded = add_intervals(columns, model=model, draws=posterior_draws(model), weights=CostWeights())
    highest = np.full(n_rows(designs), np.nan)
    for family in set(designs["family"].tolist()):
        law = model.law(family)
        rows = designs["family"] == family
        if law is not None:
            highest[rows] = law.frequency_max(designs["voltage_v"][rows])
    predicted = {own: bounded[own] for target in model.targets for own in (target, *bounds(target))}
    return {**designs, **predicted, "frequency_max_hz": highest, "domain_distance": columns["domain_distance"]}
