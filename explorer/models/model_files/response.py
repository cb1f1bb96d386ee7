"""Model file of fitted responses: samples, forms and fitted parameters; everything else is recomputed on reading."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from explorer.errors import Fault, InvalidFile, limit_faults
from explorer.io.declarations import validate
from explorer.models.model_files.response_schema import CandidateFile, ResponseFile, ResponsesFile, TableFile
from explorer.models.response.calibration import BetweenLevels, InterpolationUncertainty, IntervalInflation
from explorer.models.response.fitting import FormFit
from explorer.models.response.forms import FunctionalForm, Term
from explorer.models.response.gaussian_process import Hyperparameters, TrainingData
from explorer.models.response.input_scaling import fit_coordinates
from explorer.models.response.multi_target import MultiResponse
from explorer.models.response.response import CandidateForm, Response, draw_response
from explorer.models.response.selection import MAX_CONFIGURATIONS
from explorer.models.samples.binomial import sampling_variance
from explorer.models.samples.knobs import KnobSpec
from explorer.models.samples.samples import Samples
from explorer.problem.columns import COLUMNS, TARGETS, Columns, is_allowed, is_free_name, take

RESPONSE_SCHEMA = "explorer.response/1"
MULTI_SCHEMA = "explorer.responses/1"
_N_CHECKED = 4  # samples and draws that a response must predict when it is read
_MAX_CELLS = 100_000_000  # numbers in the columns of all terms: 800 MB
_REWRITE = "write it again with `explorer fit SAMPLES.csv -o model.json`"


def response_to_json(response: Response) -> dict[str, Any]:
    """Return a response as plain JSON values; `response_from_file` restores identical predictions and draws."""
    fit, scales = response.fit, response.fit.scales
    return {
        "schema": RESPONSE_SCHEMA,
        "target": response.target,
        "knobs": [asdict(knob) for knob in response.knobs],
        "samples": {name: values.tolist() for name, values in response.samples.items()},
        "counts": response.counts.tolist(),
        "values": response.table.values.tolist(),
        "repeat_sd": response.repeat_sd,
        "trials": response.n_counted.tolist(),
        "form": {
            "name": fit.form.name,
            "law": fit.form.law,
            "has_process": fit.form.has_process,
            "parts": [dict(part) for part in fit.form.parts],
            "terms": [asdict(term) for term in fit.form.terms],
        },
        "theta": fit.theta.tolist(),
        "scales": {
            "widths": scales.widths.tolist(),
            "scatter": scales.noise,
            "amplitude": scales.amplitude if fit.form.has_process else None,
            "lengths": scales.lengths.tolist(),
        },
        "widening": {
            "factor": response.widening.factor,
            "away": {name: asdict(between) for name, between in response.widening.between_levels.items()},
        },
        "gaps": dict(response.interpolation.shares),
        "candidates": [_candidate_to_json(candidate) for candidate in response.candidates],
        "checked": _candidate_to_json(response.checked),
        "choice": response.choice,
        "warnings": list(response.warnings),
    }


def response_from_file(file: ResponseFile) -> Response:
    """Return the response that `response_to_json` wrote; check `response_faults` first."""
    knobs, samples = knobs_in(file), samples_in(file)
    values, counts = np.array(file.values), np.array(file.counts, dtype=np.int64)
    n_counted = np.array(file.trials, dtype=np.float64)
    coordinates = fit_coordinates(samples, knobs)
    variance = file.repeat_sd**2 / counts + sampling_variance(values, n_counted)
    table = TrainingData(values, variance, coordinates.points(coordinates.transform(samples)))
    terms = tuple(Term(**term.model_dump()) for term in file.form.terms)
    form = FunctionalForm(file.form.name, file.form.law, terms, file.form.parts, has_process=file.form.has_process)
    entry = file.scales
    amplitude = -np.inf if entry.amplitude is None else entry.amplitude
    scales = Hyperparameters(np.array(entry.widths), entry.scatter, amplitude, np.array(entry.lengths))
    between_levels = {name: BetweenLevels(b.factor, b.levels, b.reach) for name, b in file.widening.away.items()}
    return Response(
        file.target, knobs, coordinates, samples, counts, table, file.repeat_sd, n_counted,
        FormFit(form, file.target, np.array(file.theta), scales),
        IntervalInflation(file.widening.factor, between_levels), InterpolationUncertainty(file.gaps),
        tuple(_candidate_from_file(c) for c in file.candidates), _candidate_from_file(file.checked), file.choice,
        file.warnings,
    )  # fmt: skip


def knobs_in(file: ResponseFile) -> tuple[KnobSpec, ...]:
    """Return the knobs of a file's entry."""
    return tuple(KnobSpec(knob.name, knob.kind, is_log=knob.is_log) for knob in file.knobs)


