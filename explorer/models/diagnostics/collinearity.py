"""Collinearity of a table: groups of knobs whose main effects its rows cannot separate.

Variance inflation factors and the weak directions of the scaled main-effects matrix (Belsley, Kuh and Welsch 1980).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.models.diagnostics.curves import encode_levels, scale_knob
from explorer.models.diagnostics.warnings import join_items
from explorer.models.samples.knobs import KnobSpec, distinct_designs
from explorer.problem.columns import Columns, Float

_ALIASED = 1e-10  # squared singular values below this share of the largest are zero
_LEAST_VARIATION = 1e-8  # share of a knob's variance that is left within families; less is rounding
_MAX_VIF = 10.0  # variance inflation above which effects are called inseparable (the usual limit)
_LINKED = 0.5  # partial correlation above which two inflated effects share a weak direction
_LEAST_LOADING, _LINKED_EXACTLY = 1e-9, 1e-3  # squared loading on the null space; correlation within it
_FOLLOWS, _MIN_CLOCKS = 0.8, 3  # correlation of a voltage that follows the clock, and the least number of clocks
_MAX_NAMED = 8
_FAMILY = "family"


@dataclass(frozen=True, slots=True)
class Collinearity:
    """Group of knobs whose main effects the rows of a table cannot separate.

    Args:
        knobs: their names, in the order of the table's knobs.
        text: the fact and the fix.
    """

    knobs: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class _MainEffects:
    """Main effects within families: one orthonormal block of columns for each knob that varies.

    Args:
        names: the knobs, one for each block.
        blocks: shape (n, levels - 1) for a category, (n, 1) for a number.
        aliased: knobs that have an effect which is constant within every family.
    """

    names: tuple[str, ...]
    blocks: tuple[Float, ...]
    aliased: tuple[str, ...]

    @property
    def owners(self) -> NDArray[np.int64]:
        """Index of the knob of each column, shape (p,)."""
        return np.repeat(np.arange(len(self.blocks)), [block.shape[1] for block in self.blocks])


def find_collinear(designs: Columns, knobs: Sequence[KnobSpec]) -> tuple[Collinearity, ...]:
    """Return the groups of knobs whose main effects a table cannot separate, those that are exactly aliased first.

    Numbers are on the scales of the fits (log V and f, log(1 - R), log D), categories have an effect for each level,
    and a `family` has an effect of its own in every group. A knob that is constant has no effect and is in no group.

    Args:
        designs: the knobs, shape (n,) each; rows that lack a number are left out.
        knobs: declaration of each column.

    Returns:
        Disjoint groups of two or more knobs, except that a knob can be in the group of its family as well.
    """
    designs = _distinct_rows(designs, knobs)
    effects = _main_effects(designs, knobs)
    n = len(next(iter(designs.values()))) if designs else 0
    groups = [Collinearity((_FAMILY, name), _family_text(name)) for name in effects.aliased]
    exact, weak = _groups(effects)
    groups += [Collinearity(names, _exact_text(names, designs, n, _n_effects(effects, names))) for names in exact]
    groups += [Collinearity(names, _weak_text(names, designs, inflation)) for names, inflation in weak]
    grouped = {name for group in groups for name in group.knobs}
    return (*groups, *_following_voltage(designs, grouped))


def _distinct_rows(designs: Columns, knobs: Sequence[KnobSpec]) -> Columns:
    """Return the knobs of the distinct designs that have all numbers: repeats separate nothing."""
    columns = {knob.name: designs[knob.name] for knob in knobs}
    if not columns:
        return {}
    is_used = np.full(len(next(iter(columns.values()))), fill_value=True)
    for knob in knobs:
        if knob.kind == "number":
            is_used &= np.isfinite(np.asarray(columns[knob.name], dtype=np.float64))
    columns = {name: column[is_used] for name, column in columns.items()}
    if not is_used.any():
        return columns
    first = distinct_designs(columns, knobs)[0]
    return {name: column[first] for name, column in columns.items()}


def _main_effects(designs: Columns, knobs: Sequence[KnobSpec]) -> _MainEffects:
    if not designs or not len(next(iter(designs.values()))):
        return _MainEffects((), (), ())
    family = next((k for k in knobs if k.name == _FAMILY), None)
    code = encode_levels(family, designs[_FAMILY]) if family else np.zeros(len(designs[knobs[0].name]), dtype=np.int64)
    counts = np.bincount(code)
    names, blocks, aliased = [], [], []
    for knob in knobs:
        if knob.name == _FAMILY:
            continue
        whole = _columns(knob, designs[knob.name])
        within = whole - (_sums(code, whole, len(counts)) / counts[:, None])[code]
        basis = _orthonormal(within, float(np.sum(whole**2)))
        if basis.shape[1] < np.linalg.matrix_rank(whole):
            aliased.append(knob.name)
        if basis.shape[1]:
            names.append(knob.name)
            blocks.append(basis)
    return _MainEffects(tuple(names), tuple(blocks), tuple(aliased))


def _columns(knob: KnobSpec, values: NDArray[Any]) -> Float:
    """Return the centered columns of a knob's main effect, shape (n, levels) or (n, 1)."""
    if knob.kind == "category":
        code = encode_levels(knob, values)
        columns = np.eye(int(code.max()) + 1)[code]
    else:
        scaled = scale_knob(knob, values)
        span = np.ptp(scaled)
        # A constant with rounding errors does not vary.
        columns = ((scaled - scaled[0]) / span if span > 1e-9 * np.abs(scaled).max() else np.zeros(len(scaled)))[
            :, None
        ]
    return np.asarray(columns - columns.mean(axis=0))


