"""Checks of what the paper says about its cost index J, Eq. (10), whose alpha and E_max it does not state."""

from collections.abc import Callable
from fractions import Fraction

from explorer.paper.audit.checks import CheckResult, groups, names, value_of
from explorer.paper.audit.cost_ranking import AlphaSet, Costs, alpha_set, for_any_energy_max, largest_energy
from explorer.paper.audit.quantities import ACCURACY, TOTAL_ENERGY, short
from explorer.paper.tables import Table

Holds = Callable[[Costs], bool]


def ranks(table: Table, holds: Holds) -> CheckResult:
    """Find the alpha for which a statement that only ranks the samples by J holds."""
    energy_max = largest_energy(table)
    found = alpha_set(table, holds, energy_max=energy_max)
    general = for_any_energy_max(found, energy_max)
    if found.is_everything or not found:
        return _judged(found, general)
    return _judged(found, f"{_natural(found, energy_max)}; in general {general}")


def above_level(table: Table, level: str, *samples: str) -> CheckResult:
    """Find the alpha for which J of each of the samples lies above a printed number, and from which E_max on none do.

    J > level exactly where alpha < (E/E_max - level) / (E/E_max - (1 - Acc)), as long as 1 - Acc < level < E/E_max.
    """
    energy_max = largest_energy(table)
    found = alpha_set(table, are_above(level, *samples), energy_max=energy_max, levels=[level])
    text = _natural(found, energy_max)
    most_loss = max(1 - value_of(table, ACCURACY, name) for name in samples)
    if most_loss < float(level):
        limit = min(value_of(table, TOTAL_ENERGY, name) for name in samples) / float(level)
        text += f"; in general alpha < (E/E_max - {level})/(E/E_max - 1 + Acc) for each of them"
        text += f", so no alpha from E_max = {limit:.1f} J on"
    return _judged(found, text)


def together(table: Table, level: str, *statements: Holds) -> CheckResult:
    """Find the alpha for which several statements hold at once, some of which compare J with a printed number."""
    energy_max = largest_energy(table)
    found = alpha_set(
        table, lambda cost: all(holds(cost) for holds in statements), energy_max=energy_max, levels=[level]
    )
    return _judged(found, _natural(found, energy_max))


def two_best(table: Table, first: str, second: str) -> CheckResult:
    """Find the alpha for which two samples have the two lowest J; where none does, say who stands in the way."""
    found = ranks(table, are_lowest(first, second))
    accuracy = dict(zip(names(table), ACCURACY.of(table).tolist(), strict=True))
    energy = dict(zip(names(table), TOTAL_ENERGY.of(table).tolist(), strict=True))
    reasons = [
        f"{rival} has more accuracy ({short(accuracy[rival])} against {short(accuracy[name])}) and less energy "
        f"({short(energy[rival])} J against {short(energy[name])} J) than {name}"
        for name in (first, second)
        for rival in names(table)
        if rival not in {first, second} and accuracy[rival] > accuracy[name] and energy[rival] < energy[name]
    ]
    return CheckResult(found.verdict, "; ".join([found.computed, *reasons]))


def are_above(level: str, *samples: str) -> Holds:
    """Say that J of each of the samples is above a printed number."""
    limit = Fraction(level)
    return lambda cost: all(cost[name] > limit for name in samples)


def are_lowest(*samples: str) -> Holds:
    """Say that each of the samples has a lower J than every other one."""
    return lambda cost: max(cost[name] for name in samples) < min(j for name, j in cost.items() if name not in samples)


def are_highest(*samples: str) -> Holds:
    """Say that each of the samples has a higher J than every other one."""
    return lambda cost: min(cost[name] for name in samples) > max(j for name, j in cost.items() if name not in samples)


def are_lowest_of_their_families(table: Table, *samples: str) -> Holds:
    """Say that each of the samples has the lowest J of its family."""
    labels = names(table)
    kin = {
        name: [labels[i] for rows in groups(table).values() for i in rows if labels.index(name) in rows]
        for name in samples
    }
    return lambda cost: all(cost[name] < min(cost[k] for k in kin[name] if k != name) for name in samples)


def most_accurate_is_not_lowest(table: Table) -> Holds:
    """Say that some other sample has a lower J than the most accurate one."""
    best = names(table)[int(ACCURACY.of(table).argmax())]
    return lambda cost: min(cost.values()) < cost[best]


def _natural(found: AlphaSet, energy_max: float) -> str:
    if found.is_everything:
        return f"every alpha for E_max = {short(energy_max)} J"
    return f"{f'alpha in {found}' if found else 'no alpha'} for E_max = {short(energy_max)} J"


def _judged(found: AlphaSet, text: str) -> CheckResult:
    if found.is_everything:
        return CheckResult("agrees", text)
    return CheckResult("conditional", f"only for {text}") if found else CheckResult("disagrees", text)
