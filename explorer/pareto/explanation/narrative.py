"""Meaning: what certain rates and limits say about one design, in sentences; what is not certain is called unknown."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from explorer.pareto.explanation.active_limits import ActiveLimit, Way, blocks, improves
from explorer.pareto.explanation.local_sensitivity import LocalSensitivity, Rates
from explorer.pareto.explanation.perturbations import VOLTAGE_WITH_CLOCK, Perturbation
from explorer.problem.columns import COLUMNS, Column, column_of
from explorer.problem.design_space import ROW
from explorer.problem.objectives import Objective

_SUBJECTS = {VOLTAGE_WITH_CLOCK: "V, with the clock following,", "frequency_hz": "f alone", "voltage_v": "V alone"}


@dataclass(frozen=True, slots=True)
class _Trade:
    """A way that improves objectives for sure: what it worsens for sure or perhaps, what it costs for what it gains."""

    way: Way
    helps: tuple[Objective, ...]
    worsens: tuple[Objective, ...]
    unsure: tuple[Objective, ...]
    price: float
    gain: float


def narrative(
    moves: Sequence[Perturbation], rates: Rates, limits: Sequence[ActiveLimit], objectives: Sequence[Objective], *,
    column: Callable[[str], Column] = column_of,
) -> tuple[str, ...]:  # fmt: skip
    """Return a sentence for each objective: a way that improves it for sure, with what that costs; or why none does.

    Of several ways the one is named that costs least in the other objectives for what it gains, at the posterior's
    mode. Ways that the region closes, or that a touched limit stops, are not open.
    """
    by_name = {move.name: move for move in moves}
    stops: dict[Way, list[str]] = {}
    for limit in limits:
        for way in limit.stopped:
            if blocks(limit, by_name[way[0]], way[1], moves=moves, rates=rates):
                stops.setdefault(way, []).append(limit.text)
    said: dict[object, str] = {}
    for objective in objectives:
        trades = sorted(_trades(objective, moves, rates, objectives), key=_preference)
        is_open = [t for t in trades if by_name[t.way[0]].can(t.way[1]) and t.way not in stops]
        if is_open:  # the same way may serve two objectives: one sentence tells of both
            told = _open(is_open[0], by_name, rates)
            said[is_open[0].way] = f"{told}{_used(is_open[0].way, limits, rates, column)}."
        else:
            said[objective.name] = _closed(objective, moves, trades, stops, rates)
    return tuple(said.values())


def _preference(trade: _Trade) -> tuple[int, float, float]:
    return len(trade.worsens) + len(trade.unsure), trade.price, -trade.gain


def _closed(
    objective: Objective, moves: Sequence[Perturbation], trades: Sequence[_Trade], stops: Mapping[Way, Sequence[str]],
    rates: Rates,
) -> str:  # fmt: skip
    label = _label(objective)
    held = dict.fromkeys(text for trade in trades for text in stops.get(trade.way, ()))
    if held:
        return f"{label[0].upper()}{label[1:]} could improve only past a limit: {'; '.join(held)}."
    if any(rate.sign == "?" for rate in rates[objective.name].values()):
        return f"Which way {label} would improve is not known from these samples."
    if all(move.knob == ROW for move in moves):
        return f"No row that differs from this one in one knob alone is better in {label}."
    others = " and no other choice" if any(move.is_choice for move in moves) else ""
    return f"No small step{others} improves {label}."


def change_text(name: str, rate: LocalSensitivity) -> str:
    """Print how much a step changes, with its interval where it is known: 'by 1.3 ms (1 to 1.6 ms)'."""
    if math.isnan(rate.lo):
        return f"by {COLUMNS[name].text(float(f'{abs(rate.change):.2g}'))}"
    low, high = sorted((abs(rate.lo), abs(rate.hi)))
    texts = [COLUMNS[name].text(float(f"{value:.2g}")) for value in (abs(rate.change), low, high)]
    same_unit = texts[1].partition(" ")[2] == texts[2].partition(" ")[2]
    return f"by {texts[0]} ({texts[1].partition(' ')[0] if same_unit else texts[1]} to {texts[2]})"


def _trades(
    objective: Objective, moves: Sequence[Perturbation], rates: Rates, objectives: Sequence[Objective]
) -> Iterator[_Trade]:
    others = [other for other in objectives if other is not objective]
    for move in moves:
        for direction in (1,) if move.is_choice else (1, -1):
            way = (move.name, direction)
            if not improves(objective, rates, way):
                continue
            own = {other.name: rates[other.name][move.name] for other in others}
            worsens = tuple(o for o in others if o.sign * direction * own[o.name].direction > 0)
            unsure = tuple(o for o in others if own[o.name].sign == "?")
            helps = (objective, *(o for o in others if improves(o, rates, way)))
            cost = sum(abs(own[o.name].relative) for o in (*worsens, *unsure))
            gain = abs(rates[objective.name][move.name].relative)
            yield _Trade(way, helps, worsens, unsure, cost / gain, gain)


def _open(trade: _Trade, moves: Mapping[str, Perturbation], rates: Rates) -> str:
    name, direction = trade.way
    move = moves[name]
    if move.is_choice:
        start = f"Going {move.label}" if move.label.startswith("to ") else f"Changing {_small(move.label)}"
    else:
        subject = _SUBJECTS.get(name, _small(move.label))
        start = f"{'Raising' if direction > 0 else 'Lowering'} {subject} by {move.step}"
    text = f"{start} would {' and '.join(_effect(helped, trade.way, rates) for helped in trade.helps)}"
    if trade.worsens:
        text += f", but {' and '.join(_effect(other, trade.way, rates) for other in trade.worsens)}"
    elif not trade.unsure:
        text += " and worsen nothing that was asked"
    if trade.unsure:
        text += f"; what it does to {' and '.join(map(_label, trade.unsure))} is not known"
    return text


def _used(way: Way, limits: Sequence[ActiveLimit], rates: Rates, column: Callable[[str], Column]) -> str:
    """Say what a way takes of the constraints that it comes nearer to."""
    said = []
    for limit in (limit for limit in limits if limit.kind == "constraint" and way in limit.stopped):
        takes = column(limit.column).text(float(f"{abs(rates[limit.column][way[0]].change):.2g}"))
        said.append(f"; it takes {takes} of the {limit.left_text} that {limit.text} leaves")
    return "".join(said)


def _effect(objective: Objective, way: Way, rates: Rates) -> str:
    rate = rates[objective.name][way[0]]
    verb = "raise" if rate.direction * way[1] > 0 else "lower"
    return f"{verb} {_label(objective)} {change_text(objective.name, rate)}"


def _label(objective: Objective) -> str:
    return _small(COLUMNS[objective.name].label)


def _small(label: str) -> str:
    """Return a label as it stands within a sentence."""
    return label if label.partition(" ")[0].isupper() else label[0].lower() + label[1:]
