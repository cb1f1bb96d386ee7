"""Finding studies, search spaces and devices by name: the user's own first, then those that ship."""

import tomllib
from pathlib import Path
from typing import Any

from explorer.errors import WrongUsage, suggestion
from explorer.io.files import is_file, shipped_folder


def find_declaration(kind: str, name: str, *, beside: Path | None = None) -> Path:
    """Return the file of a study, space or device (`kind` is the folder's name).

    An argument with a slash or ending in .toml is a path (relative to `beside`, where given); a bare name is looked up
    in the working directory's folder of that kind, then among the shipped ones.

    Raises:
        WrongUsage: there is none; the nearest known name is told.
    """
    singular = {"studies": "study", "search_spaces": "search space", "search_spaces/devices": "device"}[kind]
    if "/" in name or name.endswith(".toml"):
        path = (beside or Path()) / Path(name).expanduser()
        if is_file(path):
            return path
        raise WrongUsage(
            f"{path}: no such {singular} file", fix="check the path, or name one that `explorer list` shows"
        )
    for folder in (Path(kind), *([beside.parent / kind, beside] if beside else []), shipped_folder(kind)):
        path = folder / f"{name}.toml"
        # A study may be called like the space that it names, and lie beside itself.
        if name and is_file(path) and not (kind != "studies" and folder == beside and "objectives" in _table(path)):
            return path
    listed = list_declarations(kind)
    for path in listed:
        if name in aliases(path):
            return path
    known = [called for path in listed for called in (path.stem, *aliases(path))]
    raise WrongUsage(f"no {singular} is called '{name}'", fix=suggestion(name, known) if known else "give a path")


def list_declarations(kind: str) -> list[Path]:
    """Return the files of all studies or spaces that a bare name can mean, in order of name."""
    found: dict[str, Path] = {}
    for folder in (Path(kind), shipped_folder(kind)):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return [found[name] for name in sorted(found)]


def is_shipped(name: str) -> bool:
    """Tell whether a study or space of this name ships: a file of the user's so called would stand before it."""
    return any((shipped_folder(kind) / f"{name}.toml").is_file() for kind in ("studies", "search_spaces"))


def title_of(path: Path) -> str:
    """Return the title a declaration gives itself, or ''."""
    return str(_table(path).get("title", ""))


def aliases(path: Path) -> tuple[str, ...]:
    """Return what else a declaration may be called by: a device by its cores."""
    names = _table(path).get("also")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _table(path: Path) -> dict[str, Any]:
    """Return a declaration as it stands; a broken file must not break a list."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {"title": "(cannot be read)"}
