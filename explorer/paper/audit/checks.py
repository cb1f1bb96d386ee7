"""Checks of statements about the samples: printed values, orders, trends, equalities."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Literal

import numpy as np

from explorer.paper.audit.quantities import Float, Quantity, short
from explorer.paper.tables import Table

Verdict = Literal["agrees", "disagrees", "conditional", "uncheckable"]
VERDICTS: tuple[Verdict, ...] = ("agrees", "disagrees", "conditional", "uncheckable")

# Decimal fractions are not exact in binary: a difference of half a unit must not fail by rounding errors.
_ROUNDING_MARGIN = 1 + 1e-9


@dataclass(frozen=True, slots=True)
class CheckResult:
    """Result of a check: the verdict, and the computed numbers in one line."""

    verdict: Verdict
    computed: str


@dataclass(frozen=True, slots=True)
class Statement:
    """Statement of the paper, paraphrased, with the check that recomputes it from a table."""

    id: str
    section: str
    statement: str
    check: Callable[[Table], CheckResult]


@dataclass(frozen=True, slots=True)
class AuditedStatement:
    """Statement with its verdict for one table; `section` is its location in the paper."""

    id: str
    section: str
    statement: str
    computed: str
    verdict: Verdict


def agrees_if(holds: bool, computed: str) -> CheckResult:
    """Return the result `agrees` if a condition holds, else `disagrees`."""
    return CheckResult("agrees" if holds else "disagrees", computed)


def all_of(*results: CheckResult) -> CheckResult:
    """Combine the results for the parts of a statement: it agrees only if every part agrees."""
    return agrees_if(all(part.verdict == "agrees" for part in results), "; ".join(part.computed for part in results))


def half_unit(printed: str) -> float:
    """Return half a unit of the last printed digit: the largest rounding error of a number.

    >>> half_unit("0.0435"), half_unit("6.0e10"), half_unit("30")
    (5e-05, 500000000.0, 0.5)
    """
    exponent = Decimal(printed).as_tuple().exponent
    return 0.5 * 10.0 ** int(exponent)


def rounds_to(value: float, printed: str) -> bool:
    """Return whether a value rounds to a printed number, with half rounded up or to even.

    >>> rounds_to(3.375, "3.38"), rounds_to(0.968, "0.97"), rounds_to(39.6, "0.435")
    (True, True, False)
    """
    return abs(value - float(printed)) <= half_unit(printed) * _ROUNDING_MARGIN


# Threshold of |Pearson's r| for relations that the paper calls "strong" or "clear" (our convention).
STRONG = 0.7


def names(table: Table) -> list[str]:
    """Return the samples' names, in the table's order."""
    return [str(name) for name in table["name"]]


def value_of(table: Table, quantity: Quantity, sample: str) -> float:
    """Return the value of a quantity for one sample."""
    return float(quantity.of(table)[names(table).index(sample)])


def groups(table: Table) -> dict[str, list[int]]:
    """Return the rows of each family, in the table's order."""
    families = [str(family) for family in table["family"]]
    return {family: [i for i, f in enumerate(families) if f == family] for family in dict.fromkeys(families)}


def prints(table: Table, quantity: Quantity, printed: Mapping[str, str]) -> CheckResult:
    """Check that the quantity of each sample rounds to the number in the paper.

    >>> from explorer.paper.audit.quantities import EDP
    >>> from explorer.paper.tables import paper_table
    >>> prints(paper_table(), EDP, {"DNN3": "0.97"})
    CheckResult(verdict='agrees', computed='EDP: DNN3 0.968 J·s')
    """
    values = {sample: value_of(table, quantity, sample) for sample in printed}
    holds = all(rounds_to(values[sample], text) for sample, text in printed.items())
    parts = ", ".join(f"{sample} {quantity.text(value)}" for sample, value in values.items())
    return agrees_if(holds, f"{quantity.name}: {parts}")


