"""Input space of a set of samples: category levels, and numeric knobs scaled to [-1, 1] over their range."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.errors import UnknownName
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float, n_rows, take

ScaleKind = Literal["linear", "log", "remaining", "step"]

# A knob that is constant in the samples has no range. Its unit is a factor of e (log scales), or this share of its
# value (linear scale); both assumed.
_CONSTANT_SHARE = 0.5
# Physics counts these in factors: V^2 f, a + b/f.
_ALWAYS_LOG = frozenset({"voltage_v", "frequency_hz"})
# log(1 - R) diverges at R = 1; no measurement has less than a thousandth of the weights.
_LEAST_REMAINING = 1e-3
_MIN_BITS, _MAX_BITS = 0.25, 32.0  # D = 0 (not quantized) counts as 32 bits
ALL = ""
# Physical quantities of the knobs, in the order in which they identify the least compressed design.
QUANTITIES = ("weights", "bits", "clock", "voltage")


@dataclass(frozen=True, slots=True)
class InputScale:
    """Scale of a numeric knob: `z = (scaled - center) / half` runs from -1 to 1 over the samples.

    Args:
        name: the knob.
        scale: `remaining` is log(1 - value), `step` is log(value) with 0 (not quantized) set to `floor`.
        center: middle of the samples, scaled.
        half: half of their range, scaled; positive.
        floor: lower bound of the argument of a logarithm.
        is_varied: the samples have more than one value.
    """

    name: str
    scale: ScaleKind
    center: float
    half: float
    floor: float
    is_varied: bool

    def scaled(self, values: NDArray[Any]) -> Float:
        """Return values on this scale, same shape; NaN stays NaN."""
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
    """Designs in the coordinates of a set of samples.

    Args:
        codes: index of each design's level for each category knob, shape (n,).
        z: each numeric knob in half ranges from the samples' middle, shape (n,).
        raw: the numeric knobs unscaled, shape (n,).
        logs: logarithms of the physical quantities (`QUANTITIES`) relative to the reference design, shape (n,).
        n: number of designs.
    """

    codes: Mapping[str, NDArray[np.int64]]
    z: Mapping[str, Float]
    raw: Mapping[str, Float]
    logs: Mapping[str, Float]
    n: int

    def rows(self, which: NDArray[Any]) -> "ScaledInputs":
        """Return some of the designs, by index or mask."""
        n = len(np.arange(self.n)[which])
        return ScaledInputs(
            take(self.codes, which), take(self.z, which), take(self.raw, which), take(self.logs, which), n
        )


@dataclass(frozen=True, slots=True)
class InputCoordinates:
    """Coordinate system of the samples' input space.

    Args:
        levels: levels of each category knob.
        scales: scale of each numeric knob.
        references: logarithms of the physical quantities of the reference design, for each family (ALL without
            families).
    """

    levels: Mapping[str, tuple[str, ...]]
    scales: Mapping[str, InputScale]
    references: Mapping[str, Mapping[str, float]]

    @property
    def varied(self) -> tuple[str, ...]:
        """Numeric knobs with more than one value in the samples."""
        return tuple(name for name, scale in self.scales.items() if scale.is_varied)

    @property
    def categories(self) -> tuple[str, ...]:
        """Category knobs with more than one level in the samples."""
        return tuple(name for name, levels in self.levels.items() if len(levels) > 1)

    @property
    def knobs(self) -> tuple[str, ...]:
        """All knobs, categories first."""
        return (*self.levels, *self.scales)

    def transform(self, designs: Columns) -> ScaledInputs:
        """Scale designs to these coordinates.

        Raises:
            UnknownName: a level is not among the samples; other levels cannot predict it.
        """
        codes = {name: _level_codes(name, designs[name], levels) for name, levels in self.levels.items()}
        raw = {name: np.asarray(designs[name], dtype=np.float64) for name in self.scales}
        z = {name: scale.z(raw[name]) for name, scale in self.scales.items()}
        return ScaledInputs(codes, z, raw, self._relative_logs(raw, codes), n_rows(designs))

    def _relative_logs(self, raw: Mapping[str, Float], codes: Mapping[str, NDArray[np.int64]]) -> dict[str, Float]:
        """Return the logarithms of the physical quantities relative to each design's reference design, shape (n,)."""
        if ALL in self.references:
            return {name: values - self.references[ALL][name] for name, values in physical_logs(raw).items()}
        families = self.levels["family"]
        by_family = {
            name: np.array([self.references[family][name] for family in families])
            for name in self.references[families[0]]
        }
        return {name: values - by_family[name][codes["family"]] for name, values in physical_logs(raw).items()}

    def points(self, inputs: ScaledInputs) -> Float:
        """Return the varied knobs as a matrix, shape (n, d): numbers in half ranges, levels of a category 1 apart."""
        parts = [inputs.z[name][:, None] for name in self.varied]
        parts += [np.eye(len(self.levels[name]))[inputs.codes[name]] / np.sqrt(2) for name in self.categories]
        return np.concatenate(parts, axis=1) if parts else np.zeros((inputs.n, 0))

    @property
    def tie(self) -> NDArray[np.int64]:
        """Index of the knob of each column of `points`, shape (d,); the levels of a category are tied."""
        sizes = [1] * len(self.varied) + [len(self.levels[name]) for name in self.categories]
        return np.repeat(np.arange(len(sizes)), sizes)

    def distance_outside(self, inputs: ScaledInputs) -> Float:
        """Return the Euclidean distance of each design from the samples' ranges, in half ranges, shape (n,)."""
        if not self.varied:
            return np.zeros(inputs.n)
        beyond = np.stack([np.maximum(np.abs(inputs.z[name]) - 1, 0.0) for name in self.varied])
        return np.asarray(np.sqrt(np.sum(beyond**2, axis=0)))


