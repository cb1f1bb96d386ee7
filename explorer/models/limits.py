"""Limits that hold with a probability: percentiles of limited columns and joint probabilities over posterior draws.

A limit `power_w <= 22 W @ 90 %` is met by designs whose true value is below 22 W in at least 90 % of the draws: their
90th percentile is. Limits of the same probability are met jointly: draws in which all of them hold are counted (joint
chance constraints: A. Prekopa, Stochastic Programming, 1995). Draws share forms and coefficients between
designs, so errors that two limits have in common count once.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np

from explorer.models.intervals import LEVEL, quantiles
from explorer.models.measured.table import TableEvaluator
from explorer.models.posterior_draws import N_DRAWS, Draws, posterior_draws, split_into_blocks
from explorer.models.response.surrogate import Surrogate
from explorer.models.worst_case import case_names, draw_columns, scaled_ends
from explorer.problem.columns import Columns, Float, bounds, is_uncertain, n_rows, stack
from explorer.problem.constraints import Constraint, joint_groups
from explorer.problem.objectives import Constants
from explorer.problem.scenarios.cases import Case

# An objective that is an end of an interval is computed for every design of a search: with fewer draws.
_N_OBJECTIVE_DRAWS = 300
_NORMAL_90 = 1.6448536269514722  # half width of a central 90 % interval, in standard deviations


@dataclass(frozen=True, slots=True)
class LimitProbabilities:
    """Probabilities that n designs meet k limits.

    Args:
        constraints: the limits, in order.
        each: probability of each limit, shape (k, n).
        joint: probability of all limits together, shape (n,).
    """

    constraints: tuple[Constraint, ...]
    each: Float
    joint: Float


def limit_probabilities(constraints: Sequence[Constraint], by_draw: Columns) -> LimitProbabilities:
    """Return the share of the draws in which designs meet each limit, and all of them.

    Args:
        constraints: at least one limit.
        by_draw: the limited columns in every draw, shape (S, n) or (1, n) each. NaN never meets a limit.
    """
    met = [constraint.violation_by_draw(by_draw) <= 0 for constraint in constraints]
    together = np.logical_and.reduce(np.broadcast_arrays(*met))
    return LimitProbabilities(
        tuple(constraints), np.stack([one.mean(axis=0) for one in met]), np.asarray(together.mean(axis=0))
    )


def chance_columns(constraints: Collection[Constraint], by_draw: Columns) -> Columns:
    """Return the percentile that each limit with a probability compares, and the violation of each joint group.

    Args:
        constraints: the limits; those without a probability are ignored.
        by_draw: the limited columns in every draw, shape (S, n) or (1, n) each.

    Returns:
        columns of shape (n,), by the names `Constraint.compared` and those of `joint_groups`.
    """
    columns: Columns = {}
    for constraint in constraints:
        if constraint.probability is not None and constraint.compared not in columns:
            is_cap = constraint.sense == "<="
            columns[constraint.compared] = _value_held(by_draw[constraint.column], constraint.probability, is_cap)
    for name, probability, members in joint_groups(constraints):
        worst = members[0].violation_by_draw(by_draw)
        for member in members[1:]:
            worst = np.maximum(worst, member.violation_by_draw(by_draw))
        columns[name] = _value_held(worst, probability, is_cap=True)
    return columns


def _value_held(values: Float, probability: float, is_cap: bool) -> Float:
    """Return the least cap (or the greatest floor) that values keep in at least a share of the draws, shape (n,).

    An order statistic, not an interpolation: the limit is met exactly where it holds in that share of the draws.
    """
    n_draws = len(values)
    k = min(n_draws, max(1, int(np.ceil(probability * n_draws - 1e-9)))) - 1
    signed = values if is_cap else -values
    held = np.partition(np.where(np.isnan(signed), np.inf, signed), k, axis=0)[k]
    return np.asarray(held if is_cap else -held)


def measured_chance_columns(constraints: Collection[Constraint], columns: Columns) -> Columns:
    """Return the same columns for measured designs, from the intervals of their measurements.

    A reading with a 90 % interval (`_lo`, `_hi`) scatters as a normal distribution of that width on either side; one
    without is taken as exact. Measurements of different columns are independent: k joint limits are each asked with the
    k-th root of their probability, which is conservative (Z. Sidak, J. Am. Stat. Assoc. 62 (1967) 626-633).
    """
    result: Columns = {}
    for constraint in constraints:
        if constraint.probability is not None:
            result[constraint.compared] = _measured_value_held(constraint, columns, constraint.probability)
    for name, probability, members in joint_groups(constraints):
        each = probability ** (1 / len(members))
        worst = np.full(n_rows(columns), -np.inf)
        for member in members:
            held = _measured_value_held(member, columns, each)
            worst = np.maximum(worst, member.nominal.violation({member.column: held}))
        result[name] = worst
    return result


def measured_limit_probabilities(constraints: Sequence[Constraint], columns: Columns) -> LimitProbabilities:
    """Return the probabilities that measured designs meet limits, from the intervals of their measurements.

    Args:
        constraints: at least one limit.
        columns: the designs with their readings and intervals, shape (n,) each; see `measured_chance_columns`. The
            probability of a reading without an interval is unknown, NaN; a knob is known.
    """
    from scipy.special import ndtr

    each = []
    for constraint in constraints:
        value = np.asarray(columns[constraint.column], dtype=np.float64)
        low, high = bounds(constraint.column)
        end = high if constraint.sense == "<=" else low
        is_met = constraint.nominal.violation(columns) <= 0
        if not is_uncertain(constraint.column):
            each.append(is_met.astype(np.float64))
            continue
        # The end of the interval that lies towards the limit.
        other = low if end == high else high
        missing = np.full(len(value), np.nan)
        near, far = (np.asarray(columns.get(name, missing), dtype=np.float64) for name in (end, other))
        sigma = np.abs(np.where(is_met, near, far) - value) / _NORMAL_90
        sign = 1.0 if constraint.sense == "<=" else -1.0
        with np.errstate(invalid="ignore", divide="ignore"):
            score = sign * (constraint.limit - value) / sigma
        each.append(np.where(np.isfinite(sigma) & (sigma > 0), ndtr(score), np.nan))
    return LimitProbabilities(tuple(constraints), np.stack(each), np.prod(each, axis=0))


def _measured_value_held(constraint: Constraint, columns: Columns, probability: float) -> Float:
    from scipy.special import ndtri

    value = np.asarray(columns[constraint.column], dtype=np.float64)
    is_cap = constraint.sense == "<="
    score = float(ndtri(probability)) / _NORMAL_90
    # Above one half a cap is compared with the upper side of the interval, a floor with the lower side.
    low, high = bounds(constraint.column)
    end = high if is_cap == (score >= 0) else low
    if end not in columns:
        return value
    width = np.abs(np.nan_to_num(np.asarray(columns[end], dtype=np.float64) - value, nan=0.0))
    return value + (1 if is_cap else -1) * score * width


@dataclass(frozen=True, slots=True)
class Statistics:
    """Columns of a study that are statistics over posterior draws: percentiles of limits, and ends of intervals.

    Args:
        constraints: the limits of the study.
        ends: names of ends of intervals (`accuracy_lo`) that objectives or limits compare.
        targets: the targets that they need.
        constants: constants of the derived columns.
        is_objective: true where an objective is one of the ends.
        cases: the cases of the scenarios over which worst cases are taken in every draw.
    """

    constraints: tuple[Constraint, ...]
    ends: tuple[str, ...]
    targets: frozenset[str]
    constants: Constants
    is_objective: bool = False
    cases: tuple[Case, ...] = ()
    _draws: dict[tuple[int, int], Draws] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __bool__(self) -> bool:
        """Return whether the study has any."""
        return bool(self.ends or self.chance)

    @property
    def chance(self) -> tuple[Constraint, ...]:
        """The limits with a probability."""
        return tuple(c for c in self.constraints if c.probability is not None)

    def columns(self, model: object, designs: Columns) -> Columns:
        """Return the statistics of evaluated designs, shape (n,) each.

        Args:
            model: the evaluator; one without a posterior gives those of its measurements.
            designs: knobs, predictions and objectives, shape (n,) each.
        """
        if not self or not n_rows(designs):
            return {name: np.empty(0) for name in (*self.ends, *self.names)}
        if isinstance(model, TableEvaluator):
            designs = model.add_intervals(designs, constants=self.constants)
            designs |= scaled_ends(designs)
        if not isinstance(model, Surrogate):
            known = {name: np.asarray(designs.get(name, np.full(n_rows(designs), np.nan))) for name in self.ends}
            return {**known, **measured_chance_columns(self.constraints, designs)}
        n = _N_OBJECTIVE_DRAWS if self.is_objective else N_DRAWS
        return stack([self._of_block(model, block, n, 0) for block in split_into_blocks(designs)])

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the percentiles and joint violations."""
        groups = tuple(name for name, _, _ in joint_groups(self.chance))
        return (*dict.fromkeys(c.compared for c in self.chance), *groups)

    def violation(self, model: object, designs: Columns) -> Float:
        """Return the largest relative violation of the limits with a probability, shape (n,); at most 0 if all are met.

        Args:
            model: the evaluator.
            designs: knobs, predictions and objectives, shape (n,) each.
        """
        return self.worst(self.columns(model, designs))

    def nominal_violation(self, designs: Columns) -> Float:
        """Return the same of the predictions, without probabilities: cheap, and most of what varies between designs."""
        return np.asarray(np.max([c.nominal.violation(designs) for c in self.chance], axis=0))

    def worst(self, columns: Columns) -> Float:
        """Return the largest violation among these columns of `columns`, shape (n,)."""
        each = [c.violation(columns) for c in self.chance]
        each += [columns[name] for name, _, _ in joint_groups(self.chance)]
        return np.asarray(np.max(each, axis=0))

    def by_draw(self, model: Surrogate, designs: Columns, draws: Draws, *, with_noise: bool = False) -> Columns:
        """Return all columns in every draw: targets and what follows from them (S, n), all others (1, n)."""
        names = case_names([*self.ends, *(constraint.column for constraint in self.constraints)])
        derived = draw_columns(
            model, draws, designs, constants=self.constants, with_noise=with_noise, cases=self.cases, names=names
        )
        own = {name: derived[name] for name in derived if np.ndim(derived[name]) == 2}
        return {**{name: values[None, :] for name, values in designs.items() if name not in own}, **own}

    def _of_block(self, model: Surrogate, block: Columns, n: int, seed: int) -> Columns:
        draws = self._draws_of(model, n, seed)
        result = chance_columns(self.constraints, self.by_draw(model, block, draws)) if self.chance else {}
        if self.ends:
            samples = self.by_draw(model, block, draws, with_noise=True)
            for end in self.ends:
                name, is_low = end[:-3], end.endswith("_lo")
                share = (1 - LEVEL) / 2 if is_low else (1 + LEVEL) / 2
                (value,) = quantiles(samples[name], [share])
                result[end] = (np.minimum if is_low else np.maximum)(value, block[name])
        return result

    def _draws_of(self, model: Surrogate, n: int, seed: int) -> Draws:
        if (n, seed) not in self._draws:
            self._draws[n, seed] = posterior_draws(model, n=n, seed=seed, targets=self.targets)
        return self._draws[n, seed]
