"""Labelled data from an untrusted npz file, or from a Python module that the user names."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, UnknownName, WrongUsage
from explorer.io.npz import read_arrays
from explorer.network.graph.model import ZOO

Array = NDArray[Any]
Predict = Callable[[Callable[[Mapping[str, Array]], Mapping[str, Array]], Mapping[str, Array]], Array]
PYTHON = "python:"


@dataclass(frozen=True, slots=True)
class LabelledData:
    """Inputs with their labels.

    Args:
        inputs: arrays of n samples each, by input name of the network (or 'x' for its only input).
        labels: class of each sample, shape (n,), counted from 0.
        source: file or module, as shown to the user.
        sha256: SHA-256 of inputs and labels.
        predict: function that returns the classes, where they are not the argmax of the output.
    """

    inputs: Mapping[str, Array]
    labels: NDArray[np.int64]
    source: str
    sha256: str
    predict: Predict | None = None

    @property
    def n_samples(self) -> int:
        """Number of samples."""
        return len(self.labels)


def load_data(text: str) -> LabelledData:
    """Load labelled data: a path to an npz, 'digits' (shipped), or 'python:MODULE' ('python:./task.py').

    An npz has `y`, integer classes from 0, and `x` (or one array for each input, by its name). A module has a function
    `data()` that returns (x, y), where x is an array or a mapping of input names to arrays. It may have a function
    `predict(run, inputs)` that returns one class per sample; `run(inputs)` returns the network's outputs by name.
    Only code of a module named with 'python:' is executed, never content of an npz (no pickle).

    Raises:
        WrongUsage: the file or module does not exist.
        InvalidFile: the data is damaged or too large, or its labels do not match its inputs.
    """
    if text.startswith(PYTHON):
        return _load_module_data(text.removeprefix(PYTHON))
    if text == "digits":
        return read_npz(ZOO / "digits.npz")
    if "/" not in text and not text.endswith(".npz"):
        raise UnknownName("data", text, ["digits", "a path ending in .npz", "python:MODULE"])
    return read_npz(Path(text))


def read_npz(path: Path) -> LabelledData:
    """Read labelled data from an npz.

    Raises:
        WrongUsage: the file does not exist or cannot be read.
        InvalidFile: it is not an npz of numbers, is too large, or its labels do not match.
    """
    arrays = read_arrays(path)
    if "y" not in arrays:
        raise InvalidFile(path, [Fault("", "has no array 'y'", "store the labels as y, integers from 0")])
    return make_labelled_data(arrays, source=str(path))


def make_labelled_data(arrays: Mapping[str, Array], *, source: str, predict: Predict | None = None) -> LabelledData:
    """Return inputs and labels `y` as checked labelled data.

    Raises:
        InvalidFile: the labels are empty, are not classes counted from 0, or are not one for each sample.
    """
    inputs = {name: np.asarray(array) for name, array in arrays.items() if name != "y"}
    labels = np.asarray(arrays["y"])
    faults = _faults(inputs, labels)
    if faults:
        raise InvalidFile(source, faults)
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return LabelledData(inputs, labels.astype(np.int64), source, digest.hexdigest(), predict)


def _faults(inputs: Mapping[str, Array], labels: Array) -> list[Fault]:
    if labels.ndim != 1 or labels.dtype.kind not in "biu":
        fault = f"has shape {labels.shape} and type {labels.dtype}"
        return [Fault("array 'y'", fault, "store one integer class for each sample, counted from 0")]
    if not len(labels):
        return [Fault("array 'y'", "has no labels", "store at least one sample")]
    faults = [] if inputs else [Fault("", "has no inputs", "store the samples as x")]
    if labels.min() < 0:
        faults.append(Fault("array 'y'", f"has the class {labels.min()}", "count classes from 0"))
    for name, array in inputs.items():
        if array.ndim == 0 or len(array) != len(labels):
            n = "one number" if array.ndim == 0 else f"{len(array):,} samples"
            faults.append(
                Fault(f"array '{name}'", f"has {n}, y has {len(labels):,}", "store one label for each sample")
            )
        elif array.dtype.kind not in "biuf":
            faults.append(Fault(f"array '{name}'", f"is of type {array.dtype}", "store numbers"))
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            faults.append(Fault(f"array '{name}'", "has NaN or infinite values", "remove those samples"))
    return faults


def _load_module_data(name: str) -> LabelledData:
    module = _import_module(name)
    if not callable(getattr(module, "data", None)):
        raise WrongUsage(f"{PYTHON}{name}: has no function data()", fix="write `def data(): return x, y`")
    predict = getattr(module, "predict", None)
    if predict is not None and not callable(predict):
        raise WrongUsage(f"{PYTHON}{name}: predict is not a function", fix="write `def predict(run, inputs): ...`")
    returned = _guarded(name, module.data)
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise WrongUsage(f"{PYTHON}{name}: data() does not return two values", fix="return (x, y)")
    x, y = returned
    inputs = {str(key): np.asarray(value) for key, value in x.items()} if isinstance(x, Mapping) else {"x": x}
    return make_labelled_data({**inputs, "y": np.asarray(y)}, source=f"{PYTHON}{name}", predict=predict)


def _import_module(name: str) -> ModuleType:
    """Import a Python file (`./task.py`) or a module on Python's path."""
    if not name.endswith(".py"):
        try:
            module_spec = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            module_spec = None
        if module_spec is None:
            raise WrongUsage(f"{PYTHON}{name}: no such module", fix=f"name an installed module, or {PYTHON}./FILE.py")
        module: ModuleType = _guarded(name, lambda: importlib.import_module(name))
        return module
    path = Path(name)
    if not path.is_file():
        raise WrongUsage(f"{path}: no such file", fix="give the path of a Python file with data()")
    spec = importlib.util.spec_from_file_location(f"explorer_data_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise WrongUsage(f"{path}: cannot be imported", fix="give the path of a Python file with data()")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent.absolute()))  # as for a script: imports from its folder work
    _guarded(name, lambda: spec.loader.exec_module(module))  # type: ignore[union-attr]
    return module


def _guarded(name: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        raise WrongUsage(f"{PYTHON}{name}: {type(error).__name__}: {error}", fix="correct that module") from error
