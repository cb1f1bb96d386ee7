"""Predicting single designs or tables of them, as asked from outside."""

import numpy as np

from explorer.errors import OutOfRange
from explorer.models.evaluator import Evaluator
from explorer.problem.columns import NUMERIC_KNOBS, Columns, allowed_text, is_allowed, n_rows
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


def predict_designs(evaluator: Evaluator, designs: Columns) -> Columns:
    """Return designs with predictions, the highest clock at their voltage (NaN where unknown), and domain distance.

    Raises:
        UnknownName: a family that the evaluator does not know.
    """
    columns = evaluator.evaluate(designs)
    highest = np.full(n_rows(designs), np.nan)
    for family in set(designs["family"].tolist()):
        law = evaluator.law(family)
        rows = designs["family"] == family
        if law is not None:
            highest[rows] = law.frequency_max(designs["voltage_v"][rows])
    distance = columns.pop("domain_distance")
    return {**columns, "frequency_max_hz": highest, "domain_distance": distance}
