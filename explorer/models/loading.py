"""Models by name: what a study, a command or a notebook may name, and fitting the model that suits some samples."""

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
from explorer.models.samples.samples import Samples, paper_samples, read_samples
from explorer.problem.columns import KNOBS, TARGETS
from explorer.problem.declarations.study import SHIPPED_MODELS
from explorer.problem.study import Study

__all__ = ["fit_samples", "load_evaluator", "load_model", "load_samples", "model_from_file", "model_to_json"]

_Model = TypeVar("_Model", MultiResponse, Surrogate)
# Below this many rows only the written-down priors of the shapes can tell knobs apart.
_ROWS_FOR_RESPONSES = 20
_AS_GOOD = 0.95  # responses must be this much better to replace shapes, whose coefficients mean something


def load_model(name: str, *, own: Sequence[str] | None = None, ignore: Sequence[str] = ()) -> PosteriorModel:
    """Return a model by name: `paper`, `h100`, a model.json written by `explorer fit -o`, or a samples CSV to fit now.

    Args:
        name: what to load.
        own: for a samples CSV, its further columns that are knobs; None: guess them by their names.
        ignore: for a samples CSV, columns to pass over.

    Raises:
        WrongUsage: there is no such model.
        InvalidFile: its file is not what it should be; all faults at once.
    """
    path = Path(name).expanduser()
    if name not in SHIPPED_MODELS and path.suffix == ".json" and is_file(path):
        return model_from_file(path)
    return fit_samples(load_samples([name], own=own, ignore=ignore), name=name)


def load_samples(
    names: Sequence[str], *, own: Sequence[str] | None = None, ignore: Sequence[str] = ()
) -> tuple[KnobColumns, ...]:
    """Return tables of samples by name: `paper`, `h100` (two tables), or samples CSVs with knobs of the user's own.

    A further column that only some of the files have is a knob in those. Where none are named (None), those that look
    like knobs are taken, and the samples' notes say so.

    Raises:
        WrongUsage: there is no such file.
        InvalidFile: it is not a samples CSV; all faults at once.
    """
    tables: list[KnobColumns] = []
    for name in names:
        path = Path(name).expanduser()
        if name == "paper":
            tables.append(with_knobs(paper_samples()))
        elif name == "h100":
            tables += h100_tables()
        elif not is_file(path) and path.suffix != ".csv":
            known = ", ".join(SHIPPED_MODELS)
            raise WrongUsage(f"no model is called '{name}'", fix=f"name {known}, a model.json or a samples CSV")
        else:
            tables.append(with_knobs(_from_csv(path, own, ignore, is_one_of_several=len(names) > 1)))
    unused = [k for k in own or () if not any(k in table.samples.columns for table in tables)] if len(names) > 1 else []
    if unused:
        raise WrongUsage(f"none of the files has a column {', '.join(unused)}", fix="check how the column is called")
    return tuple(tables)


def _from_csv(path: Path, own: Sequence[str] | None, ignore: Sequence[str], *, is_one_of_several: bool) -> Samples:
    """Read a samples CSV; its own knobs are the named ones (of several files, those that it has), or guessed."""
    if own is None:
        guess = infer_knobs(read_csv(path).without(ignore))
        samples = read_samples(path, extra_knobs=guess.knobs, ignore=ignore)
        return replace(samples, notes=(*guess.notes, *samples.notes))
    there = [name for name in own if name in read_csv(path).header] if is_one_of_several else own
    return read_samples(path, extra_knobs=there, ignore=ignore)


