"""Reader of untrusted npz files: arrays of plain types only, size-bounded, nothing unpickled."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, WrongUsage

MAX_DATA_BYTES = 4_000_000_000
_MAX_HEADER_BYTES = 10_000


def read_arrays(path: Path, *, max_bytes: int | None = None, kinds: str = "biuf") -> dict[str, NDArray[Any]]:
    """Return an npz's arrays by name. Nothing in it is executed; sizes are checked before memory is allocated.

    Args:
        path: the file.
        max_bytes: bound on the unpacked size; default: that of labelled data, `MAX_DATA_BYTES`.
        kinds: allowed kinds of numpy types; by default numbers.

    Raises:
        WrongUsage: the file does not exist or is not readable.
        InvalidFile: the file is not an npz, damaged, too large, or contains arrays of other types.
    """
    if not path.is_file():
        raise WrongUsage(
            f"{path}: {'is not a file' if path.exists() else 'no such file'}",
            fix="give the path of an npz with x and y, or 'digits'",
        )
    try:
        with zipfile.ZipFile(path) as archive:
            faults = _archive_faults(archive, MAX_DATA_BYTES if max_bytes is None else max_bytes, kinds=kinds)
        arrays = {} if faults else _arrays(path)
    except PermissionError as error:
        raise WrongUsage(f"{path}: {error.strerror}", fix="check its permissions") from None
    except Exception as error:  # noqa: BLE001 - zipfile, zlib, lzma, bz2, numpy and ast raise exceptions without a common base
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        fault = Fault("", f"is not a readable npz: {reason}", "write it with numpy.savez(path, x=x, y=y)")
        raise InvalidFile(path, [fault]) from None
    if faults:
        raise InvalidFile(path, faults[:20])
    return arrays


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False, max_header_size=_MAX_HEADER_BYTES) as file:
        return {name: file[name] for name in file.files}


def _archive_faults(archive: zipfile.ZipFile, max_bytes: int, *, kinds: str) -> list[Fault]:
    """Compare the header of each member with its number of bytes, before any memory is allocated."""
    total = sum(info.file_size for info in archive.infolist())
    if total > max_bytes:
        return [Fault("", f"unpacks to {total:,} bytes", f"keep it under {max_bytes:,} bytes")]
    faults = []
    for info in archive.infolist():
        with archive.open(info) as member:
            version = np.lib.format.read_magic(member)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(member, max_header_size=_MAX_HEADER_BYTES)
            n_bytes = int(np.prod([int(length) for length in shape], dtype=object)) * dtype.itemsize
            label = f"array '{info.filename.removesuffix('.npy')}'"
            if dtype.kind not in kinds:
                faults.append(Fault(label, f"is of type {dtype}", "store plain numbers"))
            elif n_bytes != info.file_size - member.tell():
                faults.append(Fault(label, "does not have the length of its header", "copy the file again"))
    return faults