def _sums(code: NDArray[np.int64], columns: Float, n: int) -> Float:
    result = np.zeros((n, columns.shape[1]))
    np.add.at(result, code, columns)
    return result


def _orthonormal(columns: Float, size: float) -> Float:
    """Return an orthonormal basis of columns, without directions that have no share of a given squared size."""
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return np.asarray(left[:, singular**2 > _LEAST_VARIATION * size] if size else left[:, :0])


def _groups(effects: _MainEffects) -> tuple[list[tuple[str, ...]], list[tuple[tuple[str, ...], float]]]:
    """Return the groups that are exactly aliased, and those that are nearly so with their largest inflation."""
    if len(effects.blocks) < 2:
        return [], []
    owners = effects.owners
    columns = np.concatenate(effects.blocks, axis=1)
    power, directions = np.linalg.eigh(columns.T @ columns)
    is_null = power <= _ALIASED * power[-1]
    n = len(effects.blocks)
    # The null space's projection is block diagonal in exactly the groups that are aliased among themselves.
    null = directions[:, is_null]
    projection = _block_norms(null @ null.T, owners, n)
    exact = _components(_normalized(projection), np.diag(projection) > _LEAST_LOADING, _LINKED_EXACTLY)
    is_exact = np.isin(np.arange(n), [i for group in exact for i in group])
    solid = directions[:, ~is_null]
    inverse = (solid / power[~is_null]) @ solid.T
    inflation = _block_norms(inverse, owners, n)
    is_weak = (np.diag(inflation) > _MAX_VIF) & ~is_exact
    partial = _normalized(inflation)
    weak = _components(partial, is_weak, _LINKED)
    # A weak knob alone in its group shares its direction with knobs that are aliased among themselves.
    weak = [g if len(g) > 1 else sorted({*g, _nearest(partial, g[0])}) for g in weak]
    return (
        [_named(effects, group) for group in exact],
        [(_named(effects, group), float(max(inflation[i, i] for i in group if is_weak[i]))) for group in weak],
    )


def _block_norms(matrix: Float, owners: NDArray[np.int64], n: int) -> Float:
    """Return the spectral norm of each pair of knobs' block (of numbers: the absolute entry), shape (n, n)."""
    if len(owners) == n:
        return np.abs(matrix)
    result = np.zeros((n, n))
    for i in range(n):
        for j in range(i, n):
            block = matrix[np.ix_(owners == i, owners == j)]
            result[i, j] = result[j, i] = np.linalg.norm(block, 2)
    return result


def _normalized(matrix: Float) -> Float:
    scale = np.sqrt(np.maximum(np.diag(matrix), 1e-300))
    return np.asarray(matrix / scale[:, None] / scale)


