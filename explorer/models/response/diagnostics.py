"""Warnings about measurements that would silently bias a fit: hangs, throttling, cliffs, outliers, redundant knobs."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.response.calibration import OPERATING_KNOBS
from explorer.models.response.fitting import predict_held_out
from explorer.models.response.response import Response
from explorer.models.samples.knobs import KnobSpec, distinct_designs
from explorer.problem.columns import Columns, Float

_HANG = 3.0  # ratio to the fastest repeat of the same design
_POWER_DROP = 0.03  # relative; a smaller drop of power at a higher clock is within the error of a meter
_CLIFF = 0.25  # drop of accuracy between adjacent values of a knob
_OUTLIER_Z, _OUTLIER_SHARE = 5.0, 0.1  # residual in robust standard deviations, and linked (10 % of the value)
_MAX_HANG_SHARE = 0.25  # more hangs than this share of the repeats indicate a knob that is missing from the table
_MAX_LISTED, _MAX_OUTLIERS = 5, 3


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
                or {name, source} & {*OPERATING_KNOBS}
            ):
                continue
            if np.unique(np.stack([codes[source], codes[name]]), axis=1).shape[1] == sizes[source]:
                result[name] = source
                break
    return result


def target_warnings(
    target: str, designs: Columns, values: Float, *, knobs: Sequence[KnobSpec], numbers: Sequence[int] | None = None
) -> tuple[str, ...]:
    """Return warnings about one target's measurements: hangs, a power that falls with the clock, a cliff.

    Args:
        target: the column.
        designs: the knobs, shape (n,) each.
        values: the measurements, shape (n,); NaN was not measured.
        knobs: declaration of each column of the designs.
        numbers: the rows' numbers in their file; default: 2 for the first, below a header.
    """
    rows = np.arange(2, len(values) + 2) if numbers is None else np.asarray(numbers)
    warnings = [*_hang_warnings(target, designs, values, knobs, rows)]
    if target == "power_w" and "frequency_hz" in designs:
        warnings += _falling_power_warnings(designs, values, knobs, rows)
    if target == "accuracy":
        for knob in ("quant_step", "pruning_ratio"):
            if knob in designs:
                warnings += _cliff_warnings(designs, values, knobs, knob, rows)
    return tuple(warnings)


def outlier_warnings(
    response: Response, designs: Columns, values: Float, *, numbers: Sequence[int] | None = None
) -> tuple[str, ...]:
    """Return a warning that lists the measurements far from their leave-one-out predictions.

    Args:
        response: the model fitted to the measurements.
        designs: the knobs of the measurements, shape (n,) each.
        values: the measurements, shape (n,).
        numbers: the rows' numbers in their file; default: 2 for the first, below a header.
    """
    rows = np.arange(2, len(values) + 2) if numbers is None else np.asarray(numbers)
    inputs = response.coordinates.transform(response.samples)
    fold = np.arange(inputs.n)
    if inputs.n < 8:
        return ()
    middle, variance = predict_held_out(response.fit, response.coordinates, inputs, response.table, fold, relearn=False)
    z = (response.table.values - middle) / np.sqrt(variance)
    robust = np.abs(z) / max(1.4826 * float(np.median(np.abs(z))), 1e-12)
    is_outlier = (robust > _OUTLIER_Z) & (np.abs(response.table.values - middle) > _OUTLIER_SHARE)
    outliers = []
    for i in np.flatnonzero(is_outlier)[np.argsort(-robust[is_outlier])][:_MAX_OUTLIERS]:
        repeats = np.flatnonzero(_is_design(designs, response, int(i)) & np.isfinite(values))
        label = f"row{'s' if len(repeats) > 1 else ''} {', '.join(str(rows[k]) for k in repeats)}"
        fitted = float(response.predict({name: column[[i]] for name, column in response.samples.items()})[0])
        outliers.append(f"{label} ({float(np.median(values[repeats])):.4g}; fitted {fitted:.4g})")
    if not outliers:
        return ()
    n_more = int(is_outlier.sum()) - len(outliers)
    listed = "; ".join(outliers) + (f" and {n_more} more" if n_more else "")
    return (f"{response.target}: outliers among the rows, the worst first: {listed}: measure again, or remove",)


def _is_design(designs: Columns, response: Response, i: int) -> NDArray[np.bool_]:
    result = np.full(len(next(iter(designs.values()))), fill_value=True)
    for knob in response.knobs:
        column, value = designs[knob.name], response.samples[knob.name][i]
        result &= column.astype(str) == str(value) if knob.kind == "category" else column.astype(np.float64) == value
    return result


def _hang_warnings(
    target: str, designs: Columns, values: Float, knobs: Sequence[KnobSpec], rows: NDArray[Any]
) -> Iterator[str]:
    """Yield a warning about repeats of one design that took (or cost) several times as much as the best one."""
    if target == "accuracy":
        return
    measured = np.flatnonzero(np.isfinite(values))
    if not measured.size:
        return
    _, index = distinct_designs({k.name: designs[k.name][measured] for k in knobs}, knobs)
    hangs: list[tuple[float, int]] = []
    n_repeated = 0
    for i in np.flatnonzero(np.bincount(index) > 1):
        repeats = measured[index == i]
        ratios = values[repeats] / float(np.min(values[repeats]))
        n_repeated += len(repeats)
        hangs += [(float(ratio), int(rows[k])) for ratio, k in zip(ratios, repeats, strict=True) if ratio > _HANG]
    if not hangs:
        return
    worst = [f"{row} ({ratio:.1f} times)" for ratio, row in sorted(hangs, reverse=True)]
    if len(hangs) > max(1, n_repeated * _MAX_HANG_SHARE):
        yield (
            f"{target}: repeats of one design differ by up to {max(hangs)[0]:.1f} times (rows {_join(worst)}): "
            f"a knob is missing from the table; declare its column"
        )
    else:
        yield f"{target} is several times that of its repeat in row {_join(worst)}: possibly a hang; remove it"


def _falling_power_warnings(
    designs: Columns, values: Float, knobs: Sequence[KnobSpec], rows: NDArray[Any]
) -> Iterator[str]:
    drops = []
    for curve in _curves(designs, values, knobs, "frequency_hz", ignored="voltage_v"):
        clock, power = designs["frequency_hz"][curve], values[curve]
        drops += [
            f"{rows[curve[i]]} to {rows[curve[i + 1]]}"
            for i in range(len(curve) - 1)
            if clock[i + 1] > clock[i] and power[i + 1] < (1 - _POWER_DROP) * power[i]
        ]
    if drops:
        yield (
            f"power_w falls although the clock rises, all else equal (rows {_join(drops)}): throttling, or a meter "
            f"that missed the load?"
        )


def _cliff_warnings(
    designs: Columns, values: Float, knobs: Sequence[KnobSpec], along: str, rows: NDArray[Any]
) -> Iterator[str]:
    edges: list[tuple[float, float]] = []
    edge_rows, n_curves = [], 0
    for curve in _curves(designs, values, knobs, along, ignored=""):
        knob, accuracy = designs[along][curve].astype(np.float64), values[curve]
        drops = accuracy[:-1] - accuracy[1:]
        n_curves += len(drops) > 0
        if len(drops) and drops.max() > _CLIFF:
            i = int(np.argmax(drops))
            edges.append((float(knob[i]), float(knob[i + 1])))
            edge_rows.append(f"{rows[curve[i]]} to {rows[curve[i + 1]]}")
    # Accuracy is noisy along the cliff of another knob, so a drop on few curves is not a cliff along this knob.
    if len(edges) > n_curves / 4:
        low, high = min(low for low, _ in edges), max(high for _, high in edges)
        yield (
            f"accuracy falls off a cliff between {along} {low:.3g} and {high:.3g} (rows {_join(edge_rows)}): "
            f"every decision near it depends on its position. Measure more designs between these values"
        )


def _curves(
    designs: Columns, values: Float, knobs: Sequence[KnobSpec], along: str, *, ignored: str
) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of rows that differ in one knob only, sorted by that knob."""
    measured = np.flatnonzero(np.isfinite(values))
    fixed = [knob for knob in knobs if knob.name not in {along, ignored}]
    if not measured.size:
        return
    index = np.zeros(len(measured), dtype=np.int64)
    if fixed:
        index = distinct_designs({knob.name: designs[knob.name][measured] for knob in fixed}, fixed)[1]
    for i in range(int(index.max()) + 1):
        curve = measured[index == i]
        yield curve[np.argsort(designs[along][curve].astype(np.float64), kind="stable")]


def _encode(values: NDArray[Any], knob: KnobSpec) -> NDArray[np.int64]:
    kind = str if knob.kind == "category" else np.float64
    return np.asarray(np.unique(values.astype(kind), return_inverse=True)[1].reshape(-1), dtype=np.int64)


def _join(items: Sequence[str]) -> str:
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return ", ".join(items[:_MAX_LISTED]) + more
