"""Whether a bundle is what was written: every file as its list of checksums tells, none more, none less."""

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
_SHOWN = 5


def verify_checksums(folder: Path) -> Check:
    """Compare a bundle's files with their SHA-256.

    Raises:
        WrongUsage: the folder is not there or holds no bundle.
    """
    if not folder.is_dir():
        raise WrongUsage(f"{folder}: no such folder", fix="give the folder that `explorer deploy -o` wrote")
    try:
        there = {path.name: path for path in folder.iterdir()}
    except OSError as error:
        raise WrongUsage(f"{folder}: {error.strerror}", fix="check that the folder may be read") from None
    if CHECKSUM_FILE not in there and MANIFEST not in there:
        raise WrongUsage(f"{folder}: holds no bundle", fix="give the folder that `explorer deploy -o` wrote")
    faults = _faults(there)
    if faults:
        more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
        return Check("files", "as written", "; ".join(faults[:_SHOWN]) + more, "broken", "deploy it again")
    return Check("files", "as written", f"{len(there) - 1} files, SHA-256 equal", "kept")


def _faults(there: dict[str, Path]) -> list[str]:
    try:
        text = read_text(there[CHECKSUM_FILE], max_bytes=MAX_DECLARATION_BYTES) if CHECKSUM_FILE in there else ""
    except ExplorerError:
        text = ""
    lines = [_LINE.fullmatch(line) for line in text.split("\n")[:-1]]
    told = {line[2]: line[1] for line in lines if line}
    # One byte more or less in the list itself must show as well, a cut last line included.
    if not lines or not all(lines) or not text.endswith("\n") or len(told) < len(lines):
        return [f"{CHECKSUM_FILE} is missing or damaged"]
    if MANIFEST not in told:
        return [f"{CHECKSUM_FILE} does not tell of {MANIFEST}"]
    missing = [f"{name} is missing" for name in told if name not in there]
    extra = [f"{name} is not of this bundle" for name in sorted(there) if name not in told and name != CHECKSUM_FILE]
    changed = [f"{name} was changed" for name in told if name in there and _sha256(there[name]) != told[name]]
    return [*missing, *changed, *extra]


def _sha256(path: Path) -> str:
    """Return a plain file's SHA-256 without holding it in memory; '' for a link, a folder, or what cannot be read."""
    if path.is_symlink() or not path.is_file():
        return ""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
