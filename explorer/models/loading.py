"""Load evaluators and models by name, and select the kind of model for a set of samples."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.io.csv_text import read_csv
from explorer.io.files import MAX_TABLE_BYTES, is_file, read_text
from explorer.models.evaluator import Evaluator
from explorer.models.h100 import h100_tables
from explorer.models.measured.function import Measure, function_evaluator
from explorer.models.measured.network import network_evaluator
from explorer.models.measured.table import table_evaluator
from explorer.models.model_files.parametric import surrogate_from_file, surrogate_to_json
from explorer.models.model_files.response import MULTI_SCHEMA, responses_from_json, responses_to_json
from explorer.models.parametric.surrogate import Surrogate, fit_surrogate
from explorer.models.posterior_draws import PosteriorModel
from explorer.models.quality.leave_one_out import calibrate_intervals, leave_one_out
from explorer.models.response.multi_target import KnobColumns, MultiResponse, fit_responses, with_knobs
from explorer.models.response.selection import format_error
from explorer.models.samples.knob_inference import infer_knobs
from explorer.models.samples.samples import Samples, paper_samples, read_samples_csv
from explorer.problem.columns import KNOBS, TARGETS
from explorer.problem.declarations.study import SHIPPED_MODELS
from explorer.problem.study import Study

__all__ = ["fit_samples", "load_evaluator", "load_model", "load_samples", "model_from_file", "model_to_json"]

_Model = TypeVar("_Model", MultiResponse, Surrogate)
# Below this many rows only the priors of the parametric forms separate the effects of the knobs.
_MIN_ROWS_FOR_RESPONSES = 20
_MAX_ERROR_RATIO = 0.95  # responses replace the parametric forms, whose coefficients are physical, only below this


def load_model(name: str, *, own: Sequence[str] | None = None, ignore: Sequence[str] = ()) -> PosteriorModel:
    """Return a model by name: `paper`, `h100`, a model.json written by `explorer fit -o`, or a samples CSV to fit now.

    Args:
        name: what to load.
        own: further columns of a samples CSV that are knobs; None: infer them from their names.
        ignore: columns of a samples CSV to ignore.

    Raises:
        WrongUsage: no model has this name.
        InvalidFile: the file is not a valid model or samples CSV; lists all faults.
    """
    path = Path(name).expanduser()
    if name not in SHIPPED_MODELS and path.suffix == ".json" and is_file(path):
        return model_from_file(path)
    return fit_samples(load_samples([name], own=own, ignore=ignore), name=name)


def load_samples(
    names: Sequence[str], *, own: Sequence[str] | None = None, ignore: Sequence[str] = ()
) -> tuple[KnobColumns, ...]:
    """Return tables of samples by name: `paper`, `h100` (two tables), or samples CSVs with user-defined knobs.

    A user-defined knob may be a column of only some of the files. Without names (`own` is None) knobs are inferred from
    the columns, and the samples' notes list them.

    Raises:
        WrongUsage: a file does not exist, or none of several files has a column of `own`.
        InvalidFile: a file is not a samples CSV; lists all faults.
    """
    tables: list[KnobColumns] = []
    for name in names:
        path = Path(name).expanduser()
        if name == "paper":
            tables.append(with_knobs(paper_samples()))
        elif name == "h100":
            tables += h100_tables()
        elif not is_file(path) and path.suffix != ".csv":
            shipped = ", ".join(SHIPPED_MODELS)
            raise WrongUsage(f"no model is called '{name}'", fix=f"name {shipped}, a model.json or a samples CSV")
        else:
            tables.append(with_knobs(_read_csv(path, own, ignore, is_one_of_several=len(names) > 1)))
    unused = [k for k in own or () if not any(k in table.samples.columns for table in tables)] if len(names) > 1 else []
    if unused:
        raise WrongUsage(f"none of the files has a column {', '.join(unused)}", fix="check the column name")
    return tuple(tables)


def _read_csv(path: Path, own: Sequence[str] | None, ignore: Sequence[str], *, is_one_of_several: bool) -> Samples:
    """Read a samples CSV; its user-defined knobs are those of `own` (of several files: those it has), or inferred."""
    if own is None:
        inferred = infer_knobs(read_csv(path).without(ignore))
        samples = read_samples_csv(path, extra_knobs=inferred.knobs, ignore=ignore)
        return replace(samples, notes=(*inferred.notes, *samples.notes))
    present = [name for name in own if name in read_csv(path).header] if is_one_of_several else own
    return read_samples_csv(path, extra_knobs=present, ignore=ignore)


def fit_samples(tables: Sequence[KnobColumns], *, name: str) -> PosteriorModel:
    """Select and fit a model for some tables, with calibrated intervals where rows suffice.

    One table of exactly the paper's five knobs is fitted by the parametric forms. All other tables are fitted by
    responses, whose forms are selected by their leave-one-out error. So is a table of the five knobs with 20 rows or
    more, if that lowers its leave-one-out error by at least 5 % (geometric mean over the targets).

    Raises:
        InvalidFile: no model can be fitted to the tables.
    """
    try:
        if len(tables) > 1 or set(tables[0].samples.knobs) != set(KNOBS):
            return fit_responses(tables, name=name)
        samples = tables[0].samples
        reason = _unsupported_reason(samples)
        if reason:
            return _with_note(fit_responses(tables, name=name), f"not fitted by the paper's forms: {reason}")
        parametric = calibrate_intervals(fit_surrogate(samples, name=name))
        if len(samples.labels) < _MIN_ROWS_FOR_RESPONSES:
            return parametric
        responses = fit_responses(tables, name=name)
    except WrongUsage as error:
        raise InvalidFile(name, [Fault("", error.problem, error.fix)]) from None
    errors = _errors(responses, parametric)
    ratio = math.exp(sum(math.log(a / b) for _, a, b in errors) / len(errors)) if errors else math.inf
    listed = ", ".join(f"{t} {format_error(t, a)} and {format_error(t, b)}" for t, a, b in errors)
    if ratio < _MAX_ERROR_RATIO:
        text = f"fitted by responses: their leave-one-out error is lower than that of the paper's forms ({listed})"
        return _with_note(responses, text)
    text = f"fitted by the paper's forms: responses do not lower the leave-one-out error by 5 % ({listed})"
    return _with_note(parametric, text)


def _with_note(model: _Model, text: str) -> _Model:
    """Return a model with a further note, placed first: the reason for the kind of model."""
    return replace(model, samples=replace(model.samples, notes=(text, *model.samples.notes)))


def _unsupported_reason(samples: Samples) -> str:
    """Return why the parametric forms cannot be fitted to samples; empty if they can."""
    if (samples.columns["quant_step"] == 0).any():
        return "they are not defined for a network that was not quantized (quant_step 0)"
    accuracy = samples.columns.get("accuracy", np.empty(0))
    if (accuracy == 0).any() or (accuracy == 1).any():
        return "an accuracy of exactly 0 or 1 has no finite log-odds"
    return ""


def _errors(responses: MultiResponse, parametric: Surrogate) -> list[tuple[str, float, float]]:
    """Return (target, leave-one-out error of the responses, that of the parametric forms)."""
    validated = leave_one_out(parametric.samples, widening=parametric.widening)
    errors = []
    for target in (target for target in responses.targets if target in validated):
        form = validated[target].model
        error = form.mae if target == "accuracy" else form.mape
        errors.append((target, max(responses.responses[target].checked.error, 1e-12), max(error, 1e-12)))
    return errors


def load_evaluator(study: Study, *, measure: Measure | str | None = None) -> Evaluator:
    """Return the evaluator of a study: a network or function that measures, a table's rows, or a model.

    Args:
        study: the study.
        measure: the function of a study that measures by one, or FILE.py:NAME; results can be read without it.

    Raises:
        WrongUsage: the model or function does not exist, or the study does not measure by a function.
        InvalidFile: a file is not valid; lists all faults.
        MissingPart: the study measures a network and onnx is not installed.
        MeasurementFailed: the network cannot be run.
    """
    if study.function is not None:
        return function_evaluator(study, measure)
    if measure is not None:
        raise WrongUsage(
            f"{study.path} measures by no function", fix="leave --measure out, or write model = { measures = [...] }"
        )
    if study.live is not None:
        return network_evaluator(study)
    if study.table is not None:
        samples = read_samples_csv(Path(study.model), extra_knobs=study.table.knobs, ignore=study.table.ignore)
        needs = [need for objective in study.objectives for need in objective.needs]
        needs += [c.column for c in study.constraints if c.column in TARGETS]
        return table_evaluator(samples, name=study.model, needs=list(dict.fromkeys(needs)))
    ignore = [name for space in study.spaces for name in space.file.ignore]
    return load_model(study.model, own=[name for name in study.own_columns if name != "weight_bits"], ignore=ignore)


def model_to_json(model: PosteriorModel) -> Mapping[str, Any]:
    """Return a model as plain JSON values; `model_from_file` restores its predictions exactly."""
    return responses_to_json(model) if isinstance(model, MultiResponse) else surrogate_to_json(model)


def model_from_file(path: Path) -> PosteriorModel:
    """Load a model file; its predictions are those of the model when it was written.

    Raises:
        InvalidFile: the file is not a model, or was written by a version with other forms.
    """
    try:
        data = json.loads(read_text(path, max_bytes=MAX_TABLE_BYTES))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("schema") != MULTI_SCHEMA:
        return surrogate_from_file(path)  # reports the faults of any other file
    return responses_from_json(data, path=path)
