"""Model file: samples and fitted numbers; forms and columns are built from the samples on reading."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, WrongUsage, limit_faults
from explorer.io.declarations import validate
from explorer.io.files import MAX_TABLE_BYTES, read_text
from explorer.models.diagnostics.warnings import ModelWarning
from explorer.models.fitting.calibration import (
    BetweenLevels,
    EdgeUncertainty,
    InterpolationUncertainty,
    IntervalInflation,
)
from explorer.models.fitting.gaussian_process import Hyperparameters
from explorer.models.fitting.mode_fit import ModeFit
from explorer.models.model_files.schema import (
    CandidateFile,
    FitFile,
    ModelFile,
    ResponseFile,
    TableFile,
)
from explorer.models.response.products import products
from explorer.models.response.response import CandidateForm, FormFit, Response
from explorer.models.response.stored import StoredFit, StoredResponse, restore_response
from explorer.models.response.surrogate import Surrogate
from explorer.models.response.tables import KnobColumns
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples
from explorer.problem.columns import COLUMNS, TARGETS, Columns, is_allowed, is_free_name, take
from explorer.problem.targets import target_from_json, targets_json

SCHEMA = "explorer.model/3"
_N_CHECKED = 4  # samples and draws that a model must predict when it is read
_REWRITE = "write it again with `explorer fit SAMPLES.csv -o model.json`"


def surrogate_to_json(model: Surrogate) -> dict[str, Any]:
    """Return a model as plain JSON values; `surrogate_from_file` restores its predictions exactly."""
    owners = {target: i for i, table in enumerate(model.tables) for target in table.samples.targets}
    return {
        "schema": SCHEMA,
        "name": model.name,
        "tables": [_table_to_json(table) for table in model.tables],
        "responses": [_response_to_json(response, owners[target]) for target, response in model.responses.items()],
        "product": model.product.target if model.product else None,
        "warnings": [asdict(warning) for warning in model.warnings],
        "without": list(model.without),
        **({"targets": targets} if (targets := targets_json(owners)) else {}),
    }


def _table_to_json(table: KnobColumns) -> dict[str, Any]:
    samples = table.samples
    return {
        "labels": list(samples.labels),
        "source": samples.source,
        "sha256": samples.sha256,
        "machine": samples.machine,
        "notes": list(samples.notes),
        "numbers": list(samples.numbers),
        "knobs": [asdict(knob) for knob in table.knobs],
        "columns": {name: _values_to_json(values) for name, values in samples.columns.items()},
        "groups": [] if table.groups is None else [str(group) for group in table.groups.tolist()],
        "n_counted": np.nan_to_num(samples.n_counted).tolist(),
        "original_bytes": dict(samples.original_bytes),
        **({"deviations": {n: v.tolist() for n, v in samples.deviations.items()}} if samples.deviations else {}),
    }


def _response_to_json(response: Response, table: int) -> dict[str, Any]:
    roughness = np.asarray(response.table.roughness)
    return {
        "target": response.target,
        "table": table,
        "knobs": [knob.name for knob in response.knobs],
        "fits": [_fit_to_json(fit, float(w)) for fit, w in zip(response.fits, response.weights, strict=True)],
        "roughness": roughness.tolist() if roughness.shape else [],
        "slopes": response.table.slopes.tolist(),
        "offset": response.table.offset,
        "inflation": response.widening.factor,
        "between": {name: asdict(between) for name, between in response.widening.between_levels.items()},
        "gaps": dict(response.interpolation.shares),
        "edges": dict(response.edge.shares),
        "candidates": [_candidate_to_json(candidate) for candidate in response.candidates],
        "checked": _candidate_to_json(response.checked),
        "middle": _values_to_json(response.held_out.middle),
        "sd": response.held_out.sd.tolist(),
    }


def _fit_to_json(fit: FormFit, weight: float) -> dict[str, Any]:
    if not isinstance(fit, ModeFit):
        return {"form": fit.form.name, "weight": weight, "point": fit.point.tolist()}
    scales = {
        "widths": fit.scales.widths.tolist(),
        "noise": fit.scales.noise,
        "amplitude": fit.scales.amplitude if fit.has_process else None,
        "lengths": fit.scales.lengths.tolist(),
    }
    return {"form": fit.form.name, "weight": weight, "theta": fit.theta.tolist(), "scales": scales}


def _candidate_to_json(candidate: CandidateForm) -> dict[str, Any]:
    return {k: v if isinstance(v, str) or np.isfinite(v) else None for k, v in asdict(candidate).items()}


def _values_to_json(values: NDArray[Any]) -> list[Any]:
    if values.dtype == object:
        return [str(value) for value in values.tolist()]
    return [value if np.isfinite(value) else None for value in values.tolist()]


def surrogate_from_file(path: Path) -> Surrogate:
    """Load a model file, named by its path.

    Raises:
        InvalidFile: all faults of a file that is not a model, or was written by a version with other forms.
    """
    try:
        data = json.loads(read_text(path, max_bytes=MAX_TABLE_BYTES))
    except (ValueError, RecursionError) as error:
        raise InvalidFile(path, [Fault("", f"it is not JSON: {error}"[:200], _REWRITE)]) from None
    if isinstance(data, dict) and str(data.get("schema", "")).startswith("explorer.") and data["schema"] != SCHEMA:
        raise InvalidFile(path, [Fault("schema", f"it is {data['schema']}, not {SCHEMA}", _REWRITE)])
    file = validate(data, ModelFile, path=path)
    for target in file.targets:  # before its samples, whose columns they are
        try:
            target_from_json(target.model_dump())
        except ValueError as error:
            raise InvalidFile(path, [Fault("targets", str(error), _REWRITE)]) from None
    faults = [
        *((f"[tables] {i + 1}", text) for i, table in enumerate(file.tables) for text in _table_faults(table)),
        *((f"[responses] {entry.target}", text) for entry in file.responses for text in _response_faults(file, entry)),
    ]
    _raise(path, faults)
    tables = tuple(_table_from_file(table) for table in file.tables)
    responses: dict[str, Response] = {}
    for entry in file.responses:
        try:
            responses[entry.target] = _response_from_file(entry, tables[entry.table])
            faults += [(f"[responses] {entry.target}", text) for text in _prediction_faults(responses[entry.target])]
        except (WrongUsage, ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
            text = error.problem if isinstance(error, WrongUsage) else f"does not predict its own samples: {error}"
            faults.append((f"[responses] {entry.target}", text))
    product = next((p for p in products() if p.target == file.product), None)
    if product and not set(product.powers) <= set(responses):
        faults.append(("product", f"{product.formula} needs responses that are missing"))
    if product and product.target in responses:
        faults.append(("product", f"{product.target} has a response as well"))
    _raise(path, faults)
    warnings = tuple(ModelWarning(one.kind, one.text) for one in file.warnings)
    return Surrogate(str(path), tables, responses, product, warnings, file.without)


def _raise(path: Path, faults: list[tuple[str, str]]) -> None:
    if faults:
        raise InvalidFile(path, limit_faults([Fault(location, text, _REWRITE) for location, text in faults]))


def _table_from_file(file: TableFile) -> KnobColumns:
    columns: Columns = {
        name: np.array(values, dtype=object)
        if any(isinstance(value, str) for value in values)
        else np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        for name, values in file.columns.items()
    }
    samples = Samples(
        columns, file.labels, file.source, file.sha256, file.notes, file.numbers,
        np.array(file.n_counted, dtype=np.float64), machine=file.machine, original_bytes=file.original_bytes,
        deviations={name: np.array(values, dtype=np.float64) for name, values in file.deviations.items()},
    )  # fmt: skip
    knobs = tuple(KnobSpec(knob.name, knob.kind, is_log=knob.is_log) for knob in file.knobs)
    return KnobColumns(samples, knobs, np.array(file.groups, dtype=object) if file.groups else None)


def _response_from_file(entry: ResponseFile, table: KnobColumns) -> Response:
    columns = table.samples.columns
    between = {name: BetweenLevels(b.factor, b.levels, b.reach) for name, b in entry.between.items()}
    stored = StoredResponse(
        tuple(_fit_from_file(fit) for fit in entry.fits),
        np.array(entry.roughness, dtype=np.float64), np.array(entry.slopes, dtype=np.float64), entry.offset,
        IntervalInflation(entry.inflation, between), InterpolationUncertainty(entry.gaps), EdgeUncertainty(entry.edges),
        tuple(map(_candidate_from_file, entry.candidates)), _candidate_from_file(entry.checked),
        np.array([np.nan if value is None else value for value in entry.middle]), np.array(entry.sd),
    )  # fmt: skip
    return restore_response(
        entry.target, columns, columns[entry.target], stored,
        knobs=tuple(knob for knob in table.knobs if knob.name in entry.knobs), groups=table.groups,
        n_counted=table.samples.n_counted if entry.target == "accuracy" else None,
        deviations=table.samples.deviations.get(entry.target),
    )  # fmt: skip


def _fit_from_file(file: FitFile) -> StoredFit:
    scales = None
    if file.scales is not None:
        amplitude = -np.inf if file.scales.amplitude is None else file.scales.amplitude
        scales = Hyperparameters(
            np.array(file.scales.widths), file.scales.noise, amplitude, np.array(file.scales.lengths)
        )
    theta, point = (None if values is None else np.array(values) for values in (file.theta, file.point))
    return StoredFit(file.form, file.weight, theta, scales, point)


def _candidate_from_file(file: CandidateFile) -> CandidateForm:
    return CandidateForm(
        file.name,
        np.inf if file.error is None else file.error,
        -np.inf if file.r2 is None else file.r2,
        np.nan if file.coverage is None else file.coverage,
        np.nan if file.between is None else file.between,
        file.weight,
    )


def _table_faults(file: TableFile) -> Iterator[str]:
    """Check that a table has one value a row, of one type and within its range, in all columns and for all knobs."""
    n, kinds = len(file.labels), {"family": "category", **{knob.name: knob.kind for knob in file.knobs}}
    for knob in file.knobs:
        if knob.name != "family" and not is_free_name(knob.name) and knob.name not in COLUMNS:
            yield f"'{knob.name}' cannot be a knob"
        if knob.kind != "category" if knob.name == "family" else knob.kind == "category" and knob.name in COLUMNS:
            yield f"knob '{knob.name}' is a {knob.kind}"
    for name in [name for name in kinds if name not in file.columns]:
        yield f"column '{name}' is missing"
    yield from _column_faults(file, kinds)
    for name, entries in (
        ("groups", file.groups), ("n_counted", file.n_counted), ("numbers", file.numbers), *file.deviations.items()
    ):  # fmt: skip
        if len(entries) not in (0, n):
            yield f"{name} has {len(entries)} entries for {n} rows"


def _column_faults(file: TableFile, kinds: Mapping[str, str]) -> Iterator[str]:
    n = len(file.labels)
    for name, values in file.columns.items():
        is_text = [isinstance(value, str) for value in values]
        numbers = np.array([value for value in values if isinstance(value, float)])
        kind = kinds.get(name, "number" if name in TARGETS else "")
        if len(values) != n:
            yield f"{name} has {len(values)} values for {n} rows"
        if any(is_text) != all(is_text) or (kind and any(is_text) != (kind == "category")):
            yield f"{name} mixes names and numbers, or has the wrong type"
        elif name in COLUMNS and not is_allowed(name, numbers, is_measured=True).all():
            yield f"{name} is out of range"


def _response_faults(file: ModelFile, entry: ResponseFile) -> Iterator[str]:
    """Check that a response has its table and names only knobs of it."""
    if [one.target for one in file.responses].count(entry.target) > 1:
        yield "two responses have this target"
    if entry.target not in TARGETS:
        yield "it is no target"
    if entry.table >= len(file.tables) or entry.target not in file.tables[entry.table].columns:
        yield "its table has no such column"
        return
    if not set(entry.knobs) <= {knob.name for knob in file.tables[entry.table].knobs}:
        yield "it is fitted with a knob that its table lacks"
        return
    names = {knob.name for knob in file.tables[entry.table].knobs if knob.kind == "number"} & set(entry.knobs)
    if not {*entry.between, *entry.gaps, *entry.edges} <= names:
        yield "intervals name an unknown knob"
    if any(sorted(set(between.levels)) != list(between.levels) for between in entry.between.values()):
        yield "values between which intervals widen are out of order"
    if not math.isclose(sum(fit.weight for fit in entry.fits), 1.0, abs_tol=1e-6):
        yield "the weights of its forms do not sum to 1"
    if len(entry.middle) != len(entry.sd):
        yield f"{len(entry.middle)} predictions have {len(entry.sd)} deviations"


def _prediction_faults(response: Response) -> Iterator[str]:
    """Check that a response predicts its own samples with an interval, which shows that its parts are consistent."""
    designs = take(response.samples, np.arange(min(len(response.counts), _N_CHECKED)))
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        values = response.draws(designs, n=_N_CHECKED)
        if not (np.isfinite(values).all() and np.isfinite(response.predict(designs)).all()):
            yield "does not predict its own samples"
