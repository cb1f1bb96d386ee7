"""Feeds of a network: labelled data in the types and shapes of its inputs, and runs over all samples."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from explorer.errors import Fault, InvalidFile
from explorer.network.graph.session import Array, Input, Session
from explorer.network.task.labelled_data import LabelledData

MAX_CHUNK, MAX_CHUNK_BYTES = 256, 4_000_000  # activations are many times larger than their inputs


def first_batch(inputs: Mapping[str, Array], *, batch: int) -> dict[str, Array]:
    """Return the feeds of the first run, `batch` samples."""
    return {name: _padded(values[:batch], batch) for name, values in inputs.items()}


def run_in_chunks(
    session: Session, feeds: Mapping[str, Array], *, batch: int, remaining: Callable[[], float | None]
) -> dict[str, Array]:
    """Run all samples in chunks that fit in memory; return the concatenated outputs with one row per sample."""
    n = len(next(iter(feeds.values())))
    n_bytes = sum(values.nbytes for values in feeds.values()) // n
    size = batch if batch > 1 else max(1, min(MAX_CHUNK, MAX_CHUNK_BYTES // max(n_bytes, 1)))
    parts: list[dict[str, Array]] = []
    for start in range(0, n, size):
        stop = min(start + size, n)
        full = size if batch > 1 else stop - start
        chunk = {name: _padded(values[start:stop], full) for name, values in feeds.items()}
        outputs = session.run(chunk, seconds=remaining())
        parts.append(
            {
                name: values[: stop - start]
                for name, values in outputs.items()
                if isinstance(values, np.ndarray) and values.shape[:1] == (full,)
            }
        )
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts]) for name in shared}


def make_feeds(data: LabelledData, inputs: Sequence[Input]) -> dict[str, Array]:
    """Return all samples by input name, in the types and shapes of a network's inputs.

    Raises:
        InvalidFile: an input has no array, or an array of another shape or type.
    """
    names = [entry.name for entry in inputs]
    arrays = {names[0]: data.inputs["x"]} if len(names) == 1 and set(data.inputs) == {"x"} else data.inputs
    faults = [
        Fault(f"array '{name}'", "is not an input of the network", f"its inputs are {', '.join(names)}")
        for name in arrays
        if name not in names
    ]
    converted: dict[str, Array] = {}
    for entry in inputs:
        if entry.name not in arrays:
            faults.append(Fault(f"input '{entry.name}'", "has no array", "store one array for each input, by its name"))
            continue
        array = arrays[entry.name]
        fault = _misfit(entry, array)
        if fault is not None:
            faults.append(fault)
        else:
            converted[entry.name] = array.astype(entry.dtype)
    if faults:
        raise InvalidFile(data.source, faults)
    return converted


def _misfit(entry: Input, array: Array) -> Fault | None:
    location = f"array for input '{entry.name}'"
    if not entry.shape:
        return Fault(location, "has no batch: the input is a scalar", "export the network with a batch dimension")
    expected, actual = entry.shape[1:], array.shape[1:]
    is_match = len(expected) == len(actual) and all(e in {None, a} for e, a in zip(expected, actual, strict=True))
    if not is_match:
        shape = " x ".join("any" if length is None else str(length) for length in expected)
        return Fault(location, f"has samples of shape {actual}", f"the network takes {shape or 'single numbers'}")
    # Integers (pixels) convert to floats without loss, floats do not convert to integers.
    if not np.can_cast(array.dtype, entry.dtype, "same_kind"):
        return Fault(location, f"is {array.dtype}", f"the network takes {entry.dtype}")
    return None


def _padded(values: Array, n: int) -> Array:
    """Return n samples, padded with the last one, for a network with a fixed batch size."""
    n_missing = n - len(values)
    return values if n_missing <= 0 else np.concatenate([values, np.repeat(values[-1:], n_missing, axis=0)])
