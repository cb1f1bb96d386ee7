"""Model file of a parametric surrogate: write, read and validate."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from explorer import __version__
from explorer.devices.operating_points import AlphaPowerLaw
from explorer.errors import Fault, InvalidFile
from explorer.io.declarations import read_json
from explorer.io.files import MAX_TABLE_BYTES
from explorer.models.model_files.parametric_schema import FitFile, ModelFile
from explorer.models.parametric.functional_forms import PARAMETRIC_FORMS
from explorer.models.parametric.laplace import Fit
from explorer.models.parametric.surrogate import Surrogate
from explorer.models.posterior_draws import posterior_draws, predict_draws
from explorer.models.samples.samples import Samples
from explorer.problem.applicability import domain_of
from explorer.problem.columns import KNOBS, NUMERIC_KNOBS, TARGETS, Columns, is_allowed, take

_N_CHECKED = 4  # samples and draws that a model must predict when it is read
_REWRITE = "write it again with `explorer fit SAMPLES.csv -o model.json`"


def surrogate_to_json(model: Surrogate) -> dict[str, Any]:
    """Return a surrogate as plain JSON values: samples, fitted coefficients, laws."""
    columns = model.samples.columns
    return {
        "schema": "explorer.model/1",
        "explorer_version": __version__,
        "samples": {
            "source": model.samples.source,
            "sha256": model.samples.sha256,
            "labels": list(model.samples.labels),
            "family": columns["family"].tolist(),
            "columns": {
                name: [value if np.isfinite(value) else None for value in columns[name].tolist()]
                for name in (*NUMERIC_KNOBS, *TARGETS)
                if name in columns
            },
        },
        "references": {family: dict(reference) for family, reference in model.references.items()},
        "targets": {target: _fit_to_json(fit) for target, fit in model.fits.items()},
        "widening": dict(model.widening),
        "laws": {
            family: {"constant": law.constant, "threshold_v": law.threshold_v, "exponent": law.exponent}
            for family, law in model.laws.items()
        },
    }


def surrogate_from_file(path: Path) -> Surrogate:
    """Read a surrogate that predicts exactly as the one that was written.

    Raises:
        InvalidFile: the file is not a model, or was written by a version with other forms.
    """
    file = read_json(path, ModelFile, max_bytes=MAX_TABLE_BYTES)
    faults = _faults(file)
    if faults:
        raise InvalidFile(path, faults)
    columns: Columns = {"family": np.array(file.samples.family, dtype=object)}
    columns |= {
        name: np.array([np.nan if value is None else value for value in values])
        for name, values in file.samples.columns.items()
    }
    samples = Samples(columns, file.samples.labels, file.samples.source, file.samples.sha256)
    # The order of PARAMETRIC_FORMS matters, and JSON objects are unordered: energy uses the ratio of latency.
    fits = {
        target: _fit_from_file(target, file.targets[target]) for target in PARAMETRIC_FORMS if target in file.targets
    }
    laws = {family: AlphaPowerLaw(law.constant, law.threshold_v, law.exponent) for family, law in file.laws.items()}
    model = Surrogate(str(path), samples, file.references, fits, laws, domain_of(columns), file.widening)
    fault = _prediction_fault(model)
    if fault:
        raise InvalidFile(path, [Fault("[targets]", fault, _REWRITE)])
    return model


def _fit_to_json(fit: Fit) -> dict[str, Any]:
    return {
        "formula": fit.form.formula,
        "coefficients": fit.coefficients,
        "levels": fit.levels,
        "mode": fit.mode.tolist(),
        "covariance": fit.covariance.tolist(),
        "noise": fit.noise,
        "n": fit.n,
    }


def _fit_from_file(target: str, file: FitFile) -> Fit:
    return Fit(
        PARAMETRIC_FORMS[target], dict(file.levels), np.array(file.mode), np.array(file.covariance), file.noise, file.n
    )


def _faults(file: ModelFile) -> list[Fault]:
    faults = (*_sample_faults(file), *_family_faults(file), *_fit_faults(file))
    return [Fault(location, message, _REWRITE) for location, message in faults]


def _sample_faults(file: ModelFile) -> Iterator[tuple[str, str]]:
    n = len(file.samples.family)
    for name in NUMERIC_KNOBS:
        values = np.array([np.nan if v is None else v for v in file.samples.columns.get(name, ())], dtype=np.float64)
        if len(values) != n or not is_allowed(name, values).all():
            yield f"[samples] columns.{name}", "is missing, short or out of range"
    for name, column in file.samples.columns.items():
        if len(column) != n or name not in (*NUMERIC_KNOBS, *TARGETS):
            yield f"[samples] columns.{name}", f"is unknown or has not {n} values"
        elif name in TARGETS and not is_allowed(name, np.array([v for v in column if v is not None])).all():
            yield f"[samples] columns.{name}", "is out of range"
    if len(file.samples.labels) != n or n == 0:
        yield "[samples] labels", f"has {len(file.samples.labels)} names for {n} rows"


def _family_faults(file: ModelFile) -> Iterator[tuple[str, str]]:
    families = set(file.samples.family)
    for section, names in (("references", set(file.references)), ("laws", set(file.laws))):
        if names != families:
            yield section, f"has {sorted(names)}, the samples have {sorted(families)}"
    for family, reference in file.references.items():
        if set(reference) != set(NUMERIC_KNOBS):
            yield f"[references] {family}", f"must have exactly {', '.join(NUMERIC_KNOBS)}"
        elif not all(is_allowed(knob, np.array([value]))[0] for knob, value in reference.items()):
            yield f"[references] {family}", "has a knob that is out of range"


def _fit_faults(file: ModelFile) -> Iterator[tuple[str, str]]:
    columns = file.samples.columns
    measured = {name for name in TARGETS if any(value is not None for value in columns.get(name, ()))}
    if measured != set(file.targets):
        yield "targets", f"has {sorted(file.targets)}, the samples measure {sorted(measured)}"
    for target, fit in file.targets.items():
        if target not in PARAMETRIC_FORMS:
            yield f"[targets] {target}", "is not a target of this version"
            continue
        size, p = len(fit.levels) + len(fit.mode), len(PARAMETRIC_FORMS[target].priors)
        if len(fit.mode) != p or [len(row) for row in fit.covariance] != [size] * size:
            yield f"[targets] {target}", "does not have the coefficients of this version's form"
        rows = [
            family
            for family, value in zip(file.samples.family, columns.get(target, ()), strict=False)
            if value is not None
        ]
        if set(fit.levels) != set(rows) or fit.n != len(rows):
            yield (
                f"[targets] {target}",
                f"does not have the families and the number of samples of the {len(rows)} measured",
            )


def _prediction_fault(model: Surrogate) -> str:
    """Return why a model cannot predict its own samples with an interval; empty if it can."""
    rows = np.arange(min(len(model.samples.labels), _N_CHECKED))
    designs = take({name: model.samples.columns[name] for name in KNOBS}, rows)
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            samples = predict_draws(model, posterior_draws(model, n=_N_CHECKED), designs, with_noise=True)
            predicted = model.evaluate(designs)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        return f"do not predict the model's own samples: {error}"
    is_positive = all((predicted[target] > 0).any() and (samples[target] > 0).any() for target in model.targets)
    return "" if is_positive else "do not predict the model's own samples"