def fit_samples(tables: Sequence[KnobColumns], *, name: str) -> PosteriorModel:
    """Fit the model that suits some tables, with its intervals checked where there are rows enough.

    One table of exactly the five knobs is fitted by the paper's shapes. Everything else, and such a table of 20 rows or
    more where that predicts unseen rows better, is fitted by responses: forms chosen by what they predict of rows that
    they have not seen.

    Raises:
        InvalidFile: nothing can be fitted to the tables.
    """
    try:
        if len(tables) > 1 or set(tables[0].samples.knobs) != set(KNOBS):
            return fit_responses(tables, name=name)
        samples = tables[0].samples
        beyond = _beyond_shapes(samples)
        if beyond:
            return _with_note(fit_responses(tables, name=name), f"not fitted by the paper's shapes: {beyond}")
        shapes = calibrate_intervals(fit_surrogate(samples, name=name))
        if len(samples.labels) < _ROWS_FOR_RESPONSES:
            return shapes
        responses = fit_responses(tables, name=name)
    except WrongUsage as error:
        raise InvalidFile(name, [Fault("", error.problem, error.fix)]) from None
    errors = _errors(responses, shapes)
    ratio = math.exp(sum(math.log(own / other) for _, own, other in errors) / len(errors)) if errors else math.inf
    told = ", ".join(f"{t} {format_error(t, own)} and {format_error(t, other)}" for t, own, other in errors)
    if ratio < _AS_GOOD:
        text = f"fitted by responses: they err less on unseen rows than the paper's shapes ({told})"
        return _with_note(responses, text)
    text = f"fitted by the paper's shapes: responses are no better on unseen rows, or not by enough ({told})"
    return _with_note(shapes, text)


def _with_note(model: _Model, text: str) -> _Model:
    """Return a model that also tells why it is what it is."""
    return replace(model, samples=replace(model.samples, notes=(text, *model.samples.notes)))


def _beyond_shapes(samples: Samples) -> str:
    """Say why the paper's shapes cannot take some samples; empty where they can."""
    if (samples.columns["quant_step"] == 0).any():
        return "they have no bits for a network that was not quantized (quant_step 0)"
    accuracy = samples.columns.get("accuracy", np.empty(0))
    if (accuracy == 0).any() or (accuracy == 1).any():
        return "an accuracy of exactly 0 or 1 has no log-odds, and they do not clip it"
    return ""


def _errors(responses: MultiResponse, shapes: Surrogate) -> list[tuple[str, float, float]]:
    """Return each target's error on unseen rows: of responses, then of shapes."""
    judged = leave_one_out(shapes.samples, widening=shapes.widening)
    found = []
    for target in (target for target in responses.targets if target in judged):
        errors = judged[target].model
        shape = errors.mae if target == "accuracy" else errors.mape
        found.append((target, max(responses.responses[target].checked.error, 1e-12), max(shape, 1e-12)))
    return found


def load_evaluator(study: Study, *, measure: Measure | str | None = None) -> Evaluator:
    """Return the evaluator that a study asks for: a network or a function to measure by, a table's rows, or a model.

    Args:
        study: the study.
        measure: the function of a study that measures by one, or FILE.py:NAME; without it results can be looked at.

    Raises:
        WrongUsage: there is no such model or function, or the study does not ask for one.
        InvalidFile: its file is not what it should be; all faults at once.
        MissingPart: a network is to be measured and onnx is not installed.
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
        samples = read_samples(Path(study.model), extra_knobs=study.table.knobs, ignore=study.table.ignore)
        asked = [need for objective in study.objectives for need in objective.needs]
        asked += [c.column for c in study.constraints if c.column in TARGETS]
        return table_evaluator(samples, name=study.model, needs=list(dict.fromkeys(asked)))
    ignore = [name for space in study.spaces for name in space.file.ignore]
    return load_model(study.model, own=[name for name in study.own_columns if name != "weight_bits"], ignore=ignore)


def model_to_json(model: PosteriorModel) -> Mapping[str, Any]:
    """Return a model as plain JSON values, from which it predicts the same."""
    return responses_to_json(model) if isinstance(model, MultiResponse) else surrogate_to_json(model)


def model_from_file(path: Path) -> PosteriorModel:
    """Read a model back; it predicts what it predicted when it was written.

    Raises:
        InvalidFile: the file is not a model, or was written by a version with other shapes.
    """
    try:
        data = json.loads(read_text(path, max_bytes=MAX_TABLE_BYTES))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("schema") != MULTI_SCHEMA:
        return surrogate_from_file(path)  # it tells what is wrong with a file that is neither
    return responses_from_json(data, path=path)
