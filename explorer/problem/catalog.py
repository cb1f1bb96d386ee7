"""Finding studies, search spaces and devices by name: the user's own first, then those that ship."""

import tomllib
from pathlib import Path

from explorer.errors import WrongUsage, suggestion
from explorer.files import is_file, shipped


def find(kind: str, name: str, *, beside: Path | None = None) -> Path:
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
    for folder in (Path(kind), *([beside.parent / kind, beside] if beside else []), shipped(kind)):
        if name and is_file(folder / f"{name}.toml"):
            return folder / f"{name}.toml"
    known = [path.stem for path in available(kind)]
    raise WrongUsage(f"no {singular} is called '{name}'", fix=suggestion(name, known) if known else "give a path")


def available(kind: str) -> list[Path]:
    """Return the files of all studies or spaces that a bare name can mean, in order of name."""
    found: dict[str, Path] = {}
    for folder in (Path(kind), shipped(kind)):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return [found[name] for name in sorted(found)]


def is_shipped(name: str) -> bool:
    """Tell whether a study or space of this name ships: a file of the user's so called would stand before it."""
    return any((shipped(kind) / f"{name}.toml").is_file() for kind in ("studies", "search_spaces"))


def title_of(path: Path) -> str:
    """Return the title a declaration gives itself, or '' (a broken file must not break the list)."""
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8")).get("title", ""))
    except (OSError, ValueError, RecursionError):
        return "(cannot be read)"
