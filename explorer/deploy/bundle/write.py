"""Atomic writing of a bundle: a temporary folder is renamed into place in one step."""

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ExplorerError, WrongUsage
from explorer.io.files import MAX_DECLARATION_BYTES, cannot_write, read_text, sha256, write_bytes

CHECKSUM_FILE = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A written bundle: folder and file names."""

    folder: Path
    names: tuple[str, ...]


def with_checksums(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    """Return the files and their SHA256SUMS, in the format of `sha256sum -c`."""
    contents = {name: file.encode() if isinstance(file, str) else file for name, file in files.items()}
    return {
        **contents,
        CHECKSUM_FILE: "".join(f"{sha256(content)}  {name}\n" for name, content in contents.items()).encode(),
    }


def write_bundle(contents: Mapping[str, bytes], folder: Path, *, force: bool) -> Bundle:
    """Write files as a new folder: a reader sees the complete new bundle, the previous one, or none.

    Args:
        contents: files by name.
        folder: folder of the bundle.
        force: replace an existing bundle; a folder with any other file in it is never replaced.

    Raises:
        WrongUsage: the folder exists, has files of no bundle, or cannot be written.
    """
    ensure_replaceable(folder, force=force)
    path = folder.absolute()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    except OSError as error:
        raise cannot_write(folder, error) from None
    try:
        new = work / "new"
        new.mkdir()
        for name, content in contents.items():
            write_bytes(new / name, content)
        _replace(path, new, backup=work / "old")
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Bundle(folder, tuple(contents))


def _replace(path: Path, new: Path, *, backup: Path) -> None:
    try:
        if path.exists():
            path.rename(backup)
        new.rename(path)
    except BaseException:  # Ctrl-C between the two renames must not lose the previous bundle
        if backup.exists() and not path.exists():
            backup.rename(path)
        raise


def ensure_replaceable(folder: Path, *, force: bool, inputs: Sequence[str | Path | None] = ()) -> None:
    """Raise unless the folder does not exist, or `force` is set and it has only files of a bundle and no input.

    Args:
        folder: folder of the bundle.
        force: replace an existing bundle.
        inputs: files that the command reads.

    Raises:
        WrongUsage: the folder must not be replaced.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise WrongUsage(f"{folder}: exists and is not a folder", fix="choose another name with -o")
    if not force:
        raise WrongUsage(f"{folder}: exists already", fix="choose another name with -o, or replace it with --force")
    for name in inputs:
        if name is not None and Path(name).expanduser().resolve().is_relative_to(folder.resolve()):
            raise WrongUsage(f"{folder}: holds {name}, which this command reads", fix="choose another name with -o")
    foreign = sorted({path.name for path in folder.iterdir()} - _listed_names(folder))
    if foreign:
        names = ", ".join(foreign[:5]) + (", ..." if len(foreign) > 5 else "")
        raise WrongUsage(f"{folder}: --force replaces bundles only, and this folder has other files: {names}",
                         fix="choose another name with -o, or move these files")  # fmt: skip


def _listed_names(folder: Path) -> set[str]:
    """Return the file names in SHA256SUMS and its own name; an empty set if the file cannot be read."""
    try:
        lines = read_text(folder / CHECKSUM_FILE, max_bytes=MAX_DECLARATION_BYTES).splitlines()
    except ExplorerError:
        return set()
    return {CHECKSUM_FILE, *(line.partition("  ")[2] for line in lines)}
