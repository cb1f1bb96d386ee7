"""Applicability domain of a model: the distance of designs from the range of its samples.

Source of the term: OECD, Guidance Document on the Validation of (Q)SAR Models, 2007, principle 3 (range-based domain).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from explorer.problem.columns import Columns, Float, by_family, n_rows, numeric_knobs

# Width of the range of a knob that the samples never vary, as a share of its value (assumed).
_CONSTANT_KNOB_WIDTH = 0.05
# By default a model is used up to half a range width beyond its samples; further out it extrapolates (assumed).
EXTRAPOLATION = 0.5
_LOG_KNOBS = frozenset({"quant_step"})


@dataclass(frozen=True, slots=True)
class Range:
    """Range of one knob over the samples of a family; with `is_log` its width is a difference of logarithms."""

    low: float
    high: float
    is_log: bool

    @property
    def width(self) -> float:
        """Width of the range on its scale."""
        width = float(self.scaled(self.high) - self.scaled(self.low))
        default = math.log1p(_CONSTANT_KNOB_WIDTH) if self.is_log else _CONSTANT_KNOB_WIDTH * max(abs(self.high), 1e-9)
        return float(width if width > 0 else default)

    def widened(self, share: float) -> tuple[float, float]:
        """Return the range with `share` of its width added on both sides."""
        margin = share * self.width
        low, high = float(self.scaled(self.low)) - margin, float(self.scaled(self.high)) + margin
        return (math.exp(low), math.exp(high)) if self.is_log else (low, high)

    def distance(self, values: Float) -> Float:
        """Return the distance of each value outside the range, in range widths, shape (n,); 0 inside."""
        scaled = self.scaled(values)
        outside = np.maximum(self.scaled(self.low) - scaled, scaled - self.scaled(self.high))
        return np.asarray(np.maximum(outside, 0.0) / self.width)

    def scaled(self, values: ArrayLike) -> Float:
        """Return values on the scale of the range, linear or logarithmic, same shape."""
        array = np.asarray(values, dtype=np.float64)
        return np.log(np.maximum(array, 1e-300)) if self.is_log else array


Domain = Mapping[str, Mapping[str, Range]]
"""The range of the samples for each family and numeric knob."""


def domain_of(samples: Columns) -> Domain:
    """Return the range of each numeric knob of the samples, by family; every row has all knobs."""
    family, knobs = samples["family"], numeric_knobs(samples)
    return {
        str(name): {
            knob: Range(
                float(np.min(samples[knob][family == name])),
                float(np.max(samples[knob][family == name])),
                knob in _LOG_KNOBS,
            )
            for knob in knobs
        }
        for name in dict.fromkeys(family.tolist())
    }


def knob_distances(designs: Columns, domain: Domain) -> Columns:
    """Return each design's distance outside the domain for each of its knobs, in range widths, shape (n,)."""
    names, index = by_family(designs["family"])
    if len(names) == 1:
        return {knob: knob_range.distance(designs[knob]) for knob, knob_range in domain[names[0]].items()}
    distances: Columns = {knob: np.zeros(n_rows(designs)) for name in names for knob in domain[name]}
    for i, name in enumerate(names):
        for knob, knob_range in domain[name].items():
            distances[knob][index == i] = knob_range.distance(designs[knob][index == i])
    return distances


def constant_knobs(domain: Domain) -> dict[str, float]:
    """Return the knobs with the same value in every sample of every family, with that value."""
    knobs = dict.fromkeys(knob for ranges in domain.values() for knob in ranges)
    ends = {knob: {end for r in domain.values() for end in (r[knob].low, r[knob].high)} for knob in knobs}
    return {knob: next(iter(values)) for knob, values in ends.items() if len(values) == 1}


def is_extrapolated(distance: ArrayLike) -> NDArray[np.bool_]:
    """Return a mask of the domain distances beyond `EXTRAPOLATION`, same shape; the edge itself is inside."""
    return np.asarray(distance, dtype=np.float64) > EXTRAPOLATION + 1e-9


def domain_distance(designs: Columns, domain: Domain) -> Float:
    """Return each design's largest distance over all knobs, shape (n,); 0 inside the bounding box of the samples."""
    distances = list(knob_distances(designs, domain).values())
    return np.asarray(np.max(np.stack(distances), axis=0)) if distances else np.zeros(n_rows(designs))