def highest(table: Table, quantity: Quantity, *samples: str) -> CheckResult:
    """Check that some samples have the highest values of a quantity; ties with the rest are accepted."""
    return _extreme(table, quantity, samples, sign=1)


def lowest(table: Table, quantity: Quantity, *samples: str) -> CheckResult:
    """Check that some samples have the lowest values of a quantity; ties with the rest are accepted."""
    return _extreme(table, quantity, samples, sign=-1)


def _extreme(table: Table, quantity: Quantity, samples: Sequence[str], *, sign: int) -> CheckResult:
    values = dict(zip(names(table), (sign * quantity.of(table)).tolist(), strict=True))
    worst = min(samples, key=values.__getitem__)
    rest = {name: value for name, value in values.items() if name not in samples}
    rival = max(rest, key=rest.__getitem__)
    holds = values[worst] >= rest[rival]
    order = "=" if values[worst] == rest[rival] else ">" if holds == (sign > 0) else "<"
    text = f"{worst} {quantity.text(sign * values[worst])} {order} {rival} {quantity.text(sign * rest[rival])}"
    return agrees_if(holds, f"{quantity.name}: {text}")


def above_median(table: Table, quantity: Quantity, *samples: str) -> CheckResult:
    """Check that each of some samples is above the median of a quantity over all samples."""
    median = float(np.median(quantity.of(table)))
    values = {sample: value_of(table, quantity, sample) for sample in samples}
    parts = ", ".join(f"{sample} {quantity.text(value)}" for sample, value in values.items())
    return agrees_if(min(values.values()) > median, f"{quantity.name}: {parts}, median {quantity.text(median)}")


def exceeds(table: Table, quantity: Quantity, sample: str, *references: str) -> CheckResult:
    """Check that the quantity of one sample is higher than that of each reference sample."""
    value = value_of(table, quantity, sample)
    rivals = {name: value_of(table, quantity, name) for name in references}
    parts = ", ".join(f"{name} {quantity.text(number)}" for name, number in rivals.items())
    holds = all(value > number for number in rivals.values())
    return agrees_if(holds, f"{quantity.name}: {sample} {quantity.text(value)}, {parts}")


def changes(table: Table, quantity: Quantity, first: str, last: str, *, printed: str) -> CheckResult:
    """Check the relative decrease of a quantity from one sample to another, as a share (0.20 is 20 % less)."""
    start, end = value_of(table, quantity, first), value_of(table, quantity, last)
    fall = 1 - end / start
    text = f"{quantity.name} falls by {fall:.1%}, from {quantity.text(start)} to {quantity.text(end)}"
    return agrees_if(rounds_to(fall, printed), text)


def follows(table: Table, quantity: Quantity, by: Quantity, *, sign: int, family: str = "") -> CheckResult:
    """Check that a quantity strictly rises (sign 1) or falls (-1) with another one within each family, or in one."""
    y, x = quantity.of(table), by.of(table)
    steps = broken = 0
    parts = []
    for name, rows in groups(table).items():
        if family in {"", name}:
            order = sorted(rows, key=lambda i: x[i])
            # A step between two samples with equal `by` counts as broken: it shows no trend.
            n_broken = sum(not (x[i] < x[j] and sign * (y[j] - y[i]) > 0) for i, j in pairwise(order))
            steps, broken = steps + len(order) - 1, broken + n_broken
            parts.append(f"{name} {short(y[order[0]])} to {short(y[order[-1]])}")
    verb = "rises" if sign > 0 else "falls"
    text = f"{quantity.name} {verb} with {by.name} in {steps - broken} of {steps} steps ({', '.join(parts)})"
    return agrees_if(broken == 0, text)


