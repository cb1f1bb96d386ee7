"""Exact set of weights alpha for which a statement about the cost of Eq. (10) holds, as the cost is linear in alpha."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations, groupby, pairwise

from explorer.errors import OutOfRange
from explorer.paper.audit.checks import names
from explorer.paper.audit.quantities import ACCURACY, TOTAL_ENERGY, short
from explorer.paper.tables import Table

# Costs of the samples at one alpha, by name; exact fractions, so that ties are detected.
Costs = Mapping[str, Fraction]


@dataclass(frozen=True, slots=True)
class Piece:
    """Interval of alpha with ends `low` <= `high`, each of them included or not."""

    low: Fraction
    high: Fraction
    has_low: bool
    has_high: bool

    def __contains__(self, alpha: Fraction | float) -> bool:
        a = Fraction(alpha)
        return self.low < a < self.high or (a == self.low and self.has_low) or (a == self.high and self.has_high)

    def __str__(self) -> str:
        ends = f"{_three_decimals(self.low)}, {_three_decimals(self.high)}"
        return f"{'[' if self.has_low else '('}{ends}{']' if self.has_high else ')'}"


@dataclass(frozen=True, slots=True)
class AlphaSet:
    """Set of weights alpha in [0, 1]: disjoint intervals in rising order."""

    pieces: tuple[Piece, ...]

    @property
    def is_everything(self) -> bool:
        """True if the set is the whole of [0, 1]."""
        return self.pieces == (Piece(Fraction(0), Fraction(1), has_low=True, has_high=True),)

    def __contains__(self, alpha: Fraction | float) -> bool:
        return any(alpha in piece for piece in self.pieces)

    def __bool__(self) -> bool:
        return bool(self.pieces)

    def __str__(self) -> str:
        return " or ".join(map(str, self.pieces)) or "no alpha"


def largest_energy(table: Table) -> float:
    """Return the default E_max of Eq. (10), in joule: the largest Total Energy in the table (the paper states none)."""
    return float(TOTAL_ENERGY.of(table).max())


def alpha_set(
    table: Table, holds: Callable[[Costs], bool], *, energy_max: float, levels: Sequence[str] = ()
) -> AlphaSet:
    """Return every alpha in [0, 1] at which a statement about the costs J of Eq. (10) holds.

    J is linear in alpha, so the order of the costs and `levels` changes only where two of these lines cross. The
    statement is evaluated at every crossing and at one point between neighbouring crossings.

    Args:
        table: the samples; Acc is their accuracy, E their Total Energy.
        holds: the statement. It may compare costs with each other and with `levels` only.
        energy_max: E_max, in joule, more than 0.
        levels: the printed numbers that the statement compares costs with.

    Returns:
        The set as exact intervals.

    Raises:
        OutOfRange: `energy_max` is not positive.

    >>> from explorer.paper.tables import paper_table
    >>> str(alpha_set(paper_table(), lambda j: j["Transformer2"] > Fraction("0.6"), energy_max=39.6, levels=["0.6"]))
    '[0, 0.330)'
    """
    if not energy_max > 0:
        raise OutOfRange("energy_max", energy_max, allowed="(0, inf)", fix="give E_max in joule, such as 39.6")
    # At alpha = 0 the cost is E / E_max, at alpha = 1 it is 1 - Acc.
    ends = {
        name: (_exact(energy) / _exact(energy_max), 1 - _exact(accuracy))
        for name, energy, accuracy in zip(names(table), TOTAL_ENERGY.of(table), ACCURACY.of(table), strict=True)
    }
    lines = [*ends.values(), *((Fraction(level), Fraction(level)) for level in levels)]
    points = sorted({Fraction(0), Fraction(1), *(at for a, b in combinations(lines, 2) for at in _crossing(a, b))})
    cells = [cell for low, high in pairwise(points) for cell in ((low, low), (low, high))] + [(points[-1], points[-1])]
    pieces = []
    for is_true, run in groupby(cells, key=lambda cell: holds(_costs(ends, (cell[0] + cell[1]) / 2))):
        if is_true:
            part = list(run)
            pieces.append(
                Piece(part[0][0], part[-1][1], has_low=part[0][0] == part[0][1], has_high=part[-1][0] == part[-1][1])
            )
    return AlphaSet(tuple(pieces))


def for_any_energy_max(alphas: AlphaSet, energy_max: float) -> str:
    """Format a set as a function of E_max, for a statement that only ranks the samples.

    A ranking depends on alpha and E_max only through t = alpha E_max / (1 - alpha), the energy in joule that J trades
    for an accuracy of 1; so alpha = t / (t + E_max) converts each end of the set to another E_max.

    Args:
        alphas: the set of a statement without levels.
        energy_max: the E_max of that set, in joule.
    """
    if alphas.is_everything or not alphas:
        return f"{'every' if alphas else 'no'} alpha, whatever E_max is"
    return " or ".join(_piece_for_any(piece, energy_max) for piece in alphas.pieces)


def _piece_for_any(piece: Piece, energy_max: float) -> str:
    def end(alpha: Fraction) -> str:
        if alpha in {0, 1}:
            return str(alpha)
        t = short(float(alpha * _exact(energy_max) / (1 - alpha)))
        return f"{t}/({t} + E_max)"

    above = "" if piece.low == 0 and piece.has_low else f"alpha {'>=' if piece.has_low else '>'} {end(piece.low)}"
    below = "" if piece.high == 1 and piece.has_high else f"alpha {'<=' if piece.has_high else '<'} {end(piece.high)}"
    return " and ".join(filter(None, (above, below))) + " (E_max in J)"


def _exact(value: float) -> Fraction:
    """Return the shortest decimal number that parses to a float."""
    return Fraction(repr(float(value)))


def _costs(ends: Mapping[str, tuple[Fraction, Fraction]], alpha: Fraction) -> Costs:
    return {name: (1 - alpha) * at_zero + alpha * at_one for name, (at_zero, at_one) in ends.items()}


def _crossing(a: tuple[Fraction, Fraction], b: tuple[Fraction, Fraction]) -> list[Fraction]:
    """Return the alpha strictly inside (0, 1) where two lines cross, if any."""
    at_zero, at_one = a[0] - b[0], a[1] - b[1]
    return [at_zero / (at_zero - at_one)] if at_zero * at_one < 0 else []


def _three_decimals(value: Fraction) -> str:
    return str(value) if value.denominator == 1 else f"{float(value):.3f}"
