"""results.npz: a columnar cache of front.json and trials.csv that loads in milliseconds.

The cache holds the SHA-256 digests of the files it was made from. A reader compares them first; a stale or damaged
cache is ignored. It is loaded without pickle, so nothing in it is executed.
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

NPZ_CACHE = "results.npz"
_SCHEMA = "explorer.results/1"
_MAX_BYTES = 2_000_000_000
# One block for each kind of column, shape (columns, n). Strings are stored as indices into the column's vocabulary.
_BLOCKS = {"numbers": np.float64, "flags": np.bool_, "counts": np.int64, "words": np.int32}
_DAMAGE = (ExplorerError, OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError,
           MemoryError)  # fmt: skip


def npz_cache_bytes(head: Mapping[str, Any], table: Columns, digests: Mapping[str, FileDigest]) -> bytes:
    """Return the content of results.npz.

    Args:
        head: the content of front.json without its designs.
        table: all finished designs, as read back from trials.csv.
        digests: digests of the two files, by name.
    """
    rows: dict[str, list[NDArray[Any]]] = {block: [] for block in _BLOCKS}
    columns, vocabularies = [], {}
    for name, values in table.items():
        block = _block_of(values)
        if block == "words":
            vocabularies[name], values = _encode(values)  # noqa: PLW2901 - the codes replace the column
        columns.append((name, block, len(rows[block])))
        rows[block].append(values)
    n = len(next(iter(table.values())))
    blocks: dict[str, Any] = {
        block: np.array(rows[block], dtype=kind).reshape(len(rows[block]), n) for block, kind in _BLOCKS.items()
    }
    index = {
        "schema": _SCHEMA, "files": dict(sorted(digests.items())), "head": head, "columns": columns,
        "words": vocabularies,
    }  # fmt: skip
    buffer = io.BytesIO()
    np.savez(buffer, told=np.frombuffer(json.dumps(index).encode(), dtype=np.uint8), **blocks)
    return buffer.getvalue()


def read_npz_cache(folder: Path, files: tuple[str, ...]) -> tuple[dict[str, Any], Columns] | None:
    """Return the content of front.json without its designs, and all finished designs; None if stale or damaged.

    Args:
        folder: the result folder.
        files: names of the files whose digests must match.
    """
    if not (folder / NPZ_CACHE).is_file():
        return None
    try:
        arrays = read_arrays(folder / NPZ_CACHE, max_bytes=_MAX_BYTES)
        index = json.loads(arrays.pop("told").tobytes())
        digests = index["files"]
        is_fresh = all(matches_digest(folder / name, FileDigest(*digests[name])) for name in files)
        return (index["head"], _columns(index, arrays)) if index["schema"] == _SCHEMA and is_fresh else None
    except _DAMAGE:
        return None


def _columns(index: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Columns:
    """Return the columns of the cache.

    Raises:
        ValueError, KeyError, TypeError, IndexError: the cache is damaged.
    """
    wrong = [block for block, kind in _BLOCKS.items() if arrays[block].dtype != kind or arrays[block].ndim != 2]
    names = dict.fromkeys((name for name, _, _ in index["columns"]), np.empty(0))
    own = frozenset(own_knobs(names))
    wrong += [name for name, block, _ in index["columns"] if block not in _blocks_for(name, is_own=name in own)]
    if wrong or len({arrays[block].shape[1] for block in _BLOCKS}) > 1:
        raise ValueError(f"{wrong}: array or column of the wrong kind")
    columns = {name: arrays[block][row] for name, block, row in index["columns"]}
    return {**columns, **{name: _decode(columns[name], words) for name, words in index["words"].items()}}


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


def _encode(values: NDArray[Any]) -> tuple[list[str], NDArray[np.int32]]:
    listed = values.tolist()
    codes = {word: i for i, word in enumerate(dict.fromkeys(listed))}
    return list(codes), np.array([codes[word] for word in listed], dtype=np.int32)


def _decode(codes: NDArray[np.int32], words: list[Any]) -> NDArray[np.object_]:
    if not all(isinstance(word, str) for word in words) or (codes < 0).any():
        raise ValueError("a vocabulary holds values that are not strings")
    return np.array(words, dtype=object)[codes]
