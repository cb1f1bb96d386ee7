"""Labelled data: inputs and labels of any kind, from an untrusted npz file or a Python module that the user names."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, UnknownName
from explorer.io.npz import read_arrays
from explorer.network.graph.model import ZOO
from explorer.network.task.module import PYTHON, TaskModule, load_module

Array = NDArray[Any]
Samples = Array | tuple[Any, ...]
"""One entry a sample: an array of shape (n, ...), or n objects, such as images of several sizes or lists of boxes."""
Run = Callable[[Any], dict[str, Array]]
Predict = Callable[[Run, Mapping[str, Any]], Any]
Score = Callable[[Run, Mapping[str, Any], Any], Any]

_MAX_DEPTH = 20


@dataclass(frozen=True, slots=True)
class LabelledData:
    """Inputs with their labels.

    Args:
        inputs: arrays of n samples, or constants, by input name of the network (or 'x' for its only input).
        labels: label of each sample: classes counted from 0 or strings, shape (n,). For `score`, of any kind.
        source: file or module, as shown to the user.
        sha256: SHA-256 of inputs and labels.
        predict: function that returns the classes, where the outputs are no classes.
        score: function that returns the quality.
        module: the module of both functions.
    """

    inputs: Mapping[str, Samples]
    labels: Samples
    source: str
    sha256: str
    predict: Predict | None = None
    score: Score | None = None
    module: TaskModule | None = None

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.labels)

    @property
    def decides_feeds(self) -> bool:
        """True if the user's own functions run the network."""
        return self.predict is not None or self.score is not None


def load_data(text: str | TaskModule) -> LabelledData:
    """Load labelled data: a path to an npz, 'digits' (shipped), or 'python:MODULE' ('python:./task.py').

    An npz has `y`, the label of each sample (integer classes from 0, or strings), and `x` (or one array for each input,
    by its name). A module has a function `data()` that returns (x, y), where x is an array or a mapping of input names
    to arrays. It may have `predict(run, inputs)`, which returns the class of each sample, or `score(run, inputs, y)`,
    which returns the quality; `run(inputs)` returns the network's outputs by name. Only code of a module named with
    'python:' is executed, never content of an npz (no pickle).

    Args:
        text: the name, or a module that was loaded before, such as one that another machine sent.

    Raises:
        WrongUsage: the file or module does not exist.
        InvalidFile: the data is damaged or too large, or its labels do not match its inputs.
    """
    if isinstance(text, TaskModule) or text.startswith(PYTHON):
        return _module_data(text if isinstance(text, TaskModule) else load_module(text.removeprefix(PYTHON)))
    if text == "digits":
        return read_npz(ZOO / "digits.npz")
    if "/" not in text and not text.endswith(".npz"):
        raise UnknownName("data", text, ["digits", "a path ending in .npz", "python:MODULE"])
    return read_npz(Path(text))


def read_npz(path: Path) -> LabelledData:
    """Read labelled data from an npz.

    Raises:
        WrongUsage: the file does not exist or cannot be read.
        InvalidFile: it is not an npz of numbers and strings, is too large, or its labels do not match.
    """
    arrays = read_arrays(path, kinds="biufU")
    if "y" not in arrays:
        raise InvalidFile(path, [Fault("", "has no array 'y'", "store the labels as y, integers from 0")])
    return make_labelled_data(arrays, source=str(path))


def make_labelled_data(
    arrays: Mapping[str, Any],
    *,
    source: str,
    predict: Predict | None = None,
    score: Score | None = None,
    module: TaskModule | None = None,
) -> LabelledData:
    """Return inputs and labels `y` as checked labelled data.

    Raises:
        InvalidFile: the labels are empty, are not classes counted from 0 (except for `score`), or are not one for each
            sample.
    """
    inputs = {name: _samples(values) for name, values in arrays.items() if name != "y"}
    labels = _samples(arrays["y"])
    hashed = {**inputs, "y": labels}
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "biu" and labels.ndim == 1:
        labels = labels.astype(np.int64)
    faults = _label_faults(labels, is_any=score is not None) or _input_faults(
        inputs, n=len(labels), is_any=predict is not None or score is not None
    )
    if faults:
        raise InvalidFile(source, faults)
    digest = hashlib.sha256()
    try:
        for name in sorted(hashed):
            digest.update(f"{name} ".encode())
            _update(digest, hashed[name])
    except TypeError as error:
        raise InvalidFile(source, [Fault("", str(error), "return numbers, strings, arrays, lists and dicts")]) from None
    return LabelledData(inputs, labels, source, digest.hexdigest(), predict, score, module)


def take_samples(samples: Samples, rows: NDArray[Any]) -> Samples:
    """Return some samples, by their indices or by a mask, shape (n,)."""
    if isinstance(samples, np.ndarray):
        return np.asarray(samples[rows])
    indices = np.flatnonzero(rows) if rows.dtype == np.bool_ else rows
    return tuple(samples[i] for i in indices.tolist())


def take_inputs(inputs: Mapping[str, Samples], rows: NDArray[Any], *, n: int) -> dict[str, Samples]:
    """Return the inputs of some samples; arrays that do not have one entry for each of n samples are constants."""
    return {
        name: take_samples(values, rows) if has_length(values) and len(values) == n else values
        for name, values in inputs.items()
    }  # fmt: skip


