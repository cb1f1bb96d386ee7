"""Look-up of studies, search spaces and devices by name: the user's files first, then the shipped ones."""

import tomllib
from pathlib import Path
from typing import Any

from explorer.errors import WrongUsage, suggestion
from explorer.io.files import is_file, shipped_folder


def find_declaration(kind: str, name: str, *, base: Path | None = None) -> Path:
    """Return the file of a study, space or device (`kind` is the folder's name).

    An argument with a slash or ending in .toml is a path, relative to the folder `base` if there is one. A bare name
    is searched in the working directory's folder of that kind, in `base`, then among the shipped ones.

    Raises:
        WrongUsage: no such file; the fix suggests the nearest name.
    """
    singular = {"studies": "study", "search_spaces": "search space", "search_spaces/devices": "device"}[kind]
    if "/" in name or name.endswith(".toml"):
        path = (base or Path()) / Path(name).expanduser()
        if is_file(path):
            return path
        raise WrongUsage(
            f"{path}: no such {singular} file", fix="check the path, or name one that `explorer list` shows"
        )
    for folder in (Path(kind), *([base.parent / kind, base] if base else []), shipped_folder(kind)):
        path = folder / f"{name}.toml"
        # A study in the folder `base` may have the name of its space: a file with objectives is not a space.
        if name and is_file(path) and not (kind != "studies" and folder == base and "objectives" in _table(path)):
            return path
    listed = list_declarations(kind)
    for path in listed:
        if name in aliases(path):
            return path
    names = [alias for path in listed for alias in (path.stem, *aliases(path))]
    raise WrongUsage(f"no {singular} is called '{name}'", fix=suggestion(name, names) if names else "give a path")


def list_declarations(kind: str) -> list[Path]:
    """Return the files that a bare name can refer to, sorted by name; a user's file hides the shipped one."""
    paths: dict[str, Path] = {}
    for folder in (Path(kind), shipped_folder(kind)):
        for path in sorted(folder.glob("*.toml")):
            paths.setdefault(path.stem, path)
    return [paths[name] for name in sorted(paths)]


def is_shipped(name: str) -> bool:
    """Return whether a study or space of this name is shipped: a user's file of that name would hide it."""
    return any((shipped_folder(kind) / f"{name}.toml").is_file() for kind in ("studies", "search_spaces"))


def title_of(path: Path) -> str:
    """Return the title of a declaration, or ''."""
    return str(_table(path).get("title", ""))


def aliases(path: Path) -> tuple[str, ...]:
    """Return the alternative names of a declaration: a device may be named by its cores."""
    names = _table(path).get("also")
    return tuple(map(str, names)) if isinstance(names, list) else ()


def _table(path: Path) -> dict[str, Any]:
    """Parse a declaration without checking it; an unreadable file must not break a list."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {"title": "(cannot be read)"}
