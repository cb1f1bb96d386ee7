"""The applicability domain: how far a design lies outside what was measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from explorer.problem.columns import Columns, Float, by_family, n_rows, numeric_knobs

# A knob that the samples never varied has no width of its own; a twentieth of its value stands in for it (assumed).
_CONSTANT_KNOB_WIDTH = 0.05
# Half a width beyond the samples is where a model is still asked by default; beyond that it extrapolates.
EXTRAPOLATION = 0.5
_LOG_KNOBS = frozenset({"quant_step"})


@dataclass(frozen=True, slots=True)
class Range:
    """The range of one knob over a family's samples; `is_log` measures its width in logarithms."""

    low: float
    high: float
    is_log: bool

    @property
    def width(self) -> float:
        """Width of the range in its own scale."""
        width = float(self.scaled(self.high) - self.scaled(self.low))
        stand_in = math.log1p(_CONSTANT_KNOB_WIDTH) if self.is_log else _CONSTANT_KNOB_WIDTH * max(abs(self.high), 1e-9)
        return float(width if width > 0 else stand_in)

    def widened(self, share: float) -> tuple[float, float]:
        """Return the range with `share` of its width added on both sides."""
        margin = share * self.width
        low, high = float(self.scaled(self.low)) - margin, float(self.scaled(self.high)) + margin
        return (math.exp(low), math.exp(high)) if self.is_log else (low, high)

    def distance(self, values: Float) -> Float:
        """Return how far outside the range each value lies, in widths, shape (n,); 0 inside."""
        scaled = self.scaled(values)
        outside = np.maximum(self.scaled(self.low) - scaled, scaled - self.scaled(self.high))
        return np.asarray(np.maximum(outside, 0.0) / self.width)

    def scaled(self, values: ArrayLike) -> Float:
        """Return values in the scale in which the width is measured, same shape."""
        array = np.asarray(values, dtype=np.float64)
        return np.log(np.maximum(array, 1e-300)) if self.is_log else array


Domain = Mapping[str, Mapping[str, Range]]
"""For each family, for each numeric knob, the span of its samples."""


def domain_of(samples: Columns) -> Domain:
    """Return the spans of the numeric knobs that samples have, by family; every row has all of them."""
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
    """Return, for each knob of the domain, how far outside its samples each design lies, in widths, shape (n,)."""
    names, index = by_family(designs["family"])
    if len(names) == 1:
        return {knob: span.distance(designs[knob]) for knob, span in domain[names[0]].items()}
    distances: Columns = {knob: np.zeros(n_rows(designs)) for name in names for knob in domain[name]}
    for i, name in enumerate(names):
        for knob, span in domain[name].items():
            distances[knob][index == i] = span.distance(designs[knob][index == i])
    return distances


def constant_knobs(domain: Domain) -> dict[str, float]:
    """Return the knobs that no sample of any family varies, with their value."""
    knobs = dict.fromkeys(knob for spans in domain.values() for knob in spans)
    ends = {knob: {end for spans in domain.values() for end in (spans[knob].low, spans[knob].high)} for knob in knobs}
    return {knob: next(iter(values)) for knob, values in ends.items() if len(values) == 1}


def is_extrapolated(distance: ArrayLike) -> NDArray[np.bool_]:
    """Tell which domain distances lie beyond where a model is asked, same shape; the widened edge itself does not."""
    return np.asarray(distance, dtype=np.float64) > EXTRAPOLATION + 1e-9


def domain_distance(designs: Columns, domain: Domain) -> Float:
    """Return each design's largest knob distance, shape (n,); 0 inside the samples' box."""
    distances = list(knob_distances(designs, domain).values())
    return np.asarray(np.max(np.stack(distances), axis=0)) if distances else np.zeros(n_rows(designs))
