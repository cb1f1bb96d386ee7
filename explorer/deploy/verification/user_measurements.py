"""Measurements that a user states, of what this machine cannot measure: a board's latency, a detector's mAP."""

from collections.abc import Mapping, Sequence

from explorer.deploy.verification.check import Interval, make_interval
from explorer.errors import UnknownName, WrongUsage
from explorer.problem.columns import bounded_names, column_of
from explorer.problem.naming.column_names import find_column, with_unit
from explorer.units import parse_quantity

_METHOD = "as stated"
UserMeasurements = Mapping[str, float | str | tuple[float, float, float]]


def parse_measurements(texts: Sequence[str]) -> dict[str, str]:
    """Return the columns and values of texts such as `mAP=0.47` or `latency_ms=12`.

    Raises:
        WrongUsage: a text has no `=`.
    """
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise WrongUsage(f"--measured {text}: no column and value", fix="write for example --measured 'mAP=0.47'")
        found[name.strip()] = value.strip()
    return found


def intervals_of_measurements(measurements: UserMeasurements) -> dict[str, tuple[Interval, str]]:
    """Return measurements by column in SI, each with its method.

    Args:
        measurements: by column, a value in SI, text with a unit ("12 ms", or an interval "11..13 ms"), or
            (value, low, high).

    Raises:
        UnknownName: no such predicted column.
        WrongUsage: a value is no number, its unit does not fit, or its interval does not hold it.
    """
    found = {}
    for typed, value in measurements.items():
        name = find_column(typed, bounded_names())
        if name is None:
            raise UnknownName("--measured", typed, bounded_names())
        numbers = _numbers(value, name.unit, column_of(name.column).symbol)
        if not numbers[1] <= numbers[0] <= numbers[2]:
            raise WrongUsage(f"--measured {typed}: {value} is no interval around its value", fix="write LOW..HIGH")
        found[name.column] = make_interval(*numbers), _METHOD
    return found


def _numbers(value: float | str | tuple[float, float, float], unit: str, symbol: str) -> tuple[float, float, float]:
    if not isinstance(value, str):
        return value if isinstance(value, tuple) else (value, value, value)
    low, dots, high = value.partition("..")
    if not dots:
        number = parse_quantity(with_unit(value, unit), symbol)
        return number, number, number
    last = high.strip()
    # The unit of the upper end is that of both.
    of_high = last.lstrip("+-.0123456789eE").strip() or unit
    ends = parse_quantity(with_unit(low.strip(), of_high), symbol), parse_quantity(with_unit(last, of_high), symbol)
    return (ends[0] + ends[1]) / 2, *ends
