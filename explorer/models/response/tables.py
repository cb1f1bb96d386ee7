"""Tables of samples with their knobs, and several tables as one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.io.files import sha256
from explorer.models.diagnostics.redundancy import duplicated_knobs
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples, shared_machine
from explorer.problem.columns import stack

_LOG_RATIO = 4.0  # a positive knob whose values span more than this factor is scaled by its logarithm


@dataclass(frozen=True, slots=True)
class KnobColumns:
    """Table of samples with the declaration of its knobs.

    Args:
        samples: knobs and targets, shape (n,) each.
        knobs: declarations of the knobs among the columns.
        groups: label of each row's fold in cross-validation, shape (n,).
    """

    samples: Samples
    knobs: tuple[KnobSpec, ...]
    groups: NDArray[Any] | None = None


def measured_knobs(samples: Samples) -> tuple[KnobSpec, ...]:
    """Infer the declaration of each knob: names are a category, numbers that span more than a factor of 4 are log."""
    columns = samples.columns
    return tuple(
        KnobSpec(name, "category")
        if columns[name].dtype == object
        else KnobSpec(name, "number", _is_log(columns[name]))
        for name in samples.knobs
    )


def with_knobs(samples: Samples) -> KnobColumns:
    """Return samples with their knobs, without knobs that are a function of another one.

    A redundant knob would take half of the other's effect, and a search could propose infeasible combinations.
    """
    knobs = measured_knobs(samples)
    copies = duplicated_knobs(samples.columns, knobs=knobs)
    return KnobColumns(samples, tuple(knob for knob in knobs if knob.name not in copies or knob.name == "family"))


def _is_log(values: NDArray[Any]) -> bool:
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    return low > 0 and high > _LOG_RATIO * low


def concat(tables: Sequence[Samples]) -> Samples:
    """Concatenate tables of samples; a column that a table lacks is filled with NaN, or empty text."""
    names = dict.fromkeys(name for table in tables for name in table.columns)
    is_text = {name: any(t.columns[name].dtype == object for t in tables if name in t.columns) for name in names}
    filled = [
        {
            name: table.columns[name]
            if name in table.columns
            else np.full(
                len(table.labels), "" if is_text[name] else np.nan, dtype=object if is_text[name] else np.float64
            )
            for name in names
        }
        for table in tables
    ]
    labels = tuple(label for table in tables for label in table.labels)
    source = "; ".join(dict.fromkeys(table.source for table in tables))
    notes = tuple(dict.fromkeys(note for table in tables for note in table.notes))
    digest = tables[0].sha256 if len(tables) == 1 else sha256("".join(table.sha256 for table in tables))
    originals = {family: size for table in tables for family, size in table.original_bytes.items()}
    return Samples(
        stack(filled), labels, source, digest, notes, machine=shared_machine(tables), original_bytes=originals
    )
