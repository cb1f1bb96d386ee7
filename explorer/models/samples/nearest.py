"""The measured sample that lies nearest to a design."""

import numpy as np
from numpy.typing import NDArray

from explorer.models.samples.samples import Samples
from explorer.problem.applicability import Domain
from explorer.problem.columns import Columns, Float, by_family, n_rows, own_knobs

_PAIRS = 2_000_000  # distances at once: 16 MB


def nearest_sample(samples: Samples, designs: Columns, domain: Domain) -> tuple[NDArray[np.int64], Float]:
    """Return the sample nearest to each design within its family, and how far it is, shape (n,) each.

    Distance is Euclidean over the numeric knobs, each in widths of the family's span; a category that differs counts as
    one width. A knob that a sample does not have (its table lacks it) adds nothing. A family without samples gets -1
    and infinity.
    """
    row, distance = np.full(n_rows(designs), -1, dtype=np.int64), np.full(n_rows(designs), np.inf)
    columns = samples.columns
    categories = [name for name in own_knobs(columns) if columns[name].dtype == object and name in designs]
    names, index = by_family(designs["family"])
    for i, name in enumerate(names):
        there = np.flatnonzero(columns["family"] == name)
        if not there.size or name not in domain:
            continue
        members, size = np.flatnonzero(index == i), max(_PAIRS // len(there), 1)
        for here in (members[first : first + size] for first in range(0, len(members), size)):
            squares = np.zeros((len(here), len(there)))
            for knob, span in domain[name].items():
                gap = span.scaled(designs[knob][here])[:, None] - span.scaled(columns[knob][there])
                squares += np.nan_to_num(gap / span.width) ** 2
            for knob in categories:
                known = columns[knob][there]
                squares += (designs[knob][here][:, None] != known) & (known != "")
            row[here] = there[np.argmin(squares, axis=1)]
            distance[here] = np.sqrt(np.min(squares, axis=1))
    return row, distance
