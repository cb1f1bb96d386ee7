"""Runs by a user's predict and score: feeds are checked, runs are split by samples, outputs are stored and replayed."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import InvalidFile, MeasurementFailed
from explorer.network.graph.session import Array, Session
from explorer.network.task.feeds import (
    Feeds,
    Remaining,
    Stacking,
    convert_array,
    fits_shape,
    match_inputs,
    name_only_input,
    probe_stacking,
)
from explorer.network.task.labelled_data import Samples
from explorer.network.task.runs import run_samples

MAX_STORED_BYTES = 500_000_000
Key = tuple[Any, ...]


@dataclass
class OutputStore:
    """Outputs of the runs of one evaluation, by their feeds.

    A row of an input of the data is recognized by its place in memory, any other array by its content.

    Args:
        samples: samples by name, as the user's function gets them.
        n: number of samples.
    """

    samples: Mapping[str, Samples]
    n: int
    is_complete: bool = True
    n_missed: int = 0
    _parts: list[dict[str, Array]] = field(default_factory=list)
    _rows: dict[Key, int] = field(default_factory=dict)
    _calls: dict[Key, dict[str, Array]] = field(default_factory=dict)
    _n_bytes: int = 0
    _blocks: list[tuple[str, Array, NDArray[np.int64]]] = field(default_factory=list)
    _objects: dict[int, tuple[int, str, int]] = field(default_factory=dict)
    _table: dict[str, Array] | None = None

    def __post_init__(self) -> None:
        for name, values in self.samples.items():
            if not isinstance(values, np.ndarray):
                arrays = [(i, value) for i, value in enumerate(values) if isinstance(value, np.ndarray)]
                self._objects |= {value.ctypes.data: (value.nbytes, name, i) for i, value in arrays if value.size}
        self.show(self.samples, np.arange(self.n))

    def show(self, samples: Mapping[str, Samples], rows: NDArray[np.int64]) -> None:
        """Recognize samples by their place in memory from now on: they are these rows of all samples."""
        self._blocks = [
            (name, values, rows) for name, values in samples.items()
            if isinstance(values, np.ndarray) and values.shape[:1] == rows.shape and values.size
        ]  # fmt: skip

    def row_keys(self, feeds: Mapping[str, Array], n: int) -> list[Key]:
        """Return a key for each of n rows of feeds; arrays of another length belong to all rows."""
        columns = []
        for name, values in sorted(feeds.items()):
            keys = self._keys(values, n) if values.shape[:1] == (n,) else [_digest(values)] * n
            columns.append([(name, key) for key in keys])
        return list(zip(*columns, strict=True))

    def call_key(self, feeds: Mapping[str, Array]) -> Key:
        """Return a key for a whole run."""
        return tuple((name, self._keys(values[np.newaxis], 1)[0]) for name, values in sorted(feeds.items()))

    def add_rows(self, keys: list[Key], outputs: Mapping[str, Array]) -> None:
        """Store outputs with one row for each key."""
        shapes = {name: values.shape[1:] for name, values in outputs.items()}
        if self._parts and shapes != {name: values.shape[1:] for name, values in self._parts[0].items()}:
            self.is_complete = False
        if self._fits(outputs):
            n = len(self._rows)
            new = [i for i, key in enumerate(keys) if key not in self._rows]
            first = {keys[i]: i for i in reversed(new)}
            rows = sorted(first.values())
            self._rows |= {keys[i]: n + j for j, i in enumerate(rows)}
            if rows:
                self._parts.append({name: values[rows] for name, values in outputs.items()})
                self._table = None

    def add_call(self, key: Key, outputs: Mapping[str, Any]) -> None:
        """Store the outputs of a whole run."""
        if self._fits(outputs):
            self._calls.setdefault(key, dict(outputs))

    def find_rows(self, keys: list[Key]) -> dict[str, Array] | None:
        """Return the stored outputs of rows, None if one is missing."""
        try:
            index = np.fromiter((self._rows[key] for key in keys), dtype=np.int64, count=len(keys))
        except KeyError:
            return None
        if self._table is None:
            self._table = {name: np.concatenate([part[name] for part in self._parts]) for name in self._parts[0]}
        return {name: values[index] for name, values in self._table.items()}

    def find_call(self, key: Key) -> dict[str, Array] | None:
        """Return the stored outputs of a whole run, None if it is missing."""
        return self._calls.get(key)

    def _fits(self, outputs: Mapping[str, Any]) -> bool:
        self._n_bytes += sum(getattr(values, "nbytes", 0) for values in outputs.values())
        self.is_complete &= self._n_bytes <= MAX_STORED_BYTES
        return self.is_complete

    def _keys(self, values: Array, n: int) -> list[Any]:
        """Return the keys of n rows by their place in the samples, else by content."""
        if values.flags.c_contiguous and values.size:
            start, stride = values.ctypes.data, values.nbytes // n
            if n == 1 and start in self._objects and self._objects[start][0] == stride:
                return [self._objects[start][1:]]
            for name, block, rows in self._blocks:
                at, rest = divmod(start - block.ctypes.data, block.nbytes // len(block))
                if stride * len(block) == block.nbytes and not rest and 0 <= at <= len(block) - n:
                    return [(name, row) for row in rows[at : at + n].tolist()]
        return [_digest(row) for row in values]


@dataclass
class Runner:
    """The function `run` of a user's predict and score: feeds by input name in, outputs by name out.

    Args:
        session: inference session.
        source: name of the user's module.
        store: outputs of earlier runs, and of these.
        remaining: returns the seconds that are left, None without a limit.
        n_samples: number of samples of the evaluation.
        stacking: outcome of a run of several samples (see `probe_stacking`); None: not probed yet.
        is_replay: answer from the store alone where it has the outputs, and store nothing.
    """

    session: Session
    source: str
    store: OutputStore | None
    remaining: Remaining
    n_samples: int
    stacking: Stacking | None = None
    is_replay: bool = False
    one_run: dict[str, Array] = field(default_factory=dict)

    def __call__(self, feeds: Any) -> dict[str, Array]:
        """Run the network on the user's feeds: in one run, or sample by sample where its inputs prescribe it.

        Raises:
            MeasurementFailed: the feeds do not fit the network, or the run failed.
        """
        arrays = self._named(feeds)
        plan = self._plan(arrays)
        store = self.store
        if plan is None:
            converted = self._converted(arrays)
            key = store.call_key(arrays) if store else ()
            stored = store.find_call(key) if store and self.is_replay else None
            if stored is not None:
                return dict(stored)
            self._record(converted)
            outputs = Outputs(self.session.run(converted, seconds=self.remaining()))
            if store and not self.is_replay:
                store.add_call(key, outputs)
        else:
            keys = store.row_keys(arrays, plan.n_samples) if store else []
            stored = store.find_rows(keys) if store and self.is_replay else None
            if stored is not None:
                return stored
            self._record(plan.of(0, 1))
            rows, ignored = run_samples(self.session, plan, remaining=self.remaining)
            outputs = Outputs(rows, ignored)
            if store and not self.is_replay:
                store.add_rows(keys, outputs)
        if store and self.is_replay:
            store.n_missed += 1
        return outputs

    def _record(self, feeds: dict[str, Array]) -> None:
        if not self.one_run:
            self.one_run = {name: np.array(values) for name, values in feeds.items()}

    def _named(self, feeds: Any) -> dict[str, Array]:
        inputs = self.session.inputs
        names = [entry.name for entry in inputs]
        if not isinstance(feeds, Mapping):
            if len(names) > 1:
                text = f"run of {self.source} was called without names"
                raise MeasurementFailed(text, fix=f"pass a dict with {', '.join(names)}")
            feeds = {names[0]: feeds}
        feeds = name_only_input(feeds, inputs)
        unknown, missing = [one for one in feeds if one not in names], [one for one in names if one not in feeds]
        if unknown or missing:
            parts = [f"{text} {', '.join(map(str, some))}" for text, some in
                     (("passes", unknown), ("leaves out", missing)) if some]  # fmt: skip
            fix = f"the inputs of the network are {', '.join(names)}"
            raise MeasurementFailed(f"run of {self.source} {' and '.join(parts)}", fix=fix)
        try:
            return {name: np.asarray(values) for name, values in feeds.items()}
        except ValueError:
            fix = "pass arrays: samples of several shapes one by one"
            raise MeasurementFailed(f"run of {self.source} passes samples of several shapes", fix=fix) from None

    def _plan(self, arrays: Mapping[str, Array]) -> Feeds | None:
        """Return the feeds of several samples; None where the arrays are those of one run."""
        inputs = self.session.inputs
        misfits = [entry.name for entry in inputs if not fits_shape(entry.shape, arrays[entry.name].shape)]
        is_free = all(entry.shape and entry.shape[0] is None for entry in inputs)
        lengths = {arrays[name].shape[:1] for name in misfits or arrays}
        if len(lengths) != 1 or () in lengths or not (misfits or is_free):
            return None
        n = lengths.pop()[0]
        if n < (1 if misfits else 2):
            return None
        try:
            plan = match_inputs(arrays, inputs, n=n, source=self.source)
        except InvalidFile:  # onnxruntime reports the fault
            return None
        if misfits:
            return plan
        if self.stacking is None:
            self.stacking = probe_stacking(self.session, plan, remaining=self.remaining)[0]
        if self.stacking == "stacked":
            return plan
        # Rows that interact may be steps in time: then the user means one run, unless they are all samples.
        return replace(plan, is_stacked=False) if self.stacking == "fails" or n == self.n_samples else None

    def _converted(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        converted = {}
        for entry in self.session.inputs:
            values = convert_array(entry, arrays[entry.name])
            if values is None:
                text = f"run of {self.source} passes {arrays[entry.name].dtype} for input '{entry.name}'"
                raise MeasurementFailed(text, fix=f"pass {entry.dtype} values that it can hold")
            converted[entry.name] = values
        return converted


class Outputs(dict[str, Any]):
    """Outputs by name; one that is missing says why, and which ones there are."""

    def __init__(self, outputs: Mapping[str, Any], ignored: Mapping[str, str] | None = None) -> None:
        super().__init__(outputs)
        self.ignored = ignored or {}

    def __missing__(self, name: str) -> Any:
        why = f": it {self.ignored[name]}" if name in self.ignored else ""
        raise KeyError(f"run returned no '{name}'{why}; it returned {', '.join(self) or 'nothing'}")


def _digest(array: Array) -> bytes:
    digest = hashlib.blake2b(f"{array.dtype.str} {array.shape} ".encode(), digest_size=16)
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()
