"""Meaning: what certain rates and limits say about one design, in sentences; what is not certain is called unknown."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from explorer.pareto.limits import Limit, Way, improves
from explorer.pareto.moves import NEXT_POINT, PREVIOUS_POINT, VOLTAGE_WITH_CLOCK, Move
from explorer.pareto.rates import Rate, Rates
from explorer.problem.columns import COLUMNS
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


def meaning(
    moves: Sequence[Move], rates: Rates, limits: Sequence[Limit], objectives: Sequence[Objective]
) -> tuple[str, ...]:
    """Return a sentence for each objective: a way that improves it for sure, with what that costs; or why none does.

    Of several ways the one is named that costs least in the other objectives for what it gains, at the posterior's
    mode. Ways that the region closes, or that a touched limit stops, are not open.
    """
    by_name = {move.name: move for move in moves}
    stops: dict[Way, list[str]] = {}
    for limit in (limit for limit in limits if limit.touches):
        for way in limit.stopped:
            stops.setdefault(way, []).append(limit.text)
    said: dict[object, str] = {}
    for objective in objectives:
        trades = sorted(_trades(objective, moves, rates, objectives), key=_preference)
        is_open = [t for t in trades if by_name[t.way[0]].can(t.way[1]) and t.way not in stops]
        if is_open:  # the same way may serve two objectives: one sentence tells of both
            told = _open(is_open[0], by_name, rates)
            said[is_open[0].way] = f"{told}{_used(is_open[0].way, limits, rates)}."
        else:
            said[objective.name] = _closed(objective, trades, stops, rates)
    return tuple(said.values())


def _preference(trade: _Trade) -> tuple[int, float, float]:
    return len(trade.worsens) + len(trade.unsure), trade.price, -trade.gain


def _closed(objective: Objective, trades: Sequence[_Trade], stops: Mapping[Way, Sequence[str]], rates: Rates) -> str:
    label = _label(objective)
    held = dict.fromkeys(text for trade in trades for text in stops.get(trade.way, ()))
    if held:
        return f"{label[0].upper()}{label[1:]} could improve only past a limit: {'; '.join(held)}."
    if any(rate.sign == "?" for rate in rates[objective.name].values()):
        return f"Which way {label} would improve is not known from these samples."
    return f"No small step improves {label}."


def change_text(name: str, rate: Rate) -> str:
    """Print how much a step changes, with its interval: 'by 1.3 ms (1 to 1.6 ms)'."""
    low, high = sorted((abs(rate.lo), abs(rate.hi)))
    texts = [COLUMNS[name].text(float(f"{value:.2g}")) for value in (abs(rate.change), low, high)]
    same_unit = texts[1].partition(" ")[2] == texts[2].partition(" ")[2]
    return f"by {texts[0]} ({texts[1].partition(' ')[0] if same_unit else texts[1]} to {texts[2]})"


def _trades(
    objective: Objective, moves: Sequence[Move], rates: Rates, objectives: Sequence[Objective]
) -> Iterator[_Trade]:
    others = [other for other in objectives if other is not objective]
    for move in moves:
        for direction in (1, -1) if move.name not in {NEXT_POINT, PREVIOUS_POINT} else (1,):
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


def _open(trade: _Trade, moves: Mapping[str, Move], rates: Rates) -> str:
    name, direction = trade.way
    move = moves[name]
    if name in {NEXT_POINT, PREVIOUS_POINT}:
        start = f"Going {move.label}"
    else:
        subject = _SUBJECTS.get(name, move.label)
        start = f"{'Raising' if direction > 0 else 'Lowering'} {subject} by {move.step}"
    text = f"{start} would {' and '.join(_effect(helped, trade.way, rates) for helped in trade.helps)}"
    if trade.worsens:
        text += f", but {' and '.join(_effect(other, trade.way, rates) for other in trade.worsens)}"
    elif not trade.unsure:
        text += " and worsen nothing that was asked"
    if trade.unsure:
        text += f"; what it does to {' and '.join(map(_label, trade.unsure))} is not known"
    return text


def _used(way: Way, limits: Sequence[Limit], rates: Rates) -> str:
    """Say what a way takes of the constraints that it comes nearer to."""
    said = []
    for limit in (limit for limit in limits if limit.kind == "constraint" and way in limit.stopped):
        column = COLUMNS[limit.column]
        takes = column.text(float(f"{abs(rates[column.name][way[0]].change):.2g}"))
        said.append(f"; it takes {takes} of the {limit.left_text} that {limit.text} leaves")
    return "".join(said)


def _effect(objective: Objective, way: Way, rates: Rates) -> str:
    rate = rates[objective.name][way[0]]
    verb = "raise" if rate.direction * way[1] > 0 else "lower"
    return f"{verb} {_label(objective)} {change_text(objective.name, rate)}"


def _label(objective: Objective) -> str:
    label = COLUMNS[objective.name].label
    return label if label.split()[0].isupper() else label[0].lower() + label[1:]
