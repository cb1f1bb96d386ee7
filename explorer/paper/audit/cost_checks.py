"""Checks of statements about the cost index J, Eq. (10), whose alpha and E_max the paper does not state."""

from collections.abc import Callable
from fractions import Fraction

from explorer.paper.audit.checks import CheckResult, groups, names, value_of
from explorer.paper.audit.cost_ranking import AlphaSet, Costs, alpha_set, for_any_energy_max, largest_energy
from explorer.paper.audit.quantities import ACCURACY, TOTAL_ENERGY, short
from explorer.paper.tables import Table

Condition = Callable[[Costs], bool]


def ranks(table: Table, holds: Condition) -> CheckResult:
    """Return the alpha for which a ranking of the samples by J holds."""
    energy_max = largest_energy(table)
    alphas = alpha_set(table, holds, energy_max=energy_max)
    general = for_any_energy_max(alphas, energy_max)
    if alphas.is_everything or not alphas:
        return _result(alphas, general)
    return _result(alphas, f"{_for_energy_max(alphas, energy_max)}; in general {general}")


def above_level(table: Table, level: str, *samples: str) -> CheckResult:
    """Return the alpha for which J of each sample exceeds a printed number, and the E_max from which no alpha does.

    J > level exactly where alpha < (E/E_max - level) / (E/E_max - (1 - Acc)), as long as 1 - Acc < level < E/E_max.
    """
    energy_max = largest_energy(table)
    alphas = alpha_set(table, are_above(level, *samples), energy_max=energy_max, levels=[level])
    text = _for_energy_max(alphas, energy_max)
    most_loss = max(1 - value_of(table, ACCURACY, name) for name in samples)
    if most_loss < float(level):
        limit = min(value_of(table, TOTAL_ENERGY, name) for name in samples) / float(level)
        text += f"; in general alpha < (E/E_max - {level})/(E/E_max - 1 + Acc) for each of them"
        text += f", so no alpha from E_max = {limit:.1f} J on"
    return _result(alphas, text)


def together(table: Table, level: str, *conditions: Condition) -> CheckResult:
    """Return the alpha for which several conditions hold together, some of which compare J with a printed number."""
    energy_max = largest_energy(table)
    alphas = alpha_set(
        table, lambda cost: all(holds(cost) for holds in conditions), energy_max=energy_max, levels=[level]
    )
    return _result(alphas, _for_energy_max(alphas, energy_max))


def two_best(table: Table, first: str, second: str) -> CheckResult:
    """Return the alpha for which two samples have the two lowest J, and the samples that dominate one of the two."""
    result = ranks(table, are_lowest(first, second))
    accuracy = dict(zip(names(table), ACCURACY.of(table).tolist(), strict=True))
    energy = dict(zip(names(table), TOTAL_ENERGY.of(table).tolist(), strict=True))
    reasons = [
        f"{rival} has more accuracy ({short(accuracy[rival])} against {short(accuracy[name])}) and less energy "
        f"({short(energy[rival])} J against {short(energy[name])} J) than {name}"
        for name in (first, second)
        for rival in names(table)
        if rival not in {first, second} and accuracy[rival] > accuracy[name] and energy[rival] < energy[name]
    ]
    return CheckResult(result.verdict, "; ".join([result.computed, *reasons]))


def are_above(level: str, *samples: str) -> Condition:
    """Return the condition that J of each sample is above a printed number."""
    limit = Fraction(level)
    return lambda cost: all(cost[name] > limit for name in samples)


def are_lowest(*samples: str) -> Condition:
    """Return the condition that each of some samples has a lower J than all the rest."""
    return lambda cost: max(cost[name] for name in samples) < min(j for name, j in cost.items() if name not in samples)


def are_highest(*samples: str) -> Condition:
    """Return the condition that each of some samples has a higher J than all the rest."""
    return lambda cost: min(cost[name] for name in samples) > max(j for name, j in cost.items() if name not in samples)


def are_lowest_of_their_families(table: Table, *samples: str) -> Condition:
    """Return the condition that each of some samples has the lowest J of its family."""
    labels = names(table)
    families = {
        name: [labels[i] for rows in groups(table).values() for i in rows if labels.index(name) in rows]
        for name in samples
    }
    return lambda cost: all(cost[name] < min(cost[k] for k in families[name] if k != name) for name in samples)


def most_accurate_is_not_lowest(table: Table) -> Condition:
    """Return the condition that a sample has a lower J than the most accurate one."""
    best = names(table)[int(ACCURACY.of(table).argmax())]
    return lambda cost: min(cost.values()) < cost[best]


def _for_energy_max(alphas: AlphaSet, energy_max: float) -> str:
    if alphas.is_everything:
        return f"every alpha for E_max = {short(energy_max)} J"
    return f"{f'alpha in {alphas}' if alphas else 'no alpha'} for E_max = {short(energy_max)} J"


def _result(alphas: AlphaSet, text: str) -> CheckResult:
    if alphas.is_everything:
        return CheckResult("agrees", text)
    return CheckResult("conditional", f"only for {text}") if alphas else CheckResult("disagrees", text)
