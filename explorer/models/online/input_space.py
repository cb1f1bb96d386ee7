"""Input space of a search: its knobs and their coordinates scaled to [-1, 1]."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from explorer.models.evaluation import low_discrepancy_points
from explorer.models.forms.input_scaling import InputCoordinates, fit_coordinates
from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns, Float, knobs_of, stack
from explorer.problem.design_space import ROW, DesignSpace

# Designs by which the range of a knob is found that is not a dimension itself, such as the clock under a V-f law.
_N_PROBES = 256


@dataclass(frozen=True, slots=True)
class InputSpace:
    """Inputs of the online surrogate.

    Args:
        knobs: each column of the designs that a target may depend on.
        coordinates: levels of the categories and scales of the numbers, over all regions.
    """

    knobs: tuple[KnobSpec, ...]
    coordinates: InputCoordinates


def build_input_space(regions: Mapping[str, DesignSpace]) -> InputSpace:
    """Return the input space of some regions.

    The row names of a table are a knob only if nothing else varies: they carry no information about other rows.
    """
    probes = _probe_designs(regions)
    is_log = {axis.name for region in regions.values() for axis in region.axes if axis.is_log}
    names = [name for name in knobs_of(probes) if name != ROW]
    varied = [name for name in names if len(np.unique(probes[name].astype(str))) > 1]
    used = names if varied or ROW not in probes else [ROW, *names]
    knobs = tuple(
        KnobSpec(name, "category" if probes[name].dtype == object else "number", name in is_log) for name in used
    )
    return InputSpace(knobs, fit_coordinates({name: probes[name] for name in used}, knobs))


def _probe_designs(regions: Mapping[str, DesignSpace]) -> Columns:
    """Return designs of all regions that together contain every choice and the ends of every range."""
    tables = []
    for region in regions.values():
        points = low_discrepancy_points(len(region.axes), _N_PROBES) if region.axes else np.zeros((1, 0))
        tables += [region.from_unit(points), *_choice_tables(region)]
    names = dict.fromkeys(name for table in tables for name in table)
    common = [name for name in names if all(name in table for table in tables)]
    return stack([{name: table[name] for name in common} for table in tables])


def _choice_tables(region: DesignSpace) -> list[Columns]:
    """Return a table for each categorical dimension: each choice once, the other dimensions at their middle."""
    tables = []
    for i, axis in enumerate(region.axes):
        if axis.labels:
            points: Float = np.full((len(axis.labels), len(region.axes)), 0.5)
            points[:, i] = (np.arange(len(axis.labels)) + 0.5) / len(axis.labels)
            tables.append(region.from_unit(points))
    return tables
