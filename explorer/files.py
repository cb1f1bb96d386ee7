"""The disk: bounded reading, atomic replacing, and where the shipped declarations lie."""

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path

from explorer.errors import Fault, InvalidFile, WrongUsage

MAX_DECLARATION_BYTES = 1_000_000
MAX_TABLE_BYTES = 200_000_000


def is_file(path: Path) -> bool:
    """Tell whether there is such a file; a name that no file can have is simply not there."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_text(path: Path, *, max_bytes: int) -> str:
    """Return a file's text.

    Raises:
        WrongUsage: there is no such file, or it may not be read.
        InvalidFile: it is larger than `max_bytes`, empty, or not UTF-8.
    """
    try:
        if not path.is_file():
            raise WrongUsage(
                f"{path}: {'is not a file' if path.exists() else 'no such file'}",
                fix="check the path; `explorer list` tells what ships",
            )
        size = path.stat().st_size
        if size > max_bytes:
            raise InvalidFile(path, [Fault("", f"has {size:,} bytes", f"keep it under {max_bytes:,} bytes")])
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidFile(path, [Fault(f"byte {error.start}", "is not UTF-8 text", "save it as UTF-8")]) from None
    except OSError as error:
        raise WrongUsage(f"{path}: {error.strerror}", fix="check that the path is right and may be read") from None
    if not text.strip():
        raise InvalidFile(path, [Fault("", "the file is empty", "write a declaration or restore it from a copy")])
    return text


def write_text(path: Path, text: str) -> None:
    """Replace a file in one step: whoever reads sees the old or the new text, never half of it.

    Raises:
        WrongUsage: the folder cannot be written.
    """
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step, as `write_text` does.

    Raises:
        WrongUsage: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files private; results are meant to be read by colleagues, as the umask allows.
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


def cannot_write(path: Path, error: OSError) -> WrongUsage:
    """Say why a file or folder could not be written, and what to do."""
    return WrongUsage(
        f"{path}: cannot write: {error.strerror or error}", fix="free the place or choose another folder (--out, -o)"
    )


def sha256(text: str | bytes) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes, in hex."""
    return hashlib.sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def shipped(kind: str) -> Path:
    """Return the folder of shipped `search_spaces` or `studies`, in a wheel or in a checkout."""
    package = Path(__file__).parent
    packed = package / "_shipped" / kind
    return packed if packed.is_dir() else package.parent / kind
