"""Narrative: local sensitivities and active limits of one design as sentences; insignificant effects are unknown."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from explorer.pareto.explanation.active_limits import ActiveLimit, SignedMove, blocks, improves
from explorer.pareto.explanation.local_sensitivity import LocalSensitivity, Rates
from explorer.pareto.explanation.perturbations import VOLTAGE_WITH_CLOCK, Perturbation
from explorer.problem.columns import Column, column_of
from explorer.problem.design_space import ROW
from explorer.problem.objectives import Objective

_SUBJECTS = {VOLTAGE_WITH_CLOCK: "V, with the clock following,", "frequency_hz": "f alone", "voltage_v": "V alone"}


@dataclass(frozen=True, slots=True)
class _TradeOff:
    """Perturbation that improves objectives significantly, with the objectives that it worsens or may worsen.

    `price` is the relative change of these for the relative change `gain` of the objective.
    """

    signed: SignedMove
    improved: tuple[Objective, ...]
    worsens: tuple[Objective, ...]
    unsure: tuple[Objective, ...]
    price: float
    gain: float


def narrative(
    moves: Sequence[Perturbation], rates: Rates, limits: Sequence[ActiveLimit], objectives: Sequence[Objective], *,
    column: Callable[[str], Column] = column_of,
) -> tuple[str, ...]:  # fmt: skip
    """Return a sentence for each objective: a perturbation that improves it significantly and its cost, or the reason.

    Of several perturbations the cheapest is named: the least relative change of the other objectives for the change of
    this one, at the posterior mode. Perturbations outside the region or blocked by an active limit are left out.
    """
    by_name = {move.name: move for move in moves}
    blocking: dict[SignedMove, list[str]] = {}
    for limit in limits:
        for signed in limit.blocked:
            if blocks(limit, by_name[signed[0]], signed[1], moves=moves, rates=rates):
                blocking.setdefault(signed, []).append(limit.text)
    sentences: dict[object, str] = {}
    for objective in objectives:
        trades = sorted(_trade_offs(objective, moves, rates, objectives), key=_preference)
        possible = [t for t in trades if by_name[t.signed[0]].allows(t.signed[1]) and t.signed not in blocking]
        if possible:  # one perturbation may improve two objectives: they share a sentence
            best = possible[0]
            text = _trade_off_text(best, by_name, rates)
            sentences[best.signed] = f"{text}{_used_margin_text(best.signed, limits, rates, column)}."
        else:
            sentences[objective.name] = _reason_text(objective, moves, trades, blocking, rates)
    return tuple(sentences.values())


def _preference(trade: _TradeOff) -> tuple[int, float, float]:
    return len(trade.worsens) + len(trade.unsure), trade.price, -trade.gain


def _reason_text(
    objective: Objective, moves: Sequence[Perturbation], trades: Sequence[_TradeOff],
    blocking: Mapping[SignedMove, Sequence[str]], rates: Rates,
) -> str:  # fmt: skip
    """Return the reason why no perturbation improves an objective."""
    label = _label(objective)
    limits = dict.fromkeys(text for trade in trades for text in blocking.get(trade.signed, ()))
    if limits:
        return f"{label[0].upper()}{label[1:]} can improve only beyond a limit: {'; '.join(limits)}."
    if any(rate.sign == "?" for rate in rates[objective.name].values()):
        return f"The samples do not determine which change would improve {label}."
    if all(move.knob == ROW for move in moves):
        return f"No row that differs from this one in one knob only is better in {label}."
    choices = " and no other choice" if any(move.is_choice for move in moves) else ""
    return f"No small step{choices} improves {label}."


def change_text(name: str, rate: LocalSensitivity) -> str:
    """Return the size of a change with its interval, if any, as text: 'by 1.3 ms (1 to 1.6 ms)'."""
    if math.isnan(rate.lo):
        return f"by {column_of(name).text(float(f'{abs(rate.change):.2g}'))}"
    low, high = sorted((abs(rate.lo), abs(rate.hi)))
    texts = [column_of(name).text(float(f"{value:.2g}")) for value in (abs(rate.change), low, high)]
    same_unit = texts[1].partition(" ")[2] == texts[2].partition(" ")[2]
    return f"by {texts[0]} ({texts[1].partition(' ')[0] if same_unit else texts[1]} to {texts[2]})"


def _trade_offs(
    objective: Objective, moves: Sequence[Perturbation], rates: Rates, objectives: Sequence[Objective]
) -> Iterator[_TradeOff]:
    rest = [o for o in objectives if o is not objective]
    for move in moves:
        for direction in (1,) if move.is_choice else (1, -1):
            signed = (move.name, direction)
            if not improves(objective, rates, signed):
                continue
            own = {o.name: rates[o.name][move.name] for o in rest}
            worsens = tuple(o for o in rest if o.sign * direction * own[o.name].direction > 0)
            unsure = tuple(o for o in rest if own[o.name].sign == "?")
            improved = (objective, *(o for o in rest if improves(o, rates, signed)))
            cost = sum(abs(own[o.name].relative) for o in (*worsens, *unsure))
            gain = abs(rates[objective.name][move.name].relative)
            yield _TradeOff(signed, improved, worsens, unsure, cost / gain, gain)


def _trade_off_text(trade: _TradeOff, moves: Mapping[str, Perturbation], rates: Rates) -> str:
    name, direction = trade.signed
    move = moves[name]
    if move.is_choice:
        start = f"Going {move.label}" if move.label.startswith("to ") else f"Changing {_in_sentence(move.label)}"
    else:
        subject = _SUBJECTS.get(name, _in_sentence(move.label))
        start = f"{'Raising' if direction > 0 else 'Lowering'} {subject} by {move.step}"
    text = f"{start} would {' and '.join(_effect(o, trade.signed, rates) for o in trade.improved)}"
    if trade.worsens:
        text += f", but {' and '.join(_effect(o, trade.signed, rates) for o in trade.worsens)}"
    elif not trade.unsure:
        text += " and worsen no other objective"
    if trade.unsure:
        text += f"; its effect on {' and '.join(map(_label, trade.unsure))} is unknown"
    return text


def _used_margin_text(
    signed: SignedMove, limits: Sequence[ActiveLimit], rates: Rates, column: Callable[[str], Column]
) -> str:
    """Return the margin that a perturbation uses of each constraint, as text."""
    texts = []
    for limit in (limit for limit in limits if limit.kind == "constraint" and signed in limit.blocked):
        used = column(limit.column).text(float(f"{abs(rates[limit.column][signed[0]].change):.2g}"))
        texts.append(f"; it uses {used} of the {limit.margin_text} margin of {limit.text}")
    return "".join(texts)


def _effect(objective: Objective, signed: SignedMove, rates: Rates) -> str:
    rate = rates[objective.name][signed[0]]
    verb = "raise" if rate.direction * signed[1] > 0 else "lower"
    return f"{verb} {_label(objective)} {change_text(objective.name, rate)}"


def _label(objective: Objective) -> str:
    return _in_sentence(column_of(objective.name).label)


def _in_sentence(label: str) -> str:
    """Return a label with a lower-case first letter, unless it begins with an acronym."""
    return label if label.partition(" ")[0].isupper() else label[0].lower() + label[1:]
