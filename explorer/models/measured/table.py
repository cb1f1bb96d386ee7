"""TableEvaluator: an evaluator whose designs are the measured rows of a table; nothing is predicted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import Fault, InvalidFile, UnknownName
from explorer.models.samples.samples import Samples
from explorer.problem.applicability import Domain, domain_of
from explorer.problem.columns import TARGETS, Columns, Float, bounds, by_configuration, numeric_knobs, take
from explorer.problem.design_space import ROW, DesignSpace, Dimension
from explorer.problem.objectives import OBJECTIVES, CostWeights, add_objectives

_Index = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class TableEvaluator:
    """An evaluator of measured rows.

    Args:
        name: the table's path.
        samples: all measured rows, repeats included.
        configuration: for each row, the index of its configuration among `rows`, shape (n,).
        rows: one row a configuration: `row` (its name), the knobs, and the means of its measured targets.
        domain: each family's span of the numeric knobs.
    """

    name: str
    samples: Samples
    configuration: _Index
    rows: Columns
    domain: Domain

    @property
    def is_vectorized(self) -> bool:
        """Nothing is measured again."""
        return True

    @property
    def families(self) -> tuple[str, ...]:
        """The families that were measured."""
        return self.samples.families

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns that were measured."""
        return self.samples.targets

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done with the table that its user should know."""
        return self.samples.notes

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the targets that were measured in every configuration of one family: a gap cannot be searched."""
        there = self.rows["family"] == family
        return tuple(target for target in self.targets if np.isfinite(self.rows[target][there]).all())

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return the rows of one family, the only thing to choose, and the names that its other columns hold."""
        own = take(self.rows, self.rows["family"] == family)
        names = [ROW, *[knob for knob in self.samples.knobs if knob != "family" and own[knob].dtype == object]]
        return {name: tuple(dict.fromkeys(own[name].tolist())) for name in names}

    def law(self, family: str) -> AlphaPowerLaw | None:
        """Return no law: every measured row exists."""
        del family
        return None

    def region(self, family: str) -> DesignSpace:
        """Return the region of one family: its rows, and nothing between them."""
        own = take(self.rows, self.rows["family"] == family)
        names = [ROW, *[knob for knob in self.samples.knobs if knob != "family"]]
        columns = {name: tuple(own[name].tolist()) for name in names}
        axis = Dimension(ROW, 0.0, len(own[ROW]) - 1.0, labels=columns[ROW], columns=columns)
        return DesignSpace(family, (axis,), None, (0.0, np.inf), np.inf)

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with their measured columns; repeats are averaged; `domain_distance` is 0 everywhere.

        Raises:
            UnknownName: a row that the table does not have.
        """
        index = self._index(designs)
        measured = {target: self.rows[target][index] for target in self.targets}
        return {**designs, **measured, "domain_distance": np.zeros(len(index))}

    def add_intervals(self, columns: Columns, *, weights: CostWeights) -> Columns:
        """Return a table with the range of the readings beside every measured column and objective, where repeated.

        Where a configuration was measured once there is no interval (NaN): none is invented. Objectives are computed
        for each reading.
        """
        table = add_objectives({name: self.samples.columns[name] for name in self.targets}, weights)
        index, n = self._index(columns), int(self.configuration.max()) + 1
        is_repeated = (np.bincount(self.configuration, minlength=n) > 1)[index]
        result = dict(columns)
        for name in (name for name in dict.fromkeys((*TARGETS, *OBJECTIVES)) if name in columns and name in table):
            low, high = np.full(n, np.inf), np.full(n, -np.inf)
            np.fmin.at(low, self.configuration, table[name])
            np.fmax.at(high, self.configuration, table[name])
            # The mean of energies times the mean of times may lie outside of what single readings give.
            ends = np.fmin(low[index], columns[name]), np.fmax(high[index], columns[name])
            for end, values in zip(bounds(name), ends, strict=True):
                result[end] = np.where(is_repeated, values, np.nan)
        return result

    def _index(self, designs: Columns) -> _Index:
        place = {row: i for i, row in enumerate(self.rows[ROW].tolist())}
        found = [place.get(row, -1) for row in designs[ROW].tolist()]
        if -1 in found:
            raise UnknownName(self.name, str(designs[ROW][found.index(-1)]), place)
        return np.array(found, dtype=np.int64)


def table_evaluator(samples: Samples, *, name: str, needs: Sequence[str] = ()) -> TableEvaluator:
    """Return the evaluator of a table's own rows; rows of equal knobs are one configuration, averaged.

    A table without any knob but the family has nothing that makes two rows one: each is a configuration.

    Args:
        samples: the table.
        name: its path.
        needs: columns without which a row cannot be compared; rows that lack one are left out, and it is said so.

    Raises:
        InvalidFile: no row has all that is needed.
    """
    wanted = [need for need in needs if need in samples.targets]
    has_all = np.all([np.isfinite(samples.columns[need]) for need in wanted], axis=0) if wanted else None
    if has_all is not None and not has_all.any():
        raise InvalidFile(
            name, [Fault("", f"no row has all of {', '.join(wanted)}", "ask for what was measured together")]
        )
    if has_all is not None and not has_all.all():
        lacking = ", ".join(need for need in wanted if not np.isfinite(samples.columns[need]).all())
        note = (
            f"{int(np.sum(~has_all))} of {len(has_all)} rows lack {lacking}: they cannot be compared and are left out"
        )
        samples = replace(samples.rows(has_all), notes=(*samples.notes, note))
    knobs = [knob for knob in samples.knobs if knob != "family"]
    n = len(samples.labels)
    configuration = by_configuration({k: samples.columns[k] for k in samples.knobs}) if knobs else np.arange(n)
    first = np.unique(configuration, return_index=True)[1]
    means = {target: _mean(samples.columns[target], configuration) for target in samples.targets}
    labels = _names(samples.labels, configuration)
    rows: Columns = {ROW: labels, **{knob: samples.columns[knob][first] for knob in samples.knobs}, **means}
    spans = {k: samples.columns[k] for k in ("family", *numeric_knobs(samples.columns))}
    return TableEvaluator(name, samples, configuration, rows, domain_of(spans))


def _mean(values: Float, group: _Index) -> Float:
    """Return the mean of each group's measured values, NaN where it has none."""
    is_known = np.isfinite(values)
    total = np.bincount(group, weights=np.where(is_known, values, 0.0))
    count = np.bincount(group, weights=is_known)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _names(labels: tuple[str, ...], group: _Index) -> NDArray[np.object_]:
    """Name each configuration by its first row's label; equal names get a number."""
    first = np.unique(group, return_index=True)[1]
    names = [labels[i] for i in first.tolist()]
    twice = {name for name in names if names.count(name) > 1}
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(f"{name} #{seen[name]}" if name in twice else name)
    return np.array(result, dtype=object)
