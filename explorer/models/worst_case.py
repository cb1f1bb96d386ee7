"""Worst cases over scenarios: designs evaluated with their knobs, targets and constants as they are in each case.

The worst case of a column is its worst value over the nominal design and all cases, in the direction of the column. In
posterior draws it is taken draw by draw, so a limit with a probability holds in all cases jointly with it.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import Fault, InvalidFile
from explorer.models.evaluator import Evaluator
from explorer.models.intervals import LEVEL
from explorer.models.measured.table import TableEvaluator
from explorer.models.posterior_draws import Draws, PosteriorModel, predict_draws, split_into_blocks
from explorer.problem.columns import (
    BEST,
    TARGETS,
    WORST,
    Columns,
    Float,
    allowed_text,
    base_of_case,
    bounds,
    column_of,
    is_allowed,
    is_end,
    knobs_of,
    n_rows,
    names_with_cases,
    numeric_knobs,
    stack,
    worst_name,
)
from explorer.problem.design_space import DesignSpace
from explorer.problem.objectives import OBJECTIVES, Constants, add_objectives, is_maximized
from explorer.problem.scenarios.cases import Case, resolve_cases
from explorer.problem.study import Study
from explorer.problem.targets import is_relative, share_range

Predict = Callable[[Columns], Columns]
"""Maps knobs, shape (n,) each, to targets, shape (n,) or (S, n) each."""

_ROWS = 4_000  # perturbed designs that are predicted at once: 1,000 draws of them take 32 MB a target


def case_columns(columns: Columns, cases: Sequence[Case], predict: Predict) -> Iterator[tuple[Case, Columns]]:
    """Yield every case with the predictions of the designs in it, and all columns that follow from them.

    Args:
        columns: the designs, knobs of shape (n,), and their targets, shape (n,) or (S, n).
        cases: the cases. Those without a knob are computed from the given targets.
        predict: called with the perturbed knobs of several cases at once.
    """
    knobs = {name: columns[name] for name in knobs_of(columns)}
    n = n_rows(knobs)
    given = {name: columns[name] for name in (*TARGETS, "domain_distance") if name in columns}
    # Cases that differ in targets or constants alone share their predictions.
    moved: dict[object, list[Case]] = {}
    for case in cases:
        if case.knobs:
            moved.setdefault(case.knobs, []).append(case)
    for case in cases:
        if not case.knobs:
            yield case, add_objectives(case.scale(given), case.constants)
    size = max(1, _ROWS // max(n, 1))
    groups = [*moved.values()]
    for first in range(0, len(groups), size):
        own_groups = groups[first : first + size]
        predicted = predict(stack([own_cases[0].perturb(knobs) for own_cases in own_groups]))
        for i, own_cases in enumerate(own_groups):
            rows = slice(i * n, (i + 1) * n)
            own = {name: predicted[name][..., rows] for name in given if name in predicted}
            for case in own_cases:
                yield case, add_objectives(case.scale(own), case.constants)


def worst_columns(
    columns: Columns, cases: Sequence[Case], predict: Predict, *, names: Collection[str] | None = None
) -> Columns:
    """Return the worst cases of evaluated designs, in the shape of each column.

    Args:
        columns: the designs with targets and derived columns; see `case_columns`.
        cases: the cases.
        predict: see `case_columns`.
        names: the worst and best cases to return (`power_w_worst`); default: the worst of every predicted column.
    """
    if names is None:
        names = [worst_name(name) for name in names_with_cases() if name in columns]
    bases = {name: base for name in names if (base := base_of_case(name)) in columns}
    result = {name: np.asarray(columns[base], dtype=np.float64) for name, base in bases.items()}
    for _, own in case_columns(columns, cases, predict):
        for name, base in bases.items():
            # NaN of one case stays: what is not known in a scenario meets no limit.
            extreme = np.minimum if is_maximized(base) == name.endswith(WORST) else np.maximum
            result[name] = extreme(result[name], own[base]) if base in own else result[name]
    return result


def case_names(names: Collection[str]) -> tuple[str, ...]:
    """Return the worst and best cases among names of objectives and limited columns, without ends of intervals.

    >>> case_names(["edp_js", "power_w_worst", "accuracy_worst_lo"])
    ('power_w_worst', 'accuracy_worst')
    """
    return tuple(
        dict.fromkeys(
            name[:-3] if is_end(name) else name
            for name in names
            if WORST in name or BEST in name
            if base_of_case(name) is not None
        )
    )


def draw_columns(
    model: PosteriorModel, draws: Draws, designs: Columns, *, constants: Constants, with_noise: bool = False,
    cases: Sequence[Case] = (), names: Collection[str] = (),
) -> Columns:  # fmt: skip
    """Return targets, derived columns and their worst cases in every posterior draw, shape (S, n) each.

    A draw with noise has the same scatter of a measurement in all cases.

    Args:
        model: the model.
        draws: its posterior draws.
        designs: the knobs, shape (n,) each.
        constants: constants of the derived columns.
        with_noise: add the scatter of a new measurement.
        cases: the cases of the study's scenarios.
        names: the worst cases to compute.
    """

    def predict(knobs: Columns) -> Columns:
        return predict_draws(model, draws, knobs, with_noise=with_noise)

    derived = add_objectives(predict(designs), constants)
    if not cases or not names:
        return derived
    knobs = {name: designs[name] for name in knobs_of(designs)}
    return {**derived, **worst_columns({**knobs, **derived}, cases, predict, names=names)}


@dataclass(frozen=True, slots=True)
class WorstCase:
    """Worst cases of a study over its scenarios.

    Args:
        cases: the cases, without the nominal one.
        names: the worst and best cases that objectives and limits name.
        constants: constants of the derived columns in the nominal case.
        is_limit: true where limits hold in every case.
    """

    cases: tuple[Case, ...] = ()
    names: tuple[str, ...] = ()
    constants: Constants = field(default_factory=Constants)
    is_limit: bool = False

    def __bool__(self) -> bool:
        """Return whether there are scenarios."""
        return bool(self.cases)

    def columns(self, columns: Columns, predict: Predict, *, is_needed_only: bool = False) -> Columns:
        """Return the columns of worst cases of evaluated designs, in the shape of each column; none without scenarios.

        Args:
            columns: the designs, with targets and derived columns, shape (n,) or (S, n) each.
            predict: predicts the targets at perturbed knobs, in the same shape.
            is_needed_only: only those that objectives and limits name; else also those of all predicted columns.
        """
        if not self.cases:
            return {}
        names = () if is_needed_only else tuple(worst_name(name) for name in names_with_cases() if name in columns)
        return worst_columns(columns, self.cases, predict, names=dict.fromkeys((*names, *self.names)))

    def by_draw(self, model: PosteriorModel, draws: Draws, designs: Columns, *, with_noise: bool = False) -> Columns:
        """Return targets, derived columns and the named worst cases in every draw, shape (S, n) each."""
        return draw_columns(
            model, draws, designs, constants=self.constants, with_noise=with_noise, cases=self.cases, names=self.names
        )

    def intervals(self, model: PosteriorModel, draws: Draws, designs: Columns) -> Columns:
        """Return the ends of the 90 % intervals of the named worst cases of evaluated designs, shape (n,) each."""
        if not self.cases or not self.names or not n_rows(designs):
            return {}
        tail = (1 - LEVEL) / 2
        parts: list[Columns] = []
        for block in split_into_blocks(designs):
            samples = self.by_draw(model, draws, block, with_noise=True)
            ends: Columns = {}
            for name in (name for name in self.names if name in samples):
                low, high = np.quantile(samples[name], [tail, 1 - tail], axis=0)
                ends |= dict(
                    zip(bounds(name), (np.minimum(low, block[name]), np.maximum(high, block[name])), strict=True)
                )
            parts.append(ends)
        return stack(parts)

    def limited(self, columns: Columns, name: str) -> Float:
        """Return the column that a limit of the problem itself compares: its worst case where limits hold in each."""
        worst = worst_name(name)
        return np.asarray(columns[worst if self.is_limit and worst in columns else name])

    def operating_excess(self, region: DesignSpace, designs: Columns) -> Float:
        """Return the relative infeasibility of each design's (V, f), shapes as in `designs`; at most 0 if it exists.

        Where limits hold in every case, the clock must be reachable at the voltage of every case by the alpha-power
        law: a supply that droops needs a clock below the nominal maximum (guard band). Points that a device lists are
        allowed with the tolerances of its maker, so they are compared without deviations.
        """
        excess = region.operating_excess(designs)
        if self.is_limit and isinstance(region.operating, AlphaPowerLaw):
            for case in self.cases:
                excess = np.maximum(excess, region.operating_excess(case.perturb(designs)))
        return excess


def anchored(predict: Predict, columns: Columns) -> Predict:
    """Return a prediction moved to the readings of measured designs: the model adds the change from the nominal knobs.

    Positive targets change by the predicted ratio, the accuracy by the predicted difference.

    Args:
        predict: the prediction.
        columns: k measured designs, knobs of shape (k,), and their readings, shape (k,) or (S, k).
    """
    knobs = {name: columns[name] for name in knobs_of(columns)}
    nominal = predict(knobs)

    def moved(designs: Columns) -> Columns:
        n_copies = n_rows(designs) // max(n_rows(knobs), 1)
        predicted = predict(designs)
        for name in (name for name in TARGETS if name in predicted and name in columns):
            reading, before = (_repeat(values, n_copies) for values in (columns[name], nominal[name]))
            predicted[name] = _moved(name, reading, before, predicted[name])
        return predicted

    return moved


def _repeat(values: Float, n: int) -> Float:
    return np.concatenate([values] * n, axis=-1)


def _moved(name: str, reading: Float, before: Float, after: Float) -> Float:
    if not is_relative(name):
        return np.clip(reading + after - before, *(share_range(name) or (-np.inf, np.inf)))
    is_positive = (before > 0) & (after > 0)
    ratio = np.where(is_positive, after, 1.0) / np.where(is_positive, before, 1.0)
    return np.where(is_positive, reading * ratio, reading + after - before)


def scaled_ends(columns: Columns) -> Columns:
    """Return the ends of the intervals of worst cases of measured designs: those of the readings, scaled alike."""
    ends: Columns = {}
    for name in (name for name in (*TARGETS, *OBJECTIVES) if worst_name(name) in columns):
        worst, value = columns[worst_name(name)], columns[name]
        ratio = np.where(value != 0, worst, 1.0) / np.where(value != 0, value, 1.0)
        for end in ("_lo", "_hi"):
            if f"{name}{end}" in columns:
                ends[f"{worst_name(name)}{end}"] = columns[f"{name}{end}"] * ratio
    return ends


def resolve_worst_case(study: Study, evaluator: Evaluator, regions: Mapping[str, DesignSpace]) -> WorstCase:
    """Return the cases of a study's scenarios.

    Raises:
        InvalidFile: a name or change cannot be used with these designs and this model, or a worst case is asked for
            without scenarios; all faults at once.
    """
    if not study.scenarios and not any(base_of_case(name) for _, name in _named_by(study)):
        return WorstCase(constants=study.constants)
    faults = [
        Fault(key, f"'{name}' needs a scenario", "add [scenario.NAME] to the study, such as voltage = '-3 %'")
        for key, name in _named_by(study)
        if not study.scenarios and base_of_case(name)
    ]
    middles = [region.from_unit(np.full((1, len(region.axes)), 0.5)) for region in regions.values()]
    shared = [name for name in middles[0] if all(name in knobs for knobs in middles)] if middles else []
    columns = {
        name: study.own_columns.get(name) or column_of(name)
        for name in numeric_knobs({k: middles[0][k] for k in shared})
    }
    targets = [name for name in TARGETS if any(name in evaluator.targets_of(family) for family in regions)]
    cases, own = resolve_cases(study.scenarios, knobs=columns, targets=targets, constants=study.constants)
    faults += own
    if not evaluator.is_vectorized or isinstance(evaluator, TableEvaluator):
        # Nothing is predicted at knobs that were not measured.
        faults += [
            Fault(
                f"[scenario.{case.scenario}] {name}",
                "is a knob, and the designs are measured as they are",
                f"change a target instead: {', '.join(targets)}",
            )
            for case in cases
            for name, _ in case.knobs
        ]
    faults += [fault for region in regions.values() for case in cases for fault in _outside(region, case)]
    if faults:
        raise InvalidFile(study.path, list(dict.fromkeys(faults)))
    names = case_names([name for _, name in _named_by(study)])
    if study.constants.workload and study.scenarios.is_worst_case:
        names = tuple(dict.fromkeys((*names, worst_name("utilization"))))  # a device keeps up in every scenario
    return WorstCase(cases, names, study.constants, is_limit=study.scenarios.is_worst_case)


def _named_by(study: Study) -> list[tuple[str, str]]:
    names = [("objectives", objective.name) for objective in study.objectives]
    return [*names, *(("constraints", constraint.column) for constraint in study.constraints)]


def _outside(region: DesignSpace, case: Case) -> Iterator[Fault]:
    """Yield a fault for each knob that a case moves to values that are not allowed, anywhere in a region."""
    for name, change in case.knobs:
        ends = [
            np.asarray(axis.columns[name] if axis.columns else (axis.low, axis.high), dtype=np.float64)
            for axis in region.axes
            if name in (axis.columns or (axis.name,))
        ]
        for values in ends:
            moved = change.apply(values)
            if not (is_inside := is_allowed(name, moved)).all():
                first = int(np.argmin(is_inside))
                yield Fault(
                    f"[scenario.{case.scenario}] {name}",
                    f"{change.text(column_of(name))} leads from {values[first]:g} to {moved[first]:g}, "
                    f"outside {allowed_text(name)}",
                    "give a smaller change, or narrow the knob's range in the space",
                )
