"""Search session: an Optuna study in its storage, created or loaded, checked against its declaration."""

import json
import logging
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from explorer.errors import NoFeasibleDesign, StudyChanged, WrongUsage
from explorer.io.files import cannot_write, sha256
from explorer.models.evaluation import Problem, fingerprint
from explorer.models.evaluator import as_measurer
from explorer.pareto.geometry.dominance import default_reference
from explorer.problem.study import declaration_text
from explorer.problem.workload.usage import overload_text
from explorer.search.storage.open import journal_path, open_storage, storage_label
from explorer.search.trial_table import TrialTable, trial_table

RUNS_ATTR = "explorer:runs"
MEASURED_ATTR = "explorer:measured"
FAILED_ATTR = "explorer:failed"
DECLARATION_ATTR, _HASH = "explorer:declaration", "explorer:declaration_sha256"
_REFERENCE_SCAN = 2**14


@dataclass(eq=False)
class SearchSession:
    """Study in its storage, which is opened only once: reading a large one is slow.

    Args:
        problem: the study with its evaluator and regions.
        out: the result folder.
        storage_url: storage of the trials; None for a journal file in `out`.
        reference: reference point of the hypervolume.
        ensure_lock: called before each write; raises if another run holds the lock of the study.
    """

    problem: Problem
    out: Path
    storage_url: str | None
    reference: tuple[float, ...]
    ensure_lock: Callable[[], None] = lambda: None
    notes: list[str] = field(default_factory=list, init=False, repr=False)

    @cached_property
    def study(self) -> optuna.Study:
        """The Optuna study, loaded or created at first use.

        Raises:
            WrongUsage, InvalidFile, MissingPart: the storage cannot be used, or its study has another declaration.
        """
        try:
            return _open_study(self)
        except OSError as error:
            if isinstance(error, ConnectionError | TimeoutError):  # of a server: retried, or told as such
                raise
            raise cannot_write(Path(error.filename or self.out), error) from None

    @cached_property
    def trials(self) -> TrialTable:
        """COMPLETE trials that this process has read or recorded."""
        return trial_table(complete_trials(self.study), self.problem)

    def add(self, more: TrialTable) -> None:
        """Add trials that this process has recorded."""
        trials = self.trials  # if read just now, it includes them already
        self.trials = trials if np.isin(more.numbers, trials.numbers).all() else trials.append(more)

    def add_note(self, note: str) -> None:
        """Add a note for the results, unless it is empty or a duplicate."""
        if note and note not in self.notes:
            self.notes.append(note)

    @property
    def storage_label(self) -> str:
        """Name of the storage in messages, without a password."""
        return storage_label(self.storage_url, self.out)


def open_session(problem: Problem, *, out: Path, storage_url: str | None = None) -> SearchSession:
    """Return a session with its reference point."""
    return SearchSession(problem, out, storage_url, prepare_reference(problem))


def prepare_reference(problem: Problem) -> tuple[float, ...]:
    """Return the declared reference point, or one just beyond the worst of a scan; measured studies declare theirs.

    The scan of a table is all of its rows.
    """
    if problem.study.reference_point is not None:
        return problem.study.reference_point
    # Infeasible designs included: constraints must not change the reference point that fronts are compared with.
    scan = (
        problem.evaluate(problem.every_design()) if problem.is_table
        else problem.sample(_REFERENCE_SCAN, has_statistics=False)
    )  # fmt: skip
    values = problem.values(scan)
    if problem.study.constants.workload:  # those that cannot keep up with their inputs have infinite values
        values = values[scan["utilization"] < 1]
    if not len(values):
        what, fix = overload_text(scan["latency_s"], scan["utilization"])
        raise NoFeasibleDesign(f"{problem.study.path}: {what}", fix=fix)
    return default_reference(values, problem.study.objectives)


def _open_study(session: SearchSession) -> optuna.Study:
    """Load or create the Optuna study of a session, and restore its measurements in the evaluator."""
    logging.getLogger("optuna").setLevel(logging.ERROR)
    study, evaluator = session.problem.study, session.problem.evaluator
    storage = open_storage(session.storage_url, session.out)
    try:
        # create_study(load_if_exists=True) would write a record even to a study that is then refused.
        optuna_study = optuna.load_study(study_name=study.name, storage=storage)
    except KeyError:
        directions = [objective.direction for objective in study.objectives]
        optuna_study = optuna.create_study(storage=storage, study_name=study.name, directions=directions)
    _ensure_same_problem(optuna_study, {**study.declaration(), "model": fingerprint(evaluator)}, session)
    if measuring := as_measurer(evaluator):
        for trial in complete_trials(optuna_study):
            measuring.adopt_measurement(trial.user_attrs.get(MEASURED_ATTR))
    if optuna_study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna_study.set_metric_names([objective.name for objective in study.objectives])
    return optuna_study


def _ensure_same_problem(optuna_study: optuna.Study, declaration: dict[str, Any], session: SearchSession) -> None:
    """Store the declaration with a new study, or compare it with the stored one.

    Raises:
        StudyChanged: the stored study has another declaration.
        WrongUsage: it was not created by explorer.
    """
    text, stored = declaration_text(declaration), optuna_study.user_attrs
    if _HASH not in stored:
        if optuna_study.get_trials(deepcopy=False):
            raise WrongUsage(
                f"{session.storage_label}: contains a study '{optuna_study.study_name}' that explorer did not create",
                fix="choose another folder with --out, or another --storage",
            )
        optuna_study.set_user_attr(DECLARATION_ATTR, text)
        optuna_study.set_user_attr(_HASH, sha256(text))
    elif stored[_HASH] != sha256(text):
        changed = ", ".join(_differences(json.loads(stored.get(DECLARATION_ATTR, "{}")), declaration))
        raise StudyChanged(
            f"{session.problem.study.path}: the declaration has changed since {session.storage_label} was created "
            f"({changed or 'its declaration'}); trials of two declarations must not be mixed",
            folder=str(session.out) if journal_path(session.storage_url, session.out) else "",
            changes=changed,
            n_measured=sum(MEASURED_ATTR in trial.user_attrs for trial in complete_trials(optuna_study)),
        )


def _differences(stored: dict[str, Any], current: dict[str, Any]) -> list[str]:
    result = []
    for key in sorted(stored.keys() | current.keys()):
        if stored.get(key) != current.get(key):
            old, new = json.dumps(stored.get(key)), json.dumps(current.get(key))
            result.append(f"{key}: {old} -> {new}" if len(old) + len(new) < 100 else key)
    return result


def load_studies(storage_url: str | None, out: Path) -> list[optuna.Study]:
    """Return all studies of a storage, of whatever declaration.

    Raises:
        WrongUsage, InvalidFile, MissingPart: the storage cannot be opened.
    """
    storage = open_storage(storage_url, out)
    return [optuna.load_study(study_name=one.study_name, storage=storage) for one in storage.get_all_studies()]


def failure_counts(optuna_study: optuna.Study) -> Counter[str]:
    """Count the failure reasons of the FAIL trials."""
    trials = optuna_study.get_trials(deepcopy=False, states=(TrialState.FAIL,))
    return Counter(str(t.user_attrs[FAILED_ATTR]) for t in trials if FAILED_ATTR in t.user_attrs)


def complete_trials(optuna_study: optuna.Study) -> list[FrozenTrial]:
    """Return the COMPLETE trials of a study, ordered by number."""
    return optuna_study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
