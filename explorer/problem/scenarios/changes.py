"""Changes of a quantity in a scenario: '-3 %', a range '3 %' with both of its ends, or a value such as '0.9 V'."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from explorer.errors import WrongUsage
from explorer.problem.columns import Column, Float
from explorer.units import parse_quantity

_RELATIVE = re.compile(r"\s*(\+-|\+/-|±|[+-])?\s*(\d+(?:\.\d*)?|\.\d+)\s*%\s*")
_SIGNED = re.compile(r"\s*[+±]|\s*-\s*\d")


@dataclass(frozen=True, slots=True)
class Change:
    """Change of a quantity: by a share of its value where `is_relative`, else to the value `amount` in SI."""

    amount: float
    is_relative: bool = True

    def apply(self, values: Float) -> Float:
        """Return changed values, same shape."""
        values = np.asarray(values, dtype=np.float64)
        return values * (1 + self.amount) if self.is_relative else np.full(values.shape, self.amount)

    def text(self, column: Column) -> str:
        """Format the change: '-3 %' or '= 0.9 V'."""
        return f"{100 * self.amount:+.6g} %" if self.is_relative else f"= {column.text(self.amount)}"


def relative_changes(text: str) -> tuple[Change, ...]:
    """Parse a relative change; one without a sign is a tolerance, and both of its ends are returned.

    Raises:
        WrongUsage: the text is no percentage, or it leaves nothing of the quantity.

    >>> relative_changes("-3 %"), len(relative_changes("3 %")), len(relative_changes("+-3 %"))
    ((Change(amount=-0.03, is_relative=True),), 2, 2)
    """
    match = _RELATIVE.fullmatch(text)
    if match is None:
        raise WrongUsage(f"'{text}' is not a change in per cent", fix="write '-3 %', '+3 %', or '3 %' for both")
    share = float(f"{float(match[2]) / 100:.12g}")
    amounts = (share,) if match[1] == "+" else (-share,) if match[1] == "-" else (-share, share)
    if min(amounts) <= -1:
        raise WrongUsage(f"'{text}' leaves nothing: the value would be 0 or less", fix="give a change above -100 %")
    return tuple(Change(amount) for amount in dict.fromkeys(amounts))


def parse_changes(value: str | float, column: Column) -> Iterator[Change]:
    """Yield the changes that a value of a scenario stands for: one, or the two ends of a tolerance.

    Args:
        value: text with `%` is relative; a number, or text with a unit of the column, is a value.
        column: the changed quantity.

    Raises:
        WrongUsage: the text is neither, or a unit has a sign: '+0.1 V' may mean an offset or a value.
    """
    if isinstance(value, str) and "%" in value:
        yield from relative_changes(value)
        return
    if isinstance(value, str) and _SIGNED.match(value) and column.symbol:
        raise WrongUsage(f"'{value}' has a sign and no per cent", fix="write '+3 %', or the value without a sign")
    yield Change(parse_quantity(value, column.symbol) if isinstance(value, str) else float(value), is_relative=False)
