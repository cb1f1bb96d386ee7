"""Selection rules: one design of a front, with the runner-up and the marginal cost of accuracy."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import NoFeasibleDesign, WrongUsage
from explorer.io.json_text import write_json
from explorer.io.outputs import check_output
from explorer.paper.equations import weighted_cost
from explorer.pareto.geometry.dominance import to_minimization
from explorer.pareto.results.measured_rows import measured_twin
from explorer.pareto.results.results import Results
from explorer.problem.applicability import is_extrapolated
from explorer.problem.columns import COLUMNS, Columns, Float, column_of, is_end, n_rows, own_knobs, take
from explorer.problem.constraints import Constraint, joint_groups
from explorer.problem.naming.column_names import find_column
from explorer.problem.objectives import Objective, direction_of, is_objective, needs_of, objective_of

ONE_POINT = 0.01
EVEN = 0.5  # limits that hold with less than this probability are a warning
SOLVED = "solved"  # the origin of a design that was solved for a question; it is no trial of the search


@dataclass(frozen=True, slots=True)
class Rule:
    """Selection rule: its text, the `score` of each candidate (least is best), and the `value` to report of each."""

    name: str
    text: str
    score: Float
    value: Float


@dataclass(frozen=True, slots=True)
class Answer:
    """Candidates of a question.

    Args:
        candidates: the designs; at most one of them was solved for (`origin` is `solved`).
        rule: the rule that selects one.
        scope: what the candidates are, in the singular.
        notes: how the question was answered.
        closest: where no design of the model meets the conditions, the closest one as text.
    """

    candidates: Columns
    rule: Rule
    scope: str = "design of the front"
    notes: tuple[str, ...] = ()
    closest: str = ""


@dataclass(frozen=True, slots=True)
class Choice:
    """A selected design.

    Args:
        design: its columns.
        rule: the rule's name.
        why: the text of the rule, with the value of the selected design.
        runner_up: columns of the second best design; None if the design is the only one.
        price: the marginal cost of accuracy, as text.
        is_extrapolated: true outside the model's domain.
        is_measured: true for a measured row: its values are readings, not predictions.
        is_solved: true for a design that was solved for the question; it is no trial of the search.
    """

    design: dict[str, Any]
    rule: str
    why: str
    runner_up: dict[str, Any] | None
    price: str
    is_extrapolated: bool
    is_measured: bool = False
    is_solved: bool = False
    record: dict[str, Any] = field(default_factory=dict)

    def save(self, path: str | Path, *, inputs: Sequence[str | Path] = (), force: bool = False) -> Path:
        """Write chosen.json, for `explorer deploy`; return the path.

        Args:
            path: the file; an earlier choice is replaced.
            inputs: files that must not be replaced.
            force: replace a file that is no choice.

        Raises:
            WrongUsage: the file cannot be written, is an input, or is no choice.
        """
        check_output(Path(path), kind="choice", inputs=inputs, force=force)
        write_json(Path(path), self.record)
        return Path(path)

    def __repr__(self) -> str:
        return f"Choice(design {self.design.get('design_id')} of {self.record.get('study', '?')}: {self.why})"


def choose_design(
    results: Results, answer: Answer, *, conditions: Sequence[Constraint], allow_extrapolation: bool
) -> Choice:
    """Return the candidate of least score that meets the conditions inside the model's domain.

    Raises:
        NoFeasibleDesign: no candidate does; the message gives the closest value of each condition.
    """
    rule, candidates = answer.rule, answer.candidates
    met = is_met(candidates, conditions)
    if not met.any():
        misses = "".join(f"\n  {_gap_text(condition, candidates)}" for condition in conditions)
        misses += f"\n  {answer.closest}" if answer.closest else ""
        raise NoFeasibleDesign(f"no {answer.scope} meets all conditions{misses}",
                               fix="loosen the condition that is furthest from being met")  # fmt: skip
    outside = is_extrapolated(candidates["domain_distance"])
    if not allow_extrapolation:
        if not (met & ~outside).any():
            raise NoFeasibleDesign(
                f"all {int(met.sum())} designs that meet the conditions lie outside the model's domain: their "
                "predictions are extrapolations",
                fix="measure samples close to them, or accept it with --allow-extrapolation",
            )
        met &= ~outside
    rows = np.flatnonzero(met)
    order = rows[np.argsort(rule.score[rows], kind="stable")]
    best = int(order[0])
    is_measured = bool(candidates["design_id"][best] < 0)
    return Choice(
        design=_row(candidates, best),
        rule=rule.name,
        why=_why(rule, best, is_measured=is_measured),
        runner_up=_row(candidates, int(order[1])) if len(order) > 1 else None,
        price=marginal_cost_of_accuracy(results, candidates, best, rows),
        is_extrapolated=bool(outside[best]),
        is_measured=is_measured,
        is_solved=bool(candidates["origin"][best] == SOLVED),
    )


def is_met(candidates: Columns, conditions: Sequence[Constraint]) -> NDArray[np.bool_]:
    """Return a mask of the candidates that meet all conditions, those of equal probability jointly, shape (n,)."""
    met = np.ones(n_rows(candidates), dtype=np.bool_)
    for condition in conditions:
        met &= condition.violation(candidates) <= 0
    for name, _, _ in joint_groups(conditions):
        met &= candidates[name] <= 0
    return met


def odds_text(entry: Mapping[str, Any]) -> str:
    """Return a warning where the limits hold with less than one half, else an empty text."""
    joint = entry.get("joint_probability")
    if joint is None or joint >= EVEN:
        return ""
    limits = entry["limits"]
    texts = ", ".join(f"{one['constraint'].partition(' @')[0]} ({one['probability']:.2g})" for one in limits)
    which = "the limits hold together" if len(limits) > 1 else "the limit holds"
    return f"{which} with probability {joint:.2g} only: {texts}; --confidence 0.9 asks for more"


def odds_lines(limits: Sequence[tuple[str, float | None]], joint: float | None) -> list[str]:
    """Return the probability of each limit, and of all of them, as lines of text.

    Args:
        limits: the text of each limit, and its probability; None where it is unknown.
        joint: the probability of all.

    >>> odds_lines([("power_w <= 22 W @ 90 %", 0.925)], 0.925)
    ['limits, each with the probability that it holds:', '  power_w <= 22 W: 0.925']
    """
    if not limits:
        return []
    each = [(text.partition(" @")[0], p) for text, p in limits]
    rows = [*each, ("all of them", joint)] if len(each) > 1 else each
    lines = [f"  {text}: {'unknown' if p is None else f'{p:.3g}'}" for text, p in rows]
    return ["limits, each with the probability that it holds:", *lines]


def knee(results: Results, candidates: Columns) -> Rule:
    """Return the knee rule: the largest distance below the plane through the extremes, objectives scaled to [0, 1].

    For two objectives the plane is the line through the best design of each; for one the rule is its best value. A
    concave front has no knee; the rule then selects the design closest to that line.

    Source: I. Das, "On characterizing the knee of the Pareto curve based on normal-boundary intersection", Structural
    Optimization 18 (1999) 107-115.
    """
    if len(results.objectives) == 1:
        best = by_column(candidates, results.objectives[0].name)
        return replace(best, name="knee", text=f"{best.text}, the only objective")
    values = to_minimization(_values(results, candidates), results.objectives)
    front = to_minimization(results.values[results.is_front], results.objectives)
    low, high = front.min(axis=0), front.max(axis=0)
    scaled = (values - low) / np.where(high > low, high - low, 1.0)
    distance = (1 - scaled.sum(axis=1)) / np.sqrt(scaled.shape[1])
    return Rule(
        "knee", "the knee, the largest distance from the plane through the front's extremes", -distance, distance
    )


def by_alpha(candidates: Columns, *, alpha: float, energy_max_j: float) -> Rule:
    """Return the rule of the least weighted cost, Eq. (10).

    Raises:
        WrongUsage: the results have no accuracy or no energy.
        OutOfRange: alpha or E_max is out of range.
    """
    if not {"accuracy", "energy_j"} <= candidates.keys():
        raise WrongUsage("the weighted cost needs accuracy and energy_j", fix="choose by --knee or --minimize COLUMN")
    cost = weighted_cost(candidates["accuracy"], candidates["energy_j"], energy_max=energy_max_j, alpha=alpha)
    return Rule("alpha", f"least weighted cost J at alpha = {alpha:g}, E_max = {energy_max_j:g} J", cost, cost)


def by_column(candidates: Columns, name: str) -> Rule:
    """Return the rule of the best value of one column: the least, or the greatest where more is better.

    Raises:
        WrongUsage: the results have no such numeric column.
    """
    values = candidates[column_meant(candidates, name)].astype(np.float64)
    if direction_of(name) == "maximize":
        return Rule("minimize", f"greatest {name} (more is better)", -values, values)
    return Rule("minimize", f"least {name}", values, values)


def column_meant(candidates: Columns, name: str) -> str:
    """Return the numeric column of designs that a name means: itself, or one nearly right (`latency`, `edp`).

    Raises:
        WrongUsage: the results have no such numeric column.
    """
    known = {*COLUMNS, *own_knobs(candidates), *(n for n in candidates if is_end(n))}
    numeric = sorted(known & {n for n in candidates if candidates[n].dtype != object})
    meant = find_column(name, numeric)
    if meant is None:
        raise WrongUsage(f"there is no numeric column '{name}'", fix=f"name one of: {', '.join(numeric)}")
    return meant.column


def wanted_objective(name: str) -> Objective:
    """Return the objective of the best value of any column."""
    if is_objective(name):
        return objective_of(name)
    return Objective(name, direction_of(name), needs_of(name), lambda columns, _: columns[name])


def one_design(results: Results, design_id: int) -> tuple[Columns, Rule]:
    """Return one finished design as the only candidate.

    Raises:
        WrongUsage: no design has this number.
        NoFeasibleDesign: the design violates the study's constraints.
    """
    rows = np.flatnonzero(results.table["design_id"] == design_id)
    if not rows.size:
        raise WrongUsage(f"there is no design {design_id}", fix="take a number from `explorer front`")
    if not results.table["is_feasible"][rows[0]]:
        raise NoFeasibleDesign(f"design {design_id} does not meet the study's constraints",
                               fix="take a number from `explorer front`")  # fmt: skip
    text = f"design {design_id}, {_front_status(results, int(rows[0]))}"
    return take(results.table, rows), Rule("design", text, rows.astype(np.float64), np.full(len(rows), np.nan))


def _front_status(results: Results, row: int) -> str:
    if results.is_front[row]:
        return "on the front"
    if (twin := measured_twin(results.table)[row]) >= 0:
        measured = results.table["design_id"][twin]
        return f"NOT on the front: it is a prediction, and design {measured} is its measurement"
    return "NOT on the front: another design dominates it"


def _why(rule: Rule, best: int, *, is_measured: bool) -> str:
    """Return the text of a rule with the value of the selected design, and whether that was measured."""
    text = f"{rule.text}: {rule.value[best]:.5g}" if np.isfinite(rule.value[best]) else rule.text
    return f"{text} (measured)" if is_measured else text


def marginal_cost_of_accuracy(results: Results, candidates: Columns, best: int, rows: "np.ndarray[Any, Any]") -> str:
    """Return the changes of all other objectives for one more point (0.01) of accuracy, as text.

    The candidate that is cheapest in the first of them is the reference.
    """
    if "accuracy" not in candidates:
        return ""
    costs = [o for o in results.objectives if o.name != "accuracy"]
    accuracy = candidates["accuracy"]
    better = rows[accuracy[rows] >= accuracy[best] + ONE_POINT]
    if not costs:
        return ""
    if not better.size:
        return f"no candidate is one point more accurate than {accuracy[best]:.4g}"
    first = costs[0]
    cheapest = int(better[np.argmin(first.sign * candidates[first.name][better])])
    changes = []
    for objective in costs:
        now, then = (float(candidates[objective.name][i]) for i in (best, cheapest))
        text = column_of(objective.name).text
        changes.append(f"{objective.name} {text(now)} -> {text(then)} "
                       f"({(then - now) / abs(now):+.1%})")  # fmt: skip
    gained = float(accuracy[cheapest] - accuracy[best])
    which = f"+{gained:.4f}, design {candidates['design_id'][cheapest]}"
    return f"one more point of accuracy ({which}) costs {'; '.join(changes)}"


def _values(results: Results, candidates: Columns) -> Float:
    return np.stack([candidates[o.name] for o in results.objectives], axis=-1)


def _gap_text(condition: Constraint, candidates: Columns) -> str:
    excess = condition.violation(candidates)
    if np.isnan(excess).all():
        return f"{condition.text}: unknown of all"
    column = column_of(condition.compared)
    best = float(candidates[condition.compared][int(np.nanargmin(excess))])
    what = f"nearest {column.label.partition(', ')[2]}" if condition.probability is not None else "nearest"
    gap = "met by some" if np.nanmin(excess) <= 0 else f"{what} is {column.text(best)}"
    return f"{condition.text}: {gap}"


def _row(columns: Columns, row: int) -> dict[str, Any]:
    return {name: values[row] for name, values in columns.items()}