def _components(links: Float, is_member: NDArray[np.bool_], least: float) -> list[list[int]]:
    """Return the connected components of the members, linked where `links` exceeds a bound."""
    open_, result = set(np.flatnonzero(is_member).tolist()), []
    while open_:
        group = edge = {open_.pop()}
        while edge:
            edge = {j for i in edge for j in open_ if links[i, j] > least}
            open_ -= edge
            group |= edge
        result.append(sorted(group))
    return sorted(result)


def _nearest(partial: Float, i: int) -> int:
    row = partial[i].copy()
    row[i] = -1
    return int(np.argmax(row))


def _named(effects: _MainEffects, group: Sequence[int]) -> tuple[str, ...]:
    return tuple(effects.names[i] for i in group)


def _n_effects(effects: _MainEffects, names: Sequence[str]) -> int:
    return sum(b.shape[1] for name, b in zip(effects.names, effects.blocks, strict=True) if name in names)


def _list_names(names: Sequence[str]) -> str:
    if len(names) > _MAX_NAMED:
        return f"{join_items(names)}"
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _family_text(name: str) -> str:
    return (
        f"the effects of family and {name} cannot be separated: an effect of {name} is constant within every family. "
        f"Measure one family at two values of {name}"
    )


def _exact_text(names: tuple[str, ...], designs: Columns, n: int, n_effects: int) -> str:
    if {*names} == {"voltage_v", "frequency_hz"}:
        return _voltage_text()
    fact = f"the effects of {_list_names(names)} cannot be separated by these rows: they vary together"
    if n_effects >= n:
        fact = f"the effects of {_list_names(names)} cannot be separated: {n} designs for {n_effects} effects"
    return f"{fact}. {_fix_text(names)}{_voltage_addition(names, designs)}"


def _weak_text(names: tuple[str, ...], designs: Columns, inflation: float) -> str:
    if {*names} == {"voltage_v", "frequency_hz"} and _follows_clock(designs):
        return _voltage_text()
    fact = (
        f"the effects of {_list_names(names)} are hardly separated by these rows: they vary nearly together, so the "
        f"errors of their effects are {np.sqrt(inflation):.1f} times those of a balanced table"
    )
    return f"{fact}. {_fix_text(names)}{_voltage_addition(names, designs)}"


def _fix_text(names: Sequence[str]) -> str:
    return (
        "Measure rows that change one of them alone"
        if len(names) < 3
        else "Measure rows that change each of them alone"
    )


def _voltage_text() -> str:
    return (
        "voltage_v follows frequency_hz (a sweep of operating points): their effects cannot be separated by these "
        "rows. Measure one clock at two voltages"
    )


def _voltage_addition(names: Sequence[str], designs: Columns) -> str:
    is_sweep = {"voltage_v", "frequency_hz"} <= {*names} and _follows_clock(designs)
    return "; voltage_v follows frequency_hz, so measure one clock at two voltages" if is_sweep else ""


def _following_voltage(designs: Columns, grouped: set[str]) -> Iterator[Collinearity]:
    """Yield the group of a voltage that follows the clock along a curve, if no other group has both."""
    names = ("voltage_v", "frequency_hz")
    if not {*names} & grouped and _follows_clock(designs):
        yield Collinearity(names, _voltage_text())


def _follows_clock(designs: Columns) -> bool:
    """Return True if within every family each clock has one voltage, which does not fall as the clock rises."""
    if not {"voltage_v", "frequency_hz"} <= {*designs}:
        return False
    clock, voltage = (np.log(np.asarray(designs[k], dtype=np.float64)) for k in ("frequency_hz", "voltage_v"))
    family = np.asarray(designs[_FAMILY]).astype(str) if _FAMILY in designs else np.zeros(len(clock))
    residual, n_clocks = [], 0
    for name in np.unique(family):
        f, v = clock[family == name], voltage[family == name]
        pairs = np.unique(np.stack([f, v]), axis=1)
        if len(np.unique(pairs[0])) < pairs.shape[1] or np.any(np.diff(pairs[1]) < 0):
            return False
        n_clocks = max(n_clocks, pairs.shape[1])
        residual.append(np.stack([f - f.mean(), v - v.mean()]))
    x, y = np.concatenate(residual, axis=1) if residual else np.zeros((2, 0))
    size = float(np.sqrt((x @ x) * (y @ y)))
    return n_clocks >= _MIN_CLOCKS and size > 0 and float(x @ y) > _FOLLOWS * size
