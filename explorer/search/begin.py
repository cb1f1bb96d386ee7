"""Beginning a study's trials, and finding them again: the storage, the guard, what is finished."""

import logging
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from explorer.models.assessment import Assessment
from explorer.models.evaluator import Evaluator, measurer
from explorer.models.lookup import Lookup
from explorer.models.responses import Responses
from explorer.models.surrogate import Surrogate
from explorer.pareto.front import default_reference
from explorer.search.guard import guard
from explorer.search.storage import open_storage, shown_url
from explorer.search.tried import Tried, tried_of

RUNS_ATTR = "explorer:runs"
MEASURED_ATTR = "explorer:measured"
FAILED_ATTR = "explorer:failed"
_REFERENCE_SCAN = 2**14


@dataclass(slots=True, eq=False)
class Run:
    """A study at its storage, ready to search. Opened once: reading a large storage takes its time.

    Args:
        assessment: the study with its evaluator and regions.
        out: the result folder.
        storage_url: where trials are kept; None for a journal file in `out`.
        reference: the hypervolume's reference point.
        ensure_lock: sees, before something is written, that no other run works on the study.
    """

    assessment: Assessment
    out: Path
    storage_url: str | None
    reference: tuple[float, ...]
    ensure_lock: Callable[[], None] = lambda: None
    said: list[str] = field(default_factory=list, init=False, repr=False)
    _opened: optuna.Study | None = field(default=None, init=False, repr=False)
    _tried: Tried | None = field(default=None, init=False, repr=False)

    @property
    def study(self) -> optuna.Study:
        """The Optuna study, opened or begun when it is first asked for.

        Raises:
            WrongUsage, InvalidFile, MissingPart: the storage cannot be used, or holds another question.
        """
        if self._opened is None:
            self._opened = _open_study(self)
        return self._opened

    @property
    def tried(self) -> Tried:
        """What is finished, as this process has read or recorded it."""
        if self._tried is None:
            self._tried = tried_of(complete_trials(self.study), self.assessment)
        return self._tried

    def add(self, more: Tried) -> None:
        """Remember what this process has recorded."""
        before = self.tried  # read before or after it was recorded
        self._tried = before if np.isin(more.numbers, before.numbers).all() else before.and_then(more)

    def say(self, note: str) -> None:
        """Keep what the user should know of how trials are stored, once."""
        if note and note not in self.said:
            self.said.append(note)

    @property
    def place(self) -> str:
        """Where the trials are kept, for people."""
        return shown_url(self.storage_url, self.out)


def prepare(assessment: Assessment, *, out: Path, storage_url: str | None = None) -> Run:
    """Fix a run's reference point: the declared one, or one just beyond the worst of a scan of the regions.

    A study that measures every design has to declare it.
    """
    return Run(assessment, out, storage_url, prepare_reference(assessment))


def prepare_reference(assessment: Assessment) -> tuple[float, ...]:
    """Return the declared reference point, or one just beyond the worst of a scan of the regions."""
    if assessment.study.reference_point is not None:
        return assessment.study.reference_point
    # Of all designs, feasible or not: constraints are not to move the point that fronts are compared by.
    return default_reference(assessment.values(assessment.scan(_REFERENCE_SCAN)), assessment.study.objectives)


def _open_study(run: Run) -> optuna.Study:
    """Open or begin the Optuna study of a run, and see that it asks the same question."""
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
    if measuring := measurer(evaluator):
        for trial in complete_trials(optuna_study):
            measuring.recall(trial.user_attrs.get(MEASURED_ATTR))
    if optuna_study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna_study.set_metric_names([objective.name for objective in study.objectives])
    return optuna_study


def failures(optuna_study: optuna.Study) -> Counter[str]:
    """Return why trials could not be measured, and how many for each reason."""
    trials = optuna_study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return Counter(str(t.user_attrs[FAILED_ATTR]) for t in trials if FAILED_ATTR in t.user_attrs)


def complete_trials(optuna_study: optuna.Study) -> list[FrozenTrial]:
    """Return the COMPLETE trials of a study, in order of number."""
    return optuna_study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def fingerprint(evaluator: Evaluator) -> dict[str, Any]:
    """Return what tells one model from another: its name, samples and coefficients."""
    if measuring := measurer(evaluator):
        return measuring.fingerprint
    if isinstance(evaluator, Surrogate):
        coefficients = {
            t: {k: float(f"{v:.4g}") for k, v in fit.coefficients.items()} for t, fit in evaluator.fits.items()
        }
        return {"samples_sha256": evaluator.samples.sha256, "coefficients": coefficients}
    if isinstance(evaluator, Lookup):
        return {"kind": "table", "samples_sha256": evaluator.samples.sha256}
    if isinstance(evaluator, Responses):
        forms = {t: r.fit.form.name for t, r in evaluator.responses.items()}
        return {"samples_sha256": evaluator.samples.sha256, "forms": forms}
    return {"kind": type(evaluator).__name__}
