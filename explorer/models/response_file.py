"""Responses as JSON values: samples, form and what was learned; plain numbers from which all else is computed again."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from explorer.errors import WrongUsage
from explorer.models.coordinates import Knob, coordinates_of
from explorer.models.fitting import FormFit, term_of_columns
from explorer.models.forms import LAWS, Form, Term
from explorer.models.gaps import Gaps
from explorer.models.process import Scales, Table
from explorer.models.response import Candidate, Response
from explorer.models.trials import sampling_variance
from explorer.models.widening import Away, Widening
from explorer.problem.columns import Columns, Float

SCHEMA = "explorer.response/1"


def response_to_json(response: Response) -> dict[str, Any]:
    """Return a response as plain JSON values; `response_from_json` gives back what predicts and draws the same."""
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


def response_from_json(data: Mapping[str, Any]) -> Response:
    """Return the response that `response_to_json` wrote.

    Raises:
        WrongUsage: the values are not those of a response.
    """
    try:
        response = _read(data)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise WrongUsage(f"not a fitted response: {type(error).__name__}: {error}", fix="fit it again") from None
    return response


def _read(data: Mapping[str, Any]) -> Response:
    if data["schema"] != SCHEMA:
        raise ValueError(f"its schema is {data['schema']!r}, not {SCHEMA}")
    knobs = tuple(_knob(knob) for knob in data["knobs"])
    samples: Columns = {
        knob.name: np.array([str(v) for v in data["samples"][knob.name]], dtype=object)
        if knob.kind == "category"
        else _finite(data["samples"][knob.name], "a knob")
        for knob in knobs
    }
    values, counts = _finite(data["values"], "values"), np.array([int(c) for c in data["counts"]], dtype=np.int64)
    coordinates = coordinates_of(samples, knobs)
    repeat_sd = float(_finite([data["repeat_sd"]], "repeat_sd")[0])
    trials = _finite(data["trials"], "trials")
    _require(len(trials) == len(values) and bool((trials >= 0).all()), "trials do not fit the values")
    variance = repeat_sd**2 / counts + sampling_variance(values, trials)
    table = Table(values, variance, coordinates.points(coordinates.place(samples)))
    form = _form(data["form"])
    scales = _scales(data["scales"], has_process=form.has_process)
    theta = _finite(data["theta"], "theta")
    _require({len(values), len(counts)} == {len(column) for column in samples.values()}, "columns differ in length")
    _require(len(values) > 0 and bool((counts > 0).all()) and repeat_sd >= 0, "there are no measurements")
    _require(len(theta) == len(term_of_columns(form, coordinates)), "theta does not fit the form's terms")
    _require(len(scales.widths) == len(form.terms), "widths do not fit the form's terms")
    _require(len(scales.lengths) == len(coordinates.tie), "lengths do not fit the knobs")
    away = {
        str(name): Away(float(a["factor"]), tuple(_finite(a["levels"], "levels").tolist()), float(a["reach"]))
        for name, a in data["widening"]["away"].items()
    }
    _require(set(away) <= set(coordinates.axes), "widening names an unknown knob")
    gaps = dict(zip(data["gaps"], _finite(data["gaps"].values(), "gaps").tolist(), strict=True))
    _require(set(gaps) <= set(coordinates.varied), "gaps name an unknown knob")
    return Response(
        str(data["target"]), knobs, coordinates, samples, counts, table, repeat_sd, trials,
        FormFit(form, str(data["target"]), theta, scales),
        Widening(float(data["widening"]["factor"]), away), Gaps(gaps),
        tuple(_candidate(c) for c in data["candidates"]), _candidate(data["checked"]), str(data["choice"]),
        tuple(str(w) for w in data["warnings"]),
    )  # fmt: skip


def _knob(data: Mapping[str, Any]) -> Knob:
    _require(data["kind"] in {"category", "number"}, "a knob is neither category nor number")
    return Knob(str(data["name"]), data["kind"], is_log=bool(data["is_log"]))


def _form(data: Mapping[str, Any]) -> Form:
    _require(data["law"] in LAWS, "an unknown law")
    terms = tuple(
        Term(
            str(term["predictor"]), tuple(map(str, term["categories"])), tuple(map(str, term["powers"])),
            float(term["center"]), float(term["width"]), is_learned=bool(term["is_learned"]),
        )
        for term in data["terms"]
    )  # fmt: skip
    parts = tuple({str(knob): float(power) for knob, power in part.items()} for part in data["parts"])
    return Form(str(data["name"]), data["law"], terms, parts, has_process=bool(data["has_process"]))


def _scales(data: Mapping[str, Any], *, has_process: bool) -> Scales:
    amplitude = float(data["amplitude"]) if has_process else -np.inf
    scatter = float(_finite([data["scatter"]], "scatter")[0])
    return Scales(_finite(data["widths"], "widths"), scatter, amplitude, _finite(data["lengths"], "lengths"))


def _candidate_to_json(candidate: Candidate) -> dict[str, Any]:
    numbers = {"error": candidate.error, "r2": candidate.r2, "coverage": candidate.coverage}
    numbers["between"] = candidate.between
    return {"name": candidate.name, **{k: v if np.isfinite(v) else None for k, v in numbers.items()}}


def _candidate(data: Mapping[str, Any]) -> Candidate:
    absent = {"error": np.inf, "r2": -np.inf, "coverage": np.nan, "between": np.nan}
    numbers = {k: missing if data[k] is None else float(data[k]) for k, missing in absent.items()}
    return Candidate(str(data["name"]), numbers["error"], numbers["r2"], numbers["coverage"], numbers["between"])


def _finite(values: Any, name: str) -> Float:
    array = np.array([float(value) for value in values], dtype=np.float64)
    _require(bool(np.isfinite(array).all()), f"{name} has numbers that are not finite")
    return array


def _require(condition: bool, what: str) -> None:
    if not condition:
        raise ValueError(what)
