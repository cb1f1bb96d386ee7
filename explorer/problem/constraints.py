"""Constraints: lower and upper limits of columns, parsed from text such as 'power_w <= 22 W @ 90 %'."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from explorer.errors import UnknownName, WrongUsage
from explorer.problem.columns import (
    COLUMNS,
    JOINT_VIOLATION,
    Columns,
    Float,
    base_of_case,
    bounded_names,
    bounds,
    cases_of,
    column_of,
    is_end,
    is_uncertain,
    names_with_cases,
    percentile_name,
)
from explorer.problem.naming.column_names import find_column, limit_text, with_unit
from explorer.problem.targets import declared_target
from explorer.units import parse_quantity, to_si

_TEXT = re.compile(r"\s*([A-Za-z_]\w*)\s*(<=|>=|==|!=|<|>|=)\s*([^@]+?)\s*(?:@\s*(.*?)\s*)?")
_SHARE = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(%?)")
# Posterior draws, about a thousand, resolve no probability nearer to 0 or 1.
MIN_PROBABILITY, MAX_PROBABILITY = 0.01, 0.995


@dataclass(frozen=True, slots=True)
class Constraint:
    """Lower (`>=`) or upper (`<=`) limit of a column; `limit` is in SI.

    With a `probability` the limit holds for the true value with that probability over the model's posterior draws;
    without one it holds for the prediction. All limits of the same probability hold jointly with it (chance
    constraints: A. Charnes and W. W. Cooper, Management Science 6 (1959) 73-79).
    """

    column: str
    sense: Literal["<=", ">="]
    limit: float
    probability: float | None = None

    @property
    def text(self) -> str:
        """The constraint as text with a unit and every digit of its limit; also its name in results."""
        column = column_of(self.column)
        limit = column.text(self.limit)
        if parse_quantity(limit, column.symbol) != self.limit:
            limit = f"{self.limit!r} {column.symbol}".rstrip()
        chance = "" if self.probability is None else f" @ {100 * self.probability:.12g} %"
        return f"{self.column} {self.sense} {limit}{chance}"

    @property
    def compared(self) -> str:
        """The name of the column that is compared: with a probability, a percentile over the posterior draws.

        >>> parse_constraint("power_w <= 22 W @ 90 %").compared, parse_constraint("accuracy >= 0.9 @ 90 %").compared
        ('power_w_p90', 'accuracy_p10')
        """
        if self.probability is None:
            return self.column
        return percentile_name(self.column, self.probability if self.sense == "<=" else 1 - self.probability)

    @property
    def nominal(self) -> "Constraint":
        """The same limit of the value itself, without a probability."""
        return replace(self, probability=None)

    def at(self, probability: float | None) -> "Constraint":
        """Return the limit with a probability where it has none."""
        return self if probability is None or not self.is_uncertain else replace(self, probability=probability)

    @property
    def is_uncertain(self) -> bool:
        """True where the limit is of a predicted value and no probability is asked of it yet."""
        return self.probability is None and is_uncertain(self.column)

    def violation(self, columns: Columns) -> Float:
        """Return each design's violation relative to the limit, shape (n,); at most 0 where the limit is met."""
        return self._relative(columns[self.compared])

    def violation_by_draw(self, by_draw: Columns) -> Float:
        """Return the violation in every posterior draw, whatever the probability, shape (S, n)."""
        return self._relative(by_draw[self.column])

    def _relative(self, values: Float) -> Float:
        scale = abs(self.limit) or 1.0
        sign = 1.0 if self.sense == "<=" else -1.0
        return np.asarray(sign * (values - self.limit) / scale, dtype=np.float64)


