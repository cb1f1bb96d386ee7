"""Fit of a surrogate: every target of some tables, with warnings about the measurements and the fit."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from explorer.errors import UnknownName, WrongUsage
from explorer.models.diagnostics.redundancy import duplicated_knobs
from explorer.models.diagnostics.residuals import residual_warnings
from explorer.models.diagnostics.table_checks import target_warnings
from explorer.models.diagnostics.warnings import ModelWarning
from explorer.models.fitting.calibration import cliff_knobs
from explorer.models.forms.candidates import candidate_forms
from explorer.models.forms.forms import OPERATING_KNOBS
from explorer.models.response.averaging import fit_response
from explorer.models.response.products import Product, best_product, common_rows, is_product, mismatch_text, products
from explorer.models.response.response import Response
from explorer.models.response.surrogate import Surrogate, collinear_knobs
from explorer.models.response.tables import KnobColumns, measured_knobs
from explorer.models.response.target_data import MAX_CONFIGURATIONS
from explorer.models.samples.knobs import KnobSpec, distinct_designs
from explorer.models.samples.machine import machine_warnings
from explorer.problem.columns import TARGETS
from explorer.problem.targets import declared_target, declared_targets, kind_of, share_range

# Targets that voltage and clock change only where a chip fails, and the difference that shows it: relative to the range
# of a share, or to the value.
_STATIC = ("accuracy", "size_bytes")
_CHANGE = 0.02


def fit_surrogate(
    tables: Sequence[KnobColumns],
    *,
    name: str,
    without: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Surrogate:
    """Fit every target of the tables, each from its own table.

    Args:
        tables: the samples, with their knobs.
        name: of the model.
        without: names of forms to leave out.
        progress: called with the numbers of fitted and of all targets.

    Raises:
        WrongUsage: two tables measure the same target, no table measures a target, or a target cannot be fitted.
    """
    responses: dict[str, Response] = {}
    n_targets = sum(len(table.samples.targets) for table in tables)
    for table in tables:
        columns = table.samples.columns
        for target in table.samples.targets:
            if target in responses:
                raise WrongUsage(f"two tables measure {target}", fix="put its rows into one table, or drop one column")
            if progress:
                progress(len(responses), n_targets)
            responses[target] = fit_response(
                target, columns, columns[target], knobs=needed_knobs(target, table), groups=table.groups,
                n_counted=table.samples.n_counted, deviations=table.samples.deviations.get(target), without=without,
            )  # fmt: skip
    _check_names(without, responses)
    if not responses:
        raise WrongUsage("no target was measured", fix=f"give one of {', '.join(TARGETS)}")
    warnings = tuple(dict.fromkeys(warning for table in tables for warning in _warnings(table, responses)))
    notes = tuple(note for table in tables for note in _reading_notes(table, responses))
    first = replace(tables[0], samples=replace(tables[0].samples, notes=(*tables[0].samples.notes, *notes)))
    product = _product(tables, responses)
    if product:
        del responses[product.target]
    return Surrogate(name, (first, *tables[1:]), responses, product, warnings, tuple(without))


def _check_names(without: Sequence[str], responses: Mapping[str, Response]) -> None:
    """Raise `UnknownName` if a form that is to be left out is a candidate of no target."""
    names: dict[str, None] = {}
    for target, response in responses.items() if without else ():
        inputs = response.coordinates.transform(response.samples)
        forms = candidate_forms(target, response.coordinates, response.table.values, inputs)
        names |= dict.fromkeys(form.name for form in forms[1:])
    for name in without:
        if name not in names:
            raise UnknownName("form", name, list(names))


def needed_knobs(target: str, table: KnobColumns) -> tuple[KnobSpec, ...]:
    """Return the knobs that a target is fitted with: accuracy and size without voltage and clock, unless they matter.

    A declared share of which more is better is a quality like accuracy. Any other declared target is fitted without
    them where rows that differ in them alone measure the same.


    Neither depends on them by physics, and in a table that moves everything at once no row could show that it does.
    They matter where rows differ that are equal in all other knobs, as below the voltage at which a chip fails.
    """
    others = tuple(knob for knob in table.knobs if knob.name not in OPERATING_KNOBS)
    timed = set(table.samples.targets) - {*_STATIC, *(one.name for one in declared_targets())}
    is_static, is_declared = kind_of(target) in _STATIC, declared_target(target) is not None
    if not (is_static or is_declared) or len(others) == len(table.knobs) or not timed or not others:
        return table.knobs
    columns = table.samples.columns
    rows = _fitted_rows(table, target)
    if not rows.size:
        return table.knobs
    _, index = distinct_designs({knob.name: columns[knob.name][rows] for knob in others}, others)
    values = columns[target][rows]
    low, high = np.full(int(index.max()) + 1, np.inf), np.full(int(index.max()) + 1, -np.inf)
    np.minimum.at(low, index, values)
    np.maximum.at(high, index, values)
    if not is_static and len(values) == len(low):
        return table.knobs  # no two rows could show that it does not depend on them
    ends = share_range(target)
    scale = ends[1] - ends[0] if ends else float(np.max(np.abs(values)))
    return table.knobs if np.max(high - low) > _CHANGE * scale else others


def _reading_notes(table: KnobColumns, responses: Mapping[str, Response]) -> Iterator[str]:
    """Yield notes on rows and columns that a fit leaves out, and on energy, power and latency."""
    columns = table.samples.columns
    for name, source in duplicated_knobs(columns, knobs=measured_knobs(table.samples)).items():
        yield f"{name} is a function of {source} in every row: it adds no information and is left out of the fit"
    for target in table.samples.targets:
        n, n_fitted = int(np.isfinite(columns[target]).sum()), len(responses[target].held_out.values)
        n_designs = len(responses[target].counts)
        if n_designs >= MAX_CONFIGURATIONS and n_fitted < n:
            yield f"{target}: the forms are fitted to {n_designs:,} of the designs, evenly chosen"
        elif n_fitted < n:
            yield f"{target}: {n - n_fitted} of {n} rows lack a knob and are left out of the fit"
    if text := mismatch_text(columns):
        yield text


def _warnings(table: KnobColumns, responses: Mapping[str, Response]) -> Iterator[ModelWarning]:
    """Yield warnings about a table's measurements and about the fit of each target."""
    samples = table.samples
    columns, numbers = samples.columns, samples.numbers or None
    for target in samples.targets:
        values, response = columns[target], responses[target]
        yield from target_warnings(target, columns, values, knobs=table.knobs, numbers=numbers)
        rows = _fitted_rows(table, target)
        held_out = response.held_out
        if len(rows) != len(held_out.values):  # a thinned table: rows of the fit have no number
            continue
        # Next to a cliff of accuracy rows are far from their prediction: they are the measurement, not outliers.
        has_cliff = bool(cliff_knobs(target, response.coordinates))
        found = residual_warnings(
            target, held_out.values, held_out.middle, held_out.sd,
            baseline_error=response.candidates[0].error if response.coordinates.varied else None,
            numbers=[(numbers or range(2, len(values) + 2))[i] for i in rows], design_index=held_out.design,
        )  # fmt: skip
        yield from (warning for warning in found if not (has_cliff and warning.kind == "outlier"))
    for one in collinear_knobs([table]):
        yield ModelWarning("collinear", one.text)
    for text in machine_warnings(samples.machine):
        yield ModelWarning("machine", text)


def _fitted_rows(table: KnobColumns, target: str) -> NDArray[np.int64]:
    """Return the rows that have a target and all numeric knobs."""
    has_all = np.isfinite(table.samples.columns[target])
    for knob in table.knobs:
        if knob.kind == "number":
            has_all &= np.isfinite(np.asarray(table.samples.columns[knob.name], dtype=np.float64))
    return np.flatnonzero(has_all)


def _product(tables: Sequence[KnobColumns], responses: Mapping[str, Response]) -> Product | None:
    """Return the target to derive where E = P T holds within one table; None where it does not."""
    table = next((table for table in tables if is_product(table.samples.columns)), None)
    if table is None:
        return None
    errors = {name: responses[name].checked.error for name in responses}
    derived = {}
    for product in products():
        rows = {name: responses[name].held_out for name in (product.target, *product.powers)}
        common = common_rows(table.samples.columns, {name: len(part.values) for name, part in rows.items()})
        if common is None:
            derived[product.target] = np.inf
            continue
        middle = sum(power * rows[name].middle[common[name]] for name, power in product.powers.items())
        error = np.abs(np.expm1(middle - rows[product.target].values[common[product.target]]))
        derived[product.target] = float(np.nanmean(error))
    return best_product(errors, derived)
