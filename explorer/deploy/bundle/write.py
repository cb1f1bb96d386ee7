"""A bundle on the disk: written beside its place and moved there in one step, or not at all."""

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from explorer.errors import ExplorerError, WrongUsage
from explorer.io.files import MAX_DECLARATION_BYTES, cannot_write, read_text, sha256, write_bytes

CHECKSUM_FILE = "SHA256SUMS"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A written bundle: its folder and the names of its files."""

    folder: Path
    names: tuple[str, ...]


def with_checksums(files: Mapping[str, str | bytes]) -> dict[str, bytes]:
    """Return files with the list of their SHA-256, as `sha256sum -c` reads it."""
    contents = {name: file.encode() if isinstance(file, str) else file for name, file in files.items()}
    return {
        **contents,
        CHECKSUM_FILE: "".join(f"{sha256(content)}  {name}\n" for name, content in contents.items()).encode(),
    }


def write_bundle(contents: Mapping[str, bytes], folder: Path, *, force: bool) -> Bundle:
    """Write files as a new folder: whoever looks sees the whole bundle, the one before, or none.

    Args:
        contents: the files by name.
        folder: where.
        force: replace a bundle that is already there; a folder with anything else in it is never replaced.

    Raises:
        WrongUsage: the folder exists, holds what is not ours, or cannot be written.
    """
    ensure_replaceable(folder, force=force)
    place = folder.absolute()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(dir=place.parent, prefix=f".{place.name}."))
    except OSError as error:
        raise cannot_write(folder, error) from None
    try:
        made = work / "new"
        made.mkdir()
        for name, content in contents.items():
            write_bytes(made / name, content)
        _put(made, place, aside=work / "old")
    except OSError as error:
        raise cannot_write(folder, error) from None
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return Bundle(folder, tuple(contents))


def _put(made: Path, place: Path, *, aside: Path) -> None:
    try:
        if place.exists():
            place.rename(aside)
        made.rename(place)
    except BaseException:  # Ctrl-C between the two steps must not cost the bundle that was there
        if aside.exists() and not place.exists():
            aside.rename(place)
        raise


def ensure_replaceable(folder: Path, *, force: bool) -> None:
    """Make sure that a bundle may be put there.

    Raises:
        WrongUsage: the folder exists and may not be replaced, or holds what is not ours.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_symlink() or not folder.is_dir():
        raise WrongUsage(f"{folder}: exists and is not a folder", fix="choose another name with -o")
    if not force:
        raise WrongUsage(f"{folder}: exists already", fix="choose another name with -o, or replace it with --force")
    strangers = sorted({path.name for path in folder.iterdir()} - _listed(folder))
    if strangers:
        shown = ", ".join(strangers[:5]) + (", ..." if len(strangers) > 5 else "")
        raise WrongUsage(f"{folder}: --force replaces bundles only, and this folder holds what is not of one: {shown}",
                         fix="choose another name with -o, or move these away")  # fmt: skip


def _listed(folder: Path) -> set[str]:
    """Return the names that a bundle's own list of checksums tells of, with the list's; none where there is no list."""
    try:
        lines = read_text(folder / CHECKSUM_FILE, max_bytes=MAX_DECLARATION_BYTES).splitlines()
    except ExplorerError:
        return set()
    return {CHECKSUM_FILE, *(line.partition("  ")[2] for line in lines)}
