"""Beginning a study's trials, and finding them again: the storage, the guard, the measured configurations first."""

import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from explorer.models.assessment import Assessment
from explorer.models.draws import PosteriorModel
from explorer.models.live import Live
from explorer.models.lookup import Lookup
from explorer.models.responses import Responses
from explorer.models.surrogate import Surrogate
from explorer.pareto.front import default_reference
from explorer.problem.columns import Columns, Float, knobs_of, take
from explorer.search.encoding import Encoding
from explorer.search.guard import guard
from explorer.search.storage import open_storage, shown_url

RUNS_ATTR = "explorer:runs"
ORIGIN_ATTR = "origin"
MEASURED_ATTR = "explorer:measured"
FAILED_ATTR = "explorer:failed"
_REFERENCE_SCAN = 2**14


@dataclass(frozen=True, slots=True)
class Run:
    """A study at its storage, ready to search.

    Args:
        assessment: the study with its evaluator and regions.
        out: the result folder.
        storage_url: where trials are kept; None for a journal file in `out`.
        reference: the hypervolume's reference point.
    """

    assessment: Assessment
    out: Path
    storage_url: str | None
    reference: tuple[float, ...]

    @property
    def place(self) -> str:
        """Where the trials are kept, for people."""
        return shown_url(self.storage_url, self.out)


def prepare(assessment: Assessment, *, out: Path, storage_url: str | None = None) -> Run:
    """Fix a run's reference point: the declared one, or one just beyond the worst of a scan of the regions.

    A study that measures every design has to declare it.
    """
    study = assessment.study
    reference = study.reference_point
    if reference is None:
        # Of all designs, feasible or not: constraints are not to move the point that fronts are compared by.
        reference = default_reference(assessment.values(assessment.scan(_REFERENCE_SCAN)), study.objectives)
    return Run(assessment, out, storage_url, reference)


def begin(run: Run) -> optuna.Study:
    """Open or begin a run's Optuna study; the measured configurations become the first trials of a new one.

    Raises:
        WrongUsage, InvalidFile, MissingPart: the storage cannot be used, or holds another question.
    """
    optuna_study = open_study(run)
    encoding = Encoding(run.assessment.regions)
    if not optuna_study.get_trials(deepcopy=False):
        _enqueue_samples(optuna_study, run.assessment, encoding)
    _enqueue_rest(optuna_study, run.assessment, encoding)
    return optuna_study


def open_study(run: Run) -> optuna.Study:
    """Open or begin the Optuna study of a run, and see that it asks the same question.

    Raises:
        WrongUsage: it asks another one.
        InvalidFile: its journal is damaged.
    """
    logging.getLogger("optuna").setLevel(logging.ERROR)
    study, evaluator = run.assessment.study, run.assessment.evaluator
    storage = open_storage(run.storage_url, run.out)
    try:
        # Not create_study(load_if_exists=True): it writes a record even where the study is there and then refused.
        optuna_study = optuna.load_study(study_name=study.name, storage=storage)
    except KeyError:
        optuna_study = optuna.create_study(
            storage=storage,
            study_name=study.name,
            directions=[objective.direction for objective in study.objectives],
            load_if_exists=True,
        )
    declaration = {**study.declaration(), "model": fingerprint(evaluator)}
    guard(optuna_study, declaration, path=study.path, place=run.place)
    if isinstance(evaluator, Live):
        for trial in complete_trials(optuna_study):
            evaluator.recall(trial.user_attrs.get(MEASURED_ATTR))
    if optuna_study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna_study.set_metric_names([objective.name for objective in study.objectives])
    return optuna_study


def failures(optuna_study: optuna.Study) -> Counter[str]:
    """Return why trials could not be measured, and how many for each reason."""
    trials = optuna_study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return Counter(str(t.user_attrs[FAILED_ATTR]) for t in trials if FAILED_ATTR in t.user_attrs)


def n_complete(run: Run) -> int:
    """Return how many trials of a run are COMPLETE.

    Raises:
        WrongUsage, InvalidFile: the storage cannot be used.
    """
    return len(complete_trials(open_study(run)))


