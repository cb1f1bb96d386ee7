"""Responses as JSON values: samples, form and what was learned; plain numbers from which all else is computed again."""

from dataclasses import asdict
from typing import Any

import numpy as np

from explorer.models.coordinates import Knob, coordinates_of
from explorer.models.fitting import FormFit
from explorer.models.forms import Form, Term
from explorer.models.gaps import Gaps
from explorer.models.process import Scales, Table
from explorer.models.response import Candidate, Response
from explorer.models.trials import sampling_variance
from explorer.models.widening import Away, Widening
from explorer.problem.columns import Columns
from explorer.problem.fitted_file import CandidateFile, ResponseFile

SCHEMA = "explorer.response/1"


def response_to_json(response: Response) -> dict[str, Any]:
    """Return a response as plain JSON values; `response_from_file` gives back what predicts and draws the same."""
    fit, scales = response.fit, response.fit.scales
    return {
        "schema": SCHEMA,
        "target": response.target,
        "knobs": [asdict(knob) for knob in response.knobs],
        "samples": {name: values.tolist() for name, values in response.samples.items()},
        "counts": response.counts.tolist(),
        "values": response.table.values.tolist(),
        "repeat_sd": response.repeat_sd,
        "trials": response.trials.tolist(),
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
            "scatter": scales.scatter,
            "amplitude": scales.amplitude if fit.form.has_process else None,
            "lengths": scales.lengths.tolist(),
        },
        "widening": {
            "factor": response.widening.factor,
            "away": {name: asdict(away) for name, away in response.widening.away.items()},
        },
        "gaps": dict(response.gaps.shares),
        "candidates": [_candidate_to_json(candidate) for candidate in response.candidates],
        "checked": _candidate_to_json(response.checked),
        "choice": response.choice,
        "warnings": list(response.warnings),
    }


def response_from_file(file: ResponseFile) -> Response:
    """Return the response that `response_to_json` wrote; see first that it has no faults."""
    knobs, samples = knobs_in(file), samples_in(file)
    values, counts = np.array(file.values), np.array(file.counts, dtype=np.int64)
    trials = np.array(file.trials, dtype=np.float64)
    coordinates = coordinates_of(samples, knobs)
    variance = file.repeat_sd**2 / counts + sampling_variance(values, trials)
    table = Table(values, variance, coordinates.points(coordinates.place(samples)))
    terms = tuple(Term(**term.model_dump()) for term in file.form.terms)
    form = Form(file.form.name, file.form.law, terms, file.form.parts, has_process=file.form.has_process)
    amplitude = -np.inf if file.scales.amplitude is None else file.scales.amplitude
    scales = Scales(np.array(file.scales.widths), file.scales.scatter, amplitude, np.array(file.scales.lengths))
    away = {name: Away(one.factor, one.levels, one.reach) for name, one in file.widening.away.items()}
    return Response(
        file.target, knobs, coordinates, samples, counts, table, file.repeat_sd, trials,
        FormFit(form, file.target, np.array(file.theta), scales),
        Widening(file.widening.factor, away), Gaps(file.gaps),
        tuple(_candidate(c) for c in file.candidates), _candidate(file.checked), file.choice, file.warnings,
    )  # fmt: skip


def knobs_in(file: ResponseFile) -> tuple[Knob, ...]:
    """Return the knobs that a file tells."""
    return tuple(Knob(knob.name, knob.kind, is_log=knob.is_log) for knob in file.knobs)


def samples_in(file: ResponseFile) -> Columns:
    """Return the measured configurations that a file tells, shape (n,) for each knob."""
    return {
        knob.name: np.array(file.samples[knob.name], dtype=object if knob.kind == "category" else np.float64)
        for knob in file.knobs
    }


def _candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    numbers = {"error": candidate.error, "r2": candidate.r2, "coverage": candidate.coverage}
    numbers["between"] = candidate.between
    return {"name": candidate.name, **{k: v if np.isfinite(v) else None for k, v in numbers.items()}}


def _candidate(file: CandidateFile) -> Candidate:
    return Candidate(
        file.name,
        np.inf if file.error is None else file.error,
        -np.inf if file.r2 is None else file.r2,
        np.nan if file.coverage is None else file.coverage,
        np.nan if file.between is None else file.between,
    )