def has_length(samples: Samples) -> bool:
    """Return True unless the value is a single number."""
    return not isinstance(samples, np.ndarray) or samples.ndim > 0


def _samples(values: Any) -> Samples:
    """Return one array where the values have one shape and type, else a tuple of the values."""
    if isinstance(values, np.ndarray) and values.dtype.kind != "O":
        return values
    try:
        array = np.asarray(values)
    except ValueError:  # of several shapes
        return tuple(values)
    if array.dtype.kind == "O":
        if array.ndim == 1 and all(isinstance(value, str) for value in array):
            return np.asarray(array.astype(str))
        return tuple(values) if isinstance(values, Sequence | np.ndarray) and array.ndim else array
    return array


def _label_faults(labels: Samples, *, is_any: bool) -> list[Fault]:
    if isinstance(labels, np.ndarray) and labels.ndim == 0:
        return [Fault("array 'y'", f"is one value, {labels!r:.40}", "return one label for each sample")]
    if not len(labels):
        return [Fault("array 'y'", "has no labels", "store at least one sample")]
    if is_any:
        return []
    if not isinstance(labels, np.ndarray) or labels.ndim != 1 or labels.dtype.kind not in "biuU":
        text = f"shape {labels.shape} and type {labels.dtype}" if isinstance(labels, np.ndarray) else "several types"
        fix = f"store one integer class for each sample, counted from 0{_how_to_store(labels)}"
        return [Fault("array 'y'", f"has {text}", fix)]
    if labels.dtype.kind != "U" and labels.min() < 0:
        return [Fault("array 'y'", f"has the class {labels.min()}", "count classes from 0")]
    return []


def _how_to_store(labels: Samples) -> str:
    """Return how labels in another form are stored as classes, else that a score takes them."""
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "biuf" and labels.size:
        if (
            labels.ndim == 2
            and labels.shape[1] > 1
            and bool(((labels == 0) | (labels == 1)).all() and (labels.sum(axis=1) == 1).all())
        ):
            return ": y.argmax(axis=1) of these"
        if labels.ndim == 1 or (labels.ndim == 2 and 1 in labels.shape):
            with np.errstate(invalid="ignore"):
                is_whole = bool((np.isfinite(labels) & (labels == np.floor(labels))).all())
            if is_whole:
                return ": y.ravel().astype(int) of these"
    return "; other labels need score in a python: module"


def _input_faults(inputs: Mapping[str, Samples], *, n: int, is_any: bool) -> list[Fault]:
    """Return the faults of inputs; whether an array of another length is a constant depends on the network."""
    faults = [] if inputs else [Fault("", "has no inputs", "store the samples as x")]
    has_samples = any(has_length(values) and len(values) == n for values in inputs.values())
    for name, values in inputs.items():
        location = f"array '{name}'"
        if not has_samples:
            count = "one number" if not has_length(values) else f"{len(values):,} samples"
            faults.append(Fault(location, f"has {count}, y has {n:,}", "store one label for each sample"))
        elif is_any:
            continue
        elif not isinstance(values, np.ndarray):
            fix = "store samples of one shape, or run the network yourself: predict or score in a python: module"
            faults.append(Fault(location, "has samples of several shapes", fix))
        elif values.dtype.kind not in "biufU":
            faults.append(Fault(location, f"is of type {values.dtype}", "store numbers"))
        elif values.dtype.kind == "f" and not np.isfinite(values).all():
            faults.append(Fault(location, "has NaN or infinite values", "remove those samples"))
    return faults


def _update(digest: Any, value: Any, *, depth: int = 0) -> None:
    """Add a value to a digest in a canonical form: equal values of equal types give equal digests.

    Raises:
        TypeError: it holds an object that is neither number, string, array, list nor dict.
    """
    if depth > _MAX_DEPTH:
        raise TypeError(f"data is nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind != "O":
        array = np.ascontiguousarray(value)
        shape = array.shape if isinstance(value, np.ndarray) and value.ndim else ()
        digest.update(f"{array.dtype.str} {shape} ".encode() + array.tobytes())
    elif isinstance(value, str | bytes | int | float | complex | bool | None):
        text = f"{type(value).__name__} {value!r} ".encode()
        digest.update(f"{len(text)} ".encode() + text)
    elif isinstance(value, Mapping):
        digest.update(f"dict {len(value)} ".encode())
        for key in sorted(value, key=lambda key: (type(key).__name__, key)):
            _update(digest, key, depth=depth + 1)
            _update(digest, value[key], depth=depth + 1)
    elif isinstance(value, Sequence | np.ndarray):
        digest.update(f"list {len(value)} ".encode())
        for one in value:
            _update(digest, one, depth=depth + 1)
    else:
        raise TypeError(f"data holds an object of type {type(value).__name__}")


def _module_data(module: TaskModule) -> LabelledData:
    x, y = module.data()
    inputs = {str(key): value for key, value in x.items()} if isinstance(x, Mapping) else {"x": x}
    if "y" in inputs:
        fix = "rename it: y is the name of the labels"
        raise InvalidFile(module.source, [Fault("data()", "returns an input 'y'", fix)])
    return make_labelled_data(
        {**inputs, "y": y}, source=module.source, predict=module.function("predict"), score=module.function("score"),
        module=module,
    )  # fmt: skip
