"""Repeats of one design that disagree: single hangs, and a factor that is missing from the knobs."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc

from explorer.models.diagnostics.curves import CurveTable, stabilize
from explorer.models.diagnostics.warnings import ModelWarning, join_items
from explorer.problem.columns import Float
from explorer.problem.targets import is_relative, share_range

_HANG = 3.0  # ratio to the fastest repeat of the same design
_FAILED = 0.5  # the same for accuracy, in radian of arcsin(sqrt(p)): 7 standard errors of a count of 50
_FAR_Z = 7.0  # a hang is also this far from its design's median, in robust standard deviations of all repeats
_MAX_HANG_SHARE = 0.25  # more hangs than this share of the repeats indicate a factor that is missing from the table
# Least effect of a missing factor that is reported: a tenth of the value; for accuracy 0.1 radian (about 0.1).
_LEAST_EFFECT = 0.1
_MIN_RESOLUTIONS = 5  # gaps of fewer steps of a counted or rounded value are its resolution, not two clusters
_MIN_GROUPS, _MAX_GROUPS, _MAX_REPEATS = 3, 60, 12
_N_NULL, _NULL_MARGIN = 999, 0.6  # a statistic below 0.6 of the least of 999 simulations of normal noise
_MAX_LEVELS, _COLUMN_P, _COLUMN_SHARE = 8, 1e-3, 0.5
_WIDE_Z, _MIN_TYPICAL, _WIDE_SHARE = 12.0, 8, 0.1
_MAX_LISTED, _LEAST_SHARE = 5, 0.05
_SEED = 20261


def repeat_warnings(
    target: str, table: CurveTable, values: Float, rows: NDArray[Any], *, ignored: Mapping[str, NDArray[Any]]
) -> Iterator[ModelWarning]:
    """Yield a warning about repeats of one design that disagree far beyond the scatter of the others.

    Args:
        target: the column.
        table: the measured rows.
        values: the measurements, shape (n,).
        rows: the rows' numbers in their file, shape (n,).
        ignored: columns of the file that are not knobs, shape (n,) each; those that differ are named.
    """
    group = table.repeats()
    is_repeat = np.bincount(group)[group] > 1 if group.size else np.zeros(0, dtype=np.bool_)
    if not is_repeat.any():
        return
    index, y = table.rows[is_repeat], table.values[is_repeat]
    group = np.unique(group[is_repeat], return_inverse=True)[1].reshape(-1)
    ignored = {name: column[index] for name, column in ignored.items()}
    is_far = _far_rows(target, y, group)
    if is_far.sum() > max(1, len(y) * _MAX_HANG_SHARE) or _has_factor(values[index], y, group, ignored):
        yield _hidden_factor(target, values[index], group, rows[index], ignored)
        return
    is_far &= _beyond_noise(y, group)
    if is_far.any():
        yield _hang_warning(target, values[index], group, rows[index], is_far)
        ignored = {name: column[~is_far] for name, column in ignored.items()}
        index, group = index[~is_far], np.unique(group[~is_far], return_inverse=True)[1].reshape(-1)
    yield from _scatter_warnings(target, values[index], group, rows[index], ignored)


def _scatter_warnings(
    target: str, values: Float, group: NDArray[np.int64], rows: NDArray[Any], ignored: Mapping[str, NDArray[Any]]
) -> Iterator[ModelWarning]:
    """Yield a warning if repeats form clusters, follow an ignored column, or differ in few designs only."""
    y = stabilize(target, values)
    if _has_factor(values, y, group, ignored):
        yield _hidden_factor(target, values, group, rows, ignored)
        return
    wide = _wide_groups(y, group)
    if len(wide) >= _MIN_GROUPS and len(wide) > _WIDE_SHARE * (group.max() + 1):
        is_wide = np.isin(group, wide)
        ignored = {name: column[is_wide] for name, column in ignored.items()}
        group = np.unique(group[is_wide], return_inverse=True)[1].reshape(-1)
        yield _hidden_factor(target, values[is_wide], group, rows[is_wide], ignored)
    elif len(wide):
        listed = [" and ".join(map(str, rows[group == g][:3])) for g in wide]
        text = f"{target}: repeats of one design differ far more than those of others (rows {join_items(listed)})"
        yield ModelWarning("outlier", f"{text}: measure them again, or remove the wrong ones")


def _has_factor(values: Float, y: Float, group: NDArray[np.int64], ignored: Mapping[str, NDArray[Any]]) -> bool:
    return _follows_a_column(y, group, ignored) or _has_two_clusters(values, y, group)


def _far_rows(target: str, y: Float, group: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask of the rows several times above (accuracy: far below) the best repeat of their design."""
    best = np.full(int(group.max()) + 1, np.inf)
    sign = -1.0 if share_range(target) else 1.0
    np.minimum.at(best, group, sign * y)
    return np.asarray(sign * y - best[group] > (np.log(_HANG) if is_relative(target) else _FAILED))


