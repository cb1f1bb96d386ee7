"""InputCoordinates: any table of knobs as the numbers that fitted forms are made of, with the samples' range and scale."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.errors import UnknownName
from explorer.problem.columns import Columns, Float, n_rows, take

Scale = Literal["linear", "log", "remaining", "step"]

# A knob that the samples never varied has no range of its own: one unit is then a factor of e (log scales), or this
# share of its value (linear scale), both assumed.
_CONSTANT_SHARE = 0.5
# Physics counts these in factors: V^2 f, a + b/f.
_ALWAYS_LOG = frozenset({"voltage_v", "frequency_hz"})
# Weights that are all gone have no logarithm; nothing is measured beyond a thousandth.
_LEAST_REMAINING = 1e-3


@dataclass(frozen=True, slots=True)
class KnobSpec:
    """A knob as it is declared: a category, or a number (`is_log`: counted in factors, not in differences)."""

    name: str
    kind: Literal["category", "number"]
    is_log: bool = False


@dataclass(frozen=True, slots=True)
class InputScale:
    """A numeric knob's scale: `z = (scaled - center) / half` runs from -1 to 1 over the samples.

    Args:
        name: the knob.
        scale: `remaining` is log(1 - value), `step` is log(value) with 0 (not quantized) set to `floor`.
        center: middle of the samples, scaled.
        half: half of their range, scaled; positive.
        floor: the least value that a logarithm is taken of.
        is_varied: the samples have more than one value of it.
    """

    name: str
    scale: Scale
    center: float
    half: float
    floor: float
    is_varied: bool

    def scaled(self, values: NDArray[Any]) -> Float:
        """Return values in this axis's scale, same shape; NaN stays NaN."""
        numbers = np.asarray(values, dtype=np.float64)
        if self.scale == "linear":
            return numbers
        inner = 1 - numbers if self.scale == "remaining" else numbers
        return np.asarray(np.log(np.maximum(inner, self.floor)))

    def z(self, values: NDArray[Any]) -> Float:
        """Return values in half ranges of the samples from their middle, same shape."""
        return np.asarray((self.scaled(values) - self.center) / self.half)


@dataclass(frozen=True, slots=True)
class ScaledInputs:
    """Designs in coordinates.

    Args:
        codes: each category knob's index into its levels, shape (n,).
        z: each numeric knob in half ranges from the samples' middle, shape (n,).
        raw: the numeric knobs as they are, shape (n,).
    """

    codes: Mapping[str, NDArray[np.int64]]
    z: Mapping[str, Float]
    raw: Mapping[str, Float]
    n: int

    def rows(self, which: NDArray[Any]) -> "ScaledInputs":
        """Return some of the designs, by index or mask."""
        n = len(np.arange(self.n)[which])
        return ScaledInputs(take(self.codes, which), take(self.z, which), take(self.raw, which), n)


