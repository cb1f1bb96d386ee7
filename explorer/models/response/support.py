"""Support of a model: whether samples surround a design, by category, and how far the nearest of them is.

The range of the samples alone is not enough: a category may be measured in a part of the range only, and clusters of
samples leave gaps between them. Sources of the terms: OECD, Guidance Document on the Validation of (Q)SAR Models, 2007,
principle 3 (range-based and distance-based domains).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.spatial import cKDTree

from explorer.models.forms.forms import OPERATING_KNOBS
from explorer.models.forms.input_scaling import InputCoordinates, ScaledInputs
from explorer.models.response.response import Response
from explorer.problem.applicability import EXTRAPOLATION
from explorer.problem.columns import Columns, Float

# A design is in a gap if its nearest sample is so many times as far as any sample is from its own nearest neighbour
# (assumed; in the middle of a cell of a full grid the ratio is at most 0.5 times the square root of the knobs' number).
_GAP = 2.0
_ROWS_PER_KNOB = 6  # fewer rows are sparse everywhere and cannot show a gap
_IDLE_LENGTH = 5.0  # half ranges: the length scale along a knob without effect (assumed)
_MAX_KNOBS_FOR_GAPS = 12  # distances between few rows mean nothing in more dimensions


@dataclass(frozen=True, eq=False)
class Support:
    """Samples of one target as the region in which they support predictions.

    Args:
        coordinates: of the samples.
        inputs: the samples.
        lengths: fitted length scale of the target along each coordinate of `points`, shape (d,).
    """

    coordinates: InputCoordinates
    inputs: ScaledInputs
    lengths: Float

    def distance(self, designs: Columns) -> Float:
        """Return the distance of each design from the supported region, shape (n,).

        Beyond the range of its category: in widths of that range. In a gap: `EXTRAPOLATION` plus the ratio of its
        distance to the largest that still counts as supported, minus 1. 0 otherwise.
        """
        inputs = self.coordinates.transform(designs)
        return np.maximum(self._beyond_category(inputs), self._in_gap(inputs))

    def _beyond_category(self, inputs: ScaledInputs) -> Float:
        result = np.zeros(inputs.n)
        for name in self.coordinates.categories:
            for knob, (low, high) in self._ranges[name].items():
                own_low, own_high = low[inputs.codes[name]], high[inputs.codes[name]]
                whole = high.max() - low.min()  # of a level with one value
                width = np.where(own_high > own_low, own_high - own_low, whole)
                values = self._range_scaled(inputs, knob)
                result = np.maximum(result, np.maximum(own_low - values, values - own_high) / width)
        return np.maximum(result, 0.0)

    @cached_property
    def _ranges(self) -> Mapping[str, Mapping[str, tuple[Float, Float]]]:
        """Lowest and highest value of each varied knob at each level of each category, on the scale of its range."""
        ranges: dict[str, dict[str, tuple[Float, Float]]] = {}
        for name in self.coordinates.categories:
            codes, n_levels = self.inputs.codes[name], len(self.coordinates.levels[name])
            ranges[name] = {}
            for knob in self.coordinates.varied:
                low, high = np.full(n_levels, np.inf), np.full(n_levels, -np.inf)
                values = self._range_scaled(self.inputs, knob)
                np.minimum.at(low, codes, values)
                np.maximum.at(high, codes, values)
                ranges[name][knob] = low, high
        return ranges

    def _range_scaled(self, inputs: ScaledInputs, knob: str) -> Float:
        """Return a knob on the scale of the ranges of a model's domain (`Range`): linear, or logarithmic."""
        scale, values = self.coordinates.scales[knob], inputs.raw[knob]
        is_log = scale.scale in {"log", "step"} and knob not in OPERATING_KNOBS
        return np.asarray(np.log(np.maximum(values, scale.floor))) if is_log else values

    def _in_gap(self, inputs: ScaledInputs) -> Float:
        if self._reach == np.inf:
            return np.zeros(inputs.n)
        nearest, _ = self._tree.query(self.coordinates.points(inputs) / self.lengths)
        ratio = nearest / self._reach
        return np.where(ratio > 1, EXTRAPOLATION + ratio - 1, 0.0)

    @cached_property
    def _tree(self) -> cKDTree:
        return cKDTree(self.coordinates.points(self.inputs) / self.lengths)

    @cached_property
    def _reach(self) -> float:
        """Distance to the nearest sample beyond which a design is in a gap; infinite if the rows cannot show gaps."""
        n, d = self.inputs.n, len(self.coordinates.varied)
        if not 1 <= d <= _MAX_KNOBS_FOR_GAPS or n < _ROWS_PER_KNOB * d + len(self.coordinates.categories):
            return float("inf")
        nearest = np.asarray(self._tree.query(self._tree.data, k=2)[0])[:, 1]
        return _GAP * float(nearest.max())


def common_lengths(lengths: Sequence[Float]) -> Float:
    """Return the shortest length scale along each coordinate of several targets, shape (d,)."""
    return np.asarray(np.min(np.stack(list(lengths)), axis=0))


def same_samples(a: Columns, b: Columns) -> bool:
    """Return True if two tables have the same designs."""
    return a.keys() == b.keys() and all(len(a[k]) == len(b[k]) and bool(np.all(a[k] == b[k])) for k in a)


def build_supports(responses: Mapping[str, Response]) -> dict[str, Support]:
    """Return the support of each distinct table of samples, named by one of its targets."""
    tables: dict[str, list[Response]] = {}
    for target, response in responses.items():
        same = (name for name, rs in tables.items() if same_samples(rs[0].samples, response.samples))
        tables.setdefault(next(same, target), []).append(response)
    return {
        name: Support(
            rs[0].coordinates, rs[0].coordinates.transform(rs[0].samples),
            common_lengths([length_scales(response) for response in rs]),
        )
        for name, rs in tables.items()
    }  # fmt: skip


def length_scales(response: Response) -> Float:
    """Return the distance along each coordinate over which a target changes little, in half ranges, shape (d,).

    Along a knob whose effect is below twice the noise it is five half ranges, elsewhere one.
    """
    coordinates = response.coordinates
    if not coordinates.varied:
        return np.ones(len(coordinates.tie))
    lengths = np.ones(len(coordinates.tie))
    noise = max(response.noise, 1e-12)
    for i, name in enumerate(coordinates.varied):
        ends = [response.linked({**response.samples, name: np.full_like(response.samples[name], end, dtype=np.float64)})
                for end in (response.samples[name].min(), response.samples[name].max())]  # fmt: skip
        if float(np.sqrt(np.mean((ends[1] - ends[0]) ** 2))) < 2 * noise:
            lengths[i] = _IDLE_LENGTH
    return lengths
