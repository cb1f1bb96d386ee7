"""Names of a scaffold: of the space and study, and of the model fitted to their samples."""

import re
from pathlib import Path

from explorer.errors import WrongUsage
from explorer.io.catalog import is_shipped

_LONGEST_NAME = 80
_SUFFIXES = r"\.(csv|tsv|txt|json|jsonl|ndjson|xlsx?|ods|parquet)?(\.gz)?$"


def ensure_name(name: object) -> None:
    """Raise unless a name of a study is safe as a folder's name.

    Raises:
        WrongUsage: it has other characters than letters, digits, - and _, or too many.
    """
    if not isinstance(name, str) or not re.fullmatch(rf"[A-Za-z0-9_-]{{1,{_LONGEST_NAME}}}", name):
        raise WrongUsage(f"--name {name}: a name has letters, digits, - and _", fix="choose another name")


def scaffold_name(path: Path, *, name: str | None = None) -> str:
    """Return a name for the space and the study of a samples CSV: the file's name, or `my-NAME` if that ships.

    A local file with the name of a shipped one would shadow it in this folder.

    Raises:
        WrongUsage: `name` ships, or is not a valid name.

    >>> scaffold_name(Path("my rows.csv")), scaffold_name(Path("cnn.csv"))
    ('my-rows', 'my-cnn')
    """
    chosen = name or re.sub(r"[^A-Za-z0-9_-]+", "-", path.stem).strip("-")[:_LONGEST_NAME] or "mine"
    ensure_name(chosen)
    if not is_shipped(chosen):
        return chosen
    if name:
        text = f"--name {name}: a study or space of this name ships with explorer and would be shadowed in this folder"
        raise WrongUsage(text, fix=f"--name my-{name}")
    return f"my-{chosen}"


def fitted_model_name(path: str) -> str:
    """Return the file name for a model fitted to a samples CSV: `my-model.json` for `my.csv`."""
    return f"{re.sub(_SUFFIXES, '', path)}-model.json"
