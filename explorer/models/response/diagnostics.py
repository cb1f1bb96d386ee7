"""Warnings about measurements themselves: what real tables have and a fit would silently swallow."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.response.fitting import predict_held_out
from explorer.models.response.input_scaling import KnobSpec
from explorer.models.response.response import Response
from explorer.models.response.selection import distinct_designs
from explorer.problem.columns import Columns, Float

_HANG = 3.0  # times its like
_FALLS = 0.03  # a power that falls by less with a higher clock is within a meter's error
_CLIFF = 0.25  # of accuracy, between one value of a knob and the next
_FAR, _FAR_SHARE = 5.0, 0.1  # robust standard deviations, and share of the value, off what the other rows tell
_MANY_HANGS = 0.25  # a device does not hang that often: then it is another configuration
_SHOWN, _SHOWN_FAR = 5, 3
# Voltage follows the clock on a device: neither is a copy of the other, and physics tells them apart.
_PHYSICAL = frozenset({"voltage_v", "frequency_hz"})


def knob_warnings(designs: Columns, *, knobs: Sequence[KnobSpec]) -> tuple[str, ...]:
    """Say which knobs never vary, which are labels, and which are the same knob twice.

    Args:
        designs: the knobs of each measurement, shape (n,) each.
        knobs: what each column is.
    """
    codes = {knob.name: _codes(designs[knob.name], knob) for knob in knobs}
    warnings = []
    for name, code in codes.items():
        if code.size and not code.any():
            warnings.append(
                f"{name} is {_shown(designs[name][0])} in every row: it is fixed, and nothing tells what it does"
            )
    for knob in knobs:
        n_levels = int(codes[knob.name].max()) + 1 if codes[knob.name].size else 0
        if knob.kind == "category" and 2 * n_levels > len(codes[knob.name]) > 3:
            warnings.append(
                f"{knob.name} has {n_levels} values in {len(codes[knob.name])} rows: a label rather than a knob"
            )
    for name, source in duplicated_knobs(designs, knobs=knobs).items():
        warnings.append(f"{name} is a function of {source} in every row: it adds nothing and is better left out")
    return tuple(warnings)


def duplicated_knobs(designs: Columns, *, knobs: Sequence[KnobSpec]) -> dict[str, str]:
    """Return the knobs that another one before or beside them determines, with that one.

    Only where each value of the other has at least two rows on average: a column that is new in every row determines
    all others by accident. Of two that determine each other the later is the copy; voltage and clock are exempt.
    """
    codes = {knob.name: _codes(designs[knob.name], knob) for knob in knobs}
    sizes = {name: int(code.max()) + 1 if code.size else 0 for name, code in codes.items()}
    kinds = {knob.name: knob.kind for knob in knobs}
    names, result = list(codes), dict[str, str]()
    # The finest first: what it determines is a copy, never the other way round.
    ordered = sorted(names, key=lambda name: (-sizes[name], names.index(name)))
    for i, name in enumerate(ordered):
        for source in ordered[:i]:
            is_rich = 2 * sizes[source] <= len(codes[source])
            # A number with as many values as there are networks tells them apart, but it is not a category's copy.
            can_be_source = kinds[source] == "category" or (kinds[name] == "number" and sizes[name] == sizes[source])
            if source in result or sizes[name] < 2 or not (is_rich and can_be_source) or {name, source} & _PHYSICAL:
                continue
            if np.unique(np.stack([codes[source], codes[name]]), axis=1).shape[1] == sizes[source]:
                result[name] = source
                break
    return result


def target_warnings(
    target: str, designs: Columns, values: Float, *, knobs: Sequence[KnobSpec], numbers: Sequence[int] | None = None
) -> tuple[str, ...]:
    """Say what is odd about one target's measurements: hangs, a power that falls with the clock, a cliff.

    Args:
        target: the column.
        designs: the knobs, shape (n,) each.
        values: the measurements, shape (n,); NaN was not measured.
        knobs: what each column of the designs is.
        numbers: the rows' numbers in their file; default: 2 for the first, below a header.
    """
    rows = np.arange(2, len(values) + 2) if numbers is None else np.asarray(numbers)
    found = [*_hangs(target, designs, values, knobs, rows)]
    if target == "power_w" and "frequency_hz" in designs:
        found += _falling_power(designs, values, knobs, rows)
    if target == "accuracy":
        for knob in ("quant_step", "pruning_ratio"):
            if knob in designs:
                found += _cliffs(designs, values, knobs, knob, rows)
    return tuple(found)


def outlier_warnings(
    response: Response, designs: Columns, values: Float, *, numbers: Sequence[int] | None = None
) -> tuple[str, ...]:
    """Say which measurements lie far from what all the others tell of them.

    Args:
        response: the model fitted to them.
        designs: what it was fitted to: the knobs, shape (n,) each.
        values: the measurements, shape (n,).
        numbers: the rows' numbers in their file; default: 2 for the first, below a header.
    """
    rows = np.arange(2, len(values) + 2) if numbers is None else np.asarray(numbers)
    placed = response.coordinates.transform(response.samples)
    fold = np.arange(placed.n)
    if placed.n < 8:
        return ()
    middle, variance = predict_held_out(response.fit, response.coordinates, placed, response.table, fold, relearn=False)
    z = (response.table.values - middle) / np.sqrt(variance)
    robust = np.abs(z) / max(1.4826 * float(np.median(np.abs(z))), 1e-12)
    far = (robust > _FAR) & (np.abs(response.table.values - middle) > _FAR_SHARE)
    told = []
    for i in np.flatnonzero(far)[np.argsort(-robust[far])][:_SHOWN_FAR]:
        own = np.flatnonzero(_same(designs, response, int(i)) & np.isfinite(values))
        where = f"row{'s' if len(own) > 1 else ''} {', '.join(str(rows[k]) for k in own)}"
        fitted = float(response.predict({name: column[[i]] for name, column in response.samples.items()})[0])
        told.append(f"{where} ({float(np.median(values[own])):.4g}; the fit, which has seen it: {fitted:.4g})")
    if not told:
        return ()
    more = f" and {int(far.sum()) - len(told)} more" if far.sum() > len(told) else ""
    rows_told = f"far from what the other rows tell, the worst first: {'; '.join(told)}{more}"
    return (f"{response.target}: {rows_told}: measure again, or take out",)


def _same(designs: Columns, response: Response, i: int) -> NDArray[np.bool_]:
    result = np.full(len(next(iter(designs.values()))), fill_value=True)
    for knob in response.knobs:
        column, value = designs[knob.name], response.samples[knob.name][i]
        result &= column.astype(str) == str(value) if knob.kind == "category" else column.astype(np.float64) == value
    return result


def _hangs(
    target: str, designs: Columns, values: Float, knobs: Sequence[KnobSpec], rows: NDArray[Any]
) -> Iterator[str]:
    """Yield repeats of one configuration of which one took several times as long (or cost as much) as the others."""
    if target == "accuracy":
        return
    measured = np.flatnonzero(np.isfinite(values))
    if not measured.size:
        return
    _, index = distinct_designs({k.name: designs[k.name][measured] for k in knobs}, knobs)
    found: list[tuple[float, int]] = []
    n_repeated = 0
    for i in np.flatnonzero(np.bincount(index) > 1):
        own = measured[index == i]
        times = values[own] / float(np.min(values[own]))
        n_repeated += len(own)
        found += [(float(t), int(rows[k])) for t, k in zip(times, own, strict=True) if t > _HANG]
    if not found:
        return
    worst = [f"{row} ({times:.1f} times)" for times, row in sorted(found, reverse=True)]
    if len(found) > max(1, n_repeated * _MANY_HANGS):
        yield (
            f"{target}: repeats of one configuration differ by up to {max(found)[0]:.1f} times (rows "
            f"{_listed(worst)}): something that matters is not among the knobs; name its column"
        )
    else:
        yield f"{target} is several times that of its repeat in row {_listed(worst)}: a hang? take it out"


def _falling_power(designs: Columns, values: Float, knobs: Sequence[KnobSpec], rows: NDArray[Any]) -> Iterator[str]:
    falls = []
    for curve in _curves(designs, values, knobs, "frequency_hz", ignored="voltage_v"):
        clock, power = designs["frequency_hz"][curve], values[curve]
        falls += [
            f"{rows[curve[i]]} to {rows[curve[i + 1]]}"
            for i in range(len(curve) - 1)
            if clock[i + 1] > clock[i] and power[i + 1] < (1 - _FALLS) * power[i]
        ]
    if falls:
        yield (
            f"power_w falls although the clock rises, all else equal (rows {_listed(falls)}): throttling, or a meter "
            f"that missed the load?"
        )


def _cliffs(
    designs: Columns, values: Float, knobs: Sequence[KnobSpec], along: str, rows: NDArray[Any]
) -> Iterator[str]:
    edges: list[tuple[float, float]] = []
    where, n_curves = [], 0
    for curve in _curves(designs, values, knobs, along, ignored=""):
        knob, accuracy = designs[along][curve].astype(np.float64), values[curve]
        drops = accuracy[:-1] - accuracy[1:]
        n_curves += len(drops) > 0
        if len(drops) and drops.max() > _CLIFF:
            i = int(np.argmax(drops))
            edges.append((float(knob[i]), float(knob[i + 1])))
            where.append(f"{rows[curve[i]]} to {rows[curve[i + 1]]}")
    # Measured networks scatter along a cliff of another knob; one curve of many is not a cliff along this one.
    if len(edges) > n_curves / 4:
        low, high = min(low for low, _ in edges), max(high for _, high in edges)
        yield (
            f"accuracy falls off a cliff between {along} {low:.3g} and {high:.3g} (rows {_listed(where)}): where it "
            f"stands decides every choice near it; measure more there"
        )


def _curves(
    designs: Columns, values: Float, knobs: Sequence[KnobSpec], along: str, *, ignored: str
) -> Iterator[NDArray[np.int64]]:
    """Yield rows that differ in one knob alone, by that knob ascending."""
    measured = np.flatnonzero(np.isfinite(values))
    others = [knob for knob in knobs if knob.name not in {along, ignored}]
    if not measured.size:
        return
    _, index = distinct_designs({knob.name: designs[knob.name][measured] for knob in others}, others) if others else (
        None, np.zeros(len(measured), dtype=np.int64),
    )  # fmt: skip
    for i in range(int(index.max()) + 1):
        own = measured[index == i]
        yield own[np.argsort(designs[along][own].astype(np.float64), kind="stable")]


def _codes(values: NDArray[Any], knob: KnobSpec) -> NDArray[np.int64]:
    kind = str if knob.kind == "category" else np.float64
    return np.asarray(np.unique(values.astype(kind), return_inverse=True)[1].reshape(-1), dtype=np.int64)


def _listed(items: Sequence[str]) -> str:
    more = f" and {len(items) - _SHOWN} more" if len(items) > _SHOWN else ""
    return ", ".join(items[:_SHOWN]) + more


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else f"{float(value):.4g}"