def samples_in(file: ResponseFile) -> Columns:
    """Return the measured designs of a file's entry, shape (n,) for each knob."""
    return {
        knob.name: np.array(file.samples[knob.name], dtype=object if knob.kind == "category" else np.float64)
        for knob in file.knobs
    }


def _candidate_to_json(candidate: CandidateForm) -> dict[str, Any]:
    numbers = {"error": candidate.error, "r2": candidate.r2, "coverage": candidate.coverage}
    numbers["between"] = candidate.between
    return {"name": candidate.name, **{k: v if np.isfinite(v) else None for k, v in numbers.items()}}


def _candidate_from_file(file: CandidateFile) -> CandidateForm:
    return CandidateForm(
        file.name,
        np.inf if file.error is None else file.error,
        -np.inf if file.r2 is None else file.r2,
        np.nan if file.coverage is None else file.coverage,
        np.nan if file.between is None else file.between,
    )


def response_faults(file: ResponseFile) -> list[str]:
    """Return the faults of a file's entry; empty if it is a valid response."""
    faults = [*_knob_faults(file), *_length_faults(file)]
    # Each check relies on the previous ones, so the first with faults ends the validation.
    for check in (_form_faults, _size_faults, _prediction_faults):
        faults = faults or [*check(file)]
    return faults


def _knob_faults(file: ResponseFile) -> Iterator[str]:
    names = [knob.name for knob in file.knobs]
    if file.target not in TARGETS:
        yield f"'{file.target}' is no target"
    if set(names) != set(file.samples) or len(set(names)) < len(names):
        yield f"knobs are {', '.join(names)}, samples have {', '.join(file.samples)}"
    for knob in file.knobs:
        if knob.name != "family" and not is_free_name(knob.name):
            yield f"'{knob.name}' cannot be a knob"
        if knob.kind != "category" if knob.name == "family" else knob.kind == "category" and knob.name in COLUMNS:
            yield f"knob '{knob.name}' is a {knob.kind}"
        kind = str if knob.kind == "category" else float
        if not all(isinstance(value, kind) for value in file.samples.get(knob.name, ())):
            yield f"samples of knob '{knob.name}' are not all of the kind {knob.kind}"


def _length_faults(file: ResponseFile) -> Iterator[str]:
    n = len(file.values)
    for name, column in {**file.samples, "counts": file.counts, "trials": file.trials}.items():
        if len(column) != n:
            yield f"{name} has {len(column)} numbers for {n} values"
    if n > MAX_CONFIGURATIONS:
        yield f"{n:,} designs are more than the {MAX_CONFIGURATIONS:,} that are ever fitted"
    if len(file.scales.widths) != len(file.form.terms):
        yield f"{len(file.scales.widths)} widths do not fit {len(file.form.terms)} terms"
    if (file.scales.amplitude is None) == file.form.has_process:
        yield "amplitude and has_process disagree"


def _form_faults(file: ResponseFile) -> Iterator[str]:
    """Check that the form names only knobs of the samples and has the predictors of its law."""
    form, coordinates = file.form, fit_coordinates(samples_in(file), knobs_in(file))
    for term in form.terms:
        if not set(term.categories) <= set(coordinates.levels) or not set(term.powers) <= set(coordinates.scales):
            yield f"a term of '{term.predictor}' names an unknown knob"
    if any(not set(part) <= set(coordinates.scales) for part in form.parts):
        yield "a part names an unknown knob"
    predictors = set(dict.fromkeys(term.predictor for term in form.terms))
    cliff = {"plateau", "chance"}
    cliff |= {"step edge", "step width"} if "step edge" in predictors else set()
    cliff |= {"pruning edge", "pruning width"} if "pruning edge" in predictors else set()
    required = {"sum": {"level"}, "shares": predictors | {"level"}, "cliff": cliff}[form.law]
    edges = {"quant_step"} if "step edge" in required else set()
    edges |= {"pruning_ratio"} if "pruning edge" in required else set()
    if predictors != required or not edges <= set(coordinates.scales):
        yield f"the law '{form.law}' does not take {', '.join(sorted(predictors))}"
    if form.law == "shares" and len(form.parts) != len(predictors):
        yield f"{len(form.parts)} parts do not fit {len(predictors)} predictors"
    if not set(file.widening.away) <= set(coordinates.scales) or any(
        sorted(set(between.levels)) != list(between.levels) for between in file.widening.away.values()
    ):
        yield "widening names an unknown knob, or values out of order"
    if not set(file.gaps) <= set(coordinates.varied):
        yield "gaps name an unknown knob"


