"""What may keep the entry of a model's file from being a response: parts that do not fit together."""

import math
from collections.abc import Iterator

import numpy as np

from explorer.models.coordinates import coordinates_of
from explorer.models.response import draw_response
from explorer.models.response_file import knobs_in, response_from_file, samples_in
from explorer.models.response_fit import MAX_CONFIGURATIONS
from explorer.problem.columns import COLUMNS, TARGETS, is_free_name, take
from explorer.problem.fitted_file import ResponseFile

_TRIED = 4  # samples and draws by which a response is tried
_MOST_CELLS = 100_000_000  # numbers in the columns of all terms: 800 MB


def response_faults(file: ResponseFile) -> list[str]:
    """Say what keeps a file's entry from being a response, as far as it can be told; nothing where it is one."""
    faults = [*_knob_faults(file), *_length_faults(file)]
    # Each of these would fail on what the ones before have found.
    for further in (_form_faults, _size_faults, _use_faults):
        faults = faults or [*further(file)]
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
        yield f"{n:,} configurations are more than the {MAX_CONFIGURATIONS:,} that are ever fitted"
    if len(file.scales.widths) != len(file.form.terms):
        yield f"{len(file.scales.widths)} widths do not fit {len(file.form.terms)} terms"
    if (file.scales.amplitude is None) == file.form.has_process:
        yield "amplitude and has_process disagree"


def _form_faults(file: ResponseFile) -> Iterator[str]:
    """See that the form names nothing that the samples do not have, and has what its law takes."""
    form, coordinates = file.form, coordinates_of(samples_in(file), knobs_in(file))
    for term in form.terms:
        if not set(term.categories) <= set(coordinates.levels) or not set(term.powers) <= set(coordinates.axes):
            yield f"a term of '{term.predictor}' names an unknown knob"
    if any(not set(part) <= set(coordinates.axes) for part in form.parts):
        yield "a part names an unknown knob"
    predictors = set(dict.fromkeys(term.predictor for term in form.terms))
    cliff = {"plateau", "chance"}
    cliff |= {"step edge", "step width"} if "step edge" in predictors else set()
    cliff |= {"pruning edge", "pruning width"} if "pruning edge" in predictors else set()
    needs = {"sum": {"level"}, "shares": predictors | {"level"}, "cliff": cliff}[form.law]
    edges = {"quant_step"} if "step edge" in needs else set()
    edges |= {"pruning_ratio"} if "pruning edge" in needs else set()
    if predictors != needs or not edges <= set(coordinates.axes):
        yield f"the law '{form.law}' does not take {', '.join(sorted(predictors))}"
    if form.law == "shares" and len(form.parts) != len(predictors):
        yield f"{len(form.parts)} parts do not fit {len(predictors)} predictors"
    if not set(file.widening.away) <= set(coordinates.axes) or any(
        sorted(set(away.levels)) != list(away.levels) for away in file.widening.away.values()
    ):
        yield "widening names an unknown knob, or values out of order"
    if not set(file.gaps) <= set(coordinates.varied):
        yield "gaps name an unknown knob"


def _size_faults(file: ResponseFile) -> Iterator[str]:
    """See that coefficients and lengths are as many as the form has; counted without making its columns."""
    coordinates = coordinates_of(samples_in(file), knobs_in(file))
    n = sum(math.prod(len(coordinates.levels[c]) for c in term.categories) for term in file.form.terms)
    if len(file.theta) != n:
        yield f"{len(file.theta)} numbers in theta for {n} coefficients"
    if n * len(file.values) > _MOST_CELLS:
        yield f"{n:,} coefficients are more than could have been fitted"
    if len(file.scales.lengths) != len(coordinates.tie):
        yield f"{len(file.scales.lengths)} lengths for {len(coordinates.tie)} coordinates"


def _use_faults(file: ResponseFile) -> Iterator[str]:
    """See that the response predicts its own samples, with an interval: then all that it is made of fits together."""
    response = response_from_file(file)
    few = take(response.samples, np.arange(min(len(file.values), _TRIED)))
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            drawn = draw_response(response, n=_TRIED).at(few, with_noise=True)
            is_finite = bool(np.isfinite(drawn).all() and np.isfinite(response.predict(few)).all())
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        yield f"does not predict its own samples: {error}"
    else:
        if not is_finite:
            yield "does not predict its own samples"
