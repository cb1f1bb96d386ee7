"""Nearest measured sample of a design."""

import numpy as np
from numpy.typing import NDArray

from explorer.models.samples.samples import Samples
from explorer.problem.applicability import Domain
from explorer.problem.columns import Columns, Float, by_family, n_rows, own_knobs

_MAX_PAIRS = 2_000_000  # distances per block: 16 MB


def nearest_sample(samples: Samples, designs: Columns, domain: Domain) -> tuple[NDArray[np.int64], Float]:
    """Return the index of the nearest sample of each design's family, and its distance, shape (n,) each.

    The distance is Euclidean over the numeric knobs in units of the family's range. A different category counts as 1. A
    knob that the sample's table lacks counts as 0. For a family without samples: -1 and infinity.
    """
    row, distance = np.full(n_rows(designs), -1, dtype=np.int64), np.full(n_rows(designs), np.inf)
    columns = samples.columns
    categories = [name for name in own_knobs(columns) if columns[name].dtype == object and name in designs]
    names, index = by_family(designs["family"])
    for i, name in enumerate(names):
        measured = np.flatnonzero(columns["family"] == name)
        if not measured.size or name not in domain:
            continue
        members, size = np.flatnonzero(index == i), max(_MAX_PAIRS // len(measured), 1)
        for block in (members[first : first + size] for first in range(0, len(members), size)):
            squares = np.zeros((len(block), len(measured)))
            for knob, span in domain[name].items():
                gap = span.scaled(designs[knob][block])[:, None] - span.scaled(columns[knob][measured])
                squares += np.nan_to_num(gap / span.width) ** 2
            for knob in categories:
                levels = columns[knob][measured]
                squares += (designs[knob][block][:, None] != levels) & (levels != "")
            row[block] = measured[np.argmin(squares, axis=1)]
            distance[block] = np.sqrt(np.min(squares, axis=1))
    return row, distance
