"""Schema of the [columns] of a space or study: which column of the samples a knob or target is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from explorer.io.declarations import Declaration


@dataclass(frozen=True, slots=True)
class ColumnSource:
    """Column of a file that holds a quantity, and its unit; without one the header or the values tell it."""

    column: str
    unit: str = ""


class ColumnDeclaration(Declaration):
    """Column of the samples by its header."""

    column: Annotated[str, Field(min_length=1, max_length=500)] = Field(description="header of the column in the file")
    unit: Annotated[str, Field(max_length=20)] = Field(
        "", description="of its values, such as 'ms' or '%'; without one the header or the values tell it"
    )


def _as_table(value: Any) -> Any:
    return {"column": value} if isinstance(value, str) else value


_Source = Annotated[ColumnDeclaration, BeforeValidator(_as_table)]
ColumnSources = Annotated[dict[str, _Source], Field(max_length=1000)]


def sources_of(columns: Mapping[str, ColumnDeclaration]) -> dict[str, ColumnSource]:
    """Return the columns of a declaration by the name of the knob or target."""
    return {name: ColumnSource(one.column, one.unit) for name, one in columns.items()}
