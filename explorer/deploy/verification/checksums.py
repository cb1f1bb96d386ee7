"""Verify a bundle's files against SHA256SUMS: no changed, missing or extra file."""

import hashlib
import re
from pathlib import Path

from explorer.deploy.bundle.manifest import MANIFEST
from explorer.deploy.bundle.schema import FILE_NAME
from explorer.deploy.bundle.write import CHECKSUM_FILE
from explorer.deploy.verification.check import Check
from explorer.errors import ExplorerError, WrongUsage
from explorer.io.files import MAX_DECLARATION_BYTES, read_text

_LINE = re.compile(rf"([0-9a-f]{{64}})  ({FILE_NAME.strip('^$')})")
_MAX_FAULTS = 5


def verify_checksums(folder: Path) -> Check:
    """Compare a bundle's files with their SHA-256.

    Raises:
        WrongUsage: the folder does not exist or has no bundle.
    """
    if not folder.is_dir():
        raise WrongUsage(f"{folder}: no such folder", fix="give the folder that `explorer deploy -o` wrote")
    try:
        paths = {path.name: path for path in folder.iterdir()}
    except OSError as error:
        raise WrongUsage(f"{folder}: {error.strerror}", fix="check the permissions of the folder") from None
    if CHECKSUM_FILE not in paths and MANIFEST not in paths:
        raise WrongUsage(f"{folder}: is not a bundle", fix="give the folder that `explorer deploy -o` wrote")
    faults = _faults(paths)
    if faults:
        more = f" and {len(faults) - _MAX_FAULTS} more" if len(faults) > _MAX_FAULTS else ""
        return Check("files", "as written", "; ".join(faults[:_MAX_FAULTS]) + more, "broken", "deploy it again")
    return Check("files", "as written", f"{len(paths) - 1} files, SHA-256 equal", "kept")


def _faults(paths: dict[str, Path]) -> list[str]:
    try:
        text = read_text(paths[CHECKSUM_FILE], max_bytes=MAX_DECLARATION_BYTES) if CHECKSUM_FILE in paths else ""
    except ExplorerError:
        text = ""
    lines = [_LINE.fullmatch(line) for line in text.split("\n")[:-1]]
    listed = {line[2]: line[1] for line in lines if line}
    # Any changed byte of SHA256SUMS itself is a fault too, and so is a truncated last line.
    if not lines or not all(lines) or not text.endswith("\n") or len(listed) < len(lines):
        return [f"{CHECKSUM_FILE} is missing or damaged"]
    if MANIFEST not in listed:
        return [f"{CHECKSUM_FILE} does not list {MANIFEST}"]
    missing = [f"{name} is missing" for name in listed if name not in paths]
    extra = [f"{name} is not of this bundle" for name in sorted(paths) if name not in listed and name != CHECKSUM_FILE]
    changed = [f"{name} was changed" for name in listed if name in paths and _sha256(paths[name]) != listed[name]]
    return [*missing, *changed, *extra]


def _sha256(path: Path) -> str:
    """Return the SHA-256 of a regular file, read in blocks; '' for a link, a folder or an unreadable file."""
    if path.is_symlink() or not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
