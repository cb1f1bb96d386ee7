"""Running a study: ask designs from Optuna, assess them together, tell the values, and go on where it stopped."""

import datetime
import logging
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, Trial, TrialState

from explorer.errors import Interrupted
from explorer.models.assessment import Assessment
from explorer.models.surrogate import Surrogate
from explorer.pareto.front import default_reference, feasible_front, hypervolume
from explorer.pareto.notes import front_notes, question_notes
from explorer.pareto.results import Results
from explorer.problem.columns import KNOBS, NUMERIC_KNOBS, TARGETS, Columns, Float, stack, take
from explorer.problem.objectives import OBJECTIVES, add_objectives
from explorer.search.encoding import Encoding
from explorer.search.guard import guard
from explorer.search.provenance import provenance
from explorer.search.samplers import batch_size, make_sampler
from explorer.search.storage import open_storage, shown_url

RUNS_ATTR = "explorer:runs"
ORIGIN_ATTR = "origin"
Clock = Callable[[], datetime.datetime]
_REFERENCE_SCAN = 2**14


class Progress(Protocol):
    """Whoever wants to know how far a run is."""

    def __call__(self, done: int, wanted: int, best_hypervolume: float) -> None:
        """Called after each batch, with COMPLETE trials so far and the front's hypervolume."""


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
    """Fix a run's reference point: the declared one, or one just beyond the worst of a scan of the regions."""
    study = assessment.study
    reference = study.reference_point
    if reference is None:
        # Of all designs, feasible or not: constraints are not to move the point that fronts are compared by.
        reference = default_reference(assessment.values(assessment.scan(_REFERENCE_SCAN)), study.objectives)
    return Run(assessment, out, storage_url, reference)


