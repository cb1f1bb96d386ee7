"""Feeds of a network: samples and constants in the types and shapes of its inputs, and the batch of a run."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, MeasurementFailed
from explorer.network.graph.session import Array, Input, Session
from explorer.network.task.labelled_data import LabelledData

MAX_CHUNK, MAX_CHUNK_BYTES = 256, 4_000_000  # activations are many times larger than their inputs
_N_COMPARED = 3  # samples that are run alone and together
_TOLERANCE = 1e-3  # of the largest value; float32 differs by 1e-6 between batch sizes, float16 by 1e-3
Remaining = Callable[[], float | None]
Stacking = Literal["stacked", "fails", "differs"]
_Shape = Sequence[int | None]


@dataclass(frozen=True, slots=True)
class Feeds:
    """Samples of a network as it takes them.

    Args:
        samples: arrays of n samples, by input name.
        constants: arrays that every run takes, by input name.
        unbatched: inputs without a batch axis, which take one sample each.
        batch: number of samples of a run where it is fixed, else 1.
        is_stacked: True if one run may take several samples.
        why: why samples are run one by one or padded, for the user; empty where the batch is free.
    """

    samples: Mapping[str, Array]
    constants: Mapping[str, Array]
    unbatched: frozenset[str]
    batch: int
    is_stacked: bool
    why: str = ""

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(next(iter(self.samples.values())))

    @property
    def chunk(self) -> int:
        """Number of samples of one run of an evaluation: the batch, or as many as fit in memory."""
        if not self.is_stacked or self.batch > 1:
            return self.batch
        n_bytes = sum(values.nbytes for values in self.samples.values()) // self.n_samples
        return max(1, min(MAX_CHUNK, MAX_CHUNK_BYTES // max(n_bytes, 1)))

    def of(self, start: int, stop: int) -> dict[str, Array]:
        """Return the feeds of one run of samples start to stop, filled up to the batch with the last one."""
        n_missing = max(self.batch - (stop - start), 0)
        feeds = dict(self.constants)
        for name, values in self.samples.items():
            part = np.asarray(values[start]) if name in self.unbatched else values[start:stop]
            feeds[name] = np.concatenate([part, np.repeat(part[-1:], n_missing, axis=0)]) if n_missing else part
        return feeds

    def take(self, rows: NDArray[Any] | None) -> "Feeds":
        """Return the feeds of some samples, by indices or a mask; None: all of them."""
        if rows is None:
            return self
        return replace(self, samples={name: values[rows] for name, values in self.samples.items()})


def late_batch_hint(feeds: Feeds, inputs: Sequence[Input]) -> str:
    """Return how to store an array whose samples are on another axis than the first (states); empty without one."""
    n = feeds.n_samples
    for entry in inputs:
        shape = feeds.constants[entry.name].shape if entry.name in feeds.constants else ()
        for axis in range(1, len(shape) if n > 1 else 0):
            if shape[axis] == n and entry.shape[axis] is None:
                code = f"np.expand_dims(np.moveaxis(a, {axis}, 0), {axis + 1})"
                return f"'{entry.name}' is fed whole; if its axis {axis} is the samples, store {code} of it"
    return ""


def make_feeds(data: LabelledData, inputs: Sequence[Input]) -> dict[str, Array]:
    """Return all samples by input name, in the types and shapes of a network's inputs, without constants.

    Raises:
        InvalidFile: an input has no array, or an array of another shape or type.
    """
    feeds = match_inputs(data.inputs, inputs, n=data.n_samples, source=data.source)
    return {entry.name: feeds.samples[entry.name] for entry in inputs if entry.name in feeds.samples}


def match_inputs(arrays: Mapping[str, Any], inputs: Sequence[Input], *, n: int, source: str) -> Feeds:
    """Match arrays with a network's inputs by name and shape, and convert their types.

    An array of n entries, each of the shape that the input takes, holds samples. An array that fits the whole input is
    a constant. `x` is the only input that has no array of its own.

    Args:
        arrays: arrays by name.
        inputs: the network's inputs.
        n: number of samples.
        source: name of the data.

    Raises:
        InvalidFile: an input has no array, or an array of another shape or type; all faults at once.
    """
    if not inputs:
        raise InvalidFile(source, [Fault("", "the network has no inputs", "use another network")])
    named = name_only_input(arrays, inputs)
    names = [entry.name for entry in inputs]
    faults = [
        Fault(f"array '{name}'", "is not an input of the network", f"its inputs are {', '.join(names)}")
        for name in named
        if name not in names
    ]
    samples: dict[str, Array] = {}
    constants: dict[str, Array] = {}
    unbatched = set()
    for entry in inputs:
        if entry.name not in named:
            fix = f"store one array for each input, by its name: '{entry.name}', {_wanted(entry)}"
            faults.append(Fault(f"input '{entry.name}'", "has no array", fix))
            continue
        array = np.asarray(named[entry.name])
        kind = _kind(entry, array, n=n)
        converted = _convert(entry, array) if kind else _misfit(entry, array, n=n)
        if isinstance(converted, Fault):
            faults.append(converted)
        elif kind == "constant":
            is_number = converted.ndim != len(entry.shape)
            shape = [length or 1 for length in entry.shape] if is_number else converted.shape
            constants[entry.name] = converted.reshape(shape)
        else:
            samples[entry.name] = converted
            unbatched |= {entry.name} if kind == "unbatched" else set()
    if faults:
        raise InvalidFile(source, faults)
    if not samples:
        fault = Fault("", f"no array has one entry for each of {n:,} labels", "store the samples as x")
        raise InvalidFile(source, [fault])
    return _with_fixed_batch(Feeds(samples, constants, frozenset(unbatched), 1, True), inputs, source=source)


def name_only_input(arrays: Mapping[str, Any], inputs: Sequence[Input]) -> Mapping[str, Any]:
    """Return the arrays with `x` under the name of the only input that has no array of its own."""
    missing = [entry.name for entry in inputs if entry.name not in arrays]
    if len(missing) != 1 or "x" not in arrays or any(entry.name == "x" for entry in inputs):
        return arrays
    return {missing[0] if name == "x" else name: values for name, values in arrays.items()}


def settle_batch(session: Session, feeds: Feeds, *, remaining: Remaining) -> Feeds:
    """Return the feeds with the number of samples that one run takes, by runs of a few samples alone and together.

    Raises:
        MeasurementFailed: the network cannot be run on one sample.
    """
    if not feeds.is_stacked or feeds.batch > 1:
        return feeds
    stacking, why = probe_stacking(session, feeds, remaining=remaining)
    return feeds if stacking == "stacked" else replace(feeds, is_stacked=False, why=why)


def probe_stacking(session: Session, feeds: Feeds, *, remaining: Remaining) -> tuple[Stacking, str]:
    """Run a few samples alone and together; return the outcome of a batch, and the reason for the user.

    Exports have a free batch axis that the graph does not honour, such as a Reshape to one sample: a batch "fails".
    Others mix the samples of a batch, which "differs" then. Else samples can be "stacked".

    Raises:
        MeasurementFailed: the network cannot be run on one sample.
    """
    m = min(_N_COMPARED, feeds.n_samples)
    alone = [session.run(feeds.of(i, i + 1), seconds=remaining()) for i in range(m)]
    if m == 1:
        return "stacked", ""
    try:
        together = session.run(feeds.of(0, m), seconds=remaining())
    except MeasurementFailed as error:
        remaining()  # an exceeded time limit is no property of the network
        return "fails", f"a run of {m} samples fails ({_reason(error)})"
    agree = {name: _agree([row_without_batch(run[name]) for run in alone], values) for name, values in together.items()}
    if False in agree.values():
        name = next(name for name, agrees in agree.items() if agrees is False)
        return "differs", f"a batch changes the values of output '{name}'"
    if True not in agree.values():
        return "differs", f"a run of {m} samples has no output with {m} rows"
    return "stacked", ""


def random_warnings(session: Session, feeds: Feeds, *, remaining: Remaining) -> tuple[str, ...]:
    """Return a warning if two runs of one sample differ, as those of a Dropout in training mode do.

    Raises:
        MeasurementFailed: the network cannot be run on one sample.
    """
    first, second = (session.run(feeds.of(0, 1), seconds=remaining()) for _ in range(2))
    is_random = any(
        _agree([values], np.asarray(second[name])[np.newaxis]) is False
        for name, values in first.items()
        if isinstance(values, np.ndarray)
    )
    return ("two runs of one sample differ: export it for inference, without random operators",) if is_random else ()


def _reason(error: MeasurementFailed) -> str:
    """Return onnxruntime's error without its codes and paths: the operator that failed."""
    text = error.problem.rpartition("[ONNXRuntimeError] : ")[2].partition(" Status Message")[0]
    return re.sub(r"^\d+ : \w+ : (Non-zero status code returned while running )?", "", text)[:120].strip()


