"""Evaluator whose designs are the measured rows of a table; it predicts nothing."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import Fault, InvalidFile, UnknownName
from explorer.models.samples.samples import Samples
from explorer.problem.applicability import Domain, domain_of
from explorer.problem.columns import TARGETS, Columns, Float, bounds, by_configuration, numeric_knobs, take
from explorer.problem.design_space import ROW, DesignSpace, Dimension
from explorer.problem.objectives import OBJECTIVES, Constants, add_objectives

_Index = NDArray[np.int64]


@dataclass(frozen=True)
class TableEvaluator:
    """Evaluator of the rows of a table.

    Args:
        name: path of the table.
        samples: all measured rows, repeats included.
        configuration: index into `rows` of each sample, shape (n,).
        rows: one row per distinct design: `row` (its name), the knobs, and the means of its targets.
        domain: sampled range of the numeric knobs, by family.
    """

    name: str
    samples: Samples
    configuration: _Index
    rows: Columns
    domain: Domain

    @property
    def is_vectorized(self) -> bool:
        """True: values are looked up."""
        return True

    @property
    def families(self) -> tuple[str, ...]:
        """Families of the table."""
        return self.samples.families

    @property
    def targets(self) -> tuple[str, ...]:
        """Targets of the table."""
        return self.samples.targets

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on how the table was read."""
        return self.samples.notes

    def targets_of(self, family: str) -> tuple[str, ...]:
        """Return the targets measured for every row of one family: missing values cannot be optimized."""
        is_member = self.rows["family"] == family
        return tuple(target for target in self.targets if np.isfinite(self.rows[target][is_member]).all())

    def choices(self, family: str) -> Mapping[str, tuple[str, ...]]:
        """Return the row names of one family, which are its designs, and the values of its categorical knobs."""
        own = take(self.rows, self.rows["family"] == family)
        names = [ROW, *[knob for knob in self.samples.knobs if knob != "family" and own[knob].dtype == object]]
        return {name: tuple(dict.fromkeys(own[name].tolist())) for name in names}

    def law(self, family: str) -> AlphaPowerLaw | None:
        """Return None: every measured row exists."""
        del family
        return None

    def region(self, family: str) -> DesignSpace:
        """Return the design space of one family, whose only designs are its rows."""
        own = take(self.rows, self.rows["family"] == family)
        names = [ROW, *[knob for knob in self.samples.knobs if knob != "family"]]
        columns = {name: tuple(own[name].tolist()) for name in names}
        axis = Dimension(ROW, 0.0, len(own[ROW]) - 1.0, labels=columns[ROW], columns=columns)
        return DesignSpace(family, (axis,), None, (0.0, np.inf), np.inf)

    def evaluate(self, designs: Columns) -> Columns:
        """Return the designs with their measured targets, repeats averaged; `domain_distance` is 0.

        Raises:
            UnknownName: a row is not in the table.
        """
        index = self._index(designs)
        measured = {target: self.rows[target][index] for target in self.targets}
        return {**designs, **measured, "domain_distance": np.zeros(len(index))}

    def add_intervals(self, columns: Columns, *, constants: Constants) -> Columns:
        """Return a table with the range of repeated measurements for each target and objective.

        The interval of a design that was measured once is NaN. Objectives are computed for each sample.
        """
        table = add_objectives({name: self.samples.columns[name] for name in self.targets}, constants)
        index, n = self._index(columns), int(self.configuration.max()) + 1
        is_repeated = (np.bincount(self.configuration, minlength=n) > 1)[index]
        result = dict(columns)
        for name in (name for name in dict.fromkeys((*TARGETS, *OBJECTIVES)) if name in columns and name in table):
            low, high = np.full(n, np.inf), np.full(n, -np.inf)
            np.fmin.at(low, self.configuration, table[name])
            np.fmax.at(high, self.configuration, table[name])
            # The product of mean energy and mean time may be outside the range of the products of single samples.
            ends = np.fmin(low[index], columns[name]), np.fmax(high[index], columns[name])
            for end, values in zip(bounds(name), ends, strict=True):
                result[end] = np.where(is_repeated, values, np.nan)
        return result

    @cached_property
    def _position(self) -> dict[str, int]:
        return {row: i for i, row in enumerate(self.rows[ROW].tolist())}

    def _index(self, designs: Columns) -> _Index:
        index = [self._position.get(row, -1) for row in designs[ROW].tolist()]
        if -1 in index:
            raise UnknownName(self.name, str(designs[ROW][index.index(-1)]), self._position)
        return np.array(index, dtype=np.int64)


def table_evaluator(samples: Samples, *, name: str, needs: Sequence[str] = ()) -> TableEvaluator:
    """Return the evaluator of the rows of a table; rows with equal knobs are one design, averaged.

    In a table without knobs other than the family, each row is a design.

    Args:
        samples: the table.
        name: its path.
        needs: required targets; rows that lack one are left out, with a note.

    Raises:
        InvalidFile: no row has all required targets.
    """
    required = [need for need in needs if need in samples.targets]
    has_all = np.all([np.isfinite(samples.columns[need]) for need in required], axis=0) if required else None
    if has_all is not None and not has_all.any():
        raise InvalidFile(
            name, [Fault("", f"no row has all of {', '.join(required)}", "use targets that were measured together")]
        )
    if has_all is not None and not has_all.all():
        missing = ", ".join(need for need in required if not np.isfinite(samples.columns[need]).all())
        note = (
            f"{int(np.sum(~has_all))} of {len(has_all)} rows lack {missing}: they cannot be compared and are left out"
        )
        samples = replace(samples.rows(has_all), notes=(*samples.notes, note))
    knobs = [knob for knob in samples.knobs if knob != "family"]
    n = len(samples.labels)
    configuration = by_configuration({k: samples.columns[k] for k in samples.knobs}) if knobs else np.arange(n)
    first = np.unique(configuration, return_index=True)[1]
    means = {target: _group_means(samples.columns[target], configuration) for target in samples.targets}
    labels = _unique_names(samples.labels, configuration)
    rows: Columns = {ROW: labels, **{knob: samples.columns[knob][first] for knob in samples.knobs}, **means}
    spans = {k: samples.columns[k] for k in ("family", *numeric_knobs(samples.columns))}
    return TableEvaluator(name, samples, configuration, rows, domain_of(spans))


def _group_means(values: Float, group: _Index) -> Float:
    """Return the mean of the finite values of each group; NaN without any."""
    is_finite = np.isfinite(values)
    total = np.bincount(group, weights=np.where(is_finite, values, 0.0))
    count = np.bincount(group, weights=is_finite)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _unique_names(labels: tuple[str, ...], group: _Index) -> NDArray[np.object_]:
    """Return a name for each design, the label of its first row; equal names are numbered."""
    first = np.unique(group, return_index=True)[1]
    names = [labels[i] for i in first.tolist()]
    repeated = {name for name, n in Counter(names).items() if n > 1}
    n_used: dict[str, int] = {}
    result = []
    for name in names:
        n_used[name] = n_used.get(name, 0) + 1
        result.append(f"{name} #{n_used[name]}" if name in repeated else name)
    return np.array(result, dtype=object)
