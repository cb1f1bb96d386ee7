"""Constraints: lower and upper limits of columns, parsed from text such as 'power_w <= 22 W'."""

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
    """Lower (`>=`) or upper (`<=`) limit of a column; `limit` is in SI."""

    column: str
    sense: Literal["<=", ">="]
    limit: float

    @property
    def text(self) -> str:
        """The constraint as text with a unit and every digit of its limit; also its name in results."""
        column = column_of(self.column)
        limit = column.text(self.limit)
        if parse_quantity(limit, column.symbol) != self.limit:
            limit = f"{self.limit!r} {column.symbol}".rstrip()
        return f"{self.column} {self.sense} {limit}"

    def violation(self, columns: Columns) -> Float:
        """Return each design's violation relative to the limit, shape (n,); at most 0 where the limit is met."""
        scale = abs(self.limit) or 1.0
        sign = 1.0 if self.sense == "<=" else -1.0
        return np.asarray(sign * (columns[self.column] - self.limit) / scale, dtype=np.float64)


def parse_constraint(text: str, *, where: str = "constraint", own: Collection[str] = ()) -> Constraint:
    """Parse a limit of a numeric column; a limit without a unit is in SI.

    Args:
        text: the constraint.
        where: the name of the constraint in messages.
        own: names of user-defined knobs, which may be limited as well.

    Raises:
        WrongUsage: the text is not of the form COLUMN <= NUMBER [UNIT], or its unit does not fit the column.
        UnknownName: no such column.

    >>> parse_constraint("energy_j <= 800 mJ")
    Constraint(column='energy_j', sense='<=', limit=0.8)
    """
    match = _TEXT.fullmatch(text)
    if match is None or match[2] not in {"<=", ">="}:
        raise WrongUsage(f"{where}: '{text}' is not a floor or cap", fix="write for example 'accuracy >= 0.9'")
    if match[1] not in COLUMNS and match[1] not in own:
        raise UnknownName(f"{where} '{text}'", match[1], [*COLUMNS, *own])
    column = column_of(match[1])
    if column.name == "family":
        raise WrongUsage(f"{where}: '{text}' compares a family", fix="choose families with the study's 'families'")
    try:
        limit = parse_quantity(match[3], column.symbol)
    except WrongUsage as error:
        raise WrongUsage(f"{where}: '{text}': {error.problem}", fix=error.fix) from None
    return Constraint(column.name, "<=" if match[2] == "<=" else ">=", limit)
