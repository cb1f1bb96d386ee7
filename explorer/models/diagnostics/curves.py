"""Curves of a table: rows that differ in one numeric knob only, on the scales of knobs and targets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float
from explorer.problem.targets import is_relative, share_range

# Physics counts these in factors (V^2 f, a + b/f), and weights are compressed by factors.
_LOG_KNOBS = frozenset({"voltage_v", "frequency_hz", "quant_step", "weight_bits"})
_LEAST_REMAINING = 1e-3  # log(1 - R) diverges at R = 1; no measurement has less than a thousandth of the weights
_SEED = 20260


@dataclass(frozen=True, slots=True)
class Curve:
    """Measurements along one knob, all other knobs equal; k distinct values in ascending order.

    Args:
        rows: index of the first row of each value, shape (k,).
        knob: the knob's values, in its unit, shape (k,).
        scaled: the same on the knob's scale (`scale_knob`), shape (k,).
        values: the target on its scale (`stabilize`), averaged over repeats, shape (k,).
    """

    rows: NDArray[np.int64]
    knob: Float
    scaled: Float
    values: Float


def stabilize(target: str, values: Float) -> Float:
    """Return a target on the scale of constant noise, shape (n,); NaN where it is undefined.

    The logarithm; for shares arcsin(sqrt(p)), whose sampling error 1 / (2 sqrt(n)) does not depend on p.
    """
    if (ends := share_range(target)) is not None:
        share = (values - ends[0]) / (ends[1] - ends[0])
        return np.asarray(np.arcsin(np.sqrt(np.where((share >= 0) & (share <= 1), share, np.nan))))
    if not is_relative(target):
        return np.asarray(values, dtype=np.float64)
    return np.log(np.where(values > 0, values, np.nan))


def scale_knob(knob: KnobSpec, values: NDArray[Any]) -> Float:
    """Return a numeric knob on its scale, shape (n,): log(1 - R), log D (0: half of the least step), log V and f.

    A knob declared `is_log` is scaled by its logarithm as well; all others are linear.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if knob.name == "pruning_ratio":
        return np.log(np.maximum(1 - numbers, _LEAST_REMAINING))
    if not (knob.is_log or knob.name in _LOG_KNOBS):
        return numbers
    positive = numbers[numbers > 0]
    return np.log(np.maximum(numbers, positive.min() / 2 if positive.size else 1e-6))


def encode_levels(knob: KnobSpec, values: NDArray[Any]) -> NDArray[np.int64]:
    """Return the index of each value among the knob's distinct values in ascending order, shape (n,)."""
    kind = str if knob.kind == "category" else np.float64
    return np.asarray(np.unique(values.astype(kind), return_inverse=True)[1].reshape(-1), dtype=np.int64)


class CurveTable:
    """Rows of one measured target, indexed to find curves along each knob and repeats of a design.

    Args:
        target: the column.
        designs: the knobs, shape (n,) each.
        values: the measurements, shape (n,); NaN was not measured.
        knobs: declaration of each column of the designs.
    """

    def __init__(self, target: str, designs: Columns, values: Float, knobs: Sequence[KnobSpec]) -> None:
        stable = stabilize(target, np.asarray(values, dtype=np.float64))
        is_used = np.isfinite(stable)
        for knob in knobs:
            if knob.kind == "number":
                is_used &= np.isfinite(np.asarray(designs[knob.name], dtype=np.float64))
        self.rows = np.flatnonzero(is_used)
        self.values = stable[self.rows]
        self.knobs = {knob.name: knob for knob in knobs}
        self.columns = {name: designs[name][self.rows] for name in self.knobs}
        codes = {name: encode_levels(knob, self.columns[name]) for name, knob in self.knobs.items()}
        # Designs are compared by one 64-bit hash, linear in the codes, so that a knob can be taken out of it:
        # comparing 10,000 rows of 200 knobs for each knob would take minutes.
        weights = np.random.default_rng(_SEED).integers(1, 2**62, size=len(codes), dtype=np.int64)
        with np.errstate(over="ignore"):
            self._parts = {name: code * w for (name, code), w in zip(codes.items(), weights, strict=True)}
        self._hash = sum(self._parts.values(), np.zeros(len(self.rows), dtype=np.int64))

    def repeats(self) -> NDArray[np.int64]:
        """Return the index of each used row's design, shape (m,)."""
        return np.asarray(np.unique(self._hash, return_inverse=True)[1].reshape(-1), dtype=np.int64)

    def curves(self, along: str, *, min_points: int) -> Iterator[Curve]:
        """Yield the curves along a numeric knob with at least `min_points` distinct values.

        Voltage follows the clock on a device, so a curve along the clock may change the voltage with it, if every clock
        has one voltage that does not fall.
        """
        numbers = np.asarray(self.columns[along], dtype=np.float64)
        key = self._hash - self._parts[along]
        if along == "frequency_hz" and "voltage_v" in self._parts:
            key = self._with_voltage(key - self._parts["voltage_v"], key, numbers)
        scaled = scale_knob(self.knobs[along], numbers)
        _, group, counts = np.unique(key, return_inverse=True, return_counts=True)
        group = group.reshape(-1)
        order = np.lexsort((numbers, group))
        order = order[counts[group[order]] >= min_points]
        parts = np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if order.size else []
        for members in sorted(parts, key=np.min):
            knob, first, index = np.unique(numbers[members], return_index=True, return_inverse=True)
            if len(knob) >= min_points:
                mean = np.bincount(index.reshape(-1), self.values[members]) / np.bincount(index.reshape(-1))
                yield Curve(self.rows[members[first]], knob, scaled[members[first]], mean)

    def _with_voltage(self, without: NDArray[np.int64], strict: NDArray[np.int64], clock: Float) -> NDArray[np.int64]:
        """Return the key without the voltage for groups in which the voltage is a rising function of the clock."""
        voltage = np.asarray(self.columns["voltage_v"], dtype=np.float64)
        group = np.unique(without, return_inverse=True)[1].reshape(-1)
        order = np.lexsort((voltage, clock, group))
        is_next = np.diff(group[order]) == 0
        step_f, step_v = np.diff(clock[order]), np.diff(voltage[order])
        is_bad = is_next & (((step_f == 0) & (step_v != 0)) | (step_v < 0))
        bad = np.zeros(int(group.max()) + 1 if group.size else 0, dtype=np.bool_)
        bad[group[order][1:][is_bad]] = True
        return np.where(bad[group], strict, without)