def complete_trials(optuna_study: optuna.Study) -> list[FrozenTrial]:
    """Return the COMPLETE trials of a study, in order of number."""
    return optuna_study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def values_of(trials: Sequence[FrozenTrial]) -> Float:
    """Return the told objectives of trials, shape (n, m)."""
    return np.array([trial.values for trial in trials], dtype=np.float64)


def is_feasible_of(trials: Sequence[FrozenTrial]) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Tell which trials meet all of their constraints, shape (n,)."""
    return np.array([all(c <= 0 for c in trial.constraints.values()) for trial in trials], dtype=np.bool_)


def fingerprint(evaluator: object) -> dict[str, Any]:
    """Return what tells one model from another: its name, samples and coefficients."""
    if isinstance(evaluator, Surrogate):
        coefficients = {
            t: {k: float(f"{v:.4g}") for k, v in fit.coefficients.items()} for t, fit in evaluator.fits.items()
        }
        return {"samples_sha256": evaluator.samples.sha256, "coefficients": coefficients}
    if isinstance(evaluator, Live):
        return evaluator.fingerprint
    if isinstance(evaluator, Lookup):
        return {"kind": "table", "samples_sha256": evaluator.samples.sha256}
    if isinstance(evaluator, Responses):
        forms = {t: r.fit.form.name for t, r in evaluator.responses.items()}
        return {"samples_sha256": evaluator.samples.sha256, "forms": forms}
    return {"kind": type(evaluator).__name__}


def wanted_trials(optuna_study: optuna.Study, assessment: Assessment) -> int:
    """Return how many COMPLETE trials a study is searched for: those asked for.

    Where as many were asked for as there are designs, it is for all designs to be tried: fewer trials where that is
    enough, more where some were tried twice before.
    """
    if not _wants_all(assessment):
        return assessment.study.trials
    complete = complete_trials(optuna_study)
    left = _keys(assessment.every_design()) - _keys(_decoded(assessment, complete))
    return len(complete) + len(left)


def _wants_all(assessment: Assessment) -> bool:
    return assessment.n_designs <= assessment.study.trials


def _enqueue_rest(optuna_study: optuna.Study, assessment: Assessment, encoding: Encoding) -> None:
    """Where every design can be tried, have each of them tried: whatever the sampler, none is left out."""
    if not _wants_all(assessment):
        return
    trials = [t for t in optuna_study.get_trials(deepcopy=False) if t.state != TrialState.FAIL]
    known, every = _keys(_decoded(assessment, trials)), assessment.every_design()
    for i, params in enumerate(encoding.encode(every)):
        if not _keys(take(every, np.array([i]))) <= known:
            optuna_study.enqueue_trial(params)


def _decoded(assessment: Assessment, trials: Sequence[FrozenTrial]) -> Columns:
    """Return the designs that trials mean, those that wait to be tried included."""
    params = [trial.params or trial.system_attrs.get("fixed_params", {}) for trial in trials]
    return Encoding(assessment.regions).decode(params) if params else {}


def _keys(designs: Columns) -> set[tuple[Any, ...]]:
    """Return each design's knobs as a key; designs of choices repeat to the last digit."""
    return set(zip(*[values.tolist() for values in designs.values()], strict=True))


def _enqueue_samples(optuna_study: optuna.Study, assessment: Assessment, encoding: Encoding) -> None:
    """Make the measured configurations the first trials, each once: whatever the sampler does, they are designs."""
    evaluator = assessment.evaluator
    if not isinstance(evaluator, PosteriorModel):
        return
    columns = evaluator.samples.columns
    known: list[dict[str, Any]] = []
    for i, label in enumerate(evaluator.samples.labels):
        region = assessment.regions.get(columns["family"][i])
        knobs = {name: columns[name][i : i + 1] for name in knobs_of(columns)}
        if region is not None and region.contains(knobs).all():
            params = encoding.encode(knobs)[0]
            if params not in known:
                optuna_study.enqueue_trial(params, user_attrs={ORIGIN_ATTR: "sample", "sample": label})
            known.append(params)
