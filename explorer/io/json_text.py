"""JSON that every parser takes, and files of it."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from explorer.errors import Fault, InvalidFile
from explorer.io.files import read_text, write_text


def finite(value: Any) -> Any:
    """Return a value with NaN, infinities and numpy scalars as null and plain numbers, which JSON can hold."""
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    if hasattr(value, "item"):
        return finite(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def to_text(value: Any, *, indent: int | None = 2) -> str:
    """Return a value as JSON text with a final newline; NaN and infinities become null."""
    return json.dumps(finite(value), indent=indent, ensure_ascii=False) + "\n"


def write_json(path: Path, value: Any, *, indent: int | None = 2) -> None:
    """Replace a JSON file atomically.

    Raises:
        WrongUsage: the folder cannot be written.
    """
    write_text(path, to_text(value, indent=indent))


def read_json_object(path: Path, *, max_bytes: int) -> dict[str, Any]:
    """Read a JSON file that holds an object.

    Raises:
        WrongUsage: the file does not exist or is not readable.
        InvalidFile: it is too large, or no JSON object.
    """
    try:
        value = json.loads(read_text(path, max_bytes=max_bytes))
    except (ValueError, RecursionError) as error:
        raise InvalidFile(path, [Fault("", f"is not JSON: {error}", "restore it from a copy")]) from None
    if not isinstance(value, dict):
        raise InvalidFile(path, [Fault("", "is not a JSON object", "restore it from a copy")])
    return value
