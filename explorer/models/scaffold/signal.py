"""Signal of a target: whether its values differ between designs by more than their own noise."""

import numpy as np

from explorer.models.samples.samples import Samples
from explorer.network.task.accuracy import wilson_interval
from explorer.problem.columns import by_configuration, column_of

_TINY = 1e-3  # of a target's median: a smaller spread decides between no designs
_MIN_REPEATS = 3  # repeated rows from which a scatter is estimated
_MIN_RATIO = 1.5  # of the scatter between designs to that of repeats: less is noise (F of 2.25)


def noise_text(samples: Samples, target: str) -> str:
    """Return why a target has no signal, for the user; empty where designs differ by more than the noise.

    Noise is the scatter of repeated designs, and for counted accuracies the Wilson intervals (95 %): where all of them
    overlap, no design is better than another.

    Args:
        samples: the table.
        target: one of its targets.
    """
    values = samples.columns[target]
    is_measured = np.isfinite(values)
    values = values[is_measured]
    column = column_of(target)
    low, high = column.text(float(values.min())), column.text(float(values.max()))
    if np.ptp(values) == 0:
        return f"{target} is {low} in every row"
    if np.ptp(values) <= _TINY * abs(float(np.median(values))):
        return f"{target} hardly varies: {low} to {high}"
    if target == "accuracy" and samples.n_counted.size and (samples.n_counted[is_measured] > 0).all():
        counts = samples.n_counted[is_measured]
        starts, ends = wilson_interval(np.round(values * counts), counts)
        if starts.max() <= ends.min():
            return f"{target} varies within its counting error: {low} to {high} of {int(counts.max())} samples"
    index = by_configuration({name: samples.columns[name][is_measured] for name in samples.knobs})
    n = np.bincount(index)
    means = np.bincount(index, weights=values) / n
    n_extra = int((n - 1).sum())
    if n_extra < _MIN_REPEATS or len(n) < 2:
        return ""
    within = float(np.sqrt(np.sum((values - means[index]) ** 2) / n_extra))
    between = float(np.std(means, ddof=1) * np.sqrt(len(values) / len(n)))
    if between < _MIN_RATIO * within:
        scatter = column.text(within)
        return f"{target} varies between designs no more than between repeats (scatter {scatter})"
    return ""
