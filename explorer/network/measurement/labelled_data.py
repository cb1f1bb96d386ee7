"""Labelled data: an npz file that nobody vouches for, or a Python module that the user names."""

import hashlib
import importlib
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, UnknownName, WrongUsage
from explorer.io.npz import read_arrays
from explorer.network.graph.model import ZOO
from explorer.network.graph.session import Input

Array = NDArray[Any]
Predict = Callable[[Callable[[Mapping[str, Array]], Mapping[str, Array]], Mapping[str, Array]], Array]
PYTHON = "python:"


@dataclass(frozen=True, slots=True)
class LabelledData:
    """Inputs with the right answers.

    Args:
        inputs: arrays of n samples each, by the network's input names (or 'x' for its only input).
        labels: the right class of each sample, shape (n,), counted from 0.
        source: the file or module, for people.
        sha256: of inputs and labels.
        predict: how to get classes from the network, where the largest output is not the class.
    """

    inputs: Mapping[str, Array]
    labels: NDArray[np.int64]
    source: str
    sha256: str
    predict: Predict | None = None

    @property
    def n_samples(self) -> int:
        """How many samples there are."""
        return len(self.labels)


def load_data(text: str) -> LabelledData:
    """Load labelled data: a path to an npz, 'digits' (shipped), or 'python:MODULE' ('python:./task.py').

    An npz has `y`, integer classes from 0, and `x` (or one array for each input, by its name). A module has a function
    `data()` that returns (x, y), x an array or a mapping of input names to arrays, and may have
    `predict(run, inputs)` that returns one class a sample, where `run(inputs)` gives the network's outputs by name.
    Only a module named so is imported and executed; an npz never is.

    Raises:
        WrongUsage: there is no such file or module.
        InvalidFile: the data is damaged, too large, or its labels do not match its inputs.
    """
    if text.startswith(PYTHON):
        return _from_module(text.removeprefix(PYTHON))
    if text == "digits":
        return read_npz(ZOO / "digits.npz")
    if "/" not in text and not text.endswith(".npz"):
        raise UnknownName("data", text, ["digits", "a path ending in .npz", "python:MODULE"])
    return read_npz(Path(text))


def read_npz(path: Path) -> LabelledData:
    """Read labelled data from an npz.

    Raises:
        WrongUsage: there is no such file, or it may not be read.
        InvalidFile: it is not an npz of plain numbers, too large, or its labels do not match.
    """
    arrays = read_arrays(path)
    if "y" not in arrays:
        raise InvalidFile(path, [Fault("", "has no array 'y'", "store the right classes as y, integers from 0")])
    return make_labelled_data(arrays, source=str(path))


def make_labelled_data(arrays: Mapping[str, Array], *, source: str, predict: Predict | None = None) -> LabelledData:
    """Check inputs against labels `y` and return them together.

    Raises:
        InvalidFile: labels are not classes counted from 0, are not one for each sample, or there are none.
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


def make_feeds(data: LabelledData, inputs: Sequence[Input]) -> dict[str, Array]:
    """Return the data as the network takes it: its input names, types and shapes, all samples.

    Raises:
        InvalidFile: an input has no array, or its shape or type does not fit.
    """
    names = [entry.name for entry in inputs]
    arrays = {names[0]: data.inputs["x"]} if len(names) == 1 and set(data.inputs) == {"x"} else data.inputs
    faults = [
        Fault(f"array '{name}'", "is no input of the network", f"its inputs are {', '.join(names)}")
        for name in arrays
        if name not in names
    ]
    ready: dict[str, Array] = {}
    for entry in inputs:
        if entry.name not in arrays:
            faults.append(Fault(f"input '{entry.name}'", "has no array", "store one array for each input, by its name"))
            continue
        array = arrays[entry.name]
        fault = _misfit(entry, array)
        if fault is not None:
            faults.append(fault)
        else:
            ready[entry.name] = array.astype(entry.dtype)
    if faults:
        raise InvalidFile(data.source, faults)
    return ready


def _misfit(entry: Input, array: Array) -> Fault | None:
    where = f"array for input '{entry.name}'"
    if not entry.shape:
        return Fault(where, "cannot be given: the input is a single number", "export the network with a batch axis")
    wanted, found = entry.shape[1:], array.shape[1:]
    fits = len(wanted) == len(found) and all(w in {None, f} for w, f in zip(wanted, found, strict=True))
    if not fits:
        shape = " x ".join("any" if length is None else str(length) for length in wanted)
        return Fault(where, f"has samples of shape {found}", f"the network takes {shape or 'single numbers'}")
    # Counts (pixels) become floats without loss; floats do not become counts.
    if not np.can_cast(array.dtype, entry.dtype, "same_kind"):
        return Fault(where, f"is {array.dtype}", f"the network takes {entry.dtype}")
    return None


def _faults(inputs: Mapping[str, Array], labels: Array) -> list[Fault]:
    if labels.ndim != 1 or labels.dtype.kind not in "biu":
        what = f"has shape {labels.shape} and type {labels.dtype}"
        return [Fault("array 'y'", what, "store one integer class for each sample, counted from 0")]
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
            faults.append(Fault(f"array '{name}'", f"is of type {array.dtype}", "store plain numbers"))
        elif array.dtype.kind == "f" and not np.isfinite(array).all():
            faults.append(Fault(f"array '{name}'", "has NaN or infinite values", "leave those samples out"))
    return faults


def _from_module(name: str) -> LabelledData:
    module = _module(name)
    if not callable(getattr(module, "data", None)):
        raise WrongUsage(f"{PYTHON}{name}: has no function data()", fix="write `def data(): return x, y`")
    predict = getattr(module, "predict", None)
    if predict is not None and not callable(predict):
        raise WrongUsage(f"{PYTHON}{name}: predict is not a function", fix="write `def predict(run, inputs): ...`")
    found = _guarded(name, module.data)
    if not isinstance(found, tuple) or len(found) != 2:
        raise WrongUsage(f"{PYTHON}{name}: data() does not return two things", fix="return (x, y)")
    x, y = found
    inputs = {str(key): np.asarray(value) for key, value in x.items()} if isinstance(x, Mapping) else {"x": x}
    return make_labelled_data({**inputs, "y": np.asarray(y)}, source=f"{PYTHON}{name}", predict=predict)


def _module(name: str) -> ModuleType:
    """Import what the user named: a file (`./task.py`) or a module on Python's path."""
    if not name.endswith(".py"):
        try:
            found = importlib.util.find_spec(name)
        except (ImportError, ValueError):
            found = None
        if found is None:
            raise WrongUsage(f"{PYTHON}{name}: no such module", fix=f"name one that is installed, or {PYTHON}./FILE.py")
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
    sys.path.insert(0, str(path.parent.absolute()))  # so that it finds what lies beside it, as a script would
    _guarded(name, lambda: spec.loader.exec_module(module))  # type: ignore[union-attr]
    return module


def _guarded(name: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        raise WrongUsage(f"{PYTHON}{name}: {type(error).__name__}: {error}", fix="mend that module") from error
