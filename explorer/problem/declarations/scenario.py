"""Schema of the scenarios of a study."""

import re
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, WithJsonSchema, model_validator

from explorer.errors import WrongUsage
from explorer.io.declarations import Declaration, validation_error
from explorer.problem.scenarios.changes import relative_changes
from explorer.problem.scenarios.declared import DeclaredScenarios, Values

_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,49}")
_MAX_LISTED = 20
_FIX = "write a change '-3 %', a tolerance '3 %', a value '0.9 V', or a list of them"


def _values(value: Any) -> Values:
    listed = tuple(value) if isinstance(value, list | tuple) else (value,)
    if not 1 <= len(listed) <= _MAX_LISTED:
        raise validation_error(f"lists {len(listed)} changes", fix=f"list 1 to {_MAX_LISTED} changes")
    for one in listed:
        if isinstance(one, bool) or not isinstance(one, str | int | float):
            raise validation_error(f"{one!r} is not a change", fix=_FIX)
        if isinstance(one, str) and "%" in one:
            try:
                relative_changes(one)
            except WrongUsage as error:
                raise validation_error(error.problem, fix=error.fix) from None
    return listed


_Changes = Annotated[
    Any,
    AfterValidator(_values),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "array"}]}),
]


class Scenarios(Declaration):
    """Deviations that the limits of the study hold under: [scenario.NAME] tables of quantities and their changes."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, dict[str, _Changes]]

    mode: Literal["worst", "nominal"] = Field(
        "worst", description="worst: limits hold in every scenario; nominal: they hold without deviations"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name, table in (self.__pydantic_extra__ or {}).items():
            if not _NAME.fullmatch(name):
                raise validation_error(f"'{name}' is not a name", fix="use letters, digits, '-', '_' and '.'")
            if not table:
                raise validation_error(f"[scenario.{name}] changes nothing", fix="add for example voltage = '-3 %'")
        return self

    @property
    def declared(self) -> DeclaredScenarios:
        """The scenarios in declared order."""
        tables = (self.__pydantic_extra__ or {}).items()
        return DeclaredScenarios(tuple((name, tuple(table.items())) for name, table in tables), self.mode)
