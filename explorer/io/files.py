"""Files on disk: bounded reading, atomic replacement, digests, and the folders of shipped declarations."""

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from explorer.errors import Fault, InvalidFile, WrongUsage

MAX_DECLARATION_BYTES = 1_000_000
MAX_TABLE_BYTES = 200_000_000


class FileDigest(NamedTuple):
    """Identity of a file's content: its size, and the SHA-256 of its bytes in hex."""

    n_bytes: int
    sha256: str


def is_file(path: Path) -> bool:
    """Return whether a path is a file; an impossible file name is none, not an error."""
    try:
        return path.is_file()
    except OSError:
        return False


def is_stream(path: Path) -> bool:
    """Return whether a path is a device, a pipe, or an open file such as /dev/stdout, which cannot be replaced."""
    if path.exists() and not path.is_file() and not path.is_dir():
        return True
    place = str(path.absolute())
    return place.startswith(("/dev/fd/", "/proc/")) or (path.is_symlink() and place.startswith("/dev/std"))


def read_text(path: Path, *, max_bytes: int) -> str:
    """Read a file's text.

    Raises:
        WrongUsage: the file does not exist or is not readable.
        InvalidFile: the file is larger than `max_bytes`, empty, or not UTF-8.
    """
    return decode_text(path, read_bytes(path, max_bytes=max_bytes))


def decode_text(path: Path, content: bytes) -> str:
    """Decode the bytes of a file as UTF-8, without a byte order mark.

    Raises:
        InvalidFile: the text is blank or not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidFile(path, [Fault(f"byte {error.start}", "is not UTF-8 text", "save it as UTF-8")]) from None
    if not text.strip():
        raise InvalidFile(path, [Fault("", "the file is empty", "write it, or restore it from a copy")])
    return text


def read_bytes(path: Path, *, max_bytes: int) -> bytes:
    """Read a file's bytes.

    Raises:
        WrongUsage: the file does not exist or is not readable.
        InvalidFile: the file is larger than `max_bytes`.
    """
    try:
        if not path.is_file():
            raise WrongUsage(
                f"{path}: {'is not a file' if path.exists() else 'no such file'}",
                fix="check the path; `explorer list` shows what is shipped",
            )
        size = path.stat().st_size
        if size > max_bytes:
            raise InvalidFile(path, [Fault("", f"has {size:,} bytes", f"keep it under {max_bytes:,} bytes")])
        return path.read_bytes()
    except OSError as error:
        raise WrongUsage(f"{path}: {error.strerror}", fix="check the path and its permissions") from None


def write_text(path: Path, text: str) -> None:
    """Replace a file atomically: a reader sees the old or the new text, never a part of it.

    Raises:
        WrongUsage: the folder is not writable.
    """
    write_parts(path, [text])


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file atomically, as `write_text` does.

    Raises:
        WrongUsage: the folder is not writable.
    """
    _replace(path, [content])


def write_parts(path: Path, parts: Iterable[str]) -> FileDigest:
    """Replace a file atomically by the joined parts of a text; return its digest.

    Raises:
        WrongUsage: the folder is not writable.
    """
    return _replace(path, (part.encode() for part in parts))


def _replace(path: Path, parts: Iterable[bytes]) -> FileDigest:
    digest, n_bytes = hashlib.sha256(), 0
    try:
        if is_stream(path):
            # Replacing /dev/stdout by a file would destroy it.
            content = b"".join(parts)
            with path.open("ab") as file:
                file.write(content)
            return file_digest(content)
        path = Path(os.path.realpath(path))  # a link stays a link
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                for part in parts:
                    n_bytes += file.write(part)
                    digest.update(part)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp creates files with mode 0600; results get the usual mode under the umask.
            umask = os.umask(0)
            os.umask(umask)
            Path(name).chmod(0o666 & ~umask)
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise
    except OSError as error:
        raise cannot_write(path, error) from None
    return FileDigest(n_bytes, digest.hexdigest())


def file_digest(content: bytes) -> FileDigest:
    """Return the digest of a file's bytes."""
    return FileDigest(len(content), sha256(content))


def matches_digest(path: Path, digest: FileDigest) -> bool:
    """Return whether a file has a digest; the file may be larger than memory.

    Raises:
        OSError: the file is not readable.
    """
    if path.stat().st_size != digest.n_bytes:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest.sha256


def append_line(path: Path, line: str) -> None:
    """Append a line and sync it to the disk; a failed write, as on a full disk, leaves the file as it was.

    Raises:
        WrongUsage: the file cannot be written.
    """
    try:
        with path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            try:
                rest = memoryview(f"{line}\n".encode())
                while rest:
                    rest = rest[file.write(rest) :]
                os.fsync(file.fileno())
            except BaseException:
                file.truncate(size)
                raise
    except OSError as error:
        raise cannot_write(path, error) from None


def cannot_write(path: Path, error: OSError) -> WrongUsage:
    """Return the error for a file or folder that could not be written."""
    return WrongUsage(
        f"{path}: cannot write: {error.strerror or error}",
        fix="free disk space, allow writing, or choose another folder (--out, -o)",
    )


def sha256(text: str | bytes) -> str:
    """Return the SHA-256 of bytes, or of a text's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def shipped_folder(kind: str) -> Path:
    """Return the folder of shipped `search_spaces` or `studies`, in a wheel or in a checkout."""
    package = Path(__file__).parent.parent
    packed = package / "_shipped" / kind
    return packed if packed.is_dir() else package.parent / kind