def _beyond_noise(y: Float, group: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return a mask of the rows more than seven robust standard deviations from the median of their design."""
    ordered = np.lexsort((y, group))
    counts = np.bincount(group)
    start = np.cumsum(counts) - counts
    low, high = (y[ordered[start + offset]] for offset in ((counts - 1) // 2, counts // 2))
    deviation = np.abs(y - ((low + high) / 2)[group])
    return np.asarray(deviation > _FAR_Z * float(np.median(deviation)) / 0.6745) | (len(counts) < _MIN_TYPICAL)


def _hang_warning(
    target: str, values: Float, group: NDArray[np.int64], rows: NDArray[Any], is_far: NDArray[np.bool_]
) -> ModelWarning:
    if not is_relative(target):
        worst = [
            f"{rows[i]} ({values[i]:.3g} against {values[group == group[i]].max():.3g})" for i in np.flatnonzero(is_far)
        ]
        text = f"{target} is far below that of its repeat in row {join_items(worst)}: a failed run? Measure it again"
        return ModelWarning("outlier", text)
    ratios = [(float(values[i] / values[group == group[i]].min()), int(rows[i])) for i in np.flatnonzero(is_far)]
    worst = [f"{row} ({ratio:.1f} times)" for ratio, row in sorted(ratios, reverse=True)]
    text = f"{target} is several times that of its repeat in row {join_items(worst)}: possibly a hang; remove it"
    return ModelWarning("outlier", text)


def _hidden_factor(
    target: str, values: Float, group: NDArray[np.int64], rows: NDArray[Any], ignored: Mapping[str, NDArray[Any]]
) -> ModelWarning:
    """Return the warning that a factor is missing, with the designs whose repeats differ most."""
    low, high = np.full(int(group.max()) + 1, np.inf), np.full(int(group.max()) + 1, -np.inf)
    np.minimum.at(low, group, values)
    np.maximum.at(high, group, values)
    y = stabilize(target, np.stack([low, high]))
    worst = np.argsort(y[0] - y[1], kind="stable")
    ends = [sorted(_row_of(rows, values, group, g, end) for end in (low, high)) for g in worst[:_MAX_LISTED].tolist()]
    listed = [f"{a} and {b}" for a, b in ends]
    pairs = ", ".join(listed)
    more = f" and {len(worst) - len(listed)} more" if len(worst) > len(listed) else ""
    first = worst[0]
    size = f"{high[first] / low[first]:.1f} times" if is_relative(target) else ""
    if not is_relative(target):
        size = f"{high[first] - low[first]:.2f} ({low[first]:.3g} and {high[first]:.3g})"
    text = f"{target}: repeats of one design differ by up to {size}, rows {pairs}{more}"
    fact = f"{text}: a factor is missing from the knobs"
    return ModelWarning("hidden_factor", f"{fact}. {_column_text(stabilize(target, values), group, ignored)}")


def _row_of(rows: NDArray[Any], values: Float, group: NDArray[np.int64], g: int, extreme: Float) -> int:
    return int(rows[np.flatnonzero((group == g) & (values == extreme[g]))[0]])


def _column_text(y: Float, group: NDArray[np.int64], ignored: Mapping[str, NDArray[Any]]) -> str:
    """Return the fix: the ignored columns in which the repeats differ, those that explain most first."""
    shares = {name: _within_share(y, group, column)[0] for name, column in ignored.items()}
    differing = sorted((name for name, share in shares.items() if share is not None), key=lambda n: -(shares[n] or 0))
    main = [name for name in differing if (shares[name] or 0) >= _LEAST_SHARE]
    differing = main or differing
    if not differing:
        return "Declare the column that sets them apart as a knob"
    listed = join_items([f"{name} ({shares[name]:.0%} of their scatter)" for name in differing])
    return f"Columns in which they differ: {listed}. Declare the one that matters as a knob"


def _follows_a_column(y: Float, group: NDArray[np.int64], ignored: Mapping[str, NDArray[Any]]) -> bool:
    """Return True if the levels of an ignored column explain the scatter of repeats (F test, Bonferroni)."""
    for column in ignored.values():
        share, p, effect = _within_share(y, group, column)
        if share is not None and share > _COLUMN_SHARE and p < _COLUMN_P / len(ignored) and effect > _LEAST_EFFECT:
            return True
    return False


def _within_share(y: Float, group: NDArray[np.int64], column: NDArray[Any]) -> tuple[float | None, float, float]:
    """Return the share of the scatter within designs that a column's levels explain, its p value, and the effect.

    The share is None for a column that does not differ within a design.
    """
    level = np.unique(column.astype(str), return_inverse=True)[1].reshape(-1)
    n_levels = int(level.max()) + 1
    counts = np.bincount(group)
    pairs = np.unique(np.stack([group, level]), axis=1)
    if pairs.shape[1] == len(np.unique(group)):
        return None, 1.0, 0.0
    if n_levels > min(_MAX_LEVELS, len(y) // 3):
        return 0.0, 1.0, 0.0

    def centered(values: Float) -> Float:
        return np.asarray(values - (np.bincount(group, values) / np.maximum(counts, 1))[group])

    x = np.stack([centered((level == i).astype(np.float64)) for i in range(1, n_levels)], axis=1)
    residual = centered(y)
    total = float(residual @ residual)
    coefficients, _, rank, _ = np.linalg.lstsq(x, residual, rcond=1e-9)
    error = residual - x @ coefficients
    freedom = len(y) - len(np.unique(group)) - int(rank)
    if freedom < 1 or total <= 0 or not rank:
        return 0.0, 1.0, 0.0
    left = max(float(error @ error), 1e-12 * total)
    p = float(fdtrc(int(rank), freedom, (total - left) / int(rank) / (left / freedom)))
    return 1 - left / total, p, float(np.ptp(np.append(coefficients, 0.0)))


def _wide_groups(y: Float, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the designs whose repeats spread 12 times the typical standard deviation of repeats, widest first."""
    n_groups = int(group.max()) + 1
    low, high = np.full(n_groups, np.inf), np.full(n_groups, -np.inf)
    np.minimum.at(low, group, y)
    np.maximum.at(high, group, y)
    spread = np.where(np.bincount(group) > 1, high - low, np.nan)
    spread = spread[np.isfinite(spread)]
    if len(spread) < _MIN_TYPICAL:
        return np.zeros(0, dtype=np.int64)
    typical = max(float(np.median(spread)) / 0.954, 0.01)  # 0.954: median range of two normal values
    wide = np.flatnonzero(high - low > max(_WIDE_Z * typical, _LEAST_EFFECT))
    return np.asarray(wide[np.argsort((low - high)[wide], kind="stable")], dtype=np.int64)


def _has_two_clusters(values: Float, y: Float, group: NDArray[np.int64]) -> bool:
    """Return True if the repeats are better described by two clusters with a common gap than normal noise ever is.

    The statistic is the scatter that two clusters leave, relative to all scatter of repeats; it does not depend on the
    noise's size, so its distribution under normal noise is simulated for the same numbers of repeats.
    """
    counts = np.bincount(group)
    chosen = np.flatnonzero(counts > 1)
    if len(chosen) < _MIN_GROUPS:
        return False
    chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, min(len(chosen), _MAX_GROUPS)).astype(np.int64))]
    observed = np.full((1, len(chosen), _MAX_REPEATS), np.nan)
    for k, g in enumerate(chosen):
        repeats = y[group == g][:_MAX_REPEATS]
        observed[0, k, : len(repeats)] = repeats
    statistic, gap, n_split = _cluster_statistic(observed)
    # A few wrong rows are no factor, however far off.
    if n_split[0] < max(_MIN_GROUPS, _WIDE_SHARE * len(chosen)) or not _is_resolved(values, y, float(gap[0])):
        return False
    return bool(statistic[0] < _NULL_MARGIN * _least_of_noise(tuple(np.isfinite(observed[0]).sum(axis=1).tolist())))