def fit_coordinates(designs: Columns, knobs: Sequence[KnobSpec]) -> InputCoordinates:
    """Return the coordinates in which samples run from -1 to 1.

    `pruning_ratio` is scaled by log(1 - R) and `quant_step` by its logarithm, regardless of `is_log`.

    Args:
        designs: the samples' knobs, shape (n,) each, at least one row.
        knobs: declaration of each column.
    """
    levels = {
        knob.name: tuple(dict.fromkeys(str(value) for value in designs[knob.name].tolist()))
        for knob in knobs
        if knob.kind == "category"
    }
    scales = {knob.name: _fit_scale(knob, designs[knob.name]) for knob in knobs if knob.kind == "number"}
    return InputCoordinates(levels, scales, _reference_logs(designs, scales, levels.get("family", ())))


def bits_of(knobs: Mapping[str, Any]) -> Float | None:
    """Return the bits of a weight, shape (n,): log2(2 / D), or `weight_bits`; None without either knob.

    Source: eq. (5) rounds weights within [-1, 1] to multiples of D, which are 2 / D values.
    """
    if "quant_step" in knobs:
        with np.errstate(divide="ignore"):
            bits = np.log2(2 / np.asarray(knobs["quant_step"], dtype=np.float64))
    elif "weight_bits" in knobs:
        bits = np.asarray(knobs["weight_bits"], dtype=np.float64)
    else:
        return None
    return np.asarray(np.clip(bits, _MIN_BITS, _MAX_BITS))


def physical_logs(knobs: Mapping[str, Any]) -> dict[str, Float]:
    """Return the logarithms of remaining weights, bits, clock and voltage, shape (n,), of the knobs that exist."""
    logs: dict[str, Float] = {}
    if "pruning_ratio" in knobs:
        remaining = 1 - np.asarray(knobs["pruning_ratio"], dtype=np.float64)
        logs["weights"] = np.log(np.maximum(remaining, _LEAST_REMAINING))
    bits = bits_of(knobs)
    if bits is not None:
        logs["bits"] = np.log(bits)
    for quantity, name in (("clock", "frequency_hz"), ("voltage", "voltage_v")):
        if name in knobs:
            logs[quantity] = np.log(np.maximum(np.asarray(knobs[name], dtype=np.float64), 1e-300))
    return logs


def _reference_logs(
    designs: Columns, scales: Mapping[str, InputScale], families: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return the quantities of each family's reference design: most weights, then most bits, highest clock."""
    logs = physical_logs({name: designs[name] for name in scales})
    if not logs:
        return {ALL: {}}
    labels = designs["family"].astype(str) if families else np.full(n_rows(designs), ALL)
    keys = np.stack([logs[name] for name in QUANTITIES if name in logs])
    references = {}
    for family in families or (ALL,):
        rows = np.flatnonzero(labels == family)
        # lexsort: the last key is the first criterion. Rows without a family of these samples take any row.
        first = rows[np.lexsort(-keys[::-1][:, rows])[0]]
        references[family] = {name: float(values[first]) for name, values in logs.items()}
    return references


def _fit_scale(knob: KnobSpec, values: NDArray[Any]) -> InputScale:
    numbers = np.asarray(values, dtype=np.float64)
    scale: ScaleKind = "log" if knob.is_log or knob.name in _ALWAYS_LOG else "linear"
    floor = 1e-300
    if knob.name == "pruning_ratio":
        scale, floor = "remaining", _LEAST_REMAINING
    elif knob.name == "quant_step":
        # "Not quantized" (0) is placed at half of the finest step: the data do not constrain finer steps.
        positive = numbers[numbers > 0]
        scale, floor = "step", float(positive.min() / 2) if positive.size else 1e-6
    scaled = InputScale(knob.name, scale, 0.0, 1.0, floor, is_varied=True).scaled(numbers)
    low, high = float(scaled.min()), float(scaled.max())
    is_varied = high - low > 1e-12 * max(abs(low), abs(high))
    constant = _CONSTANT_SHARE * max(abs(low), 1e-9) if scale == "linear" else 1.0
    return InputScale(knob.name, scale, (low + high) / 2, (high - low) / 2 if is_varied else constant, floor, is_varied)


def _level_codes(name: str, values: NDArray[Any], levels: Sequence[str]) -> NDArray[np.int64]:
    index = {level: i for i, level in enumerate(levels)}
    # Most columns have one level; mapping 100,000 strings would cost more than the prediction.
    is_single = len(values) > 0 and (values.strides == (0,) or bool(np.all(values == values[0])))
    distinct = values[:1] if is_single else values
    code = [index.get(value if isinstance(value, str) else str(value), -1) for value in distinct.tolist()]
    codes = np.broadcast_to(np.array(code, dtype=np.int64), (len(values),))
    if len(codes) and codes.min() < 0:
        raise UnknownName(name, str(values[int(np.argmin(codes))]), levels)
    return codes
