"""The ground that a search covers: the knobs of its regions, and coordinates that run from -1 to 1 over them."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from explorer.models.evaluation import low_discrepancy_points
from explorer.models.response.input_scaling import InputCoordinates, KnobSpec, fit_coordinates
from explorer.problem.columns import Columns, Float, knobs_of, stack
from explorer.problem.design_space import ROW, DesignSpace

_SHOWN = 256  # designs that show how far knobs reach which no axis is: the clock under a V-f law


@dataclass(frozen=True, slots=True)
class InputSpace:
    """What the designs of a search are told apart by.

    Args:
        knobs: each column of the designs that a model may depend on.
        coordinates: levels of the categories and axes of the numbers, over the whole search.
    """

    knobs: tuple[KnobSpec, ...]
    coordinates: InputCoordinates


def build_input_space(regions: Mapping[str, DesignSpace]) -> InputSpace:
    """Return the ground of some regions.

    The names of a table's rows are no knob where the rows have others: a name says nothing of another name.
    """
    shown = _shown(regions)
    is_log = {axis.name for region in regions.values() for axis in region.axes if axis.is_log}
    names = [name for name in knobs_of(shown) if name != ROW]
    varied = [name for name in names if len(np.unique(shown[name].astype(str))) > 1]
    kept = names if varied or ROW not in shown else [ROW, *names]
    knobs = tuple(
        KnobSpec(name, "category" if shown[name].dtype == object else "number", name in is_log) for name in kept
    )
    return InputSpace(knobs, fit_coordinates({name: shown[name] for name in kept}, knobs))


def _shown(regions: Mapping[str, DesignSpace]) -> Columns:
    """Return designs of all regions that together have every choice and reach every end."""
    tables = []
    for region in regions.values():
        points = low_discrepancy_points(len(region.axes), _SHOWN) if region.axes else np.zeros((1, 0))
        tables += [region.from_unit(points), *_choices(region)]
    names = dict.fromkeys(name for table in tables for name in table)
    common = [name for name in names if all(name in table for table in tables)]
    return stack([{name: table[name] for name in common} for table in tables])


def _choices(region: DesignSpace) -> list[Columns]:
    """Return a table for each axis of choices: each choice once, the other axes in the middle."""
    tables = []
    for i, axis in enumerate(region.axes):
        if axis.labels:
            points: Float = np.full((len(axis.labels), len(region.axes)), 0.5)
            points[:, i] = (np.arange(len(axis.labels)) + 0.5) / len(axis.labels)
            tables.append(region.from_unit(points))
    return tables
