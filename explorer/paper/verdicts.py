"""What a verdict is, and when a recomputed number agrees with a printed one."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from explorer.paper.tables import Table

Verdict = Literal["agrees", "disagrees", "conditional", "uncheckable"]
VERDICTS: tuple[Verdict, ...] = ("agrees", "disagrees", "conditional", "uncheckable")

# Decimal fractions such as 3.375 are not exact in binary; a half unit must not fail by the last bit.
_LAST_BIT = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class Finding:
    """What recomputing a statement gave: the verdict, and the numbers behind it in one line."""

    verdict: Verdict
    computed: str


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing that the paper says, in our own words, and how to recompute it from a table."""

    id: str
    section: str
    statement: str
    check: Callable[[Table], Finding]


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement with the verdict that one table gives it; `section` is where the paper says it."""

    id: str
    section: str
    statement: str
    computed: str
    verdict: Verdict


def finding(holds: bool, computed: str) -> Finding:
    """Return `agrees` or `disagrees`."""
    return Finding("agrees" if holds else "disagrees", computed)


def all_of(*findings: Finding) -> Finding:
    """Join the parts of one statement: it agrees only if every part does."""
    return finding(all(part.verdict == "agrees" for part in findings), "; ".join(part.computed for part in findings))


def half_unit(printed: str) -> float:
    """Return half a unit of the last digit printed: the most by which rounding alone can move a number.

    >>> half_unit("0.0435"), half_unit("6.0e10"), half_unit("30")
    (5e-05, 500000000.0, 0.5)
    """
    exponent = Decimal(printed).as_tuple().exponent
    return 0.5 * 10.0 ** int(exponent)


def rounds_to(value: float, printed: str) -> bool:
    """Tell whether a recomputed value may be printed so, rounding half up or half to even.

    >>> rounds_to(3.375, "3.38"), rounds_to(0.968, "0.97"), rounds_to(39.6, "0.435")
    (True, True, False)
    """
    return abs(value - float(printed)) <= half_unit(printed) * _LAST_BIT
