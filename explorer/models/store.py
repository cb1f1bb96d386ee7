"""Models by name: what a study, a command or a notebook may name, and fitting the model that suits some samples."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.files import MAX_TABLE_BYTES, is_file, read_text
from explorer.models.draws import PosteriorModel
from explorer.models.evaluator import Evaluator
from explorer.models.h100 import h100_tables
from explorer.models.live import live_of
from explorer.models.lookup import lookup_of
from explorer.models.responses import Measured, Responses, fit_responses, measured
from explorer.models.responses_file import SCHEMA, responses_from_json, responses_to_json
from explorer.models.samples import Samples, paper_samples, read_samples
from explorer.models.surrogate import Surrogate, fit_surrogate
from explorer.models.surrogate_file import surrogate_from_file, surrogate_to_json
from explorer.models.validation import calibrated, leave_one_out
from explorer.problem.columns import KNOBS, TARGETS
from explorer.problem.study import Study
from explorer.problem.study_file import SHIPPED_MODELS

__all__ = ["fit_samples", "load_evaluator", "load_model", "load_samples", "model_from_file", "model_to_json"]

# Below this many rows only the written-down priors of the shapes can tell knobs apart.
_ROWS_FOR_RESPONSES = 20
_AS_GOOD = 0.95  # responses must be this much better to replace shapes, whose coefficients mean something


def load_model(name: str, *, own: Sequence[str] = (), ignore: Sequence[str] = ()) -> PosteriorModel:
    """Return a model by name: `paper`, `h100`, a model.json written by `explorer fit -o`, or a samples CSV to fit now.

    Args:
        name: what to load.
        own: for a samples CSV, its further columns that are knobs.
        ignore: for a samples CSV, columns to pass over.

    Raises:
        WrongUsage: there is no such model.
        InvalidFile: its file is not what it should be; all faults at once.
    """
    path = Path(name).expanduser()
    if name not in SHIPPED_MODELS and path.suffix == ".json" and is_file(path):
        return model_from_file(path)
    return fit_samples(load_samples([name], own=own, ignore=ignore), name=name)


def load_samples(names: Sequence[str], *, own: Sequence[str] = (), ignore: Sequence[str] = ()) -> tuple[Measured, ...]:
    """Return tables of samples by name: `paper`, `h100` (two tables), or samples CSVs with knobs of the user's own.

    A further column that only some of the files have is a knob in those.

    Raises:
        WrongUsage: there is no such file.
        InvalidFile: it is not a samples CSV; all faults at once.
    """
    tables: list[Measured] = []
    for name in names:
        path = Path(name).expanduser()
        if name == "paper":
            tables.append(measured(paper_samples()))
        elif name == "h100":
            tables += h100_tables()
        elif not is_file(path) and path.suffix != ".csv":
            known = ", ".join(SHIPPED_MODELS)
            raise WrongUsage(f"no model is called '{name}'", fix=f"name {known}, a model.json or a samples CSV")
        else:
            tables.append(measured(read_samples(path, own=own, ignore=ignore)))
    return tuple(tables)


def fit_samples(tables: Sequence[Measured], *, name: str) -> PosteriorModel:
    """Fit the model that suits some tables, with its intervals checked where there are rows enough.

    One table of exactly the five knobs is fitted by the paper's shapes. Everything else, and such a table of 20 rows or
    more where that predicts unseen rows better, is fitted by responses: forms chosen by what they predict of rows that
    they have not seen.

    Raises:
        InvalidFile: nothing can be fitted to the tables.
    """
    try:
        if len(tables) > 1 or set(tables[0].samples.knobs) != set(KNOBS) or _has_unquantized(tables[0].samples):
            return fit_responses(tables, name=name)
        samples = tables[0].samples
        shapes = calibrated(fit_surrogate(samples, name=name))
        if len(samples.labels) < _ROWS_FOR_RESPONSES:
            return shapes
        responses = fit_responses(tables, name=name)
    except WrongUsage as error:
        raise InvalidFile(name, [Fault("", error.problem, error.fix)]) from None
    return responses if _error_ratio(responses, shapes) < _AS_GOOD else shapes


def _has_unquantized(samples: Samples) -> bool:
    """Tell whether a row is of a network that was not quantized, which the paper's shapes have no bits for."""
    return bool(np.any(samples.columns["quant_step"] == 0))


def _error_ratio(responses: Responses, shapes: Surrogate) -> float:
    """Return how far responses err on unseen rows, as a share of what shapes do: geometric mean over the targets."""
    judged = leave_one_out(shapes.samples, widening=shapes.widening)
    ratios = []
    for target in responses.targets:
        if target in judged:
            errors = judged[target].model
            own = errors.mae if target == "accuracy" else errors.mape
            ratios.append(math.log(max(responses.responses[target].checked.error, 1e-12) / max(own, 1e-12)))
    return math.exp(sum(ratios) / len(ratios)) if ratios else math.inf


def load_evaluator(study: Study) -> Evaluator:
    """Return the evaluator that a study asks for: a network to measure, a table's rows, or a model of its spaces' knobs.

    Raises:
        WrongUsage: there is no such model.
        InvalidFile: its file is not what it should be; all faults at once.
        MissingPart: a network is to be measured and onnx is not installed.
        MeasurementFailed: the network cannot be run.
    """
    if study.live is not None:
        return live_of(study)
    if study.table is not None:
        samples = read_samples(Path(study.model), own=study.table.knobs, ignore=study.table.ignore)
        asked = [need for objective in study.objectives for need in objective.needs]
        asked += [c.column for c in study.constraints if c.column in TARGETS]
        return lookup_of(samples, name=study.model, needs=list(dict.fromkeys(asked)))
    ignore = [name for space in study.spaces for name in space.file.ignore]
    return load_model(study.model, own=[name for name in study.own_columns if name != "weight_bits"], ignore=ignore)


def model_to_json(model: PosteriorModel) -> Mapping[str, Any]:
    """Return a model as plain JSON values, from which it predicts the same."""
    return responses_to_json(model) if isinstance(model, Responses) else surrogate_to_json(model)


def model_from_file(path: Path) -> PosteriorModel:
    """Read a model back; it predicts what it predicted when it was written.

    Raises:
        InvalidFile: the file is not a model, or was written by a version with other shapes.
    """
    try:
        data = json.loads(read_text(path, max_bytes=MAX_TABLE_BYTES))
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        return surrogate_from_file(path)  # it tells what is wrong with a file that is neither
    try:
        return responses_from_json({**data, "name": str(path)})
    except WrongUsage as error:
        raise InvalidFile(path, [Fault("", error.problem, error.fix)]) from None
