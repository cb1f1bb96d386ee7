"""Runs of a network over many samples: outputs with one row for each sample."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from explorer.network.graph.session import Array, Session
from explorer.network.task.feeds import Feeds, Remaining, row_without_batch


def run_samples(
    session: Session, feeds: Feeds, *, keep: Collection[str] | None = None, remaining: Remaining
) -> tuple[dict[str, Array], dict[str, str]]:
    """Run all samples of feeds, in as few runs as memory and batch allow.

    Args:
        session: inference session.
        feeds: the samples.
        keep: names of the outputs to keep; None keeps all.
        remaining: returns the seconds that are left, None without a limit.

    Returns:
        The outputs that have one row for each sample, shape (n, ...); and for each other output why it has not.

    Raises:
        MeasurementFailed: a run failed or exceeded its time limit.
    """
    names = [name for name in session.outputs if keep is None or name in keep]
    parts: dict[str, list[Array]] = {name: [] for name in names}
    ignored: dict[str, str] = {}
    size = feeds.chunk
    for start in range(0, feeds.n_samples, size):
        stop = min(start + size, feeds.n_samples)
        outputs = session.run(feeds.of(start, stop), seconds=remaining())
        for name in names:
            if name not in ignored:
                rows = _rows(outputs[name], n=stop - start, size=size if feeds.batch > 1 else stop - start)
                if isinstance(rows, str):
                    ignored[name] = rows
                elif parts[name] and rows.shape[1:] != parts[name][0].shape[1:]:
                    ignored[name] = "has another shape for other samples"
                else:
                    parts[name].append(rows)
    return {name: np.concatenate(rows) for name, rows in parts.items() if name not in ignored}, ignored


def _rows(values: Any, *, n: int, size: int) -> Array | str:
    """Return the rows of n samples in the output of a run of `size` samples, or why it has none."""
    if not isinstance(values, np.ndarray):
        kind = "maps (ZipMap)" if isinstance(values, list) and values and isinstance(values[0], Mapping) else "values"
        return f"is a sequence of {kind}, not an array"
    if size == 1:
        row = row_without_batch(values)
        return values if row is None else row[np.newaxis]
    if values.shape[:1] != (size,):
        return f"has shape {values.shape}, not one row for each of {size} samples"
    return values[:n]
