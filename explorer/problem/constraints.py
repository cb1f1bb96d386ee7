"""Constraints: floors and caps on columns, read from text such as 'power_w <= 22 W'."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np

from explorer.errors import UnknownName, WrongUsage
from explorer.problem.columns import COLUMNS, Columns, Float, column_of
from explorer.units import parse_quantity

_TEXT = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=|==|!=|<|>|=)\s*(.+?)\s*")


@dataclass(frozen=True, slots=True)
class Constraint:
    """A floor (`>=`) or cap (`<=`) on a column; `limit` is in SI."""

    column: str
    sense: Literal["<=", ">="]
    limit: float

    @property
    def text(self) -> str:
        """The constraint as a person writes it, with every digit of its limit: it also names it."""
        known = column_of(self.column)
        short = known.text(self.limit)
        if parse_quantity(short, known.symbol) != self.limit:
            short = f"{self.limit!r} {known.symbol}".rstrip()
        return f"{self.column} {self.sense} {short}"

    def excess(self, columns: Columns) -> Float:
        """Return by how much each design misses the limit, relative to it, shape (n,); at most 0 where it is met."""
        scale = abs(self.limit) or 1.0
        sign = 1.0 if self.sense == "<=" else -1.0
        return np.asarray(sign * (columns[self.column] - self.limit) / scale, dtype=np.float64)


def parse_constraint(text: str, *, where: str = "constraint", own: Collection[str] = ()) -> Constraint:
    """Read a floor or cap on a numeric column; the limit may carry a unit, without one it is SI.

    Args:
        text: the constraint.
        where: what to call it in messages.
        own: names of the user's own knobs, which may be compared as well.

    Raises:
        WrongUsage: the text is not of the form COLUMN <= NUMBER [UNIT], or its unit does not fit the column.
        UnknownName: there is no such column.

    >>> parse_constraint("energy_j <= 800 mJ")
    Constraint(column='energy_j', sense='<=', limit=0.8)
    """
    match = _TEXT.fullmatch(text)
    if match is None or match[2] not in {"<=", ">="}:
        raise WrongUsage(f"{where}: '{text}' is not a floor or cap", fix="write for example 'accuracy >= 0.9'")
    if match[1] not in COLUMNS and match[1] not in own:
        raise UnknownName(f"{where} '{text}'", match[1], [*COLUMNS, *own])
    known = column_of(match[1])
    if known.name == "family":
        raise WrongUsage(f"{where}: '{text}' compares a family", fix="choose families with the study's 'families'")
    try:
        limit = parse_quantity(match[3], known.symbol)
    except WrongUsage as error:
        raise WrongUsage(f"{where}: '{text}': {error.problem}", fix=error.fix) from None
    return Constraint(known.name, "<=" if match[2] == "<=" else ">=", limit)
