"""Validated declarations in TOML and JSON: all faults of a file at once, each with its location and fix."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Tag, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from explorer.errors import ExplorerError, Fault, InvalidFile, limit_faults, suggestion
from explorer.io.files import MAX_DECLARATION_BYTES, read_text
from explorer.units import parse_quantity


class Declaration(BaseModel):
    """Base model of declarations: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=False)


Declared = TypeVar("Declared", bound=Declaration)


def validation_error(what: str, *, fix: str) -> PydanticCustomError:
    """Return the error for a validator to raise; `what` and `fix` reach the user unchanged."""
    return PydanticCustomError("explorer", "{what}", {"what": what, "fix": fix})


def quantity(symbol: str) -> BeforeValidator:
    """Return a validator for a field in SI that accepts a number or text with a unit ('22 W')."""

    def read(value: object) -> object:
        if not isinstance(value, str):
            return value
        try:
            return parse_quantity(value, symbol)
        except ExplorerError as error:
            raise validation_error(error.problem, fix=error.fix) from None

    return BeforeValidator(read)


def read_toml(path: Path, model: type[Declared]) -> tuple[Declared, str]:
    """Read and validate a TOML declaration; return it with the file's text.

    Raises:
        WrongUsage: the file does not exist or is not readable.
        InvalidFile: the file is empty, too large, not TOML, or not this kind of declaration; all faults at once.
    """
    text = read_text(path, max_bytes=MAX_DECLARATION_BYTES)
    try:
        data = tomllib.loads(text)
    except ValueError as error:  # a TOMLDecodeError, or a number with too many digits
        raise InvalidFile(
            path, [Fault("", f"is not TOML: {error}", "correct the line it names (https://toml.io)")]
        ) from None
    except RecursionError:
        raise InvalidFile(path, [Fault("", "is nested too deeply", "keep tables at most a few levels deep")]) from None
    return validate(data, model, path=path), text


def read_json(path: Path, model: type[Declared], *, max_bytes: int) -> Declared:
    """Read and validate a JSON file that a command of this program wrote.

    Raises:
        WrongUsage: the file does not exist or is not readable.
        InvalidFile: the file is not JSON or not of this schema; all faults at once.
    """
    text = read_text(path, max_bytes=max_bytes)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidFile(
            path, [Fault("", f"is not JSON: {error}", "write it again with the command that made it")]
        ) from None
    return validate(data, model, path=path)


def toml_string(text: str) -> str:
    """Return a text as a TOML basic string.

    >>> toml_string('Top-1 "best" [%]') == chr(34) + 'Top-1 @"best@" [%]'.replace("@", chr(92)) + chr(34)
    True
    """
    # JSON escapes quotes, backslashes and control characters as TOML does; TOML alone escapes DEL.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def validate(
    data: object, model: type[Declared], *, path: object, context: Mapping[str, Any] | None = None
) -> Declared:
    """Validate parsed data as a declaration.

    Raises:
        InvalidFile: with every fault, located by the keys of the file.
    """
    try:
        return model.model_validate(data, context={"path": path, **(context or {})})
    except ValidationError as error:
        details = error.errors()
        # pydantic drops an invalid item and then also reports its list as too short: report the item alone.
        with_faults = {detail["loc"][: i + 1] for detail in details for i in range(len(detail["loc"]) - 1)}
        reported = [d for d in details if not (d["type"] == "too_short" and d["loc"] in with_faults)]
        faults = {str(fault): fault for fault in (_fault(detail, model) for detail in reported)}
        raise InvalidFile(path, limit_faults(list(faults.values()))) from None


def _fault(detail: ErrorDetails, model: type[BaseModel]) -> Fault:
    kind, loc, value = detail["type"], detail["loc"], detail["input"]
    key = str(loc[-1]) if loc else ""
    if kind == "extra_forbidden":
        valid = [name for name in _fields_at(model, loc[:-1]) if name != "schema_"]
        return Fault(_location(loc[:-1]), f"unknown name '{key}'", suggestion(key, sorted(valid)))
    if kind == "missing":
        return Fault(_location(loc[:-1]), f"'{key}' is missing", f"add {key} = ... ({_description(model, loc)})")
    if kind == "explorer":
        context = detail["ctx"]
        return Fault(_location(loc), str(context["what"]), str(context["fix"]))
    text = repr(value) if len(repr(value)) <= 60 else f"{repr(value)[:57]}..."
    message = detail["msg"].replace("Input should be", "must be").replace("valid ", "").partition(" or instance of")[0]
    return Fault(_location(loc), f"{text} is not allowed: {message}", _description(model, loc) or "change the value")


def _location(loc: Sequence[int | str]) -> str:
    """Return a location in TOML notation: ('search', 'trials') is '[search] trials', ('a', 0) is 'a, item 1'."""
    names = [part for part in loc if isinstance(part, str) and part not in _UNION_BRANCHES]
    items = "".join(f", item {part + 1}" for part in loc if isinstance(part, int))
    if len(names) < 2:
        return "".join(names) + items
    return f"[{names[0]}] {'.'.join(names[1:])}{items}"


# pydantic puts the branch of a union (str or list of str) into a location; the user's file has no such level.
_UNION_BRANCHES = {"str", "dict", "live", "float", "int", "list[str]", "tuple[str, ...]"}


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> dict[str, Any]:
    inner: type[BaseModel] | None = model
    annotation: Any = None
    for part in loc:
        if isinstance(part, int) or inner is None:
            continue
        if part in inner.model_fields:
            annotation = inner.model_fields[part].annotation
            inner = _model_in(annotation)
        elif part in _UNION_BRANCHES:
            inner = _branch(annotation, part) or inner
        elif inner.model_config.get("extra") == "allow":
            inner = _model_in(inner.__annotations__["__pydantic_extra__"])
    return dict(inner.model_fields) if inner else {}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) is Literal:
        return None
    return next((model for arg in get_args(annotation) if (model := _model_in(arg))), None)


def _branch(annotation: Any, tag: str) -> type[BaseModel] | None:
    """Return the model that a union's tag selects."""
    for arg in get_args(annotation):
        if any(isinstance(note, Tag) and note.tag == tag for note in get_args(arg)[1:]):
            return _model_in(arg)
    return None


def _description(model: type[BaseModel], loc: Sequence[int | str]) -> str:
    names = [part for part in loc if isinstance(part, str)]
    while names and names[-1] in _UNION_BRANCHES:
        names.pop()
    field = _fields_at(model, names[:-1]).get(names[-1]) if names else None
    return (field.description or "") if field else ""