def row_without_batch(value: Any) -> Array | None:
    """Return the output of a run of one sample without its batch axis; None if it is no array."""
    if not isinstance(value, np.ndarray):
        return None
    return value.reshape(value.shape[1:]) if value.shape[:1] == (1,) else value  # value[0] of (1,) strings is a str


def convert_array(entry: Input, array: Array) -> Array | None:
    """Return an array in the type of an input; None if that would change its values."""
    kinds = array.dtype.kind + entry.dtype.kind
    if array.dtype == entry.dtype:
        return array
    if "U" in kinds or "O" in kinds:
        return array.astype(object) if kinds in {"UU", "OU"} else None
    if kinds[1] in "biu" and kinds[0] in "biu":
        low, high = (0, 1) if kinds[1] == "b" else (np.iinfo(entry.dtype).min, np.iinfo(entry.dtype).max)
        return array.astype(entry.dtype) if not array.size or (low <= array.min() and array.max() <= high) else None
    # Integers (pixels) convert to floats without loss, floats do not convert to integers.
    if not np.can_cast(array.dtype, entry.dtype, "same_kind"):
        return None
    with np.errstate(over="ignore"):
        converted = array.astype(entry.dtype)
    is_finite = kinds[0] != "f" or entry.dtype.itemsize >= array.dtype.itemsize or np.isfinite(converted).all()
    return converted if is_finite else None


