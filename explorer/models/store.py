"""Models as files: a fitted surrogate to and from JSON, and finding a model by its name."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from explorer import __version__
from explorer.errors import Fault, InvalidFile, WrongUsage
from explorer.files import MAX_TABLE_BYTES, is_file
from explorer.models.evaluator import Evaluator
from explorer.models.lookup import lookup_of
from explorer.models.posterior import Fit
from explorer.models.samples import Samples, paper_samples, read_samples
from explorer.models.shapes import SHAPES
from explorer.models.surrogate import Surrogate, fit_surrogate
from explorer.models.validation import calibrated
from explorer.problem.columns import KNOBS, NUMERIC_KNOBS, TARGETS, Columns, is_allowed
from explorer.problem.declare import read_json
from explorer.problem.domain import domain_of
from explorer.problem.model_file import FitFile, ModelFile
from explorer.problem.operating import AlphaPowerLaw
from explorer.problem.study import Study

_AGAIN = "write it again with `explorer fit SAMPLES.csv -o model.json`"


def load_model(name: str, *, own: Sequence[str] = (), ignore: Sequence[str] = ()) -> Surrogate:
    """Return a model by name: `paper`, a model.json written by `explorer fit -o`, or a samples CSV to fit now.

    Args:
        name: what to load.
        own: for a samples CSV, its further columns that are knobs.
        ignore: for a samples CSV, columns to pass over.

    Raises:
        WrongUsage: there is no such model.
        InvalidFile: its file is not what it should be; all faults at once.
    """
    if name == "paper":
        return fit_surrogate(paper_samples(), name="paper")
    path = Path(name).expanduser()
    if not is_file(path):
        raise WrongUsage(f"no model is called '{name}'", fix="name paper, a model.json or a samples CSV that exists")
    if path.suffix == ".json":
        return model_from_file(path)
    return fit_samples(read_samples(path, own=own, ignore=ignore), name=name)


def fit_samples(samples: Samples, *, name: str) -> Surrogate:
    """Fit the model that suits a table's knobs, with its intervals checked where there are rows enough.

    Raises:
        InvalidFile: the table lacks one of the five knobs that the shapes are made of, or has others.
    """
    lacking = [knob for knob in KNOBS if knob not in samples.columns]
    others = [knob for knob in samples.knobs if knob not in KNOBS]
    if lacking or others:
        told = [f"has no {', '.join(lacking)}"] if lacking else []
        told += [f"has knobs that the shapes do not know ({', '.join(others)})"] if others else []
        what = f"{' and '.join(told)}; the fitted shapes take exactly {', '.join(KNOBS)}"
        fix = "add the columns, or search the measured rows themselves: model = { table = 'FILE.csv', knobs = [...] }"
        raise InvalidFile(name, [Fault("", what, fix)])
    return calibrated(fit_surrogate(samples, name=name))


def load_evaluator(study: Study) -> Evaluator:
    """Return the evaluator that a study asks for: the rows of a table, or a model with the knobs of its spaces.

    Raises:
        WrongUsage: there is no such model.
        InvalidFile: its file is not what it should be; all faults at once.
    """
    if study.table is not None:
        samples = read_samples(Path(study.model), own=study.table.knobs, ignore=study.table.ignore)
        asked = [need for objective in study.objectives for need in objective.needs]
        asked += [c.column for c in study.constraints if c.column in TARGETS]
        return lookup_of(samples, name=study.model, needs=list(dict.fromkeys(asked)))
    ignore = [name for space in study.spaces for name in space.file.ignore]
    return load_model(study.model, own=[name for name in study.own_columns if name != "weight_bits"], ignore=ignore)


def load_samples(name: str, *, own: Sequence[str] = (), ignore: Sequence[str] = ()) -> Samples:
    """Return samples by name: `paper`, or a samples CSV with its knobs of the user's own.

    Raises:
        WrongUsage: there is no such file.
        InvalidFile: it is not a samples CSV; all faults at once.
    """
    if name == "paper":
        return paper_samples()
    return read_samples(Path(name).expanduser(), own=own, ignore=ignore)


def model_to_json(model: Surrogate) -> dict[str, Any]:
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


def model_from_file(path: Path) -> Surrogate:
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
    fits = {target: _fit_from_file(target, file.targets[target]) for target in SHAPES if target in file.targets}
    laws = {family: AlphaPowerLaw(law.constant, law.threshold_v, law.exponent) for family, law in file.laws.items()}
    return Surrogate(str(path), samples, file.references, fits, laws, domain_of(columns), file.widening)


def _fit_to_json(fit: Fit) -> dict[str, Any]:
    return {
        "formula": fit.shape.formula,
        "coefficients": fit.coefficients,
        "levels": fit.levels,
        "mode": fit.mode.tolist(),
        "covariance": fit.covariance.tolist(),
        "noise": fit.noise,
        "n": fit.n,
    }


def _fit_from_file(target: str, file: FitFile) -> Fit:
    return Fit(SHAPES[target], dict(file.levels), np.array(file.mode), np.array(file.covariance), file.noise, file.n)


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
        if target not in SHAPES:
            yield f"[targets] {target}", "is not a target of this version"
            continue
        size, p = len(fit.levels) + len(fit.mode), len(SHAPES[target].priors)
        if len(fit.mode) != p or [len(row) for row in fit.covariance] != [size] * size:
            yield f"[targets] {target}", "has other coefficients than this version's shape"
