"""External data of an ONNX file: bounded, complete, and from regular files of the folder in which it lies."""

from pathlib import Path
from typing import TYPE_CHECKING

from explorer.errors import Fault

if TYPE_CHECKING:
    from onnx import TensorProto

MAX_NETWORK_BYTES = 1_000_000_000  # a protobuf ends at 2 GB, and folding holds a second copy
EXPORT_AGAIN = "export it again from where it was trained"


def external_bytes(tensor: "TensorProto", folder: Path, *, budget: int) -> bytes | Fault:
    """Return the data that a tensor refers to, or what is wrong with that.

    Args:
        tensor: as read; its data lies elsewhere.
        folder: of the ONNX file.
        budget: how many bytes there may be.
    """
    where = f"tensor '{tensor.name[:80]}'"
    said = {entry.key: entry.value for entry in tensor.external_data}
    location = said.get("location", "")
    if not _is_inside(location, folder):
        return Fault(where, f"its data is said to be in '{location[:80]}', outside the file's folder", EXPORT_AGAIN)
    source = folder / location
    if not source.is_file():  # reading a pipe would wait for ever
        return Fault(where, f"its external data '{location}' is missing", "put that file beside the ONNX file")
    try:
        offset = int(said.get("offset", "0"))
        wanted = int(said.get("length", source.stat().st_size - offset))
    except ValueError:
        return Fault(where, "offset or length of its external data is not a number", EXPORT_AGAIN)
    if offset < 0 or wanted < 0:
        return Fault(where, f"its external data is said to begin at {offset} and to have {wanted} bytes", EXPORT_AGAIN)
    if wanted > budget:
        return Fault(where, f"asks for {wanted:,} bytes of external data", f"keep all under {MAX_NETWORK_BYTES:,}")
    return _read(source, where, offset=offset, n_bytes=wanted)


def _is_inside(location: str, folder: Path) -> bool:
    """Tell whether a place is inside a folder; links are followed: one that leads out would betray any file."""
    if not location or "\0" in location or Path(location).is_absolute():
        return False
    return (folder / location).resolve().is_relative_to(folder.resolve())


def _read(source: Path, where: str, *, offset: int, n_bytes: int) -> bytes | Fault:
    try:
        with source.open("rb") as file:
            file.seek(offset)
            data = file.read(n_bytes)
    except (OSError, OverflowError) as error:
        return Fault(where, f"its external data '{source.name}' cannot be read: {error}", "see that it may be read")
    if len(data) != n_bytes:
        return Fault(where, f"its external data '{source.name}' ends too early", "copy that file again")
    return data
