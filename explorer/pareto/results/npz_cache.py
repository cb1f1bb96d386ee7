"""results.npz: what front.json and trials.csv hold, in columns that are read in a blink; never the only copy.

It names the files that it was made from, with their SHA-256. Whoever reads it checks these first: where they differ, or
anything is wrong with it, it is as if it were not there. Nothing in it is executed.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import ExplorerError
from explorer.io.files import FileDigest, matches_digest
from explorer.io.npz import read_arrays
from explorer.pareto.results.csv_text import FLAG_COLUMNS, NUMBER_COLUMN, TEXT_COLUMNS
from explorer.problem.columns import Columns, own_knobs

SIDECAR = "results.npz"
_SCHEMA = "explorer.results/1"
_MAX_BYTES = 2_000_000_000
# A block for each kind of column, shape (columns, n): a word is kept as its place in the list of the column's words.
_BLOCKS = {"numbers": np.float64, "flags": np.bool_, "counts": np.int64, "words": np.int32}
_DAMAGE = (ExplorerError, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError,
           MemoryError)  # fmt: skip


def npz_cache_bytes(head: Mapping[str, Any], table: Columns, marks: Mapping[str, FileDigest]) -> bytes:
    """Return the sidecar's bytes.

    Args:
        head: what front.json tells beside its designs.
        table: all finished designs, as they come back from trials.csv.
        marks: the files that both are in, by name.
    """
    rows: dict[str, list[NDArray[Any]]] = {block: [] for block in _BLOCKS}
    columns, words = [], {}
    for name, values in table.items():
        block = _block_of(values)
        if block == "words":
            words[name], values = _coded(values)  # noqa: PLW2901 - from here on the column is its codes
        columns.append((name, block, len(rows[block])))
        rows[block].append(values)
    n = len(next(iter(table.values())))
    blocks: dict[str, Any] = {
        block: np.array(rows[block], dtype=kind).reshape(len(rows[block]), n) for block, kind in _BLOCKS.items()
    }
    told = {"schema": _SCHEMA, "files": dict(sorted(marks.items())), "head": head, "columns": columns, "words": words}
    buffer = io.BytesIO()
    np.savez(buffer, told=np.frombuffer(json.dumps(told).encode(), dtype=np.uint8), **blocks)
    return buffer.getvalue()


def read_npz_cache(folder: Path, files: tuple[str, ...]) -> tuple[dict[str, Any], Columns] | None:
    """Return what front.json tells beside its designs, and all finished designs; None where it is not to be used.

    Args:
        folder: the result folder.
        files: the names of the files that the sidecar must be made from.
    """
    if not (folder / SIDECAR).is_file():
        return None
    try:
        arrays = read_arrays(folder / SIDECAR, max_bytes=_MAX_BYTES)
        told = json.loads(arrays.pop("told").tobytes())
        if told["schema"] != _SCHEMA or not all(
            matches_digest(folder / name, FileDigest(*told["files"][name])) for name in files
        ):
            return None
        return told["head"], _columns(told, arrays)
    except _DAMAGE:
        return None


def _columns(told: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Columns:
    """Return the columns of a sidecar.

    Raises:
        ValueError, KeyError, TypeError, IndexError: it is damaged.
    """
    wrong = [block for block, kind in _BLOCKS.items() if arrays[block].dtype != kind or arrays[block].ndim != 2]
    names = dict.fromkeys((name for name, _, _ in told["columns"]), np.empty(0))
    own = frozenset(own_knobs(names))
    wrong += [name for name, block, _ in told["columns"] if block not in _blocks_for(name, is_own=name in own)]
    if wrong or len({arrays[block].shape[1] for block in _BLOCKS}) > 1:
        raise ValueError(f"{wrong}: not of the kind that these columns are")
    found = {name: arrays[block][row] for name, block, row in told["columns"]}
    return {**found, **{name: _decoded(found[name], words) for name, words in told["words"].items()}}


def _blocks_for(name: str, *, is_own: bool) -> tuple[str, ...]:
    if name in TEXT_COLUMNS:
        return ("words",)
    if name in FLAG_COLUMNS:
        return ("flags",)
    if name == NUMBER_COLUMN:
        return ("counts",)
    return ("numbers", "words") if is_own else ("numbers",)


def _block_of(values: NDArray[Any]) -> str:
    return {"f": "numbers", "b": "flags", "i": "counts"}.get(values.dtype.kind, "words")


def _coded(values: NDArray[Any]) -> tuple[list[str], NDArray[np.int32]]:
    listed = values.tolist()
    place = {word: i for i, word in enumerate(dict.fromkeys(listed))}
    return list(place), np.array([place[word] for word in listed], dtype=np.int32)


def _decoded(codes: NDArray[np.int32], words: list[Any]) -> NDArray[np.object_]:
    if not all(isinstance(word, str) for word in words) or (codes < 0).any():
        raise ValueError("these are not words")
    return np.array(words, dtype=object)[codes]