@cache
def _least_of_noise(counts: tuple[int, ...]) -> float:
    """Return the least cluster statistic of 999 tables of normal noise with the same numbers of repeats."""
    null = np.random.default_rng(_SEED).standard_normal((_N_NULL, len(counts), max(counts)))
    null[:, np.arange(max(counts)) >= np.array(counts)[:, None]] = np.nan
    return float(_cluster_statistic(null)[0].min())


def _is_resolved(values: Float, y: Float, gap: float) -> bool:
    """Return True if a gap is large enough to matter, and spans several steps of a counted or rounded value."""
    steps = np.diff(np.unique(y))
    return (
        gap > _LEAST_EFFECT
        and bool(steps.size)
        and gap > _MIN_RESOLUTIONS * float(np.median(steps) if len(steps) < len(values) / 4 else steps.min())
    )


def _cluster_statistic(y: Float) -> tuple[Float, Float, NDArray[np.int64]]:
    """Return the share of scatter left by two clusters with a common gap, that gap, and the number of designs split.

    Args:
        y: s simulations of the repeats of g designs, shape (s, g, k); NaN beyond a design's number of repeats.

    Returns:
        Shape (s,) each.
    """
    ordered = np.sort(y, axis=2)  # NaN last
    n = np.sum(np.isfinite(ordered), axis=2, keepdims=True)
    filled = np.where(np.isfinite(ordered), ordered - ordered[:, :, :1], 0.0)
    total = filled.sum(axis=2, keepdims=True)
    scatter = np.sum(filled**2, axis=2) - total[:, :, 0] ** 2 / n[:, :, 0]
    left = np.arange(1, y.shape[2])[None, None, :]
    right = np.maximum(n - left, 1)
    gap = (total - filled.cumsum(axis=2)[:, :, :-1]) / right - filled.cumsum(axis=2)[:, :, :-1] / left
    weight = np.where(left < n, left * right / n, 0.0)
    best = np.argmax(weight * gap**2, axis=2)[:, :, None]
    gap, weight = (np.take_along_axis(a, best, axis=2)[:, :, 0] for a in (gap, weight))
    within = np.maximum(scatter - weight * gap**2, 0.0)
    # Each design has either one cluster or two with the common gap; every design's own gap is tried as the common one.
    two = within[:, None, :] + weight[:, None, :] * (gap[:, None, :] - gap[:, :, None]) ** 2
    explained = np.minimum(two, scatter[:, None, :]).sum(axis=2)
    choice = np.argmin(explained, axis=1)
    pick = np.arange(len(y))
    n_split = np.sum(two[pick, choice] < scatter / 2, axis=1)
    return explained[pick, choice] / np.maximum(scatter.sum(axis=1), 1e-300), gap[pick, choice], n_split


def row_numbers(n: int, numbers: Sequence[int] | None) -> NDArray[Any]:
    """Return the rows' numbers in their file, shape (n,); by default 2 for the first, below a header."""
    return np.arange(2, n + 2) if numbers is None else np.asarray(numbers)