def search(
    run: Run,
    *,
    quota: int | None = None,
    worker: int = 0,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Search until the wanted number of trials is COMPLETE; return how many were added.

    Ctrl-C ends it after the batch at hand: everything told so far is stored.

    Args:
        run: the study at its storage.
        quota: add this many trials instead, as one of several workers.
        worker: the index of this worker; each draws its own numbers.
        progress: who wants to know how far it is.
        should_stop: asked between batches.

    Raises:
        Interrupted: it was stopped before it was done.
        WrongUsage, InvalidFile, MissingPart: the storage or sampler cannot be used, or holds another question.
    """
    study = run.assessment.study
    optuna_study = begin(run)
    encoding = Encoding(run.assessment.regions)
    history = _complete(optuna_study)
    done = first = len(history)
    wanted = study.trials if quota is None else done + quota
    if done >= wanted:
        return 0
    distributions = encoding.distributions()
    optuna_study.sampler = make_sampler(
        study.sampler, seed=study.seed, done=done, trials=study.trials, worker=worker, distributions=distributions
    )
    front = _Front(run, values_of(history), is_feasible_of(history))
    if progress:
        progress(done, wanted, front.hypervolume)
    with _stoppable() as is_interrupted:
        while done < wanted:
            if is_interrupted() or should_stop():
                raise Interrupted(
                    f"stopped after {done} of {wanted} trials; all of them are in {run.place}",
                    fix="run the same command again to go on",
                )
            n = min(batch_size(study.sampler), wanted - done)
            front.add(*_batch(optuna_study, run.assessment, encoding, distributions, n))
            done += n
            if progress:
                progress(done, wanted, front.hypervolume)
    return done - first


def begin(run: Run) -> optuna.Study:
    """Open or begin a run's Optuna study; the measured configurations become the first trials of a new one.

    Raises:
        WrongUsage, InvalidFile, MissingPart: the storage cannot be used, or holds another question.
    """
    optuna_study = open_study(run)
    if not optuna_study.get_trials(deepcopy=False):
        _enqueue_samples(optuna_study, run.assessment, Encoding(run.assessment.regions))
    return optuna_study


@contextmanager
def logged(run: Run, *, clock: Clock) -> Iterator[None]:
    """Keep with the study who searched what and when, however the run ends."""
    study = run.assessment.study
    optuna_study = begin(run)
    began, first = clock(), len(_complete(optuna_study))
    try:
        yield
    finally:
        done = len(_complete(optuna_study))
        if done > first:
            entry = {
                "sampler": study.sampler,
                "seed": study.seed,
                "from": first,
                "to": done,
                "began": began.isoformat(timespec="seconds"),
                "ended": clock().isoformat(timespec="seconds"),
            }
            optuna_study.set_user_attr(RUNS_ATTR, [*optuna_study.user_attrs.get(RUNS_ATTR, []), entry])


def utc_now() -> datetime.datetime:
    """Return the time, for provenance."""
    return datetime.datetime.now(datetime.UTC)


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
    if optuna_study.metric_names is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            optuna_study.set_metric_names([objective.name for objective in study.objectives])
    return optuna_study


def collect(run: Run) -> Results:
    """Read a study's finished trials back as results.

    Raises:
        WrongUsage, InvalidFile: the storage cannot be used.
    """
    study, assessment = run.assessment.study, run.assessment
    optuna_study = open_study(run)
    trials = _complete(optuna_study)
    encoding = Encoding(assessment.regions)
    if trials:
        table = assessment.assess(encoding.decode([trial.params for trial in trials]))
        # What was told is the record; a surrogate recomputes the same numbers from the same parameters.
        for j, objective in enumerate(study.objectives):
            table[objective.name] = values_of(trials)[:, j]
    else:
        table = take(assessment.scan(2), np.zeros(0, dtype=np.int64))
    table["design_id"] = np.array([trial.number for trial in trials], dtype=np.int64)
    table["origin"] = np.array([trial.user_attrs.get(ORIGIN_ATTR, "search") for trial in trials], dtype=object)
    samples, labels = _measured(assessment)
    bare = Results(
        study.name,
        study.title,
        table,
        study.objectives,
        tuple(c.text for c in study.constraints),
        run.reference,
        samples,
        labels,
        (),
    )
    notes = (*question_notes(assessment), *front_notes(bare.front_columns, assessment))
    runs = optuna_study.user_attrs.get(RUNS_ATTR, [])
    origin = provenance(assessment, place=run.place, runs=runs, model=fingerprint(assessment.evaluator))
    return Results(
        bare.study,
        bare.title,
        table,
        bare.objectives,
        bare.constraints,
        bare.reference_point,
        samples,
        labels,
        notes,
        origin,
    )


def n_complete(run: Run) -> int:
    """Return how many trials of a run are COMPLETE.

    Raises:
        WrongUsage, InvalidFile: the storage cannot be used.
    """
    return len(_complete(open_study(run)))


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
            t: {k: float(f"{v:.6g}") for k, v in fit.coefficients.items()} for t, fit in evaluator.fits.items()
        }
        return {"samples_sha256": evaluator.samples.sha256, "coefficients": coefficients}
    return {"kind": type(evaluator).__name__}


class _Front:
    """The front so far, kept small: only its own points are compared with new ones."""

    def __init__(self, run: Run, values: Float, is_feasible: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> None:
        self._objectives, self._reference = run.assessment.study.objectives, run.reference
        self._values = np.empty((0, len(self._objectives)))
        if len(values):
            self.add(values, is_feasible)

    def add(self, values: Float, is_feasible: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> None:
        together = np.concatenate([self._values, values[is_feasible]])
        everyone = np.ones(len(together), dtype=np.bool_)
        self._values = together[feasible_front(together, everyone, self._objectives)]

    @property
    def hypervolume(self) -> float:
        return hypervolume(self._values, self._reference, self._objectives)


def _batch(
    optuna_study: optuna.Study, assessment: Assessment, encoding: Encoding, distributions: Mapping[str, Any], n: int
) -> tuple[Float, "np.ndarray[tuple[int], np.dtype[np.bool_]]"]:
    asked: list[Trial] = []
    told = 0
    try:
        for _ in range(n):
            asked.append(optuna_study.ask(dict(distributions)))  # noqa: PERF401 - a half-asked batch must be known
        columns = assessment.assess(encoding.decode([trial.params for trial in asked]))
        excess, values = assessment.excess(columns), assessment.values(columns)
        for i, trial in enumerate(asked):
            _record(trial, columns, excess, i)
            optuna_study.tell(trial, values[i].tolist())
            told += 1
    except BaseException:
        # Whatever stops a batch, no trial stays RUNNING for ever: a later worker would take it for alive.
        for trial in asked[told:]:
            optuna_study.tell(trial, state=TrialState.FAIL, skip_if_finished=True)
        raise
    return values, columns["is_feasible"]


def _record(trial: Trial, columns: Columns, excess: Columns, i: int) -> None:
    for name, misses in excess.items():
        trial.set_constraint(name, float(misses[i]))
    # Scalars, so that optuna-dashboard shows them; the knobs that are not parameters themselves are among them.
    for name in (*NUMERIC_KNOBS, *TARGETS, *OBJECTIVES, "domain_distance"):
        if name in columns and name not in trial.params:
            trial.set_user_attr(name, float(columns[name][i]))
    trial.set_user_attr("is_feasible", bool(columns["is_feasible"][i]))


def _complete(optuna_study: optuna.Study) -> list[FrozenTrial]:
    return optuna_study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))


def _enqueue_samples(optuna_study: optuna.Study, assessment: Assessment, encoding: Encoding) -> None:
    """Make the measured configurations the first trials: whatever the sampler does, they are among the designs."""
    evaluator = assessment.evaluator
    if not isinstance(evaluator, Surrogate):
        return
    columns = evaluator.samples.columns
    for i, label in enumerate(evaluator.samples.labels):
        region = assessment.regions.get(columns["family"][i])
        knobs = {name: columns[name][i : i + 1] for name in KNOBS}
        if region is not None and region.contains(knobs).all():
            optuna_study.enqueue_trial(encoding.encode(knobs)[0], user_attrs={ORIGIN_ATTR: "sample", "sample": label})


def _measured(assessment: Assessment) -> tuple[Columns, tuple[str, ...]]:
    """Return the measured samples of the searched families, with the objectives that their own values give."""
    evaluator = assessment.evaluator
    if not isinstance(evaluator, Surrogate):
        return {}, ()
    rows = np.isin(evaluator.samples.columns["family"].astype(str), list(assessment.regions))
    samples = evaluator.samples.rows(rows)
    parts = []
    for i in range(len(samples.labels)):
        row = take(samples.columns, np.array([i]))
        measured = {name: values for name, values in row.items() if values.dtype == object or np.isfinite(values).all()}
        derived = add_objectives(measured, assessment.study.weights)
        parts.append({name: derived.get(name, np.array([np.nan])) for name in _sample_columns(samples.columns)})
    return (stack(parts) if parts else {}), samples.labels


def _sample_columns(columns: Columns) -> list[str]:
    return list(dict.fromkeys([*columns, *OBJECTIVES]))


@contextmanager
def _stoppable() -> Iterator[Callable[[], bool]]:
    """Turn the first Ctrl-C into a question that the loop asks between batches; the second one stops at once."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = threading.Event()
    before = signal.getsignal(signal.SIGINT)

    def remember(*_: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    signal.signal(signal.SIGINT, remember)
    try:
        yield asked.is_set
    finally:
        signal.signal(signal.SIGINT, before)