def _size_faults(file: ResponseFile) -> Iterator[str]:
    """Check the numbers of coefficients and lengths of the form, without building its columns."""
    coordinates = fit_coordinates(samples_in(file), knobs_in(file))
    n = sum(math.prod(len(coordinates.levels[c]) for c in term.categories) for term in file.form.terms)
    if len(file.theta) != n:
        yield f"{len(file.theta)} numbers in theta for {n} coefficients"
    if n * len(file.values) > _MAX_CELLS:
        yield f"{n:,} coefficients are more than could have been fitted"
    if len(file.scales.lengths) != len(coordinates.tie):
        yield f"{len(file.scales.lengths)} lengths for {len(coordinates.tie)} coordinates"


def _prediction_faults(file: ResponseFile) -> Iterator[str]:
    """Check that the response predicts its own samples with an interval, which shows that its parts are consistent."""
    response = response_from_file(file)
    designs = take(response.samples, np.arange(min(len(file.values), _N_CHECKED)))
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            values = draw_response(response, n=_N_CHECKED).evaluate(designs, with_noise=True)
            is_finite = bool(np.isfinite(values).all() and np.isfinite(response.predict(designs)).all())
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        yield f"does not predict its own samples: {error}"
    else:
        if not is_finite:
            yield "does not predict its own samples"


def responses_to_json(model: MultiResponse) -> dict[str, Any]:
    """Return a model as plain JSON values."""
    samples = model.samples
    return {
        "schema": MULTI_SCHEMA,
        "name": model.name,
        "samples": {
            "labels": list(samples.labels),
            "source": samples.source,
            "sha256": samples.sha256,
            "notes": list(samples.notes),
            "columns": {name: _values_to_json(values) for name, values in samples.columns.items()},
        },
        "responses": [response_to_json(model.responses[target]) for target in model.targets],
    }


def responses_from_json(data: object, *, path: object) -> MultiResponse:
    """Return the model that `responses_to_json` wrote, named by its file.

    Raises:
        InvalidFile: all faults of a file that is not a model.
    """
    file = validate(data, ResponsesFile, path=path)
    faults = [
        *(("[samples]", message) for message in _sample_faults(file)),
        *((f"[responses] {entry.target}", message) for entry in file.responses for message in response_faults(entry)),
    ]
    if faults:
        raise InvalidFile(path, limit_faults([Fault(location, message, _REWRITE) for location, message in faults]))
    responses = {entry.target: response_from_file(entry) for entry in file.responses}
    return MultiResponse(str(path), _samples_from_file(file.samples), responses)


def _sample_faults(file: ResponsesFile) -> Iterator[str]:
    """Check that the samples have all columns of the responses, each of one type and one value per label."""
    columns, n = file.samples.columns, len(file.samples.labels)
    targets = [entry.target for entry in file.responses]
    knobs = {"family": "category", **{knob.name: knob.kind for entry in file.responses for knob in entry.knobs}}
    kinds = {**dict.fromkeys(TARGETS, "number"), **knobs}
    if len(set(targets)) < len(targets):
        yield f"two responses have the same target: {', '.join(targets)}"
    for name in [name for name in (*knobs, *targets) if name not in columns]:
        yield f"column '{name}' is missing"
    for entry in file.responses:
        differing = [k for k, values in entry.samples.items() if not set(values) <= set(columns.get(k, values))]
        if differing:
            yield f"response '{entry.target}' was fitted to other values of {', '.join(differing)}"
    for name, values in columns.items():
        is_text = [isinstance(value, str) for value in values]
        numbers = np.array([value for value in values if isinstance(value, float)])
        if len(values) != n:
            yield f"{name} has {len(values)} values for {n} rows"
        if any(is_text) != all(is_text) or (name in kinds and any(is_text) != (kinds[name] == "category")):
            yield f"{name} mixes names and numbers, or has the wrong type"
        if name in (*COLUMNS, *kinds) and not is_allowed(name, numbers, is_measured=True).all():
            yield f"{name} is out of range"


def _values_to_json(values: NDArray[Any]) -> list[Any]:
    if values.dtype == object:
        return [str(value) for value in values.tolist()]
    return [value if np.isfinite(value) else None for value in values.tolist()]


def _samples_from_file(file: TableFile) -> Samples:
    columns: dict[str, NDArray[Any]] = {
        name: np.array(values, dtype=object)
        if any(isinstance(value, str) for value in values)
        else np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        for name, values in file.columns.items()
    }
    return Samples(columns, file.labels, file.source, file.sha256, file.notes)