def fits_shape(expected: _Shape, actual: Sequence[int]) -> bool:
    """Return True if a shape is one that an input takes; None is any length."""
    return len(expected) == len(actual) and all(e in {None, a} for e, a in zip(expected, actual, strict=True))


def _kind(entry: Input, array: Array, *, n: int) -> str:
    """Return whether an array holds "samples" or "unbatched" samples, or is a "constant"; empty if it does not fit."""
    if array.size == 1 and array.ndim <= 1 and (array.ndim == 0 or not entry.shape):
        return "constant" if all(length in {1, None} for length in entry.shape) else ""
    if len(array) == n and entry.shape and fits_shape(entry.shape[1:], array.shape[1:]):
        return "samples"
    if len(array) == n and fits_shape(entry.shape, array.shape[1:]):
        return "unbatched"
    return "constant" if fits_shape(entry.shape, array.shape) else ""


def _misfit(entry: Input, array: Array, *, n: int) -> Fault:
    """Return why an array is neither n samples nor a constant of an input."""
    location = f"array for input '{entry.name}'"
    if not entry.shape:
        text = f"has shape {array.shape}: the input is a scalar"
        return Fault(location, text, f"store one number for all samples, or {n:,}, one for each")
    if array.ndim == 0 or len(array) != n:
        count = "one number" if array.ndim == 0 else f"{len(array):,} samples"
        fix = f"store one entry for each label, or one array for all samples: {_wanted(entry)}"
        return Fault(location, f"has {count}, y has {n:,}", fix)
    fix = f"the network takes {_dims(entry.shape[1:]) or 'single numbers'}"
    return Fault(location, f"has samples of shape {array.shape[1:]}", fix)


def _convert(entry: Input, array: Array) -> Array | Fault:
    converted = convert_array(entry, array)
    if converted is not None:
        return converted
    is_string = array.dtype.kind == "U" or entry.dtype.kind == "U"
    detail = "" if is_string or array.dtype.kind == "f" != entry.dtype.kind else " with values that it cannot hold"
    types = {"U": "strings", "O": "a type that no array has: only a run of your own can feed it"}
    fix = f"the network takes {types.get(entry.dtype.kind, entry.dtype)}{detail and ', which has a smaller range'}"
    return Fault(f"array for input '{entry.name}'", f"is {array.dtype}{detail}", fix)


def _with_fixed_batch(feeds: Feeds, inputs: Sequence[Input], *, source: str) -> Feeds:
    """Return the feeds with the batch size that the inputs prescribe.

    Raises:
        InvalidFile: they prescribe several.
    """
    leads = {e.name: e.shape[0] for e in inputs if e.name in feeds.samples and e.name not in feeds.unbatched}
    fixed = {name: lead for name, lead in leads.items() if lead is not None}
    if feeds.unbatched:
        fixed |= dict.fromkeys(feeds.unbatched, 1)
    if len(set(fixed.values())) > 1:
        text = f"the inputs have several batch sizes: {', '.join(f'{name} {k}' for name, k in fixed.items())}"
        raise InvalidFile(source, [Fault("", text, "run the network yourself: score in a python: module")])
    if feeds.unbatched:
        name = min(feeds.unbatched)
        return replace(feeds, is_stacked=False, why=f"input '{name}' has no batch axis")
    if not fixed:
        return feeds
    batch = next(iter(fixed.values()))
    return replace(feeds, batch=batch, is_stacked=batch > 1, why=f"the batch is fixed at {batch}")


def _agree(alone: Sequence[Array | None], together: Any) -> bool | None:
    """Return whether a batch has the values of its samples run alone; None where its rows are no samples."""
    rows = [row for row in alone if row is not None]
    if len(rows) < len(alone) or not isinstance(together, np.ndarray):
        return None
    if together.shape[:1] != (len(rows),) or any(row.shape != together.shape[1:] for row in rows):
        return None
    expected = np.stack(rows)
    if expected.dtype.kind != "f":
        return bool((expected == together).all())
    finite = np.abs(expected[np.isfinite(expected)], dtype=np.float64)
    tolerance = _TOLERANCE * (finite.max() if finite.size else 1.0)
    return bool(np.allclose(expected, together, rtol=_TOLERANCE, atol=tolerance, equal_nan=True))


def _wanted(entry: Input) -> str:
    kind = {"U": "strings", "O": "a type that no array has"}.get(entry.dtype.kind, str(entry.dtype))
    return f"{kind} of shape {_dims(entry.shape)}" if entry.shape else f"one number, {kind}"


def _dims(shape: _Shape) -> str:
    return " x ".join("any" if length is None else str(length) for length in shape)
