"""Redundant knobs: columns that are a function of another column in every row."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.samples.knobs import KnobSpec
from explorer.problem.columns import Columns

_OPERATING_KNOBS = ("voltage_v", "frequency_hz")


def duplicated_knobs(designs: Columns, *, knobs: Sequence[KnobSpec]) -> dict[str, str]:
    """Return each knob that is a function of another knob, with that knob.

    The other knob must have at least two rows per value on average: a column with a new value in every row determines
    all others by chance. Of two knobs that determine each other the later is the copy. Voltage and clock are exempt,
    since voltage follows the clock on a device and physics separates their effects.
    """
    codes = {knob.name: _encode(designs[knob.name], knob) for knob in knobs}
    sizes = {name: int(code.max()) + 1 if code.size else 0 for name, code in codes.items()}
    kinds = {knob.name: knob.kind for knob in knobs}
    names, result = list(codes), dict[str, str]()
    # Knobs with many values first: they can determine those with fewer values, not the reverse.
    ordered = sorted(names, key=lambda name: (-sizes[name], names.index(name)))
    for i, name in enumerate(ordered):
        for source in ordered[:i]:
            is_rich = 2 * sizes[source] <= len(codes[source])
            # A number with one value per network determines the network, but the category is not its copy.
            can_be_source = kinds[source] == "category" or (kinds[name] == "number" and sizes[name] == sizes[source])
            if (
                source in result
                or sizes[name] < 2
                or not (is_rich and can_be_source)
                or {name, source} & {*_OPERATING_KNOBS}
            ):
                continue
            if np.unique(np.stack([codes[source], codes[name]]), axis=1).shape[1] == sizes[source]:
                result[name] = source
                break
    return result


def _encode(values: NDArray[Any], knob: KnobSpec) -> NDArray[np.int64]:
    kind = str if knob.kind == "category" else np.float64
    return np.asarray(np.unique(values.astype(kind), return_inverse=True)[1].reshape(-1), dtype=np.int64)