def equals(table: Table, quantity: Quantity, expected: Quantity, *, tolerance: float) -> CheckResult:
    """Check that a printed column equals a computed quantity in every row, up to the rounding of the column.

    Args:
        table: the samples.
        quantity: the printed column.
        expected: the quantity computed from other columns.
        tolerance: half a unit of the last printed digit of `quantity`, in its unit.
    """
    printed, computed = quantity.of(table), expected.of(table)
    agree = np.abs(printed - computed) <= tolerance * _ROUNDING_MARGIN
    ratio = printed / computed
    text = f"equal in {int(agree.sum())} of {agree.size} rows; {quantity.name} is {short(ratio.min())}"
    return agrees_if(bool(agree.all()), f"{text}-{short(ratio.max())} times {expected.name}")


def correlation(x: Float, y: Float) -> float:
    """Return Pearson's r of two columns of shape (n,); NaN if one of them is constant."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    dx, dy = (x - x.mean()) / np.ptp(x), (y - y.mean()) / np.ptp(y)
    return float((dx * dy).sum() / np.sqrt((dx**2).sum() * (dy**2).sum()))


def correlates(table: Table, quantity: Quantity, by: Quantity, *, sign: int) -> CheckResult:
    """Check that two quantities are strongly correlated over all samples, with the given sign."""
    r = correlation(quantity.of(table), by.of(table))
    text = f"r = {r:+.2f} between {by.name} and {quantity.name} over all samples; strong means |r| >= {STRONG}"
    return agrees_if(sign * r >= STRONG, text)


def family_means(table: Table, quantity: Quantity) -> dict[str, float]:
    """Return a quantity's mean in each family."""
    values = quantity.of(table)
    return {family: float(values[rows].mean()) for family, rows in groups(table).items()}


def higher_family_mean(table: Table, quantity: Quantity, family: str, rival: str) -> CheckResult:
    """Check that one family's mean exceeds another's; exceptions among the samples are listed."""
    means = family_means(table, quantity)
    parts = ", ".join(f"{name} {quantity.text(value)}" for name, value in means.items())
    values, rows = quantity.of(table), groups(table)
    best = float(values[rows[rival]].max())
    against = [names(table)[i] for i in rows[family] if values[i] <= best]
    text = f"mean {quantity.name}: {parts}"
    text += f"; below the best {rival}: {', '.join(against)}" if against else ""
    return agrees_if(means[family] > means[rival], text)


def peak(table: Table, quantity: Quantity, printed: str, *samples: str) -> CheckResult:
    """Check that the highest value of a quantity over some samples rounds to the number in the paper."""
    best = max(samples, key=lambda name: value_of(table, quantity, name))
    value = value_of(table, quantity, best)
    return agrees_if(rounds_to(value, printed), f"the highest is {best}'s {quantity.text(value)}")


def for_comparison(table: Table, quantity: Quantity, sample: str) -> CheckResult:
    """Report a related quantity of a sample for comparison; always agrees."""
    return agrees_if(holds=True, computed=f"its {quantity.name} is {quantity.text(value_of(table, quantity, sample))}")


def numbered(table: Table, samples: Mapping[int, str]) -> CheckResult:
    """Check the names of the samples with some numbers."""
    actual = {number: names(table)[int(np.flatnonzero(table["sample"] == number)[0])] for number in samples}
    return agrees_if(
        actual == dict(samples), ", ".join(f"sample {number} is {name}" for number, name in actual.items())
    )


def needs(table: Table, *columns: str, lacking: str) -> CheckResult:
    """Report a statement as uncheckable unless the table has the columns that it depends on."""
    if all(name in table for name in columns):
        return CheckResult(
            "conditional", f"only as far as {', '.join(columns)} speak of it; no equation of the paper does"
        )
    return CheckResult("uncheckable", f"the tables say nothing of {lacking}")


def grows_more(table: Table, quantity: Quantity, reference: Quantity, first: str, last: str) -> CheckResult:
    """Check that a quantity grows by a larger factor than a reference quantity from one sample to another."""
    factor, rival = (value_of(table, each, last) / value_of(table, each, first) for each in (quantity, reference))
    text = f"from {first} to {last} {quantity.name} grows {factor:.2f} times, {reference.name} {rival:.2f} times"
    return agrees_if(factor > rival, text)
