"""A fitted surrogate as a JSON file: what it is made of, and what may be wrong with such a file."""

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

_TRIED = 4  # samples and draws by which a model is tried when it is read
_AGAIN = "write it again with `explorer fit SAMPLES.csv -o model.json`"


def surrogate_to_json(model: Surrogate) -> dict[str, Any]:
    """Return a surrogate as plain JSON values: samples, priors' outcome, coefficients, laws."""
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
    """Read a surrogate back; it predicts what it predicted when it was written.

    Raises:
        InvalidFile: the file is not a model, or was written by a version with other shapes.
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
    # JSON keeps no order that matters; latency comes first again because energy takes its ratio.
    fits = {
        target: _fit_from_file(target, file.targets[target]) for target in PARAMETRIC_FORMS if target in file.targets
    }
    laws = {family: AlphaPowerLaw(law.constant, law.threshold_v, law.exponent) for family, law in file.laws.items()}
    model = Surrogate(str(path), samples, file.references, fits, laws, domain_of(columns), file.widening)
    wrong = _use_fault(model)
    if wrong:
        raise InvalidFile(path, [Fault("[targets]", wrong, _AGAIN)])
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
    return [
        Fault(where, what, _AGAIN) for where, what in (*_sample_faults(file), *_family_faults(file), *_fit_faults(file))
    ]


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
    for place, names in (("references", set(file.references)), ("laws", set(file.laws))):
        if names != families:
            yield place, f"has {sorted(names)}, the samples have {sorted(families)}"
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
            yield f"[targets] {target}", "has other coefficients than this version's shape"
        rows = [
            family
            for family, value in zip(file.samples.family, columns.get(target, ()), strict=False)
            if value is not None
        ]
        if set(fit.levels) != set(rows) or fit.n != len(rows):
            yield (
                f"[targets] {target}",
                f"has other families or another number of samples than the {len(rows)} measured",
            )


def _use_fault(model: Surrogate) -> str:
    """Say why a model does not predict its own samples with an interval; empty where it does."""
    few = take({name: model.samples.columns[name] for name in KNOBS}, np.arange(min(len(model.samples.labels), _TRIED)))
    try:
        with np.errstate(over="raise", divide="raise", invalid="raise"):
            drawn = predict_draws(model, posterior_draws(model, n=_TRIED), few, with_noise=True)
            predicted = model.evaluate(few)
    except (ValueError, ArithmeticError, np.linalg.LinAlgError) as error:
        return f"do not predict the model's own samples: {error}"
    is_known = all((predicted[target] > 0).any() and (drawn[target] > 0).any() for target in model.targets)
    return "" if is_known else "do not predict the model's own samples"