def parse_constraint(
    text: str, *, where: str = "constraint", own: Collection[str] = (), is_exact: bool = False
) -> Constraint:
    """Parse a limit of a numeric column; a limit without a unit is in SI.

    A name nearly right is understood (`find_column`): `latency_ms <= 1.2` is `latency_s <= 1.2 ms`.

    Args:
        text: the constraint.
        where: the name of the constraint in messages.
        own: names of user-defined knobs, which may be limited as well.
        is_exact: refuse a name that is only nearly right, with the text to write instead.

    Raises:
        WrongUsage: the text is not of the form COLUMN <= NUMBER [UNIT], or its unit does not fit the column.
        UnknownName: no such column.

    >>> parse_constraint("energy_j <= 800 mJ")
    Constraint(column='energy_j', sense='<=', limit=0.8, probability=None)
    >>> parse_constraint("accuracy >= 0.92 @ 90 %").probability
    0.9
    """
    match = _TEXT.fullmatch(text)
    if match is None or match[2] not in {"<=", ">="}:
        raise WrongUsage(f"{where}: '{text}' is not a floor or cap", fix="write for example 'accuracy >= 0.9'")
    ends = [end for name in bounded_names() for end in bounds(name)]
    cases = [case for name in names_with_cases() for case in cases_of(name)]
    ends += [end for name in bounded_names() for case in cases_of(name) for end in bounds(case)]
    known = [*COLUMNS, *own, *ends, *cases]
    name = find_column(match[1], known)
    if name is None:
        raise UnknownName(f"{where} '{text}'", match[1], known)
    if is_exact and name.column != match[1]:
        fix = f"write '{limit_text(name, text[match.end(1) :].strip())}'"
        raise WrongUsage(f"{where}: '{text}': unknown name '{match[1]}'", fix=fix)
    column = column_of(name.column)
    if column.name == "family":
        raise WrongUsage(f"{where}: '{text}' compares a family", fix="choose families with the study's 'families'")
    try:
        limit = parse_quantity(with_unit(match[3], name.unit), column.symbol)
    except WrongUsage as error:
        raise WrongUsage(f"{where}: '{text}': {error.problem}", fix=error.fix) from None
    if _is_share(column.name) and 1 < limit <= 100:
        share = limit_text(replace(name, unit=""), f"{match[2]} {to_si(limit, 0.01):.12g}{text[match.end(3) :]}")
        what = f"{where}: '{text}': {column.name} is a share, at most 1"
        raise WrongUsage(what, fix=f"write '{share}' (or {match[3]} %)")
    probability = None if match[4] is None else parse_probability(match[4], where=f"{where}: '{text}'")
    if probability is not None and not is_uncertain(column.name):
        fix = "leave the probability out" if column.name not in ends else f"limit {column.name[:-3]} instead"
        raise WrongUsage(f"{where}: '{text}': {column.name} has no probability, it is known", fix=fix)
    return Constraint(column.name, "<=" if match[2] == "<=" else ">=", limit, probability)


def _is_share(name: str) -> bool:
    """Return whether a column, or the interval or worst case of one, is a share in [0, 1]."""
    name = name[:-3] if is_end(name) else name
    name = base_of_case(name) or name
    target = declared_target(name)
    return name in {"accuracy", "pruning_ratio"} if target is None else target.range == (0, 1)


def parse_probability(text: str, *, where: str) -> float:
    """Parse a probability: '90 %' or '0.9'.

    Raises:
        WrongUsage: it is no number, or outside [1 %, 99.5 %].
    """
    match = _SHARE.fullmatch(text)
    if match is None:
        raise WrongUsage(f"{where}: '{text}' is not a probability", fix="write for example '@ 90 %'")
    return check_probability(float(match[1]) / (100 if match[2] else 1), where=where)


def check_probability(value: float, *, where: str = "confidence") -> float:
    """Return a probability that limits may have.

    Raises:
        WrongUsage: it is outside [1 %, 99.5 %].
    """
    if not MIN_PROBABILITY <= value <= MAX_PROBABILITY:
        nearest = MIN_PROBABILITY if value < MIN_PROBABILITY else MAX_PROBABILITY
        raise WrongUsage(
            f"{where}: a probability of {100 * value:.12g} % is outside [1 %, 99.5 %]: no model is that sure",
            fix=f"write '{'@ ' if '@' in where else ''}{100 * nearest:g} %'",
        )
    return float(f"{value:.12g}")


def joint_text(probability: float) -> str:
    """Return the name in results of the limits that hold jointly.

    >>> joint_text(0.9)
    'all @ 90 %'
    """
    return f"all @ {100 * probability:.12g} %"


def joint_groups(constraints: Collection[Constraint]) -> Iterator[tuple[str, float, list[Constraint]]]:
    """Yield the limits that hold jointly: the name of the group, its probability, and its two or more limits."""
    for probability in sorted({c.probability for c in constraints if c.probability is not None}):
        members = [c for c in constraints if c.probability == probability]
        if len(members) > 1:
            yield f"{JOINT_VIOLATION}_p{100 * probability:.12g}", probability, members