@dataclass(frozen=True, slots=True)
class InputCoordinates:
    """Levels of the category knobs and axes of the numeric ones, as the samples have them."""

    levels: Mapping[str, tuple[str, ...]]
    axes: Mapping[str, InputScale]

    @property
    def varied(self) -> tuple[str, ...]:
        """The numeric knobs with more than one value in the samples."""
        return tuple(name for name, axis in self.axes.items() if axis.is_varied)

    @property
    def categories(self) -> tuple[str, ...]:
        """The category knobs with more than one level in the samples."""
        return tuple(name for name, levels in self.levels.items() if len(levels) > 1)

    @property
    def knobs(self) -> tuple[str, ...]:
        """All knobs."""
        return (*self.levels, *self.axes)

    def place(self, designs: Columns) -> ScaledInputs:
        """Return designs in coordinates.

        Raises:
            UnknownName: a level that was never measured; the others cannot predict it.
        """
        codes = {name: _codes(name, designs[name], levels) for name, levels in self.levels.items()}
        raw = {name: np.asarray(designs[name], dtype=np.float64) for name in self.axes}
        return ScaledInputs(codes, {name: axis.z(raw[name]) for name, axis in self.axes.items()}, raw, n_rows(designs))

    def points(self, placed: ScaledInputs) -> Float:
        """Return the varied knobs as a matrix, shape (n, d): numbers in half ranges, levels of a category 1 apart."""
        parts = [placed.z[name][:, None] for name in self.varied]
        parts += [np.eye(len(self.levels[name]))[placed.codes[name]] / np.sqrt(2) for name in self.categories]
        return np.concatenate(parts, axis=1) if parts else np.zeros((placed.n, 0))

    @property
    def tie(self) -> NDArray[np.int64]:
        """Which knob each column of `points` belongs to, shape (d,)."""
        sizes = [1] * len(self.varied) + [len(self.levels[name]) for name in self.categories]
        return np.repeat(np.arange(len(sizes)), sizes)

    def outside(self, placed: ScaledInputs) -> Float:
        """Return how far outside the samples' ranges each design lies, in half ranges over all knobs, shape (n,)."""
        if not self.varied:
            return np.zeros(placed.n)
        beyond = np.stack([np.maximum(np.abs(placed.z[name]) - 1, 0.0) for name in self.varied])
        return np.asarray(np.sqrt(np.sum(beyond**2, axis=0)))


def fit_coordinates(designs: Columns, knobs: Sequence[KnobSpec]) -> InputCoordinates:
    """Return the coordinates in which some samples run from -1 to 1.

    `pruning_ratio` counts by what remains and `quant_step` by its logarithm, whatever was declared.

    Args:
        designs: the samples' knobs, shape (n,) each, at least one row.
        knobs: what each column is.
    """
    levels = {
        knob.name: tuple(dict.fromkeys(str(value) for value in designs[knob.name].tolist()))
        for knob in knobs
        if knob.kind == "category"
    }
    return InputCoordinates(
        levels, {knob.name: _axis(knob, designs[knob.name]) for knob in knobs if knob.kind == "number"}
    )


def _axis(knob: KnobSpec, values: NDArray[Any]) -> InputScale:
    numbers = np.asarray(values, dtype=np.float64)
    scale: Scale = "log" if knob.is_log or knob.name in _ALWAYS_LOG else "linear"
    floor = 1e-300
    if knob.name == "pruning_ratio":
        scale, floor = "remaining", _LEAST_REMAINING
    elif knob.name == "quant_step":
        # "Not quantized" stands half of the finest step away: all that the data can tell of steps below the finest.
        positive = numbers[numbers > 0]
        scale, floor = "step", float(positive.min() / 2) if positive.size else 1e-6
    bare = InputScale(knob.name, scale, 0.0, 1.0, floor, is_varied=True)
    scaled = bare.scaled(numbers)
    low, high = float(scaled.min()), float(scaled.max())
    is_varied = high - low > 1e-12 * max(abs(low), abs(high))
    constant = _CONSTANT_SHARE * max(abs(low), 1e-9) if scale == "linear" else 1.0
    return InputScale(knob.name, scale, (low + high) / 2, (high - low) / 2 if is_varied else constant, floor, is_varied)


def _codes(name: str, values: NDArray[Any], levels: Sequence[str]) -> NDArray[np.int64]:
    place = {level: i for i, level in enumerate(levels)}
    # A broadcast column (stride 0) is of one level by construction; looking up 100,000 strings costs more than fitting.
    distinct = values[:1] if values.strides == (0,) else values
    found = [place.get(value if isinstance(value, str) else str(value), -1) for value in distinct.tolist()]
    codes = np.broadcast_to(np.array(found, dtype=np.int64), (len(values),))
    if len(codes) and codes.min() < 0:
        raise UnknownName(name, str(values[int(np.argmin(codes))]), levels)
    return codes
